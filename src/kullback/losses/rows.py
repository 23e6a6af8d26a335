"""A loss of two rows of logits, with its slopes given: as a function of JAX, torch and NumPy arrays.

A formula has the value of each row and what its gradient needs of it, and the slopes. Compiled, JAX
fuses both into their reductions and holds no copy of the logits; torch walks over blocks of rows.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from kullback.core.errors import InputError
from kullback.losses.arrays import (
    Array,
    as_array,
    is_torch,
    largest,
    namespace,
    stopped,
    widened,
)

#: What a row's slopes need besides its logits, each (..., 1).
Saved = tuple[Array, ...]


class RowFormula(ABC):
    """A function of logits (..., V) of p and of q, row by row; frozen, hashable subclasses.

    The largest logit of a row is 0: an offset, which says nothing, would cost the digits of all others.
    """

    @abstractmethod
    def value(self, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
        """Returns the value of each row, (..., 1), and what the slopes need."""

    @abstractmethod
    def slope_p(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        """Returns the gradient with respect to the logits of p, (..., V)."""

    @abstractmethod
    def slope_q(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        """Returns the gradient with respect to the logits of q, (..., V)."""


def value_of(formula: RowFormula, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
    """Returns the value of each row, (..., 1), and what `slope_of` needs besides the logits."""
    p, q = widened(p, xp), widened(q, xp)
    peaks = stopped(largest(p, xp), xp), stopped(largest(q, xp), xp)
    value, saved = formula.value(p - peaks[0], q - peaks[1], xp)
    return value, (*peaks, *saved)


def slope_of(formula: RowFormula, side: str, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
    """Returns the gradient of each row's value with respect to the logits of a side, "p" or "q"."""
    slope = formula.slope_p if side == "p" else formula.slope_q
    return slope(widened(p, xp) - saved[0], widened(q, xp) - saved[1], saved[2:], xp)


def rows(formula: RowFormula, p: Array, q: Array) -> Array:
    """Returns the values of all rows, without the last axis, differentiable in p and q.

    Raises:
        InputError: the shapes differ, or are of scalars.
    """
    xp = namespace(p, q)
    p, q = as_array(p, xp), as_array(q, xp)
    if tuple(p.shape) != tuple(q.shape) or not p.shape:
        raise InputError(
            f"logits of p {tuple(p.shape)} and of q {tuple(q.shape)} must have one shape, the vocabulary "
            "last; broadcast them first"
        )
    if xp is np:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return value_of(formula, p, q, np)[0][..., 0]
    if is_torch(xp):  # a statement: torch.compile follows it, and no call of importlib
        from kullback.losses.rows_torch import rows as torch_rows  # noqa: PLC0415

        return torch_rows(formula, p, q)
    from kullback.losses.rows_jax import rows as jax_rows  # noqa: PLC0415

    return jax_rows(formula, p, q)
