"""Lower bounds that hold whatever p and q are: a region chosen on one half, counted on the other."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

Levels = Float[np.ndarray, "_s"]
#: Each of the two limits may fail in half of five percent.
_FAILS = 0.025


@final
@dataclass(frozen=True)
class Certificate:
    """KL(p||q) is at least `bound` with 95 % confidence, without assumptions but independent rows.

    Attributes:
        bound: in nats; 0 where nothing is certain.
        mass_p: p has at least this in the region.
        mass_q: q has at most this in it.
    """

    bound: float
    mass_p: float
    mass_q: float

    @property
    def missed(self) -> float:
        """The mass of p that q certainly lacks."""
        return max(self.mass_p - self.mass_q, 0.0)


def binary_kl(p: float, q: float) -> float:
    """Returns p log p/q + (1 - p) log (1 - p)/(1 - q) for p above q; 0 otherwise.

    Example:
        >>> round(binary_kl(0.5, 0.25), 4)
        0.1438
    """
    if not p > q:
        return 0.0
    rest = 0.0 if p >= 1.0 else (1.0 - p) * math.log((1.0 - p) / (1.0 - q))
    return math.inf if q <= 0.0 else p * math.log(p / q) + rest


def certify(inside_p: float, n: float, inside_q: float, m: float) -> Certificate:
    """Returns the bound by the data-processing inequality on a region chosen without these rows.

    Args:
        inside_p, n: rows of p in the region, and all of them.
        inside_q, m: rows of q in it, and all of them.

    Example:
        >>> found = certify(50.0, 100.0, 0.0, 100.0)
        >>> round(found.mass_p, 3), round(found.mass_q, 3), round(found.bound, 2)
        (0.398, 0.036, 0.67)

    Source: Clopper and Pearson (1934); Cover and Thomas (2006), section 2.8.
    """
    low = (
        0.0 if inside_p <= 0.0 else float(special.betaincinv(inside_p, n - inside_p + 1.0, _FAILS))
    )
    high = (
        1.0
        if inside_q >= m
        else float(special.betaincinv(inside_q + 1.0, m - inside_q, 1.0 - _FAILS))
    )
    return Certificate(binary_kl(low, high), low, high)


def certified(
    chosen_p: Levels, chosen_q: Levels, counted_p: Levels, counted_q: Levels
) -> Certificate:
    """Returns the bound of the best region of levels, found on one half and counted on the other.

    Levels are taken in the order of their ratio p/q on the first half, as many as promise most.

    Args:
        chosen_p, chosen_q: counts of the half that chooses.
        counted_p, counted_q: counts of the other half, at the same levels.
    """
    order = np.argsort(-(chosen_p + 0.5) / (chosen_q + 0.5), kind="stable")
    n, m = float(chosen_p.sum()), float(chosen_q.sum())
    inside_p, inside_q = np.cumsum(chosen_p[order]), np.cumsum(chosen_q[order])
    # A cheap stand-in for the limits: a standard error and a half row, up and down.
    share_p, share_q = inside_p / n, inside_q / m
    low = share_p - 2.0 * np.sqrt(share_p * (1.0 - share_p) / n) - 2.0 / n
    high = share_q + 2.0 * np.sqrt(share_q * (1.0 - share_q) / m) + 4.0 / m
    worth = [binary_kl(min(max(a, 0.0), 1.0), min(b, 1.0)) for a, b in zip(low, high, strict=True)]
    inside = order[: int(np.argmax(worth)) + 1]
    return certify(
        float(counted_p[inside].sum()), float(counted_p.sum()),
        float(counted_q[inside].sum()), float(counted_q.sum()),
    )  # fmt: skip


def halves(counts: Levels, rng: np.random.Generator) -> tuple[Levels, Levels]:
    """Returns counts of a random half of the rows, and of the others; fractions of rows are left out."""
    whole = np.floor(counts + 1e-9).astype(np.int64)
    total = int(whole.sum())
    drawn = rng.multivariate_hypergeometric(whole, total // 2, method="marginals")
    return drawn.astype(np.float64), (whole - drawn).astype(np.float64)
