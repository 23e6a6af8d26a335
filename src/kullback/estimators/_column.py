"""The values of one column of two tables, as levels and ordered cells."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.estimators._ordered import MOST_CELLS, cells_of, counted, of_counts, ordered
from kullback.estimators._tally import Tally

Values = Float[np.ndarray, "_n"]
#: Up to so many different values each is a level.
_FEW = 12
#: A value is a level of its own with this share of the rows of a sample, if so many times more frequent
#: than its neighbours are.
_SHARE, _TIMES = 0.01, 4.0
MISSING, REST = "missing", "other values"


@final
@dataclass(frozen=True, eq=False)
class Tallied:
    """A column's counts with the names of its levels.

    Attributes:
        tally: the counts.
        levels: a name for each; the last is REST where values are ordered.
    """

    tally: Tally
    levels: tuple[str, ...]


def of_numbers(
    x: Values, y: Values, x_weights: Values | None = None, y_weights: Values | None = None,
    *, most: int = MOST_CELLS,
) -> Tallied:  # fmt: skip
    """Returns the counts of a column of numbers; NaN is the level "missing", infinities are levels too.

    Values that repeat far more often than those around them are levels: the zeros of an amount, say.
    Where there are few values, all are.

    Args:
        x, y: the column in both tables.
        x_weights, y_weights: how many rows each stands for.
        most: about how many cells the ordered values get.
    """
    marks = _special(x, y)
    atoms = _atoms(x[np.isfinite(x)], y[np.isfinite(y)])
    names = [*(_name(mark) for mark in marks), *(_written(a) for a in atoms)]
    codes = np.concatenate([marks, atoms])
    p, x_rest = _split(x, codes, x_weights)
    q, y_rest = _split(y, codes, y_weights)
    if not (x_rest.any() or y_rest.any()):
        return Tallied(Tally(p, q), tuple(names))
    rest_p, rest_q = _total(x_rest, x_weights), _total(y_rest, y_weights)
    cells = None
    if rest_p > 0.0 and rest_q > 0.0:
        cells = ordered(
            x[x_rest], y[y_rest],
            None if x_weights is None else x_weights[x_rest],
            None if y_weights is None else y_weights[y_rest],
            most=most,
        )  # fmt: skip
    tally = Tally(np.append(p, rest_p), np.append(q, rest_q), cells)
    return Tallied(tally, (*names, REST))


def of_codes(
    x: Values, y: Values, labels: tuple[str, ...], x_weights: Values | None = None,
    y_weights: Values | None = None,
) -> Tallied:  # fmt: skip
    """Returns the counts of a column of codes 0, 1, ... of labels; NaN is the level "missing"."""
    missing = bool(np.isnan(x).any() or np.isnan(y).any())
    k = len(labels)

    def counted(values: Values, weights: Values | None) -> Values:
        codes = np.where(np.isnan(values), k, values).astype(np.int64)
        return np.bincount(codes, weights, minlength=k + 1).astype(np.float64)

    p, q = counted(x, x_weights), counted(y, y_weights)
    held = (p > 0.0) | (q > 0.0)
    # The text "missing" is not what is called so where a value is missing.
    labels = tuple(repr(label) if label == MISSING else label for label in labels)
    names = (*labels, MISSING) if missing else labels
    kept = np.flatnonzero(held[: len(names)])
    return Tallied(Tally(p[kept], q[kept]), tuple(names[i] for i in kept))


def one_of_numbers(
    values: Values,
    codes: Values | None = None,
    edges: Values | None = None,
    *,
    most: int = MOST_CELLS,
) -> tuple[dict[str, float], Values, Values]:
    """Returns counts of one column of numbers: those of levels by name, the edges of cells, and theirs.

    Args:
        values: NaN where one is missing.
        codes: the values that are levels; those that stand out by default.
        edges: of the cells; evenly spaced in rank by default. One more is added for what is above them.
        most: about how many cells at most.
    """
    nothing = np.empty(0)
    if codes is None:
        codes = np.concatenate(
            [_special(values, nothing), _atoms(values[np.isfinite(values)], nothing)]
        )
    else:
        codes = np.concatenate([_special(values, nothing), codes[np.isfinite(codes)]])
    counts, rest = _split(values, codes, None)
    names = [_name(c) if not np.isfinite(c) else _written(c) for c in codes]
    inside = np.sort(values[rest])
    if not len(inside):
        return dict(zip(names, counts.tolist(), strict=True)), nothing, nothing
    edges = cells_of(inside, most) if edges is None else edges
    if not len(edges) or inside[-1] > edges[-1]:
        edges = np.append(edges, inside[-1])
    return dict(zip(names, counts.tolist(), strict=True)), edges, counted(inside, None, edges)


def codes_of(levels: dict[str, float]) -> Values:
    """Returns the numbers that the names of levels of a column of numbers stand for."""
    return np.array([np.nan if name == MISSING else float(name) for name in levels])


def against(
    levels: dict[str, float], edges: Values, counts: Values, y: Values, y_weights: Values | None
) -> Tallied:
    """Returns the counts of a column of numbers, of which one side is known by its own only.

    Args:
        levels, edges, counts: of that side, as `one_of_numbers` returns them.
        y, y_weights: values of the other side, and how many rows each stands for.
    """
    marks = _special(np.empty(0), y)
    names = list(dict.fromkeys([*levels, *(_name(mark) for mark in marks)]))
    codes = codes_of(dict.fromkeys(names, 0.0))
    p = np.array([levels.get(name, 0.0) for name in names])
    q, rest = _split(y, codes, y_weights)
    of_p, of_q = float(counts.sum()), _total(rest, y_weights)
    if not (of_p or of_q):
        return Tallied(Tally(p, q), tuple(names))
    cells = None
    if of_p and of_q:
        order = np.argsort(y[rest], kind="stable")
        inside = y[rest][order]
        total = None if y_weights is None else np.cumsum(y_weights[rest][order])
        beyond = inside[-1] > edges[-1]
        upper = np.append(edges, inside[-1]) if beyond else edges
        p_cells = np.append(counts, 0.0) if beyond else counts
        q_cells = counted(inside, total, upper)
        held = (p_cells > 0.0) | (q_cells > 0.0)
        cells = of_counts(p_cells[held], q_cells[held], upper[held])
    return Tallied(Tally(np.append(p, of_p), np.append(q, of_q), cells), (*names, REST))


def _special(x: Values, y: Values) -> Values:
    """Returns NaN and the infinities, as far as they occur."""
    marks = ((np.nan, np.isnan), (-np.inf, np.isneginf), (np.inf, np.isposinf))
    return np.array([mark for mark, found in marks if found(x).any() or found(y).any()])


def _name(mark: float) -> str:
    return MISSING if np.isnan(mark) else f"{mark}"


def _written(value: float) -> str:
    whole = value == np.floor(value) and abs(value) < 1e15
    return f"{value:.0f}" if whole else repr(float(value))


def _atoms(x: Values, y: Values) -> Values:
    """Returns the values that stand out by how often they occur; all where there are few."""
    (of_x, in_x), (of_y, in_y) = (np.unique(v, return_counts=True) for v in (x, y))
    if max(len(of_x), len(of_y)) <= _FEW:
        both = np.union1d(of_x, of_y)
        if len(both) <= _FEW and len(both) < 0.5 * max(len(x), len(y)):
            return both
    return np.union1d(_standing_out(of_x, in_x), _standing_out(of_y, in_y))


def _standing_out(values: Values, counts: np.ndarray) -> Values:
    if not len(values):
        return values
    frequent = np.flatnonzero(counts >= max(_SHARE * counts.sum(), 5.0))
    # The median count of the eight nearest values; a lone value among singles stands out.
    around = [
        np.median(np.delete(counts[max(i - 4, 0) : i + 5], min(i, 4))) if len(counts) > 1 else 0.0
        for i in frequent
    ]
    return values[frequent[counts[frequent] >= _TIMES * np.array(around)]]


def _split(values: Values, codes: Values, weights: Values | None) -> tuple[Values, np.ndarray]:
    """Returns how often each code occurs, and which rows hold none of them."""
    rest = np.ones(len(values), dtype=bool)
    counts = []
    for code in codes:
        here = np.isnan(values) if np.isnan(code) else values == code
        counts.append(_total(here, weights))
        rest &= ~here
    return np.array(counts, dtype=np.float64), rest


def _total(rows: np.ndarray, weights: Values | None) -> float:
    return float(np.count_nonzero(rows)) if weights is None else float(weights[rows].sum())
