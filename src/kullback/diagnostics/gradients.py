"""Bias and variance of the estimators of the ELBO's gradient, on a target and at a q.

The gradient itself is known to a small error from whitened draws (`solvers._whitened`) and the path
gradient, the least noisy way there is. An estimator is run on batches of draws, as a fit would. Half of
the batches say in which direction its mean is furthest from the gradient, the other half how far along
it: so noise does not pass for bias, whatever the number of parameters.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError
from kullback.fitting.components import Components
from kullback.fitting.elbo_gradients import ESTIMATORS, DrawGradients, GaussianDraws, drawn_at
from kullback.results.estimate import Estimate
from kullback.results.loss_report import GradientRow
from kullback.results.quantity import BIAS, GRADIENT_NORM, VARIANCE, VARIANCE_RATIO, Quantity
from kullback.solvers.modes import CountedDensity, whitened

Array = np.ndarray

#: Draws of a batch, and batches.
DRAWS, _BATCHES = 16, 512
#: Sets of whitened draws of which the gradient itself is the mean, and their least size.
_SETS, _SIZE = 8, 512
#: A variance below this is rounding.
_NOTHING = 1e-16
#: How far from the optimum the other place is: in sds, and in the logs of the scales.
_MOVED, _WIDER = 1.0, math.log(1.5)


def displaced(q: Components) -> Components:
    """Returns a Gaussian one sd away from a single one, and half as wide again."""
    d = q.means.shape[1]
    along = np.full(d, _MOVED / math.sqrt(d))
    shift = q.roots[0] * along if q.diagonal else q.roots[0] @ along
    return replace(q, means=q.means + shift, roots=q.roots * math.exp(_WIDER))


def compare(
    density: CountedDensity, q: Components, place: str, rng: np.random.Generator
) -> tuple[list[GradientRow], Estimate]:
    """Returns a row for each estimator, and the norm of the gradient.

    Args:
        density: log p, finite at draws of q.
        q: a single Gaussian.
        place: what it is called.
        rng: randomness.

    Raises:
        DensityError: p is 0 at draws of q.
    """
    truth = _truth(density, q, place, rng)
    gradient = truth.mean(axis=0)
    d = q.means.shape[1]
    drawn = _inside(drawn_at(density, q, rng.standard_normal((_BATCHES * DRAWS, d))), place)
    apart, biases = {}, {}
    for name, row in ESTIMATORS.items():
        made = _estimates(row.estimate, drawn, diagonal=q.diagonal)
        apart[name] = DRAWS * _squares(made)
        steady = _estimates(row.steadied, drawn, diagonal=q.diagonal) if row.steadied else made
        biases[name] = _bias(steady, truth)
    fit = [name for name, row in ESTIMATORS.items() if row.fits]
    best = min(fit, key=lambda name: float(apart[name].mean()))
    rows = [
        GradientRow(
            place,
            name,
            row.about,
            row.needs,
            biases[name],
            _mean(apart[name], VARIANCE),
            _ratio(apart[name], apart[best]),
        )
        for name, row in ESTIMATORS.items()
    ]
    return rows, _norm(gradient, truth, _SETS * _size(d))


def _truth(
    density: CountedDensity, q: Components, place: str, rng: np.random.Generator
) -> Float[np.ndarray, "s p"]:
    """Path gradients, each from one set of whitened draws."""
    d = q.means.shape[1]
    sets = [_inside(drawn_at(density, q, whitened(d, _size(d), rng)), place) for _ in range(_SETS)]
    row = ESTIMATORS["stick_the_landing"]
    return np.array([row.estimate(s).each(diagonal=q.diagonal).mean(axis=0) for s in sets])


def _inside(drawn: GaussianDraws, place: str) -> GaussianDraws:
    outside = int((~np.isfinite(drawn.log_p)).sum())
    if outside:
        raise DensityError(
            f"p is 0 or not a number at {outside} of {len(drawn.z)} draws of q {place}, where the ELBO is "
            "-infinite and has no gradient: say with support= where the parameters live"
        )
    return drawn


def _estimates(
    estimate: Callable[[GaussianDraws], DrawGradients], drawn: GaussianDraws, *, diagonal: bool
) -> Float[np.ndarray, "b p"]:
    """The estimate of each batch."""
    out = []
    for i in range(0, len(drawn.z), DRAWS):
        part = slice(i, i + DRAWS)
        batch = GaussianDraws(drawn.z[part], drawn.log_p[part], drawn.log_q[part], drawn.pull[part])
        shift, root = estimate(batch).mean(diagonal=diagonal)
        flat = root if diagonal else root[np.tril_indices(len(root))]
        out.append(np.concatenate([shift, flat]))
    return np.array(out)


def _squares(made: Float[np.ndarray, "b p"]) -> Float[np.ndarray, " b"]:
    """Squared distances from the mean, whose mean is the sum of the variances."""
    return np.sum((made - made.mean(axis=0)) ** 2, axis=1) * (len(made) / (len(made) - 1.0))


def _bias(made: Float[np.ndarray, "b p"], truth: Float[np.ndarray, "s p"]) -> Estimate:
    """How far the mean of the second half is off, in the direction in which that of the first is."""
    half = len(made) // 2
    away = made[:half].mean(axis=0) - truth.mean(axis=0)
    size = float(np.linalg.norm(away))
    along = away / size if size > 0.0 else np.zeros(len(away))
    own, exact = made[half:] @ along, truth @ along
    error = math.hypot(_error(own), _error(exact))
    return _estimate(float(own.mean() - exact.mean()), error, BIAS, len(made) * DRAWS)


def _size(d: int) -> int:
    return max(_SIZE, 4 * d)


def _norm(gradient: Float[np.ndarray, " p"], truth: Float[np.ndarray, "s p"], n: int) -> Estimate:
    size = float(np.linalg.norm(gradient))
    noise = math.sqrt(float(np.var(truth, axis=0, ddof=1).sum()) / len(truth))
    return _estimate(size, noise, GRADIENT_NORM, n, "whitened draws")


def _ratio(own: Float[np.ndarray, " b"], best: Float[np.ndarray, " b"]) -> Estimate:
    """The ratio of two variances on the same draws."""
    low = float(best.mean())
    if low < _NOTHING:
        value = 1.0 if float(own.mean()) < _NOTHING else math.inf
        return _estimate(value, 0.0, VARIANCE_RATIO, len(own))
    value = float(own.mean()) / low
    return _estimate(value, _error(own - value * best) / low, VARIANCE_RATIO, len(own))


def _mean(values: Float[np.ndarray, " b"], quantity: Quantity) -> Estimate:
    return _estimate(float(values.mean()), _error(values), quantity, len(values) * DRAWS)


def _error(values: Float[np.ndarray, " b"]) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _estimate(
    value: float, error: float, quantity: Quantity, n: int, method: str = "batches of draws"
) -> Estimate:
    if math.isinf(value):
        reason = "the best estimator has no variance here"
        return Estimate.infinite(reason, quantity, method=method)
    interval = (value - 1.96 * error, value + 1.96 * error)
    return Estimate(value, error, interval, quantity, "estimate", method, n)
