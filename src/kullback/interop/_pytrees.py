"""An example that a user gave, taken apart: which parts are arrays, their names and their order."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from kullback._core.errors import InputError
from kullback._core.precision import float64

Array = np.ndarray


def as_arrays(example: Any) -> Any:
    """Returns an example whose lists of numbers are arrays, and whose numbers are too."""
    if isinstance(example, dict):
        return {k: as_arrays(v) for k, v in example.items()}
    if type(example) in (list, tuple):
        if _is_numbers(example):
            return np.asarray(example)
        return type(example)(as_arrays(v) for v in example)
    if isinstance(example, (int, float, np.generic, jax.Array, str, bytes)):
        with float64():
            return np.asarray(example)
    return example


def _is_numbers(value: Any) -> bool:
    if type(value) in (list, tuple):
        return len(value) > 0 and all(_is_numbers(v) for v in value)
    return isinstance(value, (int, float, np.number))


def number_array(value: object, name: str) -> Array:
    """Returns a part of an example in float64; InputError if it is not made of real numbers."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"the example has {name} of type {array.dtype}: parameters are real numbers"
        )
    return array.astype(np.float64)


def step(key: Any) -> str:
    """One step of a path into a pytree, as a word."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def rank(tree: Any, path: tuple[Any, ...]) -> tuple[int, ...]:
    """Where a leaf stands in the user's own order; JAX sorts dicts by key."""
    return tuple(_ranks(tree, path))


def _ranks(tree: Any, path: tuple[Any, ...]) -> Iterator[int]:
    for key in path:
        if isinstance(tree, dict):
            yield list(tree).index(key.key)
            tree = tree[key.key]
        elif isinstance(tree, (list, tuple)):
            index = getattr(key, "idx", None)
            yield 0 if index is None else index
            tree = tree if index is None else tree[index]
        else:
            yield getattr(key, "idx", 0)
