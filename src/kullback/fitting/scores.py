"""How well a mixture does on rows: mean log density with its error, on rows fitted to or left out."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.core.executor import Pairwise
from kullback.fitting.em import block_size
from kullback.fitting.em_climb import final_climb
from kullback.fitting.rows import Rows
from kullback.inputs.passes import added
from kullback.results.estimate import Estimate
from kullback.results.quantity import LOG_PROB

#: Folds, where there are up to so many rows; with more a tenth of the rows is left out once.
_FOLDS = ((20_000, 10), (200_000, 5))
#: Nats over all rows to which a refit is carried.
_REFIT = 0.1


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
    parts: tuple[tuple[Any, Rows], ...] = ()


def estimate(found: MeanScore) -> Estimate:
    """Returns a score as what it is called."""
    return Estimate.sampled(
        found.mean,
        found.standard_error,
        LOG_PROB,
        method="rows held out",
        n=found.rows,
    )


def score(model: Any, q: Any, rows: Rows) -> MeanScore:
    """Returns the mean log density of rows, in a pass."""
    return _summary(rows, [(model, q, rows)])


def held_out(
    family: Any,
    q: Any,
    rows: Rows,
    watch: Callable[[str], None],
    *,
    kept_prior: tuple[int, ...],
) -> MeanScore | None:
    """Returns the mean log density of rows that a refit has not seen; None if there are too few.

    Each refit starts at q, so it stays at the optimum that all rows chose.

    Args:
        family: of the mixtures.
        q: fitted to all rows.
        rows: all.
        watch: told what is being done.
        kept_prior: components that have the prior.
    """
    folds = next((f for most, f in _FOLDS if rows.n <= most), 0)
    if rows.n < 20:
        return None
    made = []
    for i in range(folds or 1):
        watch(f"rows left out, {i + 1} of {folds or 1}")
        others = rows.without(i, folds or 10)
        end = final_climb(family, others, q, kept=kept_prior, tolerance=_REFIT, passes=200).end
        if end.interrupted:
            raise KeyboardInterrupt
        made.append((family.final, end.at, rows.only(i, folds or 10)))
    return replace(_summary(rows, made), parts=tuple((at, part) for _, at, part in made))


def _summary(rows: Rows, parts: list[tuple[Any, Any, Rows]]) -> MeanScore:
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

    def __call__(self, rows: Rows) -> Iterator[tuple[list[float], list[Any], list[Any]]]:
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
    model: Any, q: Any, rows: Rows, x: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log densities of the rows of a block that have a weight, and their weights."""
    used = weights > 0.0
    if not used.any():
        return np.empty(0), np.empty(0)
    return model.log_prob(q, x[:, used]) - rows.log_unit(x[:, used]), weights[used]


def _first_mean(model: Any, q: Any, rows: Rows) -> float:
    """The mean score of the first rows that have a weight: near enough to all scores that no digits cancel."""
    for x, given in rows.blocks(block_size(len(q.weights), model.structure.width)):
        log_q, _ = _scores(model, q, rows, x, given)
        if len(log_q):
            return float(log_q.mean())
    raise AssertionError("rows without a weight are refused")
