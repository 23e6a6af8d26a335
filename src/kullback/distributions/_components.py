"""A mixture seen as its components, whichever is the simplest class that it has."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError, UnsupportedError
from kullback.distributions._base import Array, Distribution
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal, StudentT
from kullback.distributions._table_mixture import TableMixture
from kullback.distributions._vector import MultivariateNormal

_ROWS = 16_384


def components_of(q: Distribution) -> GaussianMixture | TableMixture:
    """Returns the same density as a mixture of vectors, of one component where it has no others.

    Args:
        q: of Gaussians or of Student's t, of numbers or of vectors.

    Raises:
        UnsupportedError: it is something else.

    Example:
        >>> components_of(Normal(1.0, 2.0)).means
        array([[1.]])
    """
    match q:
        case GaussianMixture() | TableMixture():
            return q
        case MultivariateNormal():
            return GaussianMixture(np.ones(1), q.loc[None], q.scale_tril[None])
        case Normal() | StudentT():
            return _of_scalars(np.ones(1), (q,))
        case Mixture():
            return _of_scalars(q.weights, q.components)
    raise UnsupportedError(f"{q} is no mixture of Gaussians or of Student's t")


def _of_scalars(
    weights: Float[np.ndarray, " k"], parts: tuple[Distribution, ...]
) -> GaussianMixture | TableMixture:
    means, scales, df = [], [], []
    for part in parts:
        if not isinstance(part, (Normal, StudentT)):
            raise UnsupportedError(f"{part} is neither a Gaussian nor Student's t")
        means.append(float(part.loc))
        scales.append(float(part.scale))
        df.append(float(part.df) if isinstance(part, StudentT) else np.inf)
    return _with_tails(
        weights, np.array(means)[:, None], np.array(scales)[:, None, None], np.array(df)
    )


def _with_tails(
    weights: Float[np.ndarray, " k"],
    means: Float[np.ndarray, "k d"],
    roots: Float[np.ndarray, "k d d"],
    df: Float[np.ndarray, " k"],
) -> GaussianMixture | TableMixture:
    if np.isinf(df).all():
        return GaussianMixture(weights, means, roots)
    return _table(weights, means, roots, df)


def _table(
    weights: Float[np.ndarray, " k"],
    means: Float[np.ndarray, "k d"],
    roots: Float[np.ndarray, "k d d"],
    df: Float[np.ndarray, " k"],
) -> TableMixture:
    kinds = ("continuous",) * means.shape[1]
    return TableMixture(kinds, weights, means, roots, df, np.empty((len(weights), 0)), ())


def log_joint(
    q: GaussianMixture | TableMixture, x: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n k"]:
    """Returns log(weight times density) of every component at n rows; NaN in a row is a value not there."""
    out = np.empty((len(x), len(q.weights)))
    for start in range(0, len(x), _ROWS):
        rows = x[start : start + _ROWS]
        for at, logs in _by_gaps(q, rows):
            out[start : start + _ROWS][at] = logs.T
    return out


def _by_gaps(
    q: GaussianMixture | TableMixture, rows: Float[np.ndarray, "m d"]
) -> Iterator[tuple[Array, Float[np.ndarray, "k m"]]]:
    """Yields which rows, and the log joint densities of these."""
    if isinstance(q, TableMixture):
        yield np.ones(len(rows), dtype=bool), q.log_joint(rows.T)[0]
        return
    gaps = np.asarray(np.isnan(rows).any(axis=1))
    if not gaps.all():
        yield ~gaps, q.log_joint_columns((rows[~gaps] - q.mean).T)
    if gaps.any():
        table = _table(q.weights, q.means, q.scale_trils, np.full(len(q.weights), np.inf))
        yield gaps, table.log_joint(rows[gaps].T)[0]


def shares(log_joint: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Returns the probability of each component given the row.

    Raises:
        InputError: a row is so far from all components that its density is 0 in double precision.
    """
    peak = log_joint.max(axis=1, keepdims=True)
    lost = ~np.isfinite(peak[:, 0])
    if lost.any():
        raise InputError(
            f"row {int(np.argmax(lost))} is so far from every component that its densities cannot be compared"
        )
    found = np.exp(log_joint - peak)
    return found / found.sum(axis=1, keepdims=True)


def log_density(log_joint: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Returns the log density of each row."""
    return np.logaddexp.reduce(log_joint, axis=1)


def draw_labels(rng: np.random.Generator, shares: Float[np.ndarray, "n k"]) -> np.ndarray:
    """Returns a component for each row, drawn from its shares.

    Rows drawn of q with these labels are distributed as labels drawn by weight, then rows.
    """
    below = np.cumsum(shares, axis=1)
    return (rng.random(len(shares))[:, None] * below[:, -1:] >= below[:, :-1]).sum(axis=1)
