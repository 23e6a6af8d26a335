"""Kernel density: the bandwidth by a rule, or by how well each row is predicted by the others."""

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float
from scipy import optimize

from kullback.core.errors import InputError
from kullback.distributions.kernel_density import KernelDensity, log_sum, square_distances

Rule = float | Literal["silverman", "scott"] | None
Values = Float[np.ndarray, " n"]

#: Distances looked at for each bandwidth tried, and for the score at the end.
_TRIAL = 3_000_000
_FINAL = 300_000_000
#: The bandwidths tried, over Silverman's.
_LOWEST, _HIGHEST = 1e-4, 8.0
_GRID = 13
#: A bandwidth below this share of the one that is best when copies of a row are left out with it follows copies.
_COPIED = 0.4


@final
@dataclass(frozen=True, eq=False)
class Smoothed:
    """A kernel density and how it predicts each row from the others.

    Attributes:
        q: the density.
        scores: the log density of each row under the kernels of the others; NaN where not computed.
        method: how the scores were got.
        notes: what a careful reader should know.
        evaluations: bandwidths tried.
    """

    q: KernelDensity
    scores: Values
    method: str
    notes: tuple[str, ...]
    evaluations: int


def kernel_density(
    x: Float[np.ndarray, "n d"],
    weights: Values,
    rule: Rule,
    rng: np.random.Generator,
    *,
    diagonal: bool = False,
) -> Smoothed:
    """Returns Gaussian kernels of covariance h^2 S, with S the covariance of the rows.

    Without a rule h maximises sum_i w_i log q_-i(x_i), with q_-i the kernels of all rows but i: the held-out
    likelihood. Over many rows it is summed over some of them.

    Args:
        x: the rows.
        weights: positive; a row is left out whole, whatever its weight.
        rule: h, "silverman", "scott", or None for the held-out likelihood.
        rng: which rows h is chosen on.
        diagonal: whether S has the variances only.

    Raises:
        InputError: the covariance of the rows is singular.

    Source: Habbema, Hermans, van den Broek (1974) and Duin (1976) for the leave-one-out likelihood.
    """
    share = weights / weights.sum()
    root = _root(x, share, diagonal=diagonal)
    silverman = _silverman(x.shape[1], 1.0 / float(share @ share))
    if isinstance(rule, (int, float)):
        h, notes, tried = float(rule), (), 0
    elif rule == "scott":
        h, notes, tried = silverman / _over_scott(x.shape[1]), (), 0
    elif rule == "silverman" or len(x) < 3:
        h, notes, tried = silverman, (), 0
    else:
        h, notes, tried = _by_likelihood(KernelDensity(x, share, silverman, root), rng)
    q = KernelDensity(x, share, h, root)
    some = _some(len(x), _FINAL, rng)
    scores = np.full(len(x), np.nan)
    scores[some] = leave_one_out(q, some, [h])[0]
    method = "each row by the kernels of the others"
    if len(some) < len(x):
        method += f", {len(some)} of the rows"
    return Smoothed(q, scores, method, notes, tried)


def leave_one_out(
    q: KernelDensity, rows: np.ndarray, bandwidths: list[float], groups: np.ndarray | None = None
) -> list[Values]:
    """Returns the log densities of some rows under the kernels of the other rows, for each bandwidth.

    Args:
        q: whose points the rows are.
        rows: indices.
        bandwidths: instead of that of q.
        groups: a label for each point: all of the row's label are left out with it.
    """
    z, share = q.whitened, q.weights
    found = [np.empty(len(rows)) for _ in bandwidths]
    gone = share[rows]
    if groups is not None:
        gone = np.bincount(groups, share)[groups[rows]]
    for part, squares in square_distances(z[rows], z):
        if groups is None:
            squares[np.arange(len(squares)), rows[part]] = np.inf
        else:
            squares[groups[rows[part], None] == groups] = np.inf
        for out, h in zip(found, bandwidths, strict=True):
            out[part] = log_sum(squares, h, share)
    d = z.shape[1]
    unit = q.log_constant + d * math.log(q.bandwidth) - np.log1p(-gone)
    return [out + unit - d * math.log(h) for out, h in zip(found, bandwidths, strict=True)]


def _by_likelihood(
    start: KernelDensity, rng: np.random.Generator
) -> tuple[float, tuple[str, ...], int]:
    rows = _some(len(start.points), _TRIAL, rng)
    h, tried = _most_likely(start, rows, None)
    different, groups = np.unique(start.points, axis=0, return_inverse=True)
    tied = 1.0 - len(different) / len(start.points)
    if tied and len(different) > 1:
        # A row that has a copy is predicted by a kernel of no width: without the copies, it is not.
        alone, more = _most_likely(start, rows, groups.ravel())
        tried += more
        h = h if h > _COPIED * alone else 0.0
    if h:
        return h, (), tried
    note = (
        f"{tied:.0%} of the rows repeat another, as rounded values do, and the bandwidth that predicts rows left "
        "out goes towards 0: Silverman's rule was taken; say bandwidth= to choose it"
    )
    return start.bandwidth, (note,), 0


def _most_likely(
    start: KernelDensity, rows: np.ndarray, groups: np.ndarray | None
) -> tuple[float, int]:
    """Returns the bandwidth that predicts rows left out best, 0 if that is the lowest; and how many were tried."""
    share = start.weights[rows] / start.weights[rows].sum()
    tried = _GRID

    def loss(log_h: float) -> float:
        nonlocal tried
        tried += 1
        return -float(share @ leave_one_out(start, rows, [math.exp(log_h)], groups)[0])

    center = math.log(start.bandwidth)
    grid = np.linspace(center + math.log(_LOWEST), center + math.log(_HIGHEST), _GRID)
    scores = [share @ v for v in leave_one_out(start, rows, list(np.exp(grid)), groups)]
    best = int(np.argmax(scores))
    if best == 0:
        return 0.0, tried
    bounds = (grid[best - 1], grid[min(best + 1, _GRID - 1)])
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x)), tried  # pyright: ignore[reportAttributeAccessIssue]


def _some(n: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Returns as many of n rows as leave so many distances to all n."""
    most = max(200, cells // n)
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _root(
    x: Float[np.ndarray, "n d"], share: Values, *, diagonal: bool
) -> Float[np.ndarray, "d d"]:
    """Returns the Cholesky factor of the covariance of the rows, got in units of their spreads."""
    moved = x - (x[0] + share @ (x - x[0]))
    spread = np.sqrt(share @ moved**2)
    if diagonal:
        return np.diag(spread)
    correlation = (moved / spread * share[:, None]).T @ (moved / spread)
    if float(np.linalg.eigvalsh(correlation)[0]) < 1e-12:
        raise InputError(
            "KernelDensity: a column is a linear combination of others, or there are no more rows than "
            "columns, so there is no density; drop a column, or say KernelDensity(spread='diagonal')"
        )
    return spread[:, None] * np.linalg.cholesky(correlation)


def _silverman(d: int, n: float) -> float:
    return (0.25 * n * (d + 2.0)) ** (-1.0 / (d + 4.0))


def _over_scott(d: int) -> float:
    """Silverman's factor over Scott's, n^(-1/(d + 4))."""
    return (0.25 * (d + 2.0)) ** (-1.0 / (d + 4.0))
