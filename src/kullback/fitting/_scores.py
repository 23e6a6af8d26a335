"""How well a mixture does on rows: mean log density with its error, on rows fitted to or left out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.fitting._final_climb import final_climb
from kullback.fitting._gaussian_model import block_size
from kullback.fitting._rows import Rows

#: Folds, where there are up to so many rows; with more a tenth of the rows is left out once.
_FOLDS = ((20_000, 10), (200_000, 5))
#: Nats over all rows to which a refit is carried.
_REFIT = 0.1


@final
@dataclass(frozen=True, eq=False)
class Score:
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


def score(model: Any, q: Any, rows: Rows) -> Score:
    """Returns the mean log density of rows, in a pass."""
    return _summary(rows, [(model, q, rows)])


def held_out(
    family: Any,
    q: Any,
    rows: Rows,
    watch: Callable[[str], None],
    *,
    kept_prior: tuple[int, ...],
) -> Score | None:
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


def _summary(rows: Rows, parts: list[tuple[Any, Any, Rows]]) -> Score:
    kept = rows.in_memory
    values, weights = [], []
    total = first = second = 0.0
    shift: float | None = None
    for model, q, part in parts:
        for x, given in part.blocks(block_size(len(q.weights), model.structure.width)):
            used = given > 0.0
            if not used.any():
                continue
            log_q, w = model.log_prob(q, x[:, used]) - part.log_unit(x[:, used]), given[used]
            shift = float(log_q.mean()) if shift is None else shift
            total += float(w.sum())
            first += float(w @ (log_q - shift))
            second += float(w @ (log_q - shift) ** 2)
            if kept:
                values.append(log_q)
                weights.append(w)
    assert shift is not None
    mean = first / total
    variance = max(second / total - mean * mean, 0.0)
    effective = rows.effective * total / rows.total
    error = math.sqrt(variance / max(effective - 1.0, 1.0))
    return Score(
        shift + mean,
        error,
        sum(part.n for _, _, part in parts),
        np.concatenate(values) if values else None,
        np.concatenate(weights) if values else None,
    )
