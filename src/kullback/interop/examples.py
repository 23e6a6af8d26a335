"""An example that a user gave, taken apart: which parts are arrays, their names and their order."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kullback.core.errors import InputError

Array = np.ndarray
#: What puts the parts of an event in their places.
Build = Callable[[Sequence[Any]], Any]


def apart(tree: Any) -> tuple[list[tuple[str, Any]], Build]:
    """Returns the parts of an event with their dotted names, in the user's own order, and what makes one of parts.

    Dicts, lists, tuples and named tuples are taken apart, and what is registered with JAX, where it is loaded;
    lists of numbers are arrays.
    """
    children, join = _children(tree)
    if children is None:
        return [("", tree)], lambda values: values[0]
    parts: list[tuple[str, Any]] = []
    pieces: list[tuple[int, int, Build]] = []
    for name, child in children:
        inner, build = apart(child)
        pieces.append((len(parts), len(parts) + len(inner), build))
        parts += [(f"{name}.{rest}" if rest else name, value) for rest, value in inner]

    def rebuilt(values: Sequence[Any]) -> Any:
        return join([build(values[start:end]) for start, end, build in pieces])

    return parts, rebuilt


def _children(tree: Any) -> tuple[list[tuple[str, Any]] | None, Build]:
    """Returns what a container holds, by name, and what makes one like it; None for what is no container."""
    kind: Any = type(tree)
    if tree is None:
        return [], lambda values: None
    if isinstance(tree, dict):
        make = OrderedDict if kind is OrderedDict else dict
        items = [(str(k), v) for k, v in tree.items()]
        return items, lambda values: make(zip(tree, values, strict=True))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return list(zip(kind._fields, tree, strict=True)), lambda values: kind(*values)
    if kind in (list, tuple):
        return (None if _is_numbers(tree) else [(str(i), v) for i, v in enumerate(tree)]), kind
    jax = sys.modules.get("jax")
    if jax is None or isinstance(tree, (np.ndarray, np.generic, jax.Array, str, bytes, int, float)):
        return None, list
    paths, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda t: t is not tree)
    if len(paths) == 1 and not paths[0][0]:
        return None, list
    return [(_word(path[0]), child) for path, child in paths], structure.unflatten


def _word(key: Any) -> str:
    """One step of a path into a pytree of JAX, as a word."""
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


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
