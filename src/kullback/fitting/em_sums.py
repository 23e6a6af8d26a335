"""What a pass of EM over rows sums, in blocks of one size, and whose each row is."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

Array = np.ndarray
#: Numbers that stay in the cache while a block is worked on.
_CACHE = 80_000
#: A component further than this many of its sds, squared, from the centre of the data is centred by
#: itself: the quadratic form would lose half of the digits.
FAR = 1e8
_LEAST_TOTAL, _MOST_TOTAL = 1e-280, 1e280


@final
@dataclass(frozen=True, eq=False)
class Sums:
    """What survives a pass: K (1 + d + d (d + 1) / 2) numbers and the log likelihood.

    Attributes:
        log_likelihood: the weighted sum of log q over the rows, in scaled coordinates.
        values: responsibilities @ features', (k, f); of Student's t each row by its expected precision.
        others: of tables: the rows of each component and what degrees of freedom are found from (k,); rows with
            a value of each column of counts and the events in them (k, c); rows with each label (k, l).
    """

    log_likelihood: float
    values: Float[np.ndarray, "k f"]
    others: tuple[Array, ...] = ()

    @property
    def rows(self) -> Float[np.ndarray, " k"]:
        """How many rows each component has."""
        return self.others[0] if self.others else self.values[:, 0]

    @property
    def arrays(self) -> list[Array]:
        """What is averaged when passes are combined."""
        return [self.values, *self.others]

    def replaced(self, arrays: list[Array]) -> "Sums":
        """Returns sums with other values; raises LinAlgError if they are sums of no rows."""
        values, *others = arrays
        counts = [others[0], *others[2:]] if others else []
        if not (values[:, 0] > 0.0).all() or any(a.min(initial=0.0) < 0.0 for a in counts):
            raise np.linalg.LinAlgError("a component has no rows")
        return Sums(self.log_likelihood, values, tuple(others))


def block_size(k: int, width: int) -> int:
    """Returns how many rows a block has: the same for all who sum over the same features."""
    return min(max(_CACHE // (k + width), 256), 8192)


def responsibilities(
    logs: Float[np.ndarray, "*g k m"], weights: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "*g"], Float[np.ndarray, "*g k m"]]:
    """Returns sum w log sum_k exp(logs) and w exp(logs) / sum_k exp(logs); `logs` is spent."""
    with np.errstate(over="ignore", under="ignore"):
        shares = np.exp(logs)
        total = np.add.reduce(shares, axis=-2)
    if not (total.min() > _LEAST_TOTAL and total.max() < _MOST_TOTAL):
        # Some row is far from all components: all are taken relative to its greatest.
        peak = np.maximum.reduce(logs, axis=-2)
        np.exp(np.subtract(logs, peak[..., None, :], out=logs), out=shares)
        np.add.reduce(shares, axis=-2, out=total)
        value = (np.log(total) + peak) @ weights
    else:
        value = np.log(total) @ weights
    shares *= (weights / total)[..., None, :]
    return np.asarray(value), shares
