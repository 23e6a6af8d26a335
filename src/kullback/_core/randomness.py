"""Randomness enters by `key`, explicitly: same key, same number."""

import sys

import numpy as np

from kullback._core.errors import InputError


def generator(key: object) -> np.random.Generator:
    """Returns a NumPy generator for an int or a JAX key.

    Raises:
        InputError: the key is neither.
    """
    return np.random.default_rng(np.random.SeedSequence(_entropy(key)))


def split(key: object, n: int) -> list[np.random.Generator]:
    """Returns n independent generators."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(_entropy(key)).spawn(n)]


def named(key: object, name: str, index: int = 0) -> np.random.Generator:
    """Returns the generator of a stage of a computation, whatever other stages drew."""
    return np.random.default_rng(np.random.SeedSequence([*_entropy(key), *name.encode(), index]))


def _entropy(key: object) -> list[int]:
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        if key < 0:
            raise InputError(f"key={key}: a key is a non-negative integer, such as key=0")
        return [int(key)]
    if "key<" in str(getattr(key, "dtype", "")):
        key = sys.modules["jax"].random.key_data(key)
    words = np.asarray(key)
    if words.dtype.kind not in "ui" or words.size == 0:
        raise InputError(f"key={key!r} is not a key: give an int such as key=0, or a JAX key")
    return [int(w) for w in words.ravel()]
