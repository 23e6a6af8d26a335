"""Checking densities: does it integrate to 1, does its sampler draw from it, is its gradient its own?"""

import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.numerics import float64
from kullback.core.user_code import user_code
from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.transported import Approximation
from kullback.inputs.given import distribution
from kullback.measure.density import DRAWS, check
from kullback.results.density_report import DensityReport
from kullback.results.estimate import Estimate
from kullback.results.quantity import MASS
from kullback.targets import LogDensity

#: Steps of central differences, and how far a gradient may be from them: they are good to 1e-7 or so.
_STEP, _APART = 1e-5, 1e-3


def check_density(q: object, *, draws: int = DRAWS, key: int = 0) -> DensityReport:
    """Returns whether a density is one: its mass, its sampler, its gradient, its values where it is drawn.

    A density on the line is integrated. In more coordinates draws of its sampler are held beside draws of known
    densities; the tests assume nothing about its shape, and a right density fails one of them with a chance below
    1 in 10,000. `kl_divergence` and the others run the same check on whatever is not one of our own formulas.

    Args:
        q: as of `kl_divergence`: a distribution of NumPyro, SciPy or torch, a flow that is one, Known, LogDensity.
        draws: taken of its sampler, at least 1,000.
        key: randomness, an int.

    Raises:
        InputError: it is no distribution, or the options cannot be used.

    Example:
        >>> print(check_density("normal(0, sd=2)"))
        passed: integrates to 1.000000 ± ...
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1000:
        raise InputError(f"draws={draws!r}: the check needs an integer of at least 1000")
    if isinstance(key, bool) or not isinstance(key, int) or key < 0:
        raise InputError(f"key={key!r}: a key is a non-negative integer, such as key=0")
    try:
        d = distribution(q, "q")
        # Of events by name the density over coordinates is held beside its draws: the map between is exact.
        d = d.base if isinstance(d, Approximation) and not d.bare else d
        problems = (*_values(d, q), *_gradient(q))
    except DensityError as error:
        return DensityReport("failed", None, (str(error),), (), 0)
    if not d.normalized:
        said = "it does not claim to be normalised: its mass and its sampler are not compared"
        return DensityReport("failed" if problems else "passed", None, problems, (said,), 0)
    verdict = check(d, draws=draws, key=key)
    mass = None
    if np.isfinite(verdict.mass):
        drawn = d.support.dimension > 0
        estimate = Estimate.sampled if drawn else Estimate.numeric
        method = "draws beside known densities" if drawn else "quadrature"
        mass = estimate(verdict.mass, verdict.error, MASS, method=method)
    problems = (*problems, *verdict.problems)
    status = "failed" if problems else "passed" if mass is not None else "inconclusive"
    return DensityReport(status, mass, problems, verdict.remarks, draws)


def _values(d: Distribution, q: object) -> tuple[str, ...]:
    """Looks for values that are none, also far out and in the corners."""
    example = getattr(q, "example", None)
    center = np.atleast_1d(np.asarray(0.0 if example is None else example, dtype=np.float64))
    if isinstance(d, Foreign) and d.support.kind == "real":
        width = len(center) if example is not None else d.support.dimension
        rng = np.random.default_rng(0)
        steps = np.array([0.5, 1.0, 2.0, 4.0, 8.0])[:, None, None]
        ways = np.concatenate([rng.choice([-1.0, 1.0], (32, width)), np.eye(width)[:32]])
        d.log_prob((center + steps * ways).reshape(-1, width))
    return ()


def _gradient(q: object) -> tuple[str, ...]:
    """Holds a gradient that was given beside central differences."""
    gradient = q.gradient_of_event if isinstance(q, LogDensity) else None
    if not isinstance(q, LogDensity) or gradient is None:
        return ()
    x = np.asarray(q.example, dtype=np.float64)
    rng = np.random.default_rng(0)
    for _ in range(8):
        at = x + rng.standard_normal(x.shape)
        way = rng.standard_normal(x.shape)
        with user_code("the log density or its gradient"), float64():
            ends = [float(np.asarray(q.of_event(at + s * _STEP * way))) for s in (1.0, -1.0)]
            slope = float(np.sum(np.asarray(gradient(at), dtype=np.float64) * way))
        found = (ends[0] - ends[1]) / (2.0 * _STEP)
        if np.isfinite(found) and abs(found - slope) > _APART * (1.0 + abs(found)):
            problem = (
                f"the gradient is not that of the log density: {slope:.6g} along a line at {at}"
            )
            return (f"{problem}, where differences give {found:.6g}",)
    return ()
