"""Reverse fits to samples: to a stand-in for p, or by a game against a critic. p's density is not known."""

import math
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from kullback._core import randomness
from kullback._core.errors import InputError, UnsupportedError
from kullback.api import _p_hat
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.estimators import _select
from kullback.estimators._outcome import Outcome
from kullback.estimators._question import KL
from kullback.families import Gaussians, components, is_diagonal
from kullback.fitting import _plug_in
from kullback.objectives import Layout
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit, Optimum
from kullback.targets import Samples

Watch = Callable[[int | str], None]
FromSamples = Literal["plug_in", "adversarial"]
_STARTS = 30
#: Times the rows are halved for the error.
_HALVINGS = 8
#: Fewer rows a coordinate than this, in each half, and there is no p-hat to speak of.
_FEWEST = 10

_RESTS = (
    "p is known by samples only: the number rests on p-hat, a mixture of Gaussians fitted to them, "
    "where q has mass; what is finer than p-hat, the error cannot see"
)

_BOUNDS = (
    "p is known by samples only: the number is a lower bound of KL(q||p), the mean over both halves of the "
    "rows of what a critic trained on the other half says; no critic can say more than KL, a better one "
    "might say more than this"
)


def reverse_from_samples(
    p: Samples,
    recipe: Gaussians,
    *,
    solver: FromSamples,
    starts: int | None,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    """Returns the Gaussian, or the mixture of them, that is closest to p in KL(q||p), from draws of p.

    "plug_in" fits p-hat by maximum likelihood and minimises KL(q||p-hat): the number is an estimate,
    whose error is from p-hats of halves of the rows. "adversarial" lets a critic tell draws of q from the
    rows: the number is a lower bound, by critics on rows that they have not seen.

    Args:
        p: draws, perhaps with weights.
        recipe: MeanField(), FullRank() or Mixture(k).
        solver: "plug_in" or "adversarial".
        starts: of the search; 30 unless said.
        key: randomness, an int or a JAX key.
        watch: told of what is being done.
        began: when the fit began, for its time.

    Raises:
        InputError: too few rows, a constant column, or columns that are not continuous.
    """
    _check(p)
    layout = Layout(components(recipe), p.values.shape[1], is_diagonal(recipe))
    watch("fitting p-hat to the rows")
    p_hat = _p_hat.fit_p_hat(p, key)
    found = _plug_in.closest(
        p_hat, layout, starts=starts or _STARTS, rng=randomness.named(key, "reverse"), watch=watch
    )
    if solver == "adversarial":
        return _played(p, p_hat, found, recipe, key, watch, began)
    return _plugged_in(p, p_hat, found, recipe, key, watch, began)


def _played(
    p: Samples,
    p_hat: GaussianMixture,
    found: _plug_in.Closest,
    recipe: Gaussians,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    # Here and not above: plug-in fits of tables never load JAX.
    from kullback.fitting import _adversarial  # noqa: PLC0415

    start = found.ends[0][0]
    game = _adversarial.fit_adversarial(p, recipe, start=start, key=key, watch=watch)
    q = _plug_in.member(game.q)
    begun = (
        f"the game began at the best of {len(found.ends)} optima against p-hat, a mixture of "
        f"{len(p_hat.weights)} Gaussians fitted to the rows: it finds the optimum near its start"
    )
    return Fit(
        q=q,
        direction="reverse",
        family=str(recipe),
        divergence=game.bound,
        forward_kl=None,
        reverse_kl=game.bound,
        held_out=None,
        optima=(Optimum(q, game.bound, 1.0),),
        path=tuple(_plug_in.member(q) for q in game.path),
        starts=1,
        evaluations=game.steps,
        seconds=time.perf_counter() - began,
        notes=(_BOUNDS, begun),
    )


def _plugged_in(
    p: Samples,
    p_hat: GaussianMixture,
    found: _plug_in.Closest,
    recipe: Gaussians,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    best = found.ends[0][0]
    own = _measured(best, p_hat)
    doubt, notes, interrupted = math.inf, [], found.interrupted
    if not interrupted:
        try:
            doubt, notes = _doubt(p, p_hat, best, own, key, watch, diagonal=is_diagonal(recipe))
        except KeyboardInterrupt:
            interrupted = True
    optima = tuple(
        Optimum(_plug_in.member(q), _estimate(_measured(q, p_hat), doubt, p, p_hat, notes), share)
        for q, share in found.ends
    )
    if interrupted:
        notes.append(f"interrupted after {found.starts} starts")
    return Fit(
        q=optima[0].q,
        direction="reverse",
        family=str(recipe),
        divergence=optima[0].divergence,
        forward_kl=None,
        reverse_kl=optima[0].divergence,
        held_out=None,
        optima=optima,
        path=tuple(_plug_in.member(q) for q in found.path),
        starts=found.starts,
        evaluations=found.evaluations,
        seconds=time.perf_counter() - began,
        notes=(_RESTS, *notes),
    )


def _measured(q: GaussianMixture, p_hat: GaussianMixture) -> Outcome:
    """KL(q||p-hat), by a method that knows nothing of the search."""
    pair = _plug_in.member(q), _plug_in.member(p_hat)
    return _select.choose(KL, *pair)[1](_select.Effort())


def _estimate(
    measured: Outcome, doubt: float, p: Samples, p_hat: GaussianMixture, notes: list[str]
) -> Estimate:
    return Estimate.sampled(
        measured.value,
        math.hypot(measured.error, doubt),
        quantity="kl",
        direction="KL(q||p)",
        method=f"plug-in, p-hat of {len(p_hat.weights)} Gaussians, {measured.method}",
        n=len(p.values),
        notes=tuple(notes),
        reason="its error is not known: no halves of the rows were fitted",
    )


def _doubt(
    p: Samples,
    p_hat: GaussianMixture,
    q: GaussianMixture,
    own: Outcome,
    key: object,
    watch: Watch,
    *,
    diagonal: bool,
) -> tuple[float, list[str]]:
    """The error that p-hat leaves in KL(q||p-hat), by p-hats of halves of the rows, in words too.

    The noise is half the difference of E_q[log p-hat] between the halves, as a root mean square; the
    bias shows in what KL gains where q is fitted to one half's p-hat and measured against the other's.
    """
    if len(p.values) < 2 * _FEWEST * p.values.shape[1]:
        return math.inf, [f"{len(p.values)} rows are too few to be halved: the error is not known"]
    halved, crossed = [], []
    for i in range(_HALVINGS):
        watch(f"fitting p-hat to halves of the rows, {i + 1} of {_HALVINGS}")
        rng = randomness.named(key, "halves", i)
        halves = _halves(p, rng)
        near = [_p_hat.refit(half, p_hat) for half in halves]
        halved.append(0.5 * _plug_in.mean_log_ratio(q, near[0], near[1], rng))
        if i == 0:
            anew = [_p_hat.fit_p_hat(half, key) for half in halves]
            for one, other in (anew, anew[::-1]):
                closest = _plug_in.closest_from(one, q, diagonal=diagonal, rng=rng)
                crossed.append(-_plug_in.mean_log_ratio(closest, other, closest, rng))
    noise = math.sqrt(float(np.mean(np.square(halved))))
    cross = float(np.mean(crossed))
    note = (
        f"q fitted to p-hat of one half of the rows, measured against p-hat of the other: {cross:.4g} "
        f"nats; the error is the root of the squares of half its distance from {own.value:.4g} and of "
        f"the noise between halves, {noise:.2g}"
    )
    return math.hypot(noise, 0.5 * (cross - own.value)), [note]


def _halves(p: Samples, rng: np.random.Generator) -> tuple[Samples, Samples]:
    order = rng.permutation(len(p.values))
    parts = np.array_split(order, 2)
    kept = [None if p.weights is None else p.weights[part] for part in parts]
    first, second = (
        Samples(p.values[part], w, columns=p.columns) for part, w in zip(parts, kept, strict=True)
    )
    return first, second


def _check(p: Samples) -> None:
    n, d = p.values.shape
    if p.missing and np.isnan(p.values).any():
        raise UnsupportedError(
            "reverse fits to samples need rows without missing values: drop or fill them"
        )
    odd = next((i for i, kind in enumerate(p.kinds) if kind == "category"), None)
    if odd is not None:
        raise UnsupportedError(
            f"column {p.columns[odd]} holds categories, and a Gaussian q is fitted to numbers: leave it out"
        )
    constant = np.ptp(p.values, axis=0) == 0.0
    if constant.any():
        name = p.columns[int(np.argmax(constant))]
        raise InputError(
            f"column {name} is constant, so its density is infinite there; drop the column"
        )
    if n < _FEWEST * d:
        raise InputError(
            f"{n} sample(s) of {d} column(s): p-hat needs at least {_FEWEST} rows a column; "
            'direction="forward" needs fewer'
        )
