"""KL(p||q) from draws of p and a density q that can be drawn from: distances to nearest neighbours.

The entropy of p is had from the distance of every draw to its k-th neighbour (Kozachenko and Leonenko
1987; Wang, Kulkarni and Verdu 2009). Its bias, which grows with the number of columns, is that of draws
of q as far as p is like q: there the truth is 0, so it is measured and taken off. What is left of it
shows in how the estimate moves with k, and is part of the error.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy import spatial, special

from kullback.core.errors import UnsupportedError
from kullback.distributions.base import Distribution
from kullback.measure.samples.means import tail_index
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL

Table = Float[np.ndarray, "_n _d"]
Values = Float[np.ndarray, "_n"]
#: The neighbour whose distance counts, and the one that shows the bias.
NEAR, FAR = 5, 20
#: More columns than this have too few neighbours; more rows cost more than they tell.
MOST_COLUMNS, MOST_NEIGHBOUR_ROWS = 6, 4000
#: Draws of q as many as rows are made so many times.
_REPEATS = 6
#: The variance that distances add to a mean over rows, over that of independent ones: neighbours are
#: shared. Between 1.3 and 1.8 for k from 3 to 10 and one to five columns, by simulation.
_SHARED = 1.6
#: Rows of p are far from q at so many times the distance of any of its own, and apart from all others at so many:
#: two of them, and one. Of two samples of t(3) one pair in 50 has such rows.
_BEYOND, _TWO_APART, _ONE_APART = 5.0, 2.5, 6.0
#: Terms of a tail index above 1/2 have no variance, and their mean no error. The index is known to about .1 from 3,000
#: rows: that of t(5) under a normal law, .4, is found above this once in twenty; that of a gamma law under an inverse
#: Gaussian one, 1 and more, below it in none of 300 samples of 1,000.
_NO_VARIANCE = 0.58
#: A column of which more values than this repeat is rounded, or no density.
_TIED = 0.01
#: A rounded column may have steps up to this share of its quartiles' distance.
_COARSE = 0.2
_METHOD = "nearest neighbours, bias measured on draws of q"


def neighbour_kl(x: Table, log_q: Values, q: Distribution, rng: np.random.Generator) -> Estimate:
    """Returns KL(p||q) = -H(p) - E_p[log q], with an error that covers the bias that can be seen.

    The entropy is mean(log(n - 1) - psi(k) + log V_d + d log r_k) over rows, r_k the distance to the
    k-th neighbour in coordinates in which q has unit covariance, V_d the volume of the unit ball.

    Args:
        x: draws of p, all columns continuous, in no order; the first 4000 are used.
        log_q: log q at these, of a q that was not fitted to the very row where q was fitted.
        q: can be drawn from.
        rng: randomness.

    Example:
        >>> from kullback.distributions.real import Normal
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(0.0, 2.0, 2000)
        >>> q = Normal(0.0, 3.0)
        >>> found = neighbour_kl(x[:, None], q.log_prob(x), q, rng)
        >>> abs(found.value - 0.1277) < 2.5 * found.standard_error < 0.1
        True

    Source: Wang, Kulkarni, Verdu (2009), Divergence estimation for multidimensional densities via
    k-nearest-neighbor distances, eq. 17; Berrett, Samworth, Yuan (2019) for the bias.
    """
    x, log_q = x[:MOST_NEIGHBOUR_ROWS], log_q[:MOST_NEIGHBOUR_ROWS]
    n, d = x.shape
    reason = _refused(x)
    if reason:
        return _unresolved(reason, n)
    if ruled_by_one(log_q) or tail_index(log_q) > _NO_VARIANCE:
        return _unresolved("a few rows decide the mean of log q: p has tails that q has not", n)
    smooth, rounded = dithered(x, rng)
    if _copied(smooth):
        return _unresolved("rows repeat, and not from rounding: p has no density there", n)
    try:
        drawn = [_events(q, rng, n) for _ in range(_REPEATS)]
    except UnsupportedError:
        return _unresolved("q cannot be drawn from", n)
    whiten = _whitener(drawn[0][0])
    found = _log_p(smooth, whiten) - log_q[:, None]
    bias = np.array([(_log_p(y, whiten) - at[:, None]).mean(axis=0) for y, at in drawn])
    near, far = found.mean(axis=0) - bias.mean(axis=0)
    error = math.sqrt(_sampling(found[:, 0]) ** 2 + _left(near - far, found, d) ** 2)
    notes = ()
    if rounded:
        notes = (f"the values of {rounded} column(s) are rounded: they were spread over the steps",)
    return Estimate.sampled(float(near), error, FORWARD_KL, method=_METHOD, n=n, notes=notes)


def between_samples(p: Table, q: Table) -> tuple[float, float] | None:
    """Returns KL(p||q) by the distances of p's rows to their fifth neighbours in p and in q, and its error.

    That is the mean over rows of p of d log(s/r) + log(m/(n - 1)), r the distance within p and s that to
    q, of n and m rows. It is too low where both are far apart or columns are many, and needs nothing to
    be learned: what it finds beyond a learned score is there.

    Args:
        p, q: rows in coordinates of like scale.

    Returns:
        None where rows are too few, or many have an equal.

    Source: Wang, Kulkarni, Verdu (2009), eq. 15.
    """
    n, d = p.shape
    if min(n, len(q)) <= FAR:
        return None
    center, whiten = np.vstack([p, q]).mean(axis=0), _whitener(np.vstack([p, q]))
    p, q = (p - center) @ whiten.T, (q - center) @ whiten.T
    within = spatial.KDTree(p).query(p, k=NEAR + 1)[0][:, NEAR]
    across = spatial.KDTree(q).query(p, k=NEAR)[0][:, NEAR - 1]
    apart = (within > 0.0) & (across > 0.0)
    if apart.mean() < 1.0 - _TIED:
        return None
    terms = d * np.log(across[apart] / within[apart]) + math.log(len(q) / (n - 1))
    return float(terms.mean()), math.sqrt(_SHARED * float(terms.var()) / len(terms))


def far_rows(p: Table, q: Table) -> int:
    """Returns how many rows of p lie so far from all others that they may decide the divergence; 0 where none does.

    Far are rows whose fifth neighbour in q is five times as far as that of any row of q in q. Where two such rows
    are apart from all others, or one is by much, they are no tail that goes on: ranks and scores cannot tell them
    from the next row, but the log ratio there may be as large as one likes.

    Args:
        p, q: rows, all columns continuous.
    """
    if len(q) <= FAR or not len(p):
        return 0
    scale = np.maximum(np.subtract(*np.quantile(q, [0.75, 0.25], axis=0)), 1e-300)
    p, q = (p - np.median(q, axis=0)) / scale, (q - np.median(q, axis=0)) / scale
    tree = spatial.KDTree(q)
    own = float(np.max(tree.query(q, k=NEAR + 1)[0][:, NEAR]))
    far = tree.query(p, k=NEAR)[0][:, NEAR - 1] > _BEYOND * own
    if not far.any() or not own > 0.0:
        return 0
    apart = float(np.min(spatial.KDTree(np.vstack([q, p[~far]])).query(p[far])[0])) / own
    count = int(np.count_nonzero(far))
    return count if apart > (_TWO_APART if count > 1 else _ONE_APART) else 0


def dithered(x: Table, rng: np.random.Generator) -> tuple[Table, int]:
    """Returns rows with the values of rounded columns spread evenly over the steps of the rounding.

    Args:
        x: rows.
        rng: randomness.

    Returns:
        The rows, and how many columns were rounded.
    """
    steps = np.array([step(column) for column in x.T])
    if not steps.any():
        return x, 0
    return x + steps * (rng.random(x.shape) - 0.5), int(np.count_nonzero(steps))


def step(column: Values, rows: float = math.nan) -> float:
    """Returns what the values of a column are multiples of; 0 where few repeat or there is no such step.

    Args:
        column: values.
        rows: how many rows they are of, if not one of each.

    Example:
        >>> round(step(np.round(np.random.default_rng(0).normal(size=500), 1)), 12)
        0.1
        >>> step(np.array([0.0, 0.0, 0.1234, 0.9, 1.7]))
        0.0
    """
    values = np.unique(column)
    rows = len(column) if math.isnan(rows) else rows
    if len(values) < 2 or 1.0 - len(values) / rows <= _TIED:
        return 0.0
    gaps = np.diff(values)
    smallest = float(gaps.min())
    # Rounded values are written in decimals, so that their differences are whole numbers of steps.
    whole = np.abs(gaps / smallest - np.round(gaps / smallest))
    return smallest if float(whole.max()) < 1e-3 and smallest > 1e-12 * np.ptp(values) else 0.0


def ruled_by_one(values: Values) -> bool:
    """Whether one value makes up most of the variance, so that the error of the mean is not known."""
    squares = (values - np.median(values)) ** 2
    return bool(np.max(squares) > 0.5 * squares.sum() > 0.0) or not np.isfinite(values).all()


def _refused(x: Table) -> str:
    n, d = x.shape
    if d > MOST_COLUMNS:
        return f"{d} columns: neighbours are too far away to tell a density beyond {MOST_COLUMNS}"
    if n < 50 * d or n < 100:
        return f"{n} rows of {d} column(s) are too few: it takes {max(50 * d, 100)}"
    for i, column in enumerate(x.T):
        low, high = np.quantile(column, [0.25, 0.75])
        if step(column) > _COARSE * float(high - low):
            return f"the values of column {i + 1} are rounded too coarsely to have a density"
    return ""


def _copied(x: Table) -> bool:
    """Whether many rows have an equal."""
    return len(np.unique(x, axis=0)) < (1.0 - _TIED) * len(x)


def _unresolved(reason: str, n: int) -> Estimate:
    return Estimate.unresolved(math.nan, reason, FORWARD_KL, method=_METHOD, n=n)


def _events(q: Distribution, rng: np.random.Generator, n: int) -> tuple[Table, Values]:
    drawn = q.sample(rng, n)
    return drawn.reshape(n, -1), q.log_prob(drawn)


def _whitener(draws: Table) -> Float[np.ndarray, "d d"]:
    """The map that gives draws unit covariance; their last tails are not looked at."""
    inside = np.clip(draws, *np.quantile(draws, [0.005, 0.995], axis=0))
    # Of a column that has one value but for its last tails, these are all there is.
    inside = np.where(np.ptp(inside, axis=0) > 0.0, inside, draws)
    sds = inside.std(axis=0)
    correlation = np.atleast_2d(np.corrcoef(inside.T))
    values, vectors = np.linalg.eigh(correlation)
    return (vectors / np.sqrt(np.maximum(values, 1e-12))).T / sds


def _log_p(x: Table, whiten: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "n 2"]:
    """The log densities of rows by the distances to their near and far neighbours."""
    n, d = x.shape
    z = (x - x.mean(axis=0)) @ whiten.T
    distances = spatial.KDTree(z).query(z, k=FAR + 1)[0][:, [NEAR, FAR]]
    log_ball = 0.5 * d * math.log(math.pi) - special.gammaln(0.5 * d + 1.0)
    with np.errstate(divide="ignore"):
        volumes = log_ball + d * np.log(distances) - np.linalg.slogdet(whiten)[1]
    return special.digamma(np.array([NEAR, FAR])) - math.log(n - 1) - volumes


def _sampling(values: Values) -> float:
    """The standard error of the mean over rows, and of the mean over draws of q."""
    n = len(values)
    own = float(special.polygamma(1, NEAR))
    of_p = max(float(np.var(values)) - own, 0.0)
    return math.sqrt((of_p + _SHARED * own * (1.0 + 1.0 / _REPEATS)) / n)


def _left(apart: float, found: Float[np.ndarray, "n 2"], d: int) -> float:
    """The bias that is left near, by how far apart the near and the far estimate are.

    It grows as k^(1/d) where p has edges, the slowest case, and so most of it may be left near.
    """
    noise = _SHARED * float(np.var(found[:, 0] - found[:, 1])) / len(found)
    seen = math.sqrt(max(apart * apart - noise, 0.0))
    return seen / ((FAR / NEAR) ** (1.0 / d) - 1.0)
