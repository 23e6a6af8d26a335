"""Draws of a fit as a table."""

import numpy as np

from kullback._core import randomness
from kullback._core.errors import InputError
from kullback.io._table import MAX_CELLS, numbered
from kullback.results._fit import Fit

#: A name, and numbers or labels.
Column = tuple[str, np.ndarray | list[str]]


def draws(fit: Fit, n: int, *, key: object = 0) -> list[Column]:
    """Returns n draws of q, column by column; codes of categories as their labels.

    Args:
        fit: where from.
        n: how many.
        key: randomness, an int or a JAX key.

    Raises:
        InputError: there are too many, or none.
        UnsupportedError: q cannot be drawn from.
    """
    d = len(fit.columns) or max(fit.q.support.dimension, 1)
    if not 1 <= n <= MAX_CELLS // d:
        raise InputError(
            f"{n:,} draws of {d} column(s): give a number from 1 to {MAX_CELLS // d:,}"
        )
    drawn = fit.q.sample(randomness.generator(key), n)
    if isinstance(drawn, dict):
        return [column for name, values in drawn.items() for column in _flat(name, values)]
    rows = np.asarray(drawn).reshape(n, -1)
    d = rows.shape[1]
    names = fit.columns if len(fit.columns) == d else ("x",) if d == 1 else numbered(d)
    labels = fit.labels if len(fit.labels) == d else ((),) * d
    return [
        (name, _labelled(rows[:, i], known) if known else rows[:, i])
        for i, (name, known) in enumerate(zip(names, labels, strict=True))
    ]


def _flat(name: str, values: np.ndarray) -> list[Column]:
    """Returns a column for each number of a parameter: beta[0], beta[1] ..."""
    if values.ndim == 1:
        return [(name, values)]
    return [
        (f"{name}[{','.join(str(i) for i in place)}]", values[(slice(None), *place)])
        for place in np.ndindex(values.shape[1:])
    ]


def _labelled(codes: np.ndarray, labels: tuple[str, ...]) -> list[str]:
    return [labels[int(code)] for code in codes]
