"""Up the likelihood: EM, accelerated where it is slow, until what is left to gain is known to be little.

A pass takes sums over the rows to parameters, and parameters to new sums; its fixed points are the
optima. EM repeats it. Anderson acceleration (1965; Walker and Ni 2011) combines the last few passes into
one longer step, taken where the likelihood rises and given up for plain EM where it does not. Where even
so the rate of convergence stays near 1, L-BFGS goes on with the gradient that the same pass gives.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import KullbackError
from kullback.fitting.components import Chart, Components
from kullback.fitting.em import MixtureModel
from kullback.fitting.rows import ScaledRows
from kullback.solvers.minimise import descend

#: EM until a pass gains less than this, in nats a row; far from an optimum it is hard to beat.
_BEGIN = 1e-3
_FIRST = 3
_MEMORY = 8
#: Accelerated passes after which L-BFGS takes over.
_PATIENCE = 20
#: and for how many steps: components that shrink to lines or points do so in few passes of EM.
_DESCENT = 80
#: Gradients are no guide where a covariance is at its bound, but for this share.
_AT_BOUND = 1e-6
#: Passes that together gain less than is asked for, after which a climb ends.
_IDLE = 40
#: The path is kept of mixtures with so many numbers in their covariances: each early pass, then few.
DRAWN, _EARLY = 2000, 20
Vector = Float[np.ndarray, " m"]


@final
@dataclass(frozen=True, eq=False)
class Climb:
    """Where a climb ended.

    Attributes:
        at: the parameters.
        sums: of the pass at them.
        value: log likelihood plus log prior, over all rows, in scaled coordinates.
        remaining: what is left to gain, in nats over all rows, extrapolated.
        passes: over the rows.
        trace: the value after each pass that was kept.
        path: parameters along the way, thinned; empty for many components.
        interrupted: whether it was stopped on the way.
    """

    at: Any
    sums: Any
    value: float
    remaining: float
    passes: int
    trace: tuple[float, ...]
    path: tuple[Any, ...] = ()
    interrupted: bool = False


def climb(
    model: MixtureModel,
    rows: ScaledRows,
    start: Any,
    *,
    tolerance: float = 1e-3,
    passes: int = 2000,
    watch: Callable[[int, float], None] = lambda *_: None,
    before: tuple[Any, ...] = (),
) -> Climb:
    """Returns where passes from a start end: the last mixture, where the next had a component without width.

    Args:
        model: the family.
        rows: what is fitted to.
        start: parameters.
        tolerance: end when less than this is left to gain, in nats over all rows.
        passes: end after so many at the latest.
        watch: told the number of passes and the value after each.
        before: the path that led to the start.
    """
    state = _State(model, rows, watch)
    state.path.extend(before)
    state.move(start, state.look(start), None)
    interrupted = False
    try:
        state.run(tolerance, passes)
    except KeyboardInterrupt:
        interrupted = True
    except np.linalg.LinAlgError:
        pass  # a component has shrunk to a plane, but for rounding: the sums say which
    return Climb(
        state.q,
        state.sums,
        state.value,
        state.remaining,
        state.count,
        tuple(state.trace),
        (*state.path, state.q) if state.path else (),
        interrupted,
    )


class _State:
    """The parameters reached, the sums that they were made of and those of the pass at them."""

    def __init__(
        self, model: MixtureModel, rows: ScaledRows, watch: Callable[[int, float], None]
    ) -> None:
        self.model, self.rows, self.watch = model, rows, watch
        self.count = 0
        self.q: Any = None
        self.sums: Any = None
        self.value = -math.inf
        self.remaining = math.inf
        self.trace: list[float] = []
        self.gains: list[float] = []
        self.history: list[tuple[Vector, Vector]] = []
        self.path: list[Any] = []

    def run(self, tolerance: float, passes: int) -> None:
        """EM while it is fast, then faster steps, until little is left to gain."""
        while self.count < passes:
            gained = self.step()
            if self.settled(tolerance):
                return
            if gained < _BEGIN * self.rows.total and len(self.gains) >= _FIRST:
                self.accelerate(tolerance, passes)
                return

    def look(self, q: Any) -> tuple[Any, float]:
        """The pass at parameters, and the value there."""
        memo = self.rows.memo
        if memo is None:
            sums = self.model.expect(self.rows, q)
        else:
            sums = memo.once(self.model, lambda: self.model.expect(self.rows, q))
        self.count += 1
        value = sums.log_likelihood + self.model.log_prior(q)
        self.watch(self.count, max(value, self.value))
        return sums, value

    def move(self, q: Any, seen: tuple[Any, float], origin: Vector | None) -> float:
        """Goes to parameters made of the sums `origin`; returns the gain."""
        gained = seen[1] - self.value
        self.q, (self.sums, self.value) = q, seen
        self.trace.append(self.value)
        if q.roots.size <= DRAWN and (self.count <= _EARLY or self.count % _EARLY == 0):
            self.path.append(q)
        if origin is not None:
            self.history.append((origin, _flat(self.sums) - origin))
            del self.history[: -_MEMORY - 1]
        return gained

    def step(self) -> float:
        """A pass of EM; returns the gain."""
        q = self.model.maximize(self.sums)
        gained = self.move(q, self.look(q), _flat(self.sums))
        self.gains.append(gained)
        self.remaining = extrapolated(self.gains, 1e-15 * abs(self.value))
        return gained

    def settled(self, tolerance: float) -> bool:
        """Whether three passes of EM in a row say that little is left."""
        return len(self.gains) >= 3 and self.remaining < tolerance

    def accelerate(self, tolerance: float, passes: int) -> None:
        """Anderson steps, checked by runs of plain EM; then L-BFGS where they are slow."""
        began = self.count
        while self.count < passes:
            gain = self.leap()
            window = self.trace[-_IDLE:]
            if len(window) == _IDLE and max(window) - window[0] < tolerance:
                # Steps that are found by iteration have noise of their own: it hides what is left.
                self.remaining = min(self.remaining, 10.0 * max(max(window) - window[0], 0.0))
                return
            if gain < 0.1 * tolerance and self.checked(tolerance):
                return
            if self.count - began > _PATIENCE and self.model.smooth and not self.bound(self.q):
                self.descend(tolerance, passes)
                began = self.count + _PATIENCE

    def bound(self, q: Components) -> bool:
        """Whether some component is no wider than rounding."""
        return bool((self.model.prior.narrow(q) > 1.0 - _AT_BOUND).any())

    def leap(self) -> float:
        """The combination of the last passes with the least residual, else plain EM; returns the gain."""
        guess = _combined(self.history)
        if guess is None:
            return self.step()
        try:
            q = self.model.maximize(_like(self.sums, guess))
            seen = self.look(q)
        except (np.linalg.LinAlgError, KullbackError):
            self.history.clear()
            return self.step()
        if not seen[1] > self.value:
            self.history.clear()
            return self.step()
        self.gains.clear()
        return self.move(q, seen, guess)

    def checked(self, tolerance: float) -> bool:
        """Whether plain passes from here say that little is left to gain."""
        self.gains.clear()
        for _ in range(3):
            self.step()
        return self.remaining < tolerance

    def descend(self, tolerance: float, passes: int) -> None:
        """L-BFGS from here; the history of passes is forgotten."""
        total, model = self.rows.total, self.model
        chart = Chart.scaled(self.q, diagonal=model.structure.by_square)

        def objective(vector: Vector) -> tuple[float, Vector]:
            try:
                q = chart.unpack(vector)
                if self.bound(q):
                    return math.inf, np.zeros_like(vector)
                sums, value = self.look(q)
            except (np.linalg.LinAlgError, KullbackError):
                return math.inf, np.zeros_like(vector)
            return -value / total, -chart.gradient(q, *model.slope(q, sums)) / total

        end = descend(
            objective,
            np.zeros(chart.size),
            iterations=max(min(passes - self.count, _DESCENT), 1),
            gain=0.1 * tolerance / total,
        )
        seen = self.look(q := chart.unpack(end.at))
        self.history.clear()
        self.gains.clear()
        if seen[1] > self.value:
            self.move(q, seen, None)


def extrapolated(gains: list[float], noise: float) -> float:
    """Returns what passes of EM have left to gain, were their gains to go on falling at the rate they fell at."""
    if len(gains) < 2:
        return math.inf
    last, before = max(gains[-1], 0.0), max(gains[-2], 0.0)
    if last <= noise:
        return noise
    rate = last / before if before > 0.0 else math.inf
    return last * rate / (1.0 - rate) if rate < 1.0 else math.inf


def _combined(history: list[tuple[Vector, Vector]]) -> Vector | None:
    """The affine combination of the last points plus residuals whose residual is least."""
    if len(history) < 2:
        return None
    points = np.array([p for p, _ in history])
    residuals = np.array([r for _, r in history])
    # Sums of squares over few rows must count beside those over many: all in units of their spread.
    unit = np.maximum(np.abs(residuals).max(axis=0), 1e-300)
    changes = np.diff(residuals, axis=0) / unit
    by, *_ = np.linalg.lstsq(changes.T, residuals[-1] / unit, rcond=1e-8)
    if not np.isfinite(by).all():
        return None
    return points[-1] + residuals[-1] - by @ np.diff(points + residuals, axis=0)


def _flat(sums: Any) -> Vector:
    return np.concatenate([np.ravel(v) for v in sums.arrays])


def _like(sums: Any, flat: Vector) -> Any:
    """Sums with other values."""
    ends = np.cumsum([v.size for v in sums.arrays])[:-1]
    parts = np.split(flat, ends)
    return sums.replaced([p.reshape(v.shape) for p, v in zip(parts, sums.arrays, strict=True)])


# The last climb of a mixture: maximum likelihood, but for components that it would shrink to points.

#: How often components may be found to shrink, one after another, before all keep the prior.
_TIMES = 4


@final
@dataclass(frozen=True, eq=False)
class Last:
    """Where a last climb ended.

    Attributes:
        end: the climb.
        kept: components that the prior was kept for.
        passes: over the rows, with those of climbs that were given up.
    """

    end: Climb
    kept: tuple[int, ...]
    passes: int


def final_climb(
    family: Any,
    rows: ScaledRows,
    at: Any,
    *,
    kept: tuple[int, ...] = (),
    tolerance: float,
    passes: int = 2000,
    watch: Callable[[int, float], None] = lambda *_: None,
    before: tuple[Any, ...] = (),
) -> Last:
    """Returns the maximum of the likelihood near a mixture, the prior kept where it must be.

    A component that the likelihood shrinks onto as many rows as there are columns, or fewer, has any
    density one likes: it keeps the prior on its covariance, and the climb begins anew. The others are free.

    Args:
        family: of the mixtures.
        rows: what is fitted to.
        at: where to begin.
        kept: components that keep the prior from the beginning.
        tolerance: nats over all rows that may be left to gain.
        passes: end after so many.
        watch: told the number of passes and the value after each.
        before: the path that led to `at`.
    """
    k, spent = len(at.weights), 0
    for _ in range(_TIMES):
        end = climb(
            family.keeping(kept, k),
            rows,
            at,
            tolerance=tolerance,
            passes=passes,
            watch=watch,
            before=before,
        )
        spent += end.passes
        few = tuple(i for i in family.spikes(end.sums) if i not in kept)
        if end.interrupted or not few:
            return Last(end, kept, spent)
        kept = (*kept, *few)
    end = climb(
        family.model, rows, at, tolerance=tolerance, passes=passes, watch=watch, before=before
    )
    return Last(end, tuple(range(k)), spent + end.passes)
