"""Where a foreign distribution lives: the constraints of NumPyro and torch as supports."""

import math
from typing import Any, Literal

import numpy as np

from kullback._core.errors import UnsupportedError
from kullback.distributions._base import Support

_MATRICES = {
    "_PositiveDefinite",
    "_PositiveSemiDefinite",
    "_PositiveSemidefinite",
    "_CorrMatrix",
    "_CorrCholesky",
    "_LowerCholesky",
    "_LowerTriangular",
    "_Symmetric",
    "_Square",
}
_VECTORS: dict[str, Literal["simplex", "sphere", "one_hot"]] = {
    "_Simplex": "simplex",
    "_Sphere": "sphere",
    "_OneHot": "one_hot",
}


def region(
    constraint: Any, event_shape: tuple[int, ...], index: tuple[int, ...], what: str
) -> Support:
    """Returns the support of one distribution of a batch.

    Args:
        constraint: a constraint object of NumPyro or torch; None if there is none.
        event_shape: the shape of one event.
        index: which distribution of the batch, for bounds that are arrays.
        what: the name in messages.

    Raises:
        UnsupportedError: the events lie on a plane, where densities mean something else.
    """
    names = _names(constraint)
    if "_ZeroSum" in names:
        raise UnsupportedError(
            f"{what}: its events sum to zero, so that its density is one on a plane and no other "
            "distribution compares with it; drop the last coordinate and use a MultivariateNormal"
        )
    if event_shape == ():
        return _scalar(constraint, names, index)
    dimension = math.prod(event_shape)
    for name, kind in _VECTORS.items():
        if name in names:
            return Support(kind, dimension=dimension)
    if names & _MATRICES:
        return Support("matrix", dimension=dimension)
    if "_Multinomial" in names:
        return Support("counts", 0.0, _bound(_base(constraint), "upper_bound", index), dimension)
    discrete = bool(getattr(_base(constraint), "is_discrete", False))
    return Support("counts" if discrete else "real", dimension=dimension)


def _scalar(constraint: Any, names: set[str], index: tuple[int, ...]) -> Support:
    base = _base(constraint)
    if "_Boolean" in names:
        return Support("integers", 0.0, 1.0)
    low, high = _bound(base, "lower_bound", index), _bound(base, "upper_bound", index)
    kind = "integers" if bool(getattr(base, "is_discrete", False)) else "interval"
    return Support(kind, low, high)


def _base(constraint: Any) -> Any:
    """The constraint on one coordinate."""
    while hasattr(constraint, "base_constraint"):
        constraint = constraint.base_constraint
    return constraint


def _names(constraint: Any) -> set[str]:
    return {cls.__name__ for cls in type(_base(constraint)).__mro__}


def _bound(base: Any, name: str, index: tuple[int, ...]) -> float:
    value = getattr(base, name, None)
    if value is None:
        return -math.inf if name == "lower_bound" else math.inf
    array = np.asarray(value, dtype=np.float64)
    # Bounds have the trailing axes of the batch; an axis of length 1 stands for all of it.
    own = index[len(index) - array.ndim :] if array.ndim else ()
    return float(array[tuple(0 if n == 1 else i for i, n in zip(own, array.shape, strict=True))])
