"""Each parameter under q and under p."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from kullback.diagnostics._towards_p import Afar
from kullback.diagnostics._weights import Weighed
from kullback.fitting._natural_gradient import Gaussians
from kullback.results._diagnosis import Parameter, columns
from kullback.results._estimate import Estimate
from kullback.solvers._whitened import whitened
from kullback.targets import Unconstrained

Array = np.ndarray
#: A column per coordinate, by name.
Columns = dict[str, Float[np.ndarray, " n"]]


#: Draws from which the means and sds of q itself are taken.
_EXACT = 4096
Moments = dict[str, tuple[float, float]]


def of_q(target: Unconstrained, q: Gaussians, rng: np.random.Generator) -> Moments:
    """Returns the mean and sd of each parameter under q: exact where it is a coordinate of q itself.

    The draws have q's mean and covariance exactly, component by component.
    """
    z = whitened(target.dimension, max(_EXACT, 2 * target.dimension), rng)
    places = q.place(z)
    k, n, d = places.shape
    weights = np.repeat(q.weights / n, n)
    out: Moments = {}
    for name, x in columns(target.constrain(places.reshape(k * n, d)), bare=target.bare).items():
        mean = float(weights @ x)
        out[name] = mean, math.sqrt(max(float(weights @ (x - mean) ** 2), 0.0))
    return out


def expected_shrinkage(
    target: Unconstrained, curvature: Float[np.ndarray, "d d"] | None, q: Gaussians
) -> dict[str, float]:
    """Returns the sd of a mean-field q over that of p by linear response of the means, by coordinate."""
    if curvature is None or not q.diagonal or np.linalg.eigvalsh(curvature)[0] <= 0.0:
        return {}
    spread = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return dict(zip(target.coordinates, (1.0 / spread).tolist(), strict=True))


def by_weights(
    weighed: Weighed, everywhere: Columns, moments: Moments, expected: Mapping[str, float]
) -> list[Parameter]:
    """Returns the parameters, p's moments being those of the weighed draws."""
    n, m = len(weighed.x), weighed.own
    weights = weighed.weights
    out = []
    for name, x in everywhere.items():
        mean_q, sd_q = moments[name]
        mean = float(np.mean(weights * x))
        moved = weights * (x - mean)
        variance = float(np.mean(weights * (x - mean) ** 2))
        error = math.sqrt(m * np.var(moved[:m]) + (n - m) * np.var(moved[m:])) / n
        by_draw = weights * ((x - mean) ** 2 - variance)
        doubt = 0.5 * float(by_draw.std()) / math.sqrt(n) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, (mean, error), variance, doubt, expected, "weights")
        )
    return out


def by_tempering(
    everywhere: Columns,
    afar: Afar,
    there: Columns,
    moments: Moments,
    expected: Mapping[str, float],
) -> list[Parameter]:
    """Returns the parameters, p's moments being those of the tempered draws."""
    out = []
    for name in everywhere:
        far = there[name]
        mean_q, sd_q = moments[name]
        mean, error = float(far.mean()), afar.error(far)
        squares = (far - mean) ** 2
        variance = float(squares.mean())
        doubt = 0.5 * afar.error(squares) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, (mean, error), variance, doubt, expected, "tempering")
        )
    return out


def _parameter(
    name: str,
    mean_q: float,
    sd_q: float,
    mean_p: tuple[float, float],
    variance_p: float,
    doubt: float,
    expected: Mapping[str, float],
    method: str,
) -> Parameter:
    sd_p = math.sqrt(max(variance_p, 1e-300))
    ratio = sd_q / sd_p
    shift = Estimate.sampled(
        (mean_p[0] - mean_q) / sd_p,
        mean_p[1] / sd_p,
        quantity="mean_shift",
        direction=f"mean_shift({name})",
        method=method,
        unit="",
    )
    return Parameter(
        name,
        mean_q,
        sd_q,
        shift,
        Estimate.sampled(
            ratio,
            ratio * doubt,
            quantity="sd_ratio",
            direction=f"sd_ratio({name})",
            method=method,
            unit="",
        ),
        expected.get(name),
    )
