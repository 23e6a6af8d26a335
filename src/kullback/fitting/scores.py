"""How well a mixture does on rows: mean log density with its error, on rows fitted to or left out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.core.errors import InputError
from kullback.core.executor import Pairwise
from kullback.core.run import Run
from kullback.fitting.em_climb import Climb, final_climb
from kullback.fitting.em_search import quick_search
from kullback.fitting.em_sums import block_size
from kullback.fitting.rows import ScaledRows
from kullback.inputs.passes import added
from kullback.results.estimate import Estimate
from kullback.results.quantity import LOG_PROB

#: Folds, where there are up to so many rows; with more a tenth of the rows is left out once.
_FOLDS = ((20_000, 10), (200_000, 5))
#: Nats over all rows to which a refit is carried.
_REFIT = 0.1
#: What the choice of an optimum may be worth, of the error, where refits do not choose theirs anew.
SMALL = 0.2
#: How far the scores of fits to as many rows are apart, in nats a parameter over all rows.
APART = 0.5


@final
@dataclass(frozen=True, eq=False)
class MeanScore:
    """The mean of log q over rows, with its standard error.

    Attributes:
        mean: in nats a row, in the units of the data.
        standard_error: of the mean.
        rows: how many.
        values: of each row that has a weight, where they were kept.
        weights: of these rows.
        parts: where rows were left out, the parameters fitted to the others and the rows left out.
    """

    mean: float
    standard_error: float
    rows: int
    values: np.ndarray | None = None
    weights: np.ndarray | None = None
    parts: tuple[tuple[Any, ScaledRows], ...] = ()


def estimate(found: MeanScore) -> Estimate:
    """Returns a score as what it is called."""
    return Estimate.sampled(
        found.mean,
        found.standard_error,
        LOG_PROB,
        method="rows held out",
        n=found.rows,
    )


def score(model: Any, q: Any, rows: ScaledRows) -> MeanScore:
    """Returns the mean log density of rows, in a pass."""
    return _summary(rows, [(model, q, rows)])


def held_out(
    family: Any,
    q: Any,
    rows: ScaledRows,
    run: Run,
    *,
    kept_prior: tuple[int, ...],
) -> MeanScore | None:
    """Returns the mean log density of rows that a refit has not seen; None if there are too few.

    Each refit chooses its optimum among its own rows. Where rows are so many that this choice is worth little beside
    the error, it starts at q, and the error has what the choice may be worth. Of several components the error has, too,
    how far the scores of fits to as many rows are apart: q is one of them.

    Args:
        family: of the mixtures.
        q: fitted to all rows.
        rows: all.
        run: randomness and someone to tell.
        kept_prior: components that have the prior.
    """
    folds = next((f for most, f in _FOLDS if rows.n <= most), 0)
    if rows.n < 20:
        return None
    fresh, made = chosen_anew(family, q, rows), []
    for i in range(folds or 1):
        run.watch(f"rows left out, {i + 1} of {folds or 1}")
        others = rows.without(i, folds or 10)
        rng = run.generator("refits without rows", i) if fresh else None
        at = refitted(family, others, q, rng, kept=kept_prior)
        made.append((family.final, at, rows.only(i, folds or 10)))
    found = _summary(rows, made)
    apart = 0.0 if len(q.weights) == 1 else _luck(family, q, rows) * (APART if fresh else 1.0)
    return replace(
        found,
        standard_error=math.hypot(found.standard_error, apart),
        parts=tuple((at, part) for _, at, part in made),
    )


def chosen_anew(family: Any, q: Any, rows: ScaledRows) -> bool:
    """Returns whether a fit to fewer of the rows must choose its optimum anew.

    The optimum that rows left out took part in choosing is too good for them: by up to about a nat a parameter, over
    all rows (measured). It must, where that is more than a fifth of the error of a mean score.

    Args:
        family: of the mixtures.
        q: fitted to the rows.
        rows: all.
    """
    if len(q.weights) == 1 or not rows.in_memory or rows.n > _FOLDS[0][0]:
        return False
    return _luck(family, q, rows) > SMALL * score(family.final, q, rows).standard_error


def _luck(family: Any, q: Any, rows: ScaledRows) -> float:
    return family.parameters(len(q.weights)) / rows.total


def refitted(
    family: Any,
    rows: ScaledRows,
    q: Any,
    rng: np.random.Generator | None,
    *,
    kept: tuple[int, ...] = (),
) -> Any:
    """Returns the fit to some of the rows that q was fitted to.

    q has seen the others. So the best of a search on these rows is taken, unless that has missed what is there: q leads
    to an optimum that is better, on these rows, by more than chance would make it.

    Args:
        family: of the mixtures.
        rows: those fitted to; in memory, where a search is made.
        q: fitted to all.
        rng: of a search; None for none: the refit then starts at q.
        kept: components of q that have the prior.

    Raises:
        KeyboardInterrupt: on the way.
    """
    near = _ended(family, rows, q, kept)
    if rng is None:
        return near.at
    try:
        ends = quick_search(family, rows.alone(), len(q.weights), rng)
    except InputError:  # fewer distinct rows than components
        return near.at
    found: list[Climb] = []
    for end in ends:
        found.append(_ended(family, rows, end.at, ()))
        if family.rank(found[-1].sums)[0]:
            break
    best = max(found, key=lambda end: family.rank(end.sums))
    (sound, height), (safe, other) = family.rank(near.sums), family.rank(best.sums)
    missed = (sound, height - family.parameters(len(q.weights))) > (safe, other)
    return near.at if missed else best.at


def _ended(family: Any, rows: ScaledRows, at: Any, kept: tuple[int, ...]) -> Climb:
    end = final_climb(family, rows, at, kept=kept, tolerance=_REFIT, passes=200).end
    if end.interrupted:
        raise KeyboardInterrupt
    return end


def _summary(rows: ScaledRows, parts: list[tuple[Any, Any, ScaledRows]]) -> MeanScore:
    shift = next(_first_mean(*part) for part in parts)
    tree = Pairwise(added)
    values, weights = [], []
    for model, q, part in parts:
        for sums, scores, held in part.each(_Scored(model, q, shift, rows.in_memory)):
            tree.add(sums)
            values += scores
            weights += held
    total, first, second = tree.total()
    mean = first / total
    variance = max(second / total - mean * mean, 0.0)
    effective = rows.effective * total / rows.total
    error = math.sqrt(variance / max(effective - 1.0, 1.0))
    return MeanScore(
        shift + mean,
        error,
        sum(part.n for _, _, part in parts),
        np.concatenate(values) if values else None,
        np.concatenate(weights) if values else None,
    )


@final
@dataclass(frozen=True, eq=False)
class _Scored:
    """A pass that scores rows: sums of w, w (s - shift) and w (s - shift)^2 of each unit; scores, where kept."""

    model: Any
    q: Any
    shift: float
    kept: bool

    def __call__(self, rows: ScaledRows) -> Iterator[tuple[list[float], list[Any], list[Any]]]:
        size = block_size(len(self.q.weights), self.model.structure.width)
        for blocks in rows.units(size):
            sums, values, weights = [0.0, 0.0, 0.0], [], []
            for x, _, given in blocks:
                log_q, w = _scores(self.model, self.q, rows, x, given)
                apart = log_q - self.shift
                sums = added(sums, [float(w.sum()), float(w @ apart), float(w @ apart**2)])
                if self.kept and len(w):
                    values.append(log_q)
                    weights.append(w)
            yield sums, values, weights


def _scores(
    model: Any, q: Any, rows: ScaledRows, x: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log densities of the rows of a block that have a weight, and their weights."""
    used = weights > 0.0
    if not used.any():
        return np.empty(0), np.empty(0)
    return model.log_prob(q, x[:, used]) - rows.log_unit(x[:, used]), weights[used]


def _first_mean(model: Any, q: Any, rows: ScaledRows) -> float:
    """The mean score of the first rows that have a weight: near enough to all scores that no digits cancel."""
    for x, given in rows.blocks(block_size(len(q.weights), model.structure.width)):
        log_q, _ = _scores(model, q, rows, x, given)
        if len(log_q):
            return float(log_q.mean())
    raise AssertionError("rows without a weight are refused")
