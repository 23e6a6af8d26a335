"""Whether two samples differ by more than chance: p-values that hold for few rows, ties and rare levels."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.measure.samples.cells import Ordered

Levels = Float[np.ndarray, "_s"]
#: Orthogonal polynomials of the ranks: shifts, scales, skewness, tails.
_POLYNOMIALS = 4
#: Parts of equal share, and the fewest rows of both samples that are expected in one.
_PARTS, _EXPECTED = 32, 10.0


def of_levels(x: Levels, y: Levels) -> float:
    """Returns the p-value of Pearson's chi-square between two rows of counts.

    Levels with fewer than ten rows of both are taken together, so that the law of the statistic holds.

    Example:
        >>> round(of_levels(np.array([30.0, 70.0]), np.array([50.0, 50.0])), 4)
        0.004
    """
    both = x + y
    rare = both < _EXPECTED
    if rare.any():
        x = np.append(x[~rare], x[rare].sum())
        y = np.append(y[~rare], y[rare].sum())
        both = x + y
    held = both > 0.0
    x, y, both = x[held], y[held], both[held]
    if len(both) < 2:
        return 1.0
    n, m = float(x.sum()), float(y.sum())
    expected = both * n / (n + m)
    statistic = float(np.sum((x - expected) ** 2 / expected) * (n + m) / m)
    # Of all arrangements of the rows (N - 1) / N of this has the mean of the chi-square law.
    return float(special.chdtrc(len(both) - 1, statistic * (n + m - 1.0) / (n + m)))


def of_order(cells: Ordered) -> float:
    """Returns the p-value of two tests on ranks: smooth changes, and changes of a few ranks.

    The first is Neyman's smooth test, the squares of four orthogonal polynomials of the rank over
    their variance among all arrangements of the rows; the second Pearson's chi-square over parts of
    equal share. The smaller of the two counts, twice.

    Source: Neyman (1937); Rayner and Best (1989), Smooth tests of goodness of fit.
    """
    both = cells.p + cells.q
    if len(both) < 2:
        return 1.0
    return min(1.0, 2.0 * min(_smooth(cells.p, both), _by_parts(cells.p, both)))


def holm(p_values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Returns p-values such that all below a level may be believed together.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    k = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(k, 0, -1.0))
    adjusted = np.empty(k)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def detectable(n: float, m: float, *, tests: int = 1, power: float = 0.8) -> float:
    """Returns the KL that a smooth change needs to be found in so many of a hundred cases.

    For small changes the smooth test is a chi-square with noncentrality 2 KL n m / (n + m).

    Args:
        n, m: rows of p and of q.
        tests: how many p-values are looked at.
        power: the share of cases in which it is found.

    Example:
        >>> round(detectable(1000.0, 1000.0), 4)
        0.0141
    """
    level = 0.05 / (2.0 * tests)
    critical = float(special.chdtri(_POLYNOMIALS, level))
    needed = float(special.chndtrinc(critical, _POLYNOMIALS, 1.0 - power))
    return needed / (2.0 * n * m / (n + m))


def _smooth(x: Levels, both: Levels) -> float:
    total, n = float(both.sum()), float(x.sum())
    middle = (np.cumsum(both) - 0.5 * both) / total
    degree = min(_POLYNOMIALS, len(both) - 1)
    powers = np.polynomial.legendre.legvander(2.0 * middle - 1.0, degree)
    weights = np.sqrt(both / total)[:, None]
    orthogonal = np.linalg.qr(powers * weights)[0][:, 1:] / weights
    scores = x @ orthogonal
    spread = n * (total - n) / (total * (total - 1.0)) * total
    return float(special.chdtrc(degree, float(scores @ scores) / spread))


def _by_parts(x: Levels, both: Levels) -> float:
    total = float(both.sum())
    number = int(min(_PARTS, total // _EXPECTED))
    if number < 2:
        return 1.0
    middle = (np.cumsum(both) - 0.5 * both) / total
    which = np.minimum((middle * number).astype(int), number - 1)
    of_x = np.bincount(which, x, minlength=number)
    of_y = np.bincount(which, both - x, minlength=number)
    return of_levels(of_x, of_y)


# Lower bounds that hold whatever p and q are: a region chosen on one half, counted on the other.

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
