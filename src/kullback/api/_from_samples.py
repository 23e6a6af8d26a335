"""Reverse fits to samples: to a stand-in for p, or by a game against a critic. p's density is not known."""

import math
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from kullback._core import randomness
from kullback._core.errors import InputError, UnsupportedError
from kullback.api import _halves, _p_hat
from kullback.api._admission import check_numbers
from kullback.api._halves import FEWEST
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
#: Rows from which on a critic is trusted without a caution.
_ENOUGH = 5000

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
    few = (
        [
            f"{len(p.values)} rows are few for a critic, which may learn them by heart: compare plug_in"
        ]
        if len(p.values) < _ENOUGH
        else []
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
        notes=(_BOUNDS, begun, *few),
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
    doubt, said, stopped = math.inf, "interrupted before halves of the rows were fitted", True
    if not found.interrupted:
        try:
            doubt, said = _halves.doubt(
                p, p_hat, best, own.value, key, watch, diagonal=is_diagonal(recipe)
            )
            stopped = False
        except KeyboardInterrupt:
            pass
    first, *others = [
        Optimum(
            _plug_in.member(q),
            _estimate(_measured(q, p_hat), doubt, said if q is best else "", p, p_hat),
            share,
        )
        for q, share in found.ends
    ]
    notes = [_RESTS]
    if others and others[0].divergence.value - own.value < 2.0 * doubt < math.inf:
        notes.append(
            "the second optimum is as good as the first within the error: more rows decide"
        )
    if stopped:
        notes.append(f"interrupted after {found.starts} starts")
    return Fit(
        q=first.q,
        direction="reverse",
        family=str(recipe),
        divergence=first.divergence,
        forward_kl=None,
        reverse_kl=first.divergence,
        held_out=None,
        optima=(first, *others),
        path=tuple(_plug_in.member(q) for q in found.path),
        starts=found.starts,
        evaluations=found.evaluations,
        seconds=time.perf_counter() - began,
        notes=tuple(notes),
    )


def _measured(q: GaussianMixture, p_hat: GaussianMixture) -> Outcome:
    """KL(q||p-hat), by a method that knows nothing of the search."""
    pair = _plug_in.member(q), _plug_in.member(p_hat)
    return _select.choose(KL, *pair)[1](_select.Effort())


def _estimate(
    measured: Outcome, doubt: float, said: str, p: Samples, p_hat: GaussianMixture
) -> Estimate:
    return Estimate.sampled(
        measured.value,
        math.hypot(measured.error, doubt),
        quantity="kl",
        direction="KL(q||p)",
        method=f"plug-in, p-hat of {len(p_hat.weights)} Gaussians, {measured.method}",
        n=len(p.values),
        notes=(said,) if said else (),
        reason=said or "its error is not known",
    )


def _check(p: Samples) -> None:
    n, d = p.values.shape
    if p.missing and np.isnan(p.values).any():
        raise UnsupportedError(
            "reverse fits to samples need rows without missing values: drop or fill them"
        )
    remedy = 'choose direction="forward" and a mixture, which treats them'
    check_numbers(p, "reverse fits to samples are for", remedy=remedy)
    constant = np.ptp(p.values, axis=0) == 0.0
    if constant.any():
        name = p.columns[int(np.argmax(constant))]
        raise InputError(
            f"column {name} is constant, so its density is infinite there; drop the column"
        )
    if n < FEWEST * d:
        raise InputError(
            f"{n} sample(s) of {d} column(s): p-hat needs at least {FEWEST} rows a column; "
            'direction="forward" needs fewer'
        )
