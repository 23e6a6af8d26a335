"""Batches of distributions, as other libraries have them, and rows of probabilities."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.core.errors import InputError
from kullback.distributions.base import Distribution
from kullback.distributions.real import Normal
from kullback.inputs.given import distribution, probabilities
from kullback.interop import batch_shape, elements, normals


@final
@dataclass(frozen=True, eq=False)
class Batch:
    """Distributions in an array.

    Attributes:
        shape: of the array.
        element: the one at an index.
        normal: loc and scale of all, if they are normals.
        rows: probabilities of all, if they are vectors of these.
    """

    shape: tuple[int, ...]
    element: Callable[[tuple[int, ...]], Distribution]
    normal: tuple[np.ndarray, np.ndarray] | None = None
    rows: np.ndarray | None = None


def is_batch(thing: object) -> bool:
    """Whether a thing stands for several distributions."""
    return _is_table(thing) or bool(batch_shape(thing))


def plain_normal(thing: object) -> Normal | None:
    """Returns another library's normal as ours, without reading anything else; None for what is not one."""
    if type(thing).__name__ != "Normal" or isinstance(thing, Normal) or batch_shape(thing):
        return None
    found = normals(thing)
    return None if found is None else Normal(float(found[0]), float(found[1]))


def batch(thing: object, name: str, *, normalize: bool = False) -> Batch:
    """Returns a thing as a batch; one distribution has the shape ().

    Raises:
        InputError: it cannot be used.
    """
    if _is_table(thing):
        return _rows(np.asarray(thing, dtype=np.float64), name, normalize=normalize)
    if not batch_shape(thing):
        one = distribution(thing, name, normalize=normalize)
        rows = getattr(one, "probabilities", None) if _is_vector(thing) else None
        return Batch((), lambda _: one, _normal(one), rows)
    normal = normals(thing)
    if normal is not None:
        loc, scale = normal
        if not (np.isfinite(loc).all() and (scale > 0.0).all() and np.isfinite(scale).all()):
            raise InputError(
                f"{name}: every loc must be finite and every scale positive and finite"
            )
    found: list[Any] = []

    def element(index: tuple[int, ...]) -> Distribution:
        if not found:
            found.append(elements(thing))
        return found[0][index]

    return Batch(batch_shape(thing), element, normal)


def _normal(d: Distribution) -> tuple[np.ndarray, np.ndarray] | None:
    if not isinstance(d, Normal):
        return None
    return np.array(float(d.loc)), np.array(float(d.scale))


def _is_vector(thing: object) -> bool:
    return isinstance(thing, (list, tuple, np.ndarray))


def _is_table(thing: object) -> bool:
    if isinstance(thing, np.ndarray):
        return thing.ndim > 1
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.Tensor):
        tensor: Any = thing
        return tensor.ndim > 1
    return isinstance(thing, (list, tuple)) and len(thing) > 0 and _is_vector(thing[0])


def _rows(table: np.ndarray, name: str, *, normalize: bool) -> Batch:
    sums = table.sum(axis=-1)
    if not normalize and np.abs(sums - 1.0).max(initial=0.0) > 1e-6:
        if abs(math.fsum(table.ravel()) - 1.0) < 1e-6:
            raise InputError(
                f"{name} is an array of shape {table.shape} that sums to 1: for a histogram of several coordinates "
                f"say {name}.ravel(); rows that each sum to 1 are a batch"
            )
        raise InputError(
            f"{name} is an array of shape {table.shape} and its rows do not sum to 1: probabilities are a vector, or "
            "rows of them are a batch; for draws say Samples(array), for a density on a grid say dx="
        )
    flat = table.reshape(-1, table.shape[-1])
    if not ((flat >= 0.0).all() and np.isfinite(flat).all()) or normalize:
        flat = np.stack(
            [probabilities(row, name, normalize=normalize).probabilities for row in flat]
        )
    whole = flat.reshape(table.shape)
    whole = whole / whole.sum(axis=-1, keepdims=True)
    return Batch(
        table.shape[:-1],
        lambda index: probabilities(whole[index], name, normalize=True),
        rows=whole,
    )
