"""torch distributions, evaluated on float64 tensors without gradients."""

import copy
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch.distributions import Distribution as TorchDistribution
from torch.distributions.constraints import Constraint, is_dependent
from torch.distributions.transforms import Transform

from kullback.distributions.base import Array, Distribution
from kullback.interop.library import Library
from kullback.interop.readers import batches, read_one


def read(thing: Any) -> Distribution | None:
    """Returns a torch distribution as one of ours; None for any other object of torch."""
    return read_one(thing, LIBRARY) if isinstance(thing, TorchDistribution) else None


@final
class _Torch(Library):
    package: ClassVar[str] = "torch.distributions"
    base: ClassVar[type] = TorchDistribution
    parts: ClassVar[tuple[type, ...]] = (TorchDistribution, Transform, Constraint)
    remedy: ClassVar[str] = "torch.distributions.Independent(d, {})"
    root: ClassVar[str] = "_unbroadcasted_scale_tril"

    def array(self, value: Any) -> Array:
        if isinstance(value, torch.Tensor):
            return value.detach().to("cpu", torch.float64).numpy()
        return np.asarray(value, dtype=np.float64)

    def own(self, x: Array) -> Any:
        return torch.from_numpy(np.array(x, dtype=np.float64))

    def precise(self) -> AbstractContextManager[object]:
        return torch.no_grad()

    def wide(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            return value.double() if value.is_floating_point() else value
        if isinstance(value, torch.nn.Module):
            return copy.deepcopy(value).cpu().double()
        # A transform keeps its inverse by a weak reference, found again when asked for.
        return None if isinstance(value, weakref.ref) else value

    def settle(self, value: Any, new: Any) -> None:
        """Drops the one of probs and logits that was computed from the other in float32."""
        parameter = vars(value).get("_param")
        for name in ("probs", "logits"):
            if parameter is not None and name in vars(value) and vars(value)[name] is not parameter:
                del vars(new)[name]

    def cholesky(self, matrix: Any, *, inverse: bool) -> Any:
        return torch.linalg.cholesky(torch.linalg.inv(matrix) if inverse else matrix)

    def density(self, wide: Any) -> Callable[[Array], Array]:
        batch = tuple(wide.batch_shape)

        def log_prob(x: Array) -> Array:
            with torch.no_grad():
                points = self.own(x)
                inside = _inside(wide, points, batch)
                if batch:
                    return np.where(inside, self.array(wide.log_prob(points)), -np.inf)
                out = np.full(len(x), -np.inf)
                if inside.any():
                    out[inside] = self.array(wide.log_prob(points[torch.from_numpy(inside)]))
                return out

        return log_prob

    def sampler(self, wide: Any) -> Callable[[np.random.Generator, int], Array]:
        def sample(rng: np.random.Generator, n: int) -> Array:
            # The caller's random state is put back; manual_seed of the module would seed GPUs too.
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.default_generator.manual_seed(int(rng.integers(2**63)))
                return self.array(wide.sample((n,)))

        return sample


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


LIBRARY = _Torch()

shape_of, normals, each = batches(LIBRARY)
