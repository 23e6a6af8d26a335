"""Newton's method in a box, for a few parameters: gradients are given, curvature is measured."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " m"]
#: Maps a point to a value and its gradient.
Objective = Callable[[Vector], tuple[float, Vector]]

_STEP = 1e-5
_LONGEST = 2.0
_SHORT = 1e-3
_FLAT = 1e-9
#: Curvature, in coordinates of one size, below this is rounding.
_LEAST = 1e-8


@final
@dataclass(frozen=True, eq=False)
class Stationary:
    """Where Newton's method ended.

    Attributes:
        value, at: the least value, and where.
        bound: which coordinates ended at an end of the box.
        flat: whether some direction has no curvature to speak of: it is not told by the value.
        evaluations: of the objective.
    """

    value: float
    at: Vector
    bound: np.ndarray
    flat: bool
    evaluations: int


def newton(
    objective: Objective,
    start: Vector,
    low: Vector,
    high: Vector,
    *,
    units: Callable[[Vector], Vector] | None = None,
    iterations: int = 200,
) -> Stationary:
    """Returns a minimum of a smooth function in a box, to the rounding of its gradient.

    Directions of negative curvature are followed downwards. Values decide as long as they can tell two
    points apart, then the size of the gradient does: a value alone fixes a minimum to half its digits only.

    Args:
        objective: maps (m,) to a value and a gradient; what is not finite counts as too far.
        start: where to begin.
        low, high: the box.
        units: maps a point to a length in each coordinate over which the function changes; 1 if not said.
        iterations: at most.
    """
    counted = _Counted(objective)
    lengths = units or np.ones_like
    at = np.clip(start, low, high)
    value, gradient = counted(at)
    hessian = _hessian(counted, at, lengths(at))
    for _ in range(iterations):
        free = _free(at, gradient, low, high)
        step = _direction(hessian, gradient, free)
        found = _searched(counted, at, value, gradient, step, (low, high))
        if found is None:
            break
        moved = float(np.max(np.abs(found[0] - at)))
        at, value, gradient = found
        # A short step leaves the curvature as it was: measuring it again would cost more than it saves.
        if moved > _SHORT:
            hessian = _hessian(counted, at, lengths(at))
        if moved < 1e-13 * (1.0 + float(np.max(np.abs(at)))):
            break
    free = _free(at, gradient, low, high)
    return Stationary(value, at, ~free, _is_flat(hessian, free), counted.count)


@final
class _Counted:
    """The objective, its overflows made infinite, and how often it was asked."""

    def __init__(self, objective: Objective) -> None:
        self.count = 0
        self._objective = objective

    def __call__(self, at: Vector) -> tuple[float, Vector]:
        self.count += 1
        with np.errstate(all="ignore"):
            value, gradient = self._objective(at)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return math.inf, np.zeros_like(at)
        return float(value), gradient


def _hessian(objective: _Counted, at: Vector, lengths: Vector) -> Float[np.ndarray, "m m"]:
    rows = []
    for i in range(len(at)):
        step = np.zeros_like(at)
        step[i] = _STEP * float(lengths[i])
        # What is divided by is what was really moved, after rounding.
        up, down = at + step, at - step
        rows.append((objective(up)[1] - objective(down)[1]) / (up[i] - down[i]))
    hessian = np.array(rows)
    return 0.5 * (hessian + hessian.T)


def _free(at: Vector, gradient: Vector, low: Vector, high: Vector) -> np.ndarray:
    """Which coordinates are not held by an end of the box."""
    return ~(((at <= low) & (gradient >= 0.0)) | ((at >= high) & (gradient <= 0.0)))


def _direction(hessian: Float[np.ndarray, "m m"], gradient: Vector, free: np.ndarray) -> Vector:
    step = np.zeros_like(gradient)
    if not free.any():
        return step
    part = hessian[np.ix_(free, free)]
    # Coordinates of very different curvature are brought to one size: a small one is no rounding of a large.
    unit = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(part)), _LEAST))
    curvature, axes = np.linalg.eigh(part * np.outer(unit, unit))
    size = np.maximum(np.abs(curvature), _LEAST)
    step[free] = -unit * (axes @ ((axes.T @ (unit * gradient[free])) / size))
    longest = float(np.max(np.abs(step)))
    return step * min(1.0, _LONGEST / longest) if longest > 0.0 else step


def _searched(
    objective: _Counted,
    at: Vector,
    value: float,
    gradient: Vector,
    step: Vector,
    box: tuple[Vector, Vector],
) -> tuple[Vector, float, Vector] | None:
    """Returns the first point on the way back from a step that is better, None if none is."""
    size = float(np.abs(step @ gradient))
    for shrink in 0.5 ** np.arange(40.0):
        there = np.clip(at + shrink * step, *box)
        if np.array_equal(there, at):
            return None
        new, slope = objective(there)
        told = 1e-13 * (1.0 + abs(value))
        if new < value - told or (
            abs(new - value) <= told and float(np.abs(step @ slope)) < 0.9 * size
        ):
            return there, new, slope
    return None


def _is_flat(hessian: Float[np.ndarray, "m m"], free: np.ndarray) -> bool:
    if not free.any():
        return False
    return float(np.linalg.eigvalsh(hessian[np.ix_(free, free)])[0]) < _FLAT


# Local minima of a smooth function, from many starts.

_IDLE = 10
#: What a value that overflows counts as in a line search.
_TOO_FAR = 1e100
#: Of central differences: the cube root of the rounding of a double.
_DIFFERENCE = 6e-6
#: A gradient below this is level ground: a value is then right to about its square.
_LEVEL = 1e-5


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
    known: Callable[[Vector, float], bool] | None = None,
) -> Minimum:
    """Returns the end of L-BFGS from a start; also where the last `idle` values differ by less than `gain`.

    It ends, too, at a point and value that is known to lead where nothing is wanted.
    """
    from scipy import optimize  # noqa: PLC0415 - closed forms need none

    path, values = [start], [math.inf]
    guarded = _Guarded(objective)

    def follow(intermediate_result: Any) -> None:
        guarded.accept()
        path.append(intermediate_result.x.copy())
        values.append(float(intermediate_result.fun))
        if len(values) > idle and values[-idle] - values[-1] < gain:
            raise StopIteration
        if known is not None and known(path[-1], values[-1]):
            raise StopIteration

    found = optimize.minimize(
        guarded,
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
    from scipy import optimize  # noqa: PLC0415 - closed forms need none

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


@final
class _Guarded:
    """An objective for a line search that may go too far, where it overflows or a matrix is singular.

    There it is as much above the last accepted point as its slope would have brought below: halving
    steps by interpolation goes on from that, while an enormous value would send the step to nothing.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._last: tuple[Vector, float, Vector] | None = None
        self._accepted: tuple[Vector, float, Vector] | None = None

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        try:
            with np.errstate(all="ignore"):
                value, gradient = self._objective(x)
        except np.linalg.LinAlgError:
            value, gradient = math.nan, np.zeros_like(x)
        if math.isfinite(value) and np.isfinite(gradient).all():
            self._last = x.copy(), value, gradient
            self._accepted = self._accepted or self._last
            return value, gradient
        if self._accepted is None:
            return _TOO_FAR, np.zeros_like(x)
        at, below, slope = self._accepted
        return below + abs(float(slope @ (x - at))), np.zeros_like(x)

    def accept(self) -> None:
        """Says that the last point was taken."""
        self._accepted = self._last


def _off_saddle(objective: Objective, minimum: Minimum) -> Minimum:
    """Follows a direction of negative curvature, if there is one, and descends again."""
    curvature, directions = np.linalg.eigh(_numeric_hessian(objective, minimum.at))
    if curvature[0] > -1e-5 * max(1.0, curvature[-1]):
        return minimum
    best = minimum
    for sign in (1.0, -1.0):
        again = descend(objective, minimum.at + sign * 0.1 * directions[:, 0])
        if again.value < best.value - 1e-9:
            evaluations = minimum.evaluations + again.evaluations
            best = Minimum(again.value, again.at, (*minimum.path, *again.path), evaluations)
    return best


def _numeric_hessian(objective: Objective, at: Vector) -> Float[np.ndarray, "m m"]:
    step = 1e-5
    rows = [objective(at + step * e)[1] - objective(at - step * e)[1] for e in np.eye(len(at))]
    hessian = np.array(rows) / (2.0 * step)
    return np.where(np.isfinite(hessian), 0.5 * (hessian + hessian.T), 0.0)


# Adam: gradient steps, each coordinate's by its own running size. Kingma and Ba (2015), algorithm 1.

_FLOOR = 1e-8


@final
class Adam(NamedTuple):
    """The running means of a gradient and of its square; of NumPy's arrays, or in a compiled loop of JAX's.

    Attributes:
        first, second: the two means, before their correction for having started at 0.
        steps: how many gradients are in them.
        decays: what the means keep at each step.
    """

    first: Any
    second: Any
    steps: Any = 0
    decays: tuple[float, float] = (0.9, 0.999)

    @classmethod
    def start(cls, p: int) -> "Adam":
        """Returns the state before the first of p coordinates' gradients."""
        return cls(np.zeros(p), np.zeros(p))

    def after(self, gradient: Any) -> "Adam":
        """Returns the state after one gradient more, (p,)."""
        first, second = self.decays
        return Adam(
            first * self.first + (1.0 - first) * gradient,
            second * self.second + (1.0 - second) * gradient**2,
            self.steps + 1,
            self.decays,
        )

    @property
    def direction(self) -> Any:
        """The step of length 1, (p,): m / (sqrt(v) + 1e-8), both corrected."""
        first = self.first / (1.0 - self.decays[0] ** self.steps)
        second = self.second / (1.0 - self.decays[1] ** self.steps)
        return first / (second**0.5 + _FLOOR)
