"""Local minima of a smooth function, from many starts."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import optimize

Vector = Float[np.ndarray, " m"]
_IDLE = 10
#: What a value that overflows counts as in a line search.
_TOO_FAR = 1e100
#: Of central differences: the cube root of the rounding of a double.
_DIFFERENCE = 6e-6
#: A gradient below this is level ground: a value is then right to about its square.
_LEVEL = 1e-5
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


def descend_past_saddles(objective: Objective, start: Vector) -> Minimum:
    """Returns the end of L-BFGS from a start, off the saddle points where it may have stopped."""
    minimum = descend(objective, start)
    failed = not math.isfinite(minimum.value) or minimum.value >= _TOO_FAR
    return replace(minimum, value=math.inf) if failed else _off_saddle(objective, minimum)


def descend_by_differences(value: Callable[[Vector], float], start: Vector) -> Minimum:
    """Returns the end of L-BFGS with the gradient by differences: for a few parameters.

    Where it ends at a kink, or at an edge beyond which the value is infinite, Nelder-Mead goes on.
    """

    def objective(x: Vector) -> tuple[float, Vector]:
        here, gradient = value(x), np.zeros_like(x)
        if not math.isfinite(here):
            return math.inf, gradient
        for i in range(len(x)):
            step = np.zeros_like(x)
            step[i] = _DIFFERENCE * max(1.0, abs(float(x[i])))
            gradient[i] = (value(x + step) - value(x - step)) / (2.0 * step[i])
        return here, gradient

    end = descend(objective, start, iterations=100, gain=1e-11, idle=3)
    spent = end.evaluations * (1 + 2 * len(start))
    if math.isfinite(end.value) and end.value < _TOO_FAR:
        gradient = objective(end.at)[1]
        if float(np.max(np.abs(gradient), initial=0.0)) < _LEVEL * (1.0 + abs(end.value)):
            return replace(end, evaluations=spent)
    near = end.at if math.isfinite(value(end.at)) else start
    again = without_gradient(value, near, step=0.1, evaluations=150, restarts=3)
    return Minimum(again.value, again.at, (*end.path, again.at), spent + again.evaluations)


def without_gradient(
    value: Callable[[Vector], float],
    start: Vector,
    *,
    step: float = 0.3,
    evaluations: int = 400,
    restarts: int = 6,
) -> Minimum:
    """Returns the end of Nelder-Mead, restarted until it stands still: for two or three variables."""
    at, best, spent = start, math.inf, 0
    for _ in range(restarts):
        simplex = np.vstack([at, *(at + step * row for row in np.eye(len(at)))])
        found = optimize.minimize(
            value,
            at,
            method="Nelder-Mead",
            options={
                "initial_simplex": simplex,
                "xatol": 1e-9,
                "fatol": 1e-13,
                "maxfev": evaluations,
            },
        )
        spent += int(found.nfev)
        gained, at = best - float(found.fun), found.x
        best, step = min(best, float(found.fun)), 0.1 * step
        if gained < 1e-11 * (1.0 + abs(best)):
            break
    return Minimum(best, at, (start, at), spent)


def _guarded(objective: Objective) -> Objective:
    """Far away an objective may overflow: the line search then only needs to know it is bad."""

    def safe(x: Vector) -> tuple[float, Vector]:
        with np.errstate(all="ignore"):
            value, gradient = objective(x)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return _TOO_FAR, np.zeros_like(x)
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
