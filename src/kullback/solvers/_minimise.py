"""Local minima of a smooth function, from many starts."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import optimize

Vector = Float[np.ndarray, " m"]
_IDLE = 10
Objective = Callable[[Vector], tuple[float, Vector]]


@final
@dataclass(frozen=True)
class Minimum:
    """Where one descent ended, and the way there."""

    value: float
    at: Vector
    path: tuple[Vector, ...]
    evaluations: int


def descend(
    objective: Objective,
    start: Vector,
    *,
    iterations: int = 500,
    gain: float = 0.0,
    idle: int = _IDLE,
) -> Minimum:
    """Returns the end of L-BFGS from a start; also where the last `idle` values differ by less than `gain`."""
    path, values = [start], [math.inf]

    def follow(intermediate_result: optimize.OptimizeResult) -> None:
        path.append(intermediate_result.x.copy())
        values.append(float(intermediate_result.fun))
        if len(values) > idle and values[-idle] - values[-1] < gain:
            raise StopIteration

    found = optimize.minimize(
        _guarded(objective),
        start,
        jac=True,
        method="L-BFGS-B",
        callback=follow,
        options={"maxiter": iterations, "maxcor": 20, "ftol": 1e-15, "gtol": 1e-9, "maxls": 40},
    )
    return Minimum(float(found.fun), found.x, (*path, found.x), int(found.nfev))


def descend_all(objective: Objective, starts: Iterable[Vector]) -> Iterator[Minimum]:
    """Yields the end of each descent, past saddle points; those that failed are left out."""
    for start in starts:
        minimum = descend(objective, start)
        if math.isfinite(minimum.value):
            yield _off_saddle(objective, minimum)


def without_gradient(
    value: Callable[[Vector], float], start: Vector, *, step: float = 0.3
) -> Minimum:
    """Returns the end of Nelder-Mead, restarted until it stands still: for two or three variables."""
    at, best, evaluations = start, math.inf, 0
    for _ in range(6):
        simplex = np.vstack([at, *(at + step * row for row in np.eye(len(at)))])
        found = optimize.minimize(
            value,
            at,
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "xatol": 1e-9, "fatol": 1e-13, "maxfev": 400},
        )
        evaluations += int(found.nfev)
        gained, at = best - float(found.fun), found.x
        best, step = min(best, float(found.fun)), 0.1 * step
        if gained < 1e-11 * (1.0 + abs(best)):
            break
    return Minimum(best, at, (start, at), evaluations)


def _guarded(objective: Objective) -> Objective:
    """Far away an objective may overflow: the line search then only needs to know it is bad."""

    def safe(x: Vector) -> tuple[float, Vector]:
        with np.errstate(all="ignore"):
            value, gradient = objective(x)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return 1e100, np.zeros_like(x)
        return value, gradient

    return safe


def _off_saddle(objective: Objective, minimum: Minimum) -> Minimum:
    """Follows a direction of negative curvature, if there is one, and descends again."""
    curvature, directions = np.linalg.eigh(_hessian(objective, minimum.at))
    if curvature[0] > -1e-5 * max(1.0, curvature[-1]):
        return minimum
    best = minimum
    for sign in (1.0, -1.0):
        again = descend(objective, minimum.at + sign * 0.1 * directions[:, 0])
        if again.value < best.value - 1e-9:
            evaluations = minimum.evaluations + again.evaluations
            best = Minimum(again.value, again.at, (*minimum.path, *again.path), evaluations)
    return best


def _hessian(objective: Objective, at: Vector) -> Float[np.ndarray, "m m"]:
    step = 1e-5
    rows = [objective(at + step * e)[1] - objective(at - step * e)[1] for e in np.eye(len(at))]
    hessian = np.array(rows) / (2.0 * step)
    return np.where(np.isfinite(hessian), 0.5 * (hessian + hessian.T), 0.0)
