"""Parameters that float64 arithmetic cannot carry: what fails over them is told, not raised as a bug."""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from kullback.core.errors import KullbackError, UnsupportedError

#: A float64 has 16 digits: a number beyond, or its square, swallows whatever is added to it.
_LARGE, _SMALL = 1e12, 1e-12
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
#: How deep parameters are looked for: a mixture of products of maps.
_DEPTH = 8
_FAILURES = (
    ArithmeticError, AssertionError, IndexError, MemoryError, RecursionError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@contextmanager
def extremes_told(**given: object) -> Iterator[None]:
    """Turns what fails because of an extreme parameter into an error that names it.

    A failure over ordinary parameters stays what it is, a bug; one for want of memory or depth is told anyway.

    Args:
        given: what is measured, by name.

    Raises:
        UnsupportedError: the block failed, and a parameter is beyond what float64 can carry.
    """
    try:
        yield
    except KullbackError:
        raise
    except _FAILURES as error:
        found = [(name, x) for name, thing in given.items() for x in _extreme(thing, _DEPTH)]
        why = str(error).splitlines()[0] if str(error) else ""
        why = f"{type(error).__name__}: {why}" if why else type(error).__name__
        if found:
            name, x = found[0]
            raise UnsupportedError(
                f"{name} has the parameter {x:g}, beyond what float64 can be computed with ({why}); measure x in "
                "other units, or give a parameter between 1e-12 and 1e12"
            ) from error
        if isinstance(error, MemoryError):
            raise UnsupportedError(
                f"there is not enough memory for this ({why}); ask for fewer draws, or for less at once"
            ) from error
        if isinstance(error, RecursionError):
            raise UnsupportedError(
                f"{' and '.join(given)}: nested too deeply; write it in fewer levels"
            ) from error
        raise


def _extreme(thing: object, depth: int) -> list[float]:
    """The numbers in an expression or a distribution that are too large or too small."""
    if isinstance(thing, str):
        return [x for x in map(float, _NUMBER.findall(thing)) if _is_extreme(x)]
    if isinstance(thing, bool) or depth == 0:
        return []
    if isinstance(thing, (int, float, np.number)):
        try:
            x = float(thing)
        except OverflowError:  # an integer of more than 308 digits
            x = np.inf
        return [x] if _is_extreme(x) else []
    if isinstance(thing, np.ndarray):
        flat = thing.ravel() if thing.dtype.kind in "iuf" else np.empty(0)
        return [
            float(x)
            for x in flat[(np.abs(flat) > _LARGE) | ((flat != 0.0) & (np.abs(flat) < _SMALL))]
        ][:1]
    if isinstance(thing, (tuple, list)):
        return [x for part in thing for x in _extreme(part, depth - 1)]
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = (getattr(thing, field.name) for field in dataclasses.fields(thing))
        return [x for field in fields for x in _extreme(field, depth - 1)]
    return []


def _is_extreme(x: float) -> bool:
    return not (x == 0.0 or _SMALL <= abs(x) <= _LARGE)
