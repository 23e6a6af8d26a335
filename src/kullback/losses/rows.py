"""A loss of two rows of logits, with its slopes given: as a function of JAX, torch and NumPy arrays.

A formula has the value of each row and what its gradient needs of it, and the slopes. Compiled, JAX
fuses both into their reductions and holds no copy of the logits; torch walks over blocks of rows.
"""

import importlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from kullback.core.errors import InputError
from kullback.losses.arrays import is_torch, widened
from kullback.losses.gaussian import Array, as_array, namespace

#: What a row's slopes need besides its logits, each (..., 1).
Saved = tuple[Array, ...]


class RowFormula(ABC):
    """A function of logits (..., V) of p and of q, row by row; frozen, hashable subclasses."""

    @abstractmethod
    def value(self, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
        """Returns the value of each row, (..., 1), and what the slopes need."""

    @abstractmethod
    def slope_p(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        """Returns the gradient with respect to the logits of p, (..., V)."""

    @abstractmethod
    def slope_q(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        """Returns the gradient with respect to the logits of q, (..., V)."""


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
            return formula.value(widened(p, np), widened(q, np), np)[0][..., 0]
    library = "torch" if is_torch(xp) else "jax"
    return importlib.import_module(f"kullback.losses.rows_{library}").rows(formula, p, q)
