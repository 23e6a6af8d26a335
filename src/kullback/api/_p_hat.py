"""p-hat: the mixture of Gaussians that stands for a p which is known by samples only."""

import math

import numpy as np
from jaxtyping import Float
from scipy.cluster import vq

from kullback._core import randomness
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.fitting import _em
from kullback.fitting._nodes import Nodes
from kullback.objectives import Layout
from kullback.targets import Samples

#: Components of p-hat at most, starts for each number of them, and rows that these look at.
_MOST, _EM_STARTS, _EM_ROWS = 12, 4, 4000
#: Iterations of EM on these, on all rows, and from p-hat on a half.
_TRIAL, _EM_ITERATIONS, _REFIT = 80, 150, 40


def fit_p_hat(p: Samples, key: object) -> GaussianMixture:
    """Returns the mixture of Gaussians of maximum likelihood, as many as AIC asks for.

    AIC and not BIC: a component too many costs reverse KL little, but one too few fills the gap between
    parts of p, and q then prefers to lie across it.

    Args:
        p: draws, perhaps with weights.
        key: randomness.
    """
    n, d = p.values.shape
    data, center, scale = _standard(p)
    rng = randomness.named(key, "p-hat")
    rows = rng.choice(n, min(n, _EM_ROWS), p=data.weights)
    few = Nodes(data.x[rows], np.full(len(rows), 1.0 / len(rows)))
    effective = 1.0 / float(data.weights @ data.weights)
    best, score, worse = None, math.inf, 0
    for k in range(1, min(_MOST, max(n // (d + 2), 1)) + 1):
        layout = Layout(k, d, diagonal=False)
        begun = min(
            (
                _em.climb(few, layout, _start(few.x, k, rng), iterations=_TRIAL)
                for _ in range(1 if k == 1 else _EM_STARTS)
            ),
            key=lambda m: m.value,
        )
        end = _em.climb(data, layout, layout.unpack(begun.at), iterations=_EM_ITERATIONS)
        parameters = k - 1 + k * d + k * d * (d + 1) // 2
        criterion = 2.0 * effective * end.value + 2.0 * parameters
        worse = 0 if criterion < score else worse + 1
        if criterion < score:
            best, score = layout.unpack(end.at), criterion
        if worse == 2:
            break
    assert best is not None
    return _moved(best, center, scale)


def refit(p: Samples, p_hat: GaussianMixture) -> GaussianMixture:
    """Returns the mixture that EM ends at when it sets out from p-hat."""
    data, center, scale = _standard(p)
    begun = _moved(p_hat, -center / scale, 1.0 / scale)
    layout = Layout(len(p_hat.weights), len(center), diagonal=False)
    end = _em.climb(data, layout, begun, iterations=_REFIT)
    return _moved(layout.unpack(end.at), center, scale)


def _standard(p: Samples) -> tuple[Nodes, Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """The rows with mean 0 and unit scales, and where they come from."""
    n = len(p.values)
    weights = np.full(n, 1.0 / n) if p.weights is None else p.weights / p.weights.sum()
    whole = Nodes(p.values, weights)
    center, scale = whole.mean, np.sqrt(np.diag(whole.covariance))
    return Nodes((p.values - center) / scale, weights), center, scale


def _moved(
    q: GaussianMixture, center: Float[np.ndarray, " d"], scale: Float[np.ndarray, " d"]
) -> GaussianMixture:
    return GaussianMixture(q.weights, center + scale * q.means, scale[:, None] * q.scale_trils)


def _start(x: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator) -> GaussianMixture:
    means = vq.kmeans2(x, k, minit="++", rng=rng)[0]
    return GaussianMixture(
        np.full(k, 1.0 / k), means, np.repeat(0.5 * np.eye(x.shape[1])[None], k, axis=0)
    )
