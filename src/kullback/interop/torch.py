"""torch distributions, evaluated on float64 tensors without gradients."""

import copy
import weakref
from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution as TorchDistribution
from torch.distributions.constraints import Constraint, is_dependent
from torch.distributions.transforms import Transform

from kullback.distributions.base import Array, Distribution
from kullback.interop.library import Evaluator, Library
from kullback.interop.names import given
from kullback.interop.readers import normals_of, read_batch, read_one

#: Where torch keeps the Cholesky factor that it computes from a covariance.
_ROOT = "_unbroadcasted_scale_tril"


def read(thing: Any) -> Distribution | None:
    """Returns a torch distribution as one of ours; None for any other object of torch.

    Raises:
        InputError: it is a batch, or a parameter is out of range.
        UnsupportedError: it has no density that can be compared.
    """
    return read_one(thing, LIBRARY) if isinstance(thing, TorchDistribution) else None


def _array(value: Any) -> Array:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", torch.float64).numpy()
    return np.asarray(value, dtype=np.float64)


def _tensor(x: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(x, dtype=np.float64))


def _evaluate(thing: Any) -> Evaluator:
    wide, batch = _widen(thing, {}), tuple(thing.batch_shape)

    def log_prob(x: Array) -> Array:
        with torch.no_grad():
            points = _tensor(x)
            inside = _inside(wide, points, batch)
            if batch:
                return np.where(inside, _array(wide.log_prob(points)), -np.inf)
            out = np.full(len(x), -np.inf)
            if inside.any():
                out[inside] = _array(wide.log_prob(points[torch.from_numpy(inside)]))
            return out

    def sample(rng: np.random.Generator, n: int) -> Array:
        # The caller's random state is put back; manual_seed of the module would seed GPUs too.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            return _array(wide.sample((n,)))

    def quantile(u: Array) -> Array:
        with torch.no_grad():
            return _array(wide.icdf(_tensor(u)))

    return Evaluator(log_prob, sample if _can_sample(thing) else None, quantile)


def _inside(wide: Any, points: torch.Tensor, batch: tuple[int, ...]) -> Array:
    """Which events are in the support, (n, *batch)."""
    shape = (len(points), *batch)
    try:
        support = wide.support
    except (NotImplementedError, AttributeError):
        support = None
    if support is None or is_dependent(support) or not len(points):
        return np.ones(shape, dtype=bool)
    return support.check(points).reshape(*shape, -1).all(-1).numpy()


def _can_sample(thing: Any) -> bool:
    base = getattr(thing, "base_dist", None)
    kind = type(thing)
    own = (
        kind.sample is not TorchDistribution.sample or kind.rsample is not TorchDistribution.rsample
    )
    return own and (base is None or _can_sample(base))


def _widen(value: Any, seen: dict[int, Any]) -> Any:
    """Returns a copy with every tensor in it in float64 on the CPU, apart from any graph.

    A float32 parameter would otherwise meet the others (lgamma, log) before it meets x.
    """
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return value.double() if value.is_floating_point() else value
    if isinstance(value, torch.nn.Module):
        return copy.deepcopy(value).cpu().double()
    if isinstance(value, list):
        return [_widen(v, seen) for v in value]
    if isinstance(value, dict):
        return {k: _widen(v, seen) for k, v in value.items()}
    if isinstance(value, (TorchDistribution, Transform)) or (
        isinstance(value, Constraint) and vars(value)
    ):
        return _widen_fields(value, seen)
    return value


def _widen_fields(value: Any, seen: dict[int, Any]) -> Any:
    new = copy.copy(value)
    seen[id(value)] = new
    for name, field in vars(value).items():
        # A transform keeps its inverse by a weak reference, found again when asked for.
        vars(new)[name] = None if isinstance(field, weakref.ref) else _widen(field, seen)
    if isinstance(value, TorchDistribution):
        vars(new)["_validate_args"] = False
        _forget(value, new)
        _derive_root(value, new)
    return new


def _derive_root(value: Any, new: Any) -> None:
    """Computes a Cholesky factor again from the matrix that was given."""
    if _ROOT not in vars(value):
        return
    name, _ = given(value, ["covariance_matrix", "precision_matrix", "scale_tril"])
    matrix = vars(new)[name]
    if name == "covariance_matrix":
        vars(new)[_ROOT] = torch.linalg.cholesky(matrix)
    elif name == "precision_matrix":
        vars(new)[_ROOT] = torch.linalg.cholesky(torch.linalg.inv(matrix))


def _forget(value: Any, new: Any) -> None:
    """Drops the one of probs and logits that was computed from the other in float32."""
    parameter = vars(value).get("_param")
    for name in ("probs", "logits"):
        if parameter is not None and name in vars(value) and vars(value)[name] is not parameter:
            del vars(new)[name]


def _apply(transforms: list[Any], x: Array) -> Array:
    with torch.no_grad():
        y = _tensor(x)
        for t in transforms:
            y = _widen(t, {})(y)
        return _array(y)


LIBRARY = Library(
    "torch.distributions",
    _array,
    _evaluate,
    _apply,
    remedy=lambda axes: f"torch.distributions.Independent(d, {axes})",
)


# Batches.


def shape_of(thing: Any) -> tuple[int, ...]:
    """Returns the shape of a batch; () for one distribution."""
    return tuple(int(n) for n in getattr(thing, "batch_shape", ()))


def normals(thing: Any) -> tuple[Array, Array] | None:
    """Returns loc and scale of a batch of normals; None for others."""
    return normals_of(thing, LIBRARY)


def each(thing: Any) -> Any:
    """Returns an array of our distributions, of the shape of the batch."""
    return read_batch(thing, LIBRARY)
