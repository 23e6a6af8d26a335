"""A density of unconstrained coordinates, seen in the parameters that the user named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.distributions.base import Array, Distribution, Support

Parameters = Mapping[str, Array]


@final
@dataclass(frozen=True, eq=False)
class Approximation(Distribution):
    """The push-forward of `base` under `constrain`. Events are dicts of arrays, or arrays if `bare`.

    Attributes:
        base: over R^d.
        constrain: maps (n, d) to the parameters, each (n, *shape).
        log_jacobian: maps (n, d) to log |d constrain(u) / du|.
        unconstrain: the inverse of `constrain`; None if it is not known.
        coordinates: names of the unconstrained coordinates.
        bare: whether there is one parameter without a name.
        layout: plain values from which `constrain` can be built again; None if it cannot.
    """

    base: Distribution
    constrain: Callable[[Array], dict[str, Array]]
    log_jacobian: Callable[[Array], Array]
    unconstrain: Callable[[Parameters], Array] | None
    coordinates: tuple[str, ...]
    bare: bool
    layout: dict[str, object] | None = None

    @property
    def support(self) -> Support:
        return Support("real", dimension=len(self.coordinates))

    def log_prob(self, x: Array | Parameters) -> Float[np.ndarray, " n"]:
        """Returns the log density of n events, in the space of the user's parameters."""
        if self.unconstrain is None:
            raise UnsupportedError(
                "log_prob needs the way back from the parameters, which this model does not give; "
                "fit.draws holds log q at draws of q"
            )
        given = x if isinstance(x, Mapping) else {"x": np.asarray(x, dtype=np.float64)}
        u = self.unconstrain(given)
        return self.base.log_prob(u) - self.log_jacobian(u)

    def sample(self, rng: np.random.Generator, n: int) -> Array | dict[str, Array]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns n draws by parameter."""
        drawn = self.constrain(self.base.sample(rng, n))
        return drawn["x"] if self.bare else drawn
