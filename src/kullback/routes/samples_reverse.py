"""Reverse fits to samples: to a stand-in for p, or by a game against a critic. p's density is not known."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.core.run import Run, named
from kullback.distributions.base import Distribution
from kullback.families import Gaussians, components, is_diagonal
from kullback.fitting.components import Chart, Components
from kullback.fitting.plug_in import (
    Closest,
    closest,
    closest_from,
    fit_p_hat,
    mean_log_ratio,
    refit,
)
from kullback.measure.question import KL
from kullback.measure.table import Effort, choose
from kullback.results.estimate import Estimate, Outcome
from kullback.results.fit import Fit, Optimum
from kullback.results.quantity import REVERSE_KL, Sentence
from kullback.routes.families import check_numbers, in_memory
from kullback.routes.table import Problem
from kullback.tables.kinds import is_lattice
from kullback.targets import Samples, Stream

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


def fit(problem: Problem) -> Fit:
    """Returns the Gaussian, or the mixture of them, that is closest to p in KL(q||p), from draws of p."""
    given, recipe = problem.target.given, problem.family
    assert isinstance(given, (Samples, Stream))
    assert isinstance(recipe, Gaussians)
    solver: FromSamples = "adversarial" if problem.solver == "adversarial" else "plug_in"
    p = in_memory(given)
    return reverse_from_samples(p, recipe, solver=solver, starts=problem.starts, run=problem.run)


def reverse_from_samples(
    p: Samples, recipe: Gaussians, *, solver: FromSamples, starts: int | None, run: Run
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
        run: randomness, someone to tell.

    Raises:
        InputError: too few rows, a constant column, or columns that are not continuous.
    """
    _check(p)
    d = p.values.shape[1]
    chart = Chart.standard(components(recipe), d, diagonal=is_diagonal(recipe))
    run.watch("fitting p-hat to the rows")
    p_hat = fit_p_hat(p, run.key)
    found = closest(
        p_hat, chart, starts=starts or _STARTS, rng=run.generator("reverse"), watch=run.watch
    )
    if solver == "adversarial":
        return _played(p, p_hat, found, recipe, run)
    return _plugged_in(p, p_hat, found, recipe, run)


def _played(
    p: Samples,
    p_hat: Components,
    found: Closest,
    recipe: Gaussians,
    run: Run,
) -> Fit:
    # Here and not above: plug-in fits of tables never load JAX.
    adversarial = need("kullback.fitting.adversarial", "the adversarial solver", "kullback[jax]")

    start = found.ends[0][0]
    game = adversarial.fit_adversarial(p, recipe, start=start, key=run.key, watch=run.watch)
    q = _member(game.q)
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
        family=recipe,
        divergence=game.bound,
        forward_kl=None,
        reverse_kl=game.bound,
        held_out=None,
        optima=(Optimum(q, game.bound, 1.0),),
        path=tuple(_member(q) for q in game.path),
        starts=found.starts,
        evaluations=game.steps,
        seconds=run.seconds,
        notes=(_BOUNDS, begun, *few),
    )


def _plugged_in(
    p: Samples,
    p_hat: Components,
    found: Closest,
    recipe: Gaussians,
    run: Run,
) -> Fit:
    best = found.ends[0][0]
    own = _measured(best, p_hat)
    doubt, said, stopped = math.inf, "interrupted before halves of the rows were fitted", True
    if not found.interrupted:
        try:
            doubt, said = halves_doubt(
                p, p_hat, best, own.value, run.key, run.watch, diagonal=is_diagonal(recipe)
            )
            stopped = False
        except KeyboardInterrupt:
            pass
    first, *others = [
        Optimum(
            _member(q),
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
        family=recipe,
        divergence=first.divergence,
        forward_kl=None,
        reverse_kl=first.divergence,
        held_out=None,
        optima=(first, *others),
        path=tuple(_member(q) for q in found.path),
        starts=found.starts,
        evaluations=found.evaluations,
        seconds=run.seconds,
        notes=tuple(notes),
        interrupted=stopped,
    )


def _member(q: Components) -> Distribution:
    return q.distribution(scalar=q.means.shape[1] == 1)


def _measured(q: Components, p_hat: Components) -> Outcome:
    """KL(q||p-hat), by a method that knows nothing of the search."""
    pair = _member(q), _member(p_hat)
    return choose(KL, *pair)[1](Effort())


def _estimate(
    measured: Outcome, doubt: float, said: str, p: Samples, p_hat: Components
) -> Estimate:
    return Estimate.sampled(
        measured.value,
        math.hypot(measured.error, doubt),
        REVERSE_KL,
        method=f"plug-in, p-hat of {len(p_hat.weights)} Gaussians, {measured.method}",
        n=len(p.values),
        notes=(said,) if said else (),
        reason=said or "its error is not known",
    )


def _check(p: Samples) -> None:
    n, d = p.values.shape
    if p.rows.dependent:
        raise UnsupportedError(
            "reverse fits to samples halve the rows, and rows that are said to depend on each other (cluster=, order=) "
            'have no independent halves: choose direction="forward", or give rows that are independent'
        )
    if p.missing and np.isnan(p.values).any():
        raise UnsupportedError(
            "reverse fits to samples need rows without missing values: drop or fill them"
        )
    remedy = 'choose direction="forward" and a mixture, which treats them'
    check_numbers(p, "reverse fits to samples are for", remedy=remedy)
    for i, name in enumerate(p.columns):
        if p.kinds[i] == "integer" and is_lattice(p.values[:, i]):
            raise InputError(
                f"column {name} holds a few whole numbers, each of them often: the density of p-hat would be spikes "
                'at them, and KL(q||p-hat) no divergence to p; choose direction="forward", or, for a scale that is '
                f'continuous all the same, say kinds={{"{name}": "continuous"}}'
            )
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


# How much a number rests on the rows that p-hat was fitted to: by p-hats of halves of them.

#: Times the rows are halved.
_HALVINGS = 8
#: Rows a coordinate at least, of the whole and of each half.
FEWEST = 10


def halves_doubt(
    p: Samples,
    p_hat: Components,
    q: Components,
    own: float,
    key: object,
    watch: Watch,
    *,
    diagonal: bool,
) -> tuple[float, str]:
    """Returns the error that p-hat leaves in KL(q||p-hat), and how it was found, in words.

    The noise is half the difference of E_q[log p-hat] between the halves, as a root mean square; the
    bias shows in what KL gains where q is fitted to one half's p-hat and measured against the other's.

    Args:
        p: the rows.
        p_hat: fitted to all of them.
        q: fitted to p-hat.
        own: KL(q||p-hat).
        key: randomness.
        watch: told what is being done.
        diagonal: whether q's coordinates are independent within a component.
    """
    if len(p.values) < 2 * FEWEST * p.values.shape[1]:
        return math.inf, f"{len(p.values)} rows are too few to be halved: the error is not known"
    halved, crossed = [], []
    for i in range(_HALVINGS):
        watch(f"fitting p-hat to halves of the rows, {i + 1} of {_HALVINGS}")
        rng = named(key, "halves", i)
        halves = _split(p, rng)
        near = [refit(half, p_hat) for half in halves]
        halved.append(0.5 * mean_log_ratio(q, near[0], near[1], rng))
        if i == 0:
            anew = [fit_p_hat(half, key) for half in halves]
            for one, other in (anew, anew[::-1]):
                closest = closest_from(one, q, diagonal=diagonal, rng=rng)
                crossed.append(-mean_log_ratio(closest, other, closest, rng))
    noise = math.sqrt(float(np.mean(np.square(halved))))
    cross = float(np.mean(crossed))
    note = Sentence(
        "q fitted to p-hat of one half of the rows, measured against p-hat of the other: {:.4g} "
        "{unit}; the error is the root of the squares of half its distance from {:.4g} and of "
        "the noise between halves, {:.2g}", cross, own, noise,
    )  # fmt: skip
    return math.hypot(noise, 0.5 * (cross - own)), note


def _split(p: Samples, rng: np.random.Generator) -> tuple[Samples, Samples]:
    order = rng.permutation(len(p.values))
    parts = np.array_split(order, 2)
    first, second = (
        Samples(p.values[part], account.weights, frequencies=account.frequencies, columns=p.columns)
        for part, account in ((part, p.rows.take(part)) for part in parts)
    )
    return first, second
