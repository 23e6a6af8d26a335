"""Modes of a density: L-BFGS from a start, finished by Newton steps, with the curvature there."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import linalg, special, stats

from kullback.solvers.minimise import descend

Vector = Float[np.ndarray, " d"]
Matrix = Float[np.ndarray, "d d"]

#: Where so many values of a climb differ by less than this, in nats, it is at its end.
_GAIN, _IDLE = 0.02, 4
_NEWTON = 20
#: How often a curvature that seems to be none is looked at again, along the axes that it gave.
_VAGUE = 3
#: Newton's decrement, in nats, below which the top is reached.
_CLOSE = 1e-3
#: No coordinate is looked for further out.
_FARTHEST = 1e160


@final
@dataclass(frozen=True, eq=False)
class Mode:
    """A local maximum of a log density.

    Attributes:
        at: where.
        value: the log density there.
        root: (d, d), lower, root root' being the inverse of minus the Hessian.
        proper: whether the gradient vanishes and the Hessian is negative definite there; if not, `at`
            is only where the climb ended.
        path: points on the way there.
    """

    at: Vector
    value: float
    root: Matrix
    proper: bool
    path: tuple[Vector, ...] = field(default=())

    @property
    def log_mass(self) -> float:
        """Laplace's approximation of the log of the integral."""
        d = len(self.at)
        return self.value + _log_det(self.root) + 0.5 * d * math.log(2.0 * math.pi)

    def distance(self, x: Vector) -> float:
        """Returns how far x is, in standard deviations of this mode."""
        z = linalg.solve_triangular(self.root, x - self.at, lower=True, check_finite=False)
        return float(np.linalg.norm(z))

    def gaussian(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Returns the log density at points if it were the Gaussian of this mode."""
        z = linalg.solve_triangular(self.root, (x - self.at).T, lower=True, check_finite=False)
        return self.value - 0.5 * np.sum(z * z, axis=0)


# A log density to be climbed and sampled: its values and gradients, counted and looked at.

Evaluate = Callable[
    [Float[np.ndarray, "n d"]], tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]
]


@final
class CountedDensity:
    """Values and gradients of a log density, with a count of them.

    A NaN, or a finite value with a gradient that is not, is kept in `faults` with its place and
    answered with -inf: whoever searches must get on, whoever reports must look at `faults`.
    """

    def __init__(self, evaluate: Evaluate, dimension: int) -> None:
        self.dimension = dimension
        self.count = 0
        self.faults: list[tuple[str, Float[np.ndarray, " d"]]] = []
        self.faulty = 0
        self._evaluate = evaluate

    def forget(self) -> None:
        """Forgets the faults met so far."""
        self.faults.clear()
        self.faulty = 0

    def far_out(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
        """Returns the same where p is hardly seen: a fault there is no reason to refuse, and is not kept."""
        met, faulty = list(self.faults), self.faulty
        found = self(x)
        self.faults, self.faulty = met, faulty
        return found

    def __call__(
        self, x: Float[np.ndarray, "n d"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
        """Returns log densities and gradients; -inf and 0 where there is nothing to stand on."""
        self.count += len(x)
        value, gradient = self._evaluate(x)
        broken = np.isnan(value) | (value == np.inf)
        bent = np.isfinite(value) & ~np.isfinite(gradient).all(axis=1)
        for rows, what in ((broken, "value"), (bent, "gradient")):
            if rows.any():
                self.faulty += int(rows.sum())
                if len(self.faults) < _KEPT:
                    self.faults.append((what, x[int(np.argmax(rows))].copy()))
        dead = broken | bent | ~np.isfinite(value)
        if dead.any():
            value = np.where(dead, -np.inf, value)
            gradient = np.where(dead[:, None], 0.0, gradient)
        return value, gradient


def climb(
    density: CountedDensity,
    start: Vector,
    *,
    root: Matrix | None = None,
    iterations: int = 200,
    known: Sequence[Mode] = (),
) -> tuple[Vector, ...]:
    """Returns the path of L-BFGS from a start, in coordinates in which `root` is the identity.

    It ends within an sd of a mode that is known, too.
    """
    d = len(start)
    root = np.eye(d) if root is None else root
    origin = density(start[None])[0][0]

    def objective(v: Vector) -> tuple[float, Vector]:
        value, gradient = density((start + root @ v)[None])
        return float(origin - value[0]), -gradient[0] @ root

    proper = [m for m in known if m.proper]

    def is_known(v: Vector, drop: float) -> bool:
        level = [m for m in proper if abs(origin - drop - m.value) < 1.0]
        return any(m.distance(start + root @ v) < 1.0 for m in level)

    end = descend(
        objective, np.zeros(d), iterations=iterations, gain=_GAIN, idle=_IDLE, known=is_known
    )
    return tuple(start + root @ v for v in end.path[:-1])


def find(density: CountedDensity, start: Vector) -> Mode:
    """Returns the mode above a start; coordinates of very different scales are rescaled at need."""
    path = climb(density, start)
    mode = mode_at(density, path[-1])
    if not mode.proper:
        again = climb(density, start, root=np.diag(reach(density, start)))
        other = mode_at(density, again[-1])
        if other.proper:
            mode, path = other, again
    return replace(mode, path=path)


def mode_at(density: CountedDensity, at: Vector) -> Mode:
    """Returns the mode that Newton's method reaches from a point close by.

    Args:
        density: what is climbed.
        at: a point.
    """
    value, gradient = (a[0] for a in density(at[None]))
    root, vague = np.diag(reach(density, at)), 0
    for _ in range(_NEWTON):
        # A thin sheet across the coordinates is seen to a factor of 3,000, and better along its own axes.
        root, definite = _curvature(density, at, root)
        step = root @ (root.T @ gradient)
        if 0.5 * float(gradient @ step) < _CLOSE:
            vague += not definite
            if definite or vague > _VAGUE:
                return Mode(at, float(value), root, definite)
            continue
        moved = _best_on(density, at, step, float(value))
        if moved is None:
            return Mode(at, float(value), root, proper=False)
        at, value, gradient = moved
    return Mode(at, float(value), root, proper=False)


def reach(density: CountedDensity, at: Vector) -> Vector:
    """Returns how far the density reaches along each coordinate: where it has fallen by about a nat.

    Steps of each coordinate grow or shrink by powers of ten, all coordinates at once.
    """
    _, gradient = (a[0] for a in density(at[None]))
    finest = 1e-6 * np.abs(at)
    step, low, high = np.ones(len(at)), np.zeros(len(at)), np.full(len(at), np.inf)
    curvature = np.ones(len(at))
    for _ in range(60):
        with np.errstate(all="ignore"):
            moved, slope = density(at + np.diag(step))
            curvature = np.abs(np.diag(slope) - gradient) / step
            drop = np.where(np.isfinite(moved), 0.5 * curvature * step**2, np.inf)
        far, near = (drop > 10.0) & (step > finest), (drop < 1e-3) & (step < _FARTHEST)
        if not (far | near).any():
            break
        high, low = np.where(far, step, high), np.where(near, step, low)
        bounded = np.isfinite(high) & (low > 0.0)
        between = np.sqrt(np.where(bounded, low, 1.0)) * np.sqrt(np.where(bounded, high, 1.0))
        jump = np.where(far, step / _jump(drop), np.where(near, step * _jump(drop), step))
        step = np.where(bounded & (far | near), between, jump).clip(finest, _FARTHEST)
    with np.errstate(all="ignore"):
        scale = curvature**-0.5
    return np.where(np.isfinite(scale) & (scale < _FARTHEST), scale, 1.0)


def _jump(drop: Vector) -> Vector:
    """A factor that would lead a parabola to a drop of about 1, if the drop is known at all."""
    with np.errstate(all="ignore"):
        ideal = np.sqrt(np.where(drop < 1.0, 1.0 / drop, drop))
    return np.where(np.isfinite(ideal), np.clip(ideal, 2.0, 1e160), 1e3)


def _curvature(density: CountedDensity, at: Vector, axes: Matrix) -> tuple[Matrix, bool]:
    """Returns the root of the inverse of minus the Hessian, and whether that was positive definite.

    Args:
        density: what is climbed.
        at: a point.
        axes: columns along which slopes are compared, about as long as the density reaches.
    """
    d = len(at)
    finest = 64.0 * np.spacing(np.abs(at)).max()
    length = np.maximum(1e-2, finest / np.abs(axes).max(axis=0))
    _, slopes = density(np.concatenate([at + (length * axes).T, at - (length * axes).T]))
    white = -((slopes[:d] - slopes[d:]) / (2.0 * length)[:, None]) @ axes
    white = 0.5 * (white + white.T)
    if not np.isfinite(white).all():
        return axes, False
    values, vectors = np.linalg.eigh(white)
    least = 1e-7 * max(float(np.abs(values).max()), 1e-7)
    wide = axes @ (vectors / np.sqrt(np.maximum(np.abs(values), least)))
    root = np.linalg.qr(wide.T)[1].T
    return root * np.where(np.diag(root) < 0.0, -1.0, 1.0), bool(values[0] > least)


def _best_on(
    density: CountedDensity, at: Vector, step: Vector, value: float
) -> tuple[Vector, float, Vector] | None:
    """Returns the first point that is higher, of shorter and shorter steps; None if there is none."""
    for length in 0.5 ** np.arange(12.0):
        tried, gradient = density((at + length * step)[None])
        if tried[0] > value:
            return at + length * step, float(tried[0]), gradient[0]
    return None


def _log_det(root: Matrix) -> float:
    return float(np.log(np.abs(np.diag(root))).sum())


_KEPT = 16


# Draws of a standard normal with its mean and covariance exactly, so that Gaussians are met exactly.

#: Sobol points exist up to this many coordinates.
_SOBOL = stats.qmc.Sobol.MAXDIM


def whitened(d: int, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n d"]:
    """Returns n (even) draws in pairs z, -z, row i and row i + n/2: mean 0 and, if n >= 2 d, covariance I."""
    half = n // 2
    if d <= _SOBOL:
        count = 1 << (half - 1).bit_length()
        u = stats.qmc.Sobol(d, rng=rng).random(count)[:half]
        z = special.ndtri(u.clip(1e-12, 1.0 - 1e-12))
    else:
        z = rng.standard_normal((half, d))
    if half >= d:
        root = np.linalg.cholesky(z.T @ z / half)
        z = linalg.solve_triangular(root, z.T, lower=True).T
    else:
        z /= np.sqrt(np.mean(z * z, axis=0))
    return np.concatenate([z, -z])
