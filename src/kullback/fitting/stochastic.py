"""Stochastic ascent of the ELBO over one Gaussian: Adam on noisy gradients, decaying steps, averages.

The coordinates are those of the best start, as `Chart` has them: there one step size serves all.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import linalg

from kullback.core.run import Run
from kullback.families import FullRank, MeanField, is_diagonal
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Chart
from kullback.fitting.elbo_gradients import Estimator, GaussianDraws, check_estimator, drawn_at
from kullback.fitting.reverse import NATS, ReverseFit, settled
from kullback.solvers.minimise import Adam
from kullback.solvers.modes import CountedDensity, Evaluate

Array = np.ndarray

#: Draws of a step, and of the comparison after each window.
DRAWS, _FEW, _COMPARED = 64, 8, 512
#: The first step, in sds of the start, and how many of them a window has; their product is kept.
_STEP, _WINDOW = 0.05, 200
#: Batches of a window whose means tell the error of its average.
_BATCHES = 10
#: Draws spent at most, unless said.
MOST = 400_000
#: An estimate of log p and of its gradient at n points, from some rows of the data.
Minibatch = Callable[[Array, np.random.Generator], tuple[Array, Array]]


def average_error(
    chart: Chart, average: Float[np.ndarray, " p"], batches: Float[np.ndarray, "b p"]
) -> tuple[float, float]:
    """Returns the error of an average of iterates, by its batches: in nats, and in sds."""
    scale = inflation(batches - average) / (len(batches) - 1.0)
    (_, shift, factor), centre = chart.parts(average), chart.unpack(average)
    shifts, changes, members = [], [], []
    for batch in batches:
        _, other, root = chart.parts(batch)
        apart = (other - shift)[0]
        if chart.origin.diagonal:
            shifts.append(apart / factor[0])
            changes.append(root[0] / factor[0] - 1.0)
        else:
            shifts.append(linalg.solve_triangular(factor[0], apart, lower=True))
            turned = linalg.solve_triangular(factor[0], root[0], lower=True)
            changes.append(turned - np.eye(len(apart)))
        members.append(chart.unpack(batch))
    squares = np.mean(np.square(changes), axis=0)
    excess = 0.5 * float(np.mean(np.square(shifts), axis=0).sum())
    excess += float(
        squares.sum() if squares.ndim == 1 else 0.5 * squares.sum() + 0.5 * np.trace(squares)
    )
    sd = centre.sds[0]
    means = np.array([m.means[0] for m in members]) - centre.means[0]
    widths = np.array([m.sds[0] for m in members]) / sd - 1.0
    worst = max(
        float(np.mean((means / sd) ** 2, axis=0).max()), float(np.mean(widths**2, axis=0).max())
    )
    return excess * scale, math.sqrt(worst * scale)


@final
class Judge:
    """Compares Gaussians on draws that no gradient has seen."""

    def __init__(self, density: CountedDensity, chart: Chart, rng: np.random.Generator) -> None:
        self._density, self._chart = density, chart
        self._z = rng.standard_normal((_COMPARED, chart.origin.means.shape[1]))

    def log_ratio(self, at: Float[np.ndarray, " p"]) -> Float[np.ndarray, " n"]:
        """Returns log p - log q at the draws."""
        return drawn_at(self._density, self._chart.unpack(at), self._z).log_ratio


@final
class AdamState:
    """The state of an ascent: where it is, and the momenta of Adam."""

    def __init__(
        self,
        evaluate: Evaluate,
        chart: Chart,
        name: Estimator,
        rng: np.random.Generator,
        draws: int,
    ) -> None:
        self.at = np.zeros(chart.size)
        self._adam = Adam.start(chart.size)
        self._evaluate, self._chart, self._rng, self._draws = evaluate, chart, rng, draws
        self._row = check_estimator(name)

    def window(self, steps: int, step: float) -> Float[np.ndarray, "b p"]:
        """Returns the means of batches of the next iterates; without Adam's first, still blind, steps."""
        sums = np.zeros((_BATCHES, self._chart.size))
        per = steps // _BATCHES
        for i in range(_BATCHES):
            for _ in range(per):
                self._move(step)
                sums[i] += self.at
        return sums / per

    def _move(self, step: float) -> None:
        q = self._chart.unpack(self.at)
        z = self._rng.standard_normal((self._draws, q.means.shape[1]))
        drawn = _patched(drawn_at(self._evaluate, q, z))
        shift, root = self._row.estimate(drawn).mean(diagonal=q.diagonal)
        gradient = self._chart.gradient(q, np.zeros(1), shift[None], root[None])
        if np.isfinite(gradient).all():
            self._adam = self._adam.after(gradient)
            self.at = self.at + step * self._adam.direction


def _patched(drawn: GaussianDraws) -> GaussianDraws:
    """Draws where p is 0 count as ten nats below the lowest of the others; the report names them."""
    alive = np.isfinite(drawn.log_p)
    if alive.all():
        return drawn
    lowest = float(drawn.log_p[alive].min()) if alive.any() else 0.0
    return replace(drawn, log_p=np.where(alive, drawn.log_p, lowest - 10.0))


def stochastic_fit(
    density: CountedDensity,
    found: Climbs,
    recipe: MeanField | FullRank,
    run: Run,
    *,
    estimator: Estimator = "stick_the_landing",
    minibatch: Minibatch | None = None,
    draws: int | None = None,
    most: int = MOST,
) -> ReverseFit:
    """Returns the Gaussian of the family that stochastic ascent from the best start ends at.

    Args:
        density: log p, unnormalised.
        found: where to start; its best start is taken.
        recipe: MeanField() or FullRank().
        run: randomness, progress.
        estimator: of the gradient, a name in `ESTIMATORS`.
        minibatch: an unbiased estimate of log p and its gradient at n points from some of the rows
            of the data, for the steps; the comparisons are made on `density`.
        draws: of one step, at least 2; 64 unless said, 8 with a minibatch, whose noise they share.
        most: draws at most.

    Raises:
        InputError: there is no such estimator.
        DensityError: p is 0 at every draw of the start.
    """
    draws = draws or (DRAWS if minibatch is None else _FEW)
    start = found.starts[0].within(diagonal=is_diagonal(recipe))
    chart, rng = Chart(start, start.diagonal), run.generator("steps")

    def evaluate(x: Array) -> tuple[Array, Array]:
        return density(x) if minibatch is None else minibatch(x, rng)

    climb = AdamState(evaluate, chart, estimator, rng, draws)
    judge = Judge(density, chart, run.generator("comparison"))
    reached = windows(
        climb.window,
        judge.log_ratio,
        partial(average_error, chart),
        start=climb.at,
        step=_STEP,
        length=_WINDOW,
        per_step=draws,
        compared=0,
        most=most,
    )
    made = ReverseFit(start, (), (), (math.inf, math.inf), draws, grown=False)
    try:
        for best in reached:
            trace = (*made.trace, (density.count, best.elbo, _COMPARED))
            q, spent = chart.unpack(best.at), best.spent or draws
            made = replace(made, q=q, trace=trace, noise=best.noise, draws=spent)
            run.told(density.count, best.elbo)
    except KeyboardInterrupt:
        if not made.trace:
            raise
        return replace(made, interrupted=True)
    return made


# Stochastic ascent in windows, whose averages are compared on draws that no gradient has seen.

#: Neighbouring batches more correlated than this say that the window is too short to know its error.
_TIED = 0.35
_ROUNDING = 1e-20
#: Windows in a row without a gain before the end.
_FLAT = 3


@final
@dataclass(frozen=True, eq=False)
class Reached:
    """The best so far: where, its ELBO on the common draws, its error, and the draws spent."""

    at: Array
    elbo: float
    noise: tuple[float, float]
    spent: int


def windows(
    window: Callable[[int, float], Array],
    ratio_at: Callable[[Array], Float[np.ndarray, " n"]],
    errors: Callable[[Array, Array], tuple[float, float]],
    *,
    start: Array,
    step: float,
    length: int,
    per_step: int,
    compared: int,
    most: int,
) -> Iterator[Reached]:
    """Yields the start, and the best so far after each window.

    Args:
        window: makes so many steps of such a size; returns means of batches of where they led.
        ratio_at: log p - log q on the common draws.
        errors: of an average by its batches, in nats and sds.
        start: where the first window begins.
        step, length: of the first window.
        per_step, compared: the draws that a step and a comparison are counted as.
        most: draws at most.
    """
    best, ratio, noise = start, ratio_at(start), (math.inf, math.inf)
    spent, flat = compared, 0
    yield Reached(best, float(ratio.mean()), noise, spent)
    while spent + per_step * length <= most and not (flat >= _FLAT and settled(noise)):
        batches = window(length, step)
        spent += per_step * length + compared
        average = batches.mean(axis=0)
        there = ratio_at(average)
        gain, error = _paired_gain(there, ratio)
        rising = gain > NATS + 2.0 * error
        if rising or gain > -NATS - 2.0 * error:
            best, ratio, noise = average, there, errors(average, batches)
        tied = _correlation((batches - average).reshape(len(batches), -1)) > _TIED
        flat = 0 if rising or tied else flat + 1
        if not rising:
            step, length = step if tied else 0.5 * step, 2 * length
        yield Reached(best, float(ratio.mean()), noise, spent)


def inflation(apart: Float[np.ndarray, "b p"]) -> float:
    """Returns how much larger the variance of the mean of correlated batches is than that of independent ones."""
    lag = _correlation(apart)
    return (1.0 + lag) / (1.0 - lag)


def _correlation(apart: Float[np.ndarray, "b p"]) -> float:
    """Returns the correlation of neighbouring batches, from 0 to 0.9; 0 for what is rounding."""
    total = float(np.sum(apart**2))
    if total < _ROUNDING * apart.size:
        return 0.0
    # The mean is taken from the batches themselves, which lowers each correlation by 1 / b.
    lag = float(np.sum(apart[1:] * apart[:-1])) / total + 1.0 / len(apart)
    return min(max(lag, 0.0), 0.9)


def _paired_gain(there: Array, here: Array) -> tuple[float, float]:
    """Returns how much higher the mean of one log-ratio is than another's, draw by draw, with its error."""
    lives, lived = np.isfinite(there), np.isfinite(here)
    if lives.sum() != lived.sum():
        return (math.inf if lives.sum() > lived.sum() else -math.inf), 0.0
    both = lived & lives
    apart = there[both] - here[both]
    if len(apart) < 2:
        return 0.0, 0.0
    return float(apart.mean()), float(apart.std(ddof=1)) / math.sqrt(len(apart))
