"""Whether rows look like draws of q: column by column, and by their log density."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from kullback.core.run import Run
from kullback.distributions.base import Distribution
from kullback.distributions.gaussian_mixture import TableMixture
from kullback.fitting.components import Components
from kullback.fitting.em_climb import final_climb
from kullback.fitting.rows import ScaledRows
from kullback.fitting.scores import MeanScore, chosen_anew, refitted
from kullback.inputs.passes import UNIT
from kullback.measure.neighbours import (
    MOST_COLUMNS,
    MOST_NEIGHBOUR_ROWS,
    neighbour_kl,
    ruled_by_one,
    step,
)
from kullback.results.estimate import Estimate
from kullback.results.likelihood import Goodness, Learnt, Likelihood
from kullback.results.quantity import LOG_PROB_GAP

Values = Float[np.ndarray, " n"]
#: With so many times as many rows as are tested, the parameters are as good as known.
_MANY = 10
_BARS = 20
_DRAWS = 20_000
#: Points that a rounded value is spread over.
_PARTS = 8
_TOLERANCE, _PASSES = 0.1, 200


def goodness(
    family: Any,
    q: Any,
    rows: ScaledRows,
    sample: ScaledRows,
    rng: np.random.Generator,
    *,
    kept_prior: tuple[int, ...],
) -> tuple[Goodness, ...]:
    """Returns tests of each continuous column against the marginal density of q.

    A q fitted to the very rows looks too good. So q is fitted anew to a random half of them and tested
    on all: what the half it saw gains is what the other half loses, and the p-values are those of a q
    that was known beforehand (Durbin 1973; Stephens 1978).

    Args:
        family: of the mixtures.
        q: the fit, in scaled coordinates.
        rows: all.
        sample: some of them, in memory: those that are tested.
        rng: randomness.
        kept_prior: components that have the prior.

    Source: Stephens (1978), On the half-sample method for goodness-of-fit.
    """
    if rows.n < _MANY * sample.n:
        q = _refitted(family, q, _half(sample, rng), kept_prior=kept_prior)
    x, weights = sample.whole()
    worth = sample.effective if sample.n == rows.n else min(sample.effective, float(sample.n))
    reals = [j for j, kind in enumerate(rows.kinds) if kind == "continuous"]
    found = []
    for at, j in enumerate(reals):
        there = ~np.isnan(x[j]) & (weights > 0.0)
        column, held = x[j, there], weights[there]
        n = round(worth * float(held.sum()) / sample.total)
        if n < 1:
            continue
        uniform, share = _transformed(q, at, column, held / held.sum(), rng)
        found.append(uniformity(rows.source.columns[j], uniform, share, n))
    return tuple(found)


def uniformity(column: str, uniform: Values, share: Values, n: int) -> Goodness:
    """Returns the Kolmogorov-Smirnov test of values under their distribution function.

    Args:
        column: what they are of.
        uniform: the values, from 0 to 1.
        share: of the rows that each stands for.
        n: how many independent rows they are worth.
    """
    distance = _distance(uniform, share)
    bars = np.histogram(uniform, bins=_BARS, range=(0.0, 1.0), weights=share)[0]
    p_value = float(stats.kstwo.sf(distance, n))
    return Goodness(column, distance, p_value, n, tuple(float(b) for b in bars))


def gap(q: Distribution, left_out: MeanScore, rng: np.random.Generator) -> Estimate:
    """Returns E_q[log q] - E_p[log q]: 0 if q is p, positive where rows are less likely than draws of q.

    For a Gaussian q it is what p's cross-entropy exceeds q's entropy by. The error is that of a q known
    beforehand: of one fitted to the rows it is less, and the gap smaller (about parameters / rows).

    Args:
        q: the fit.
        left_out: the score of rows left out.
        rng: randomness.
    """
    drawn = q.log_prob(q.sample(rng, _DRAWS))
    error = math.hypot(left_out.standard_error, float(np.std(drawn)) / math.sqrt(_DRAWS))
    return Estimate.sampled(
        float(np.mean(drawn)) - left_out.mean,
        error,
        LOG_PROB_GAP,
        method=f"{_DRAWS} draws of q, rows held out",
        n=left_out.rows,
    )


def marginal(q: Any, at: int, x: Values) -> Values:
    """Returns q's distribution function of its continuous column number `at`.

    Args:
        q: `Components` or `TableMixture`.
        at: counted among continuous columns.
        x: points, in q's coordinates.
    """
    means, sds = q.means[:, at], np.sqrt(np.sum(q.roots[:, at] ** 2, axis=1))
    df = q.df if isinstance(q, TableMixture) else np.full(len(q.weights), np.inf)
    total = np.zeros_like(x)
    for weight, mean, sd, tail in zip(q.weights, means, sds, df, strict=True):
        z = (x - mean) / sd
        total += weight * (special.ndtr(z) if math.isinf(tail) else special.stdtr(tail, z))
    return np.clip(total, 0.0, 1.0)


def _transformed(
    q: Components | TableMixture, at: int, column: Values, share: Values, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The column under q's distribution function, with shares; rounded values spread over their steps."""
    # Equal rows were counted together: the lightest stands for one.
    width = step(column, 1.0 / float(share.min()))
    if not width:
        return marginal(q, at, column), share
    offsets = (np.arange(_PARTS) + rng.random((len(column), _PARTS))) / _PARTS - 0.5
    spread = (column[:, None] + width * offsets).ravel()
    return marginal(q, at, spread), np.repeat(share / _PARTS, _PARTS)


def _distance(uniform: Values, share: Values) -> float:
    """The largest distance of the weighted empirical distribution function from the diagonal."""
    order = np.argsort(uniform)
    u, after = uniform[order], np.cumsum(share[order])
    before = after - share[order]
    return float(max(np.max(after - u), np.max(u - before)))


def _half(sample: ScaledRows, rng: np.random.Generator) -> ScaledRows:
    """Half of the rows; of rows that are counted several times, half of these."""
    x, weights = sample.whole()
    if (weights == np.floor(weights)).all():
        kept = rng.binomial(weights.astype(np.int64), 0.5).astype(np.float64)
    else:
        kept = weights * (rng.random(len(weights)) < 0.5)
    held = kept > 0.0
    assert held.any()
    values = x[:, held].T * sample.scale + sample.center
    return sample.subset(values, kept[held])


def _refitted(family: Any, q: Any, rows: ScaledRows, *, kept_prior: tuple[int, ...]) -> Any:
    """The fit to other rows that a climb from q ends at."""
    end = final_climb(family, rows, q, kept=kept_prior, tolerance=_TOLERANCE, passes=_PASSES).end
    if end.interrupted:
        raise KeyboardInterrupt
    return end.at


# What fewer rows cost: fits to some of the rows, scored on rows left out, against the fit to all.

#: Repetitions, each with rows of its own left out; halvings of the rows.
_REPEATS, _HALVINGS = 5, 5
#: Fewer rows than this a parameter do not follow the line.
_FEWEST = 3
#: ScaledRows, and rows times components times sums, beyond which it is not worth its time.
MOST_ROWS, MOST_WORK = 50_000, 4e6


def too_much(family: Any, rows: ScaledRows, k: int) -> bool:
    """Whether refits to parts of the rows would take long."""
    work = rows.n * k * family.structure.width
    return not rows.in_memory or rows.n > MOST_ROWS or work > MOST_WORK


def learning_curve(
    family: Any,
    rows: ScaledRows,
    left_out: MeanScore,
    rng: np.random.Generator,
    watch: Callable[[str], None],
) -> tuple[Learnt, ...]:
    """Returns the excess KL of fits to a half, a quarter, an eighth ... of the rows, fewest last.

    Measured is how much less the rows left out score under the fit to some of the others than under the
    fit to all others; the excess of the latter, which no rows tell, is added as m / (2n).

    Args:
        family: of the mixtures.
        rows: all, in memory.
        left_out: the score of rows left out, with its parts.
        rng: randomness.
        watch: told what is being done.
    """
    folds = len(left_out.parts)
    if folds < 2:
        return ()
    m = family.parameters(len(left_out.parts[0][0].weights))
    n = round(rows.effective)
    sizes = [s for i in range(1, _HALVINGS + 1) if (s := n >> i) >= max(_FEWEST * m, 20)]
    repeats = min(_REPEATS, folds)
    losses = np.empty((repeats, len(sizes)))
    for i, (q, test) in enumerate(left_out.parts[:repeats]):
        watch(f"fits to fewer rows, {i + 1} of {repeats}")
        losses[i] = _losses(family, q, test, rows.without(i, folds), sizes, rng)
    own = m / (2.0 * n * (folds - 1) / folds)
    errors = losses.std(axis=0, ddof=1) / math.sqrt(repeats)
    return tuple(
        Learnt(size, float(mean) + own, float(error))
        for size, mean, error in zip(sizes, losses.mean(axis=0), errors, strict=True)
    )


def _losses(
    family: Any,
    q: Any,
    test: ScaledRows,
    train: ScaledRows,
    sizes: list[int],
    rng: np.random.Generator,
) -> list[float]:
    """What fits to so many rows score less than q on the rows left out."""
    x, weights = test.whole()
    used = weights > 0.0
    x, share = x[:, used], weights[used] / weights.sum()
    full = float(share @ family.final.log_prob(q, x))
    order = _expanded(train, rng)
    found = []
    for size in sizes:
        few = _some(train, order[:size])
        q = refitted(family, few, q, rng if chosen_anew(family, q, few) else None)
        found.append(full - float(share @ family.final.log_prob(q, x)))
    return found


def _expanded(rows: ScaledRows, rng: np.random.Generator) -> np.ndarray:
    """Indices of rows in random order, as often as they count."""
    _, weights = rows.whole()
    held = np.flatnonzero(weights)
    given = weights[held]
    if (given == np.floor(given)).all() and given.sum() < 10.0 * MOST_ROWS:
        held = np.repeat(held, given.astype(np.int64))
        return rng.permutation(held)
    return rng.choice(held, len(held), p=given / given.sum())


def _some(rows: ScaledRows, picked: np.ndarray) -> ScaledRows:
    x, _ = rows.whole()
    index, counts = np.unique(picked, return_counts=True)
    values = x[:, index].T * rows.scale + rows.center
    return rows.subset(values, counts.astype(np.float64))


# What can be said of a fit to samples once it is made: goodness of fit, forward KL, what fewer rows cost.

_NO_KL = "KL(p||q) itself is not estimated"
#: Rows at a time where they are gathered.
_BLOCK = 16_384


@final
@dataclass(frozen=True, eq=False)
class Checked:
    """Findings on a fit to samples.

    Attributes:
        goodness, gap, learning: as of `Likelihood`.
        forward_kl: by nearest neighbours; None where it does not resolve.
        notes: what was not done, and why.
    """

    goodness: tuple[Goodness, ...] = ()
    gap: Estimate | None = None
    learning: tuple[Learnt, ...] = ()
    forward_kl: Estimate | None = None
    notes: tuple[str, ...] = ()

    def added_to(self, likelihood: Likelihood) -> Likelihood:
        """Returns what is known of the maximum with these findings."""
        return replace(likelihood, goodness=self.goodness, gap=self.gap, learning=self.learning)


def check(
    family: Any,
    at: Any,
    rows: ScaledRows,
    sample: ScaledRows,
    left_out: MeanScore | None,
    run: Run,
    *,
    kept_prior: tuple[int, ...],
) -> Checked:
    """Returns the findings on a fit; none where no rows could be left out.

    Args:
        family: of the mixtures.
        at: the fit, in scaled coordinates.
        rows: all.
        sample: some of them, in memory.
        left_out: the score of rows left out.
        run: randomness and someone to tell.
        kept_prior: components that have the prior.
    """
    if left_out is None:
        return Checked()
    q, notes = family.distribution(at, rows), []
    run.watch("goodness of fit")
    rng = run.generator("goodness of fit")
    tests = goodness(family, at, rows, sample, rng, kept_prior=kept_prior)
    apart = None if rows.source.missing else gap(q, left_out, rng)
    run.watch("KL(p||q) by nearest neighbours")
    kl, reason = _forward_kl(family, q, left_out, rows, run.generator("nearest neighbours"))
    notes += [f"{_NO_KL}: {reason}"] if reason else []
    learnt: tuple[Learnt, ...] = ()
    if left_out.values is not None and ruled_by_one(left_out.values):
        notes.append("one row decides the score of rows left out: fits to fewer rows say nothing")
    elif not too_much(family, rows, len(at.weights)):
        rng = run.generator("fits to fewer rows")
        learnt = learning_curve(family, rows, left_out, rng, run.watch)
    return Checked(tests, apart, learnt, kl, tuple(notes))


def _forward_kl(
    family: Any, q: Distribution, left_out: MeanScore, rows: ScaledRows, rng: np.random.Generator
) -> tuple[Estimate | None, str]:
    """The estimate, or why there is none."""
    if any(kind != "continuous" for kind in rows.kinds):
        return None, "some columns are not continuous"
    if rows.source.missing:
        return None, "values are missing"
    if len(rows.kinds) > MOST_COLUMNS:
        return None, f"neighbours are too far away in more than {MOST_COLUMNS} columns"
    if not rows.counts_whole:
        return None, "weights are not numbers of rows"
    x, log_q = _gathered(family, left_out, rng, few=rows.n <= UNIT)
    found = neighbour_kl(x, log_q, q, rng)
    return (found, "") if found.kind != "unresolved" else (None, found.notes[0])


def _gathered(
    family: Any, left_out: MeanScore, rng: np.random.Generator, *, few: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows left out in random order, with log q of the fit that has not seen them."""
    chance = min(1.0, 1.2 * MOST_NEIGHBOUR_ROWS / sum(part.total for _, part in left_out.parts))
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for q, part in left_out.parts:
        if few:
            found += _drawn(family.final, q, chance, rng, part)
        else:  # units have randomness of their own, so that workers can draw
            seed = int(rng.integers(2**63))
            found += part.each(partial(_drawn, family.final, q, chance, seed))
    points, logs = zip(*found, strict=True)
    order = rng.permutation(sum(len(v) for v in logs))
    return np.concatenate(points)[order], np.concatenate(logs)[order]


def _drawn(
    model: Any, q: Any, chance: float, seed: int | np.random.Generator, rows: ScaledRows
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields rows of each unit that are drawn with this chance, and log q at them."""
    for unit, blocks in enumerate(rows.units(_BLOCK), rows.first // UNIT):
        rng = np.random.default_rng([seed, unit]) if isinstance(seed, int) else seed
        points, logs = [np.empty((0, len(rows.center)))], [np.empty(0)]
        for x, _, weights in blocks:
            times = rng.binomial(weights.astype(np.int64), chance)
            picked = np.repeat(np.arange(len(times)), times)
            if len(picked):
                chosen = x[:, picked]
                logs.append(model.log_prob(q, chosen) - rows.log_unit(chosen))
                points.append(chosen.T * rows.scale + rows.center)
        yield np.concatenate(points), np.concatenate(logs)
