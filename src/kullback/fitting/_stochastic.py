"""Stochastic ascent of the ELBO over one Gaussian: Adam on noisy gradients, decaying steps, averages.

The coordinates are those of the best start, N(m0, L0 L0'): q = N(m0 + L0 u, L0 C C' L0'), C lower
triangular (diagonal in a mean-field family), its diagonal by its log. There one step size serves all.

Steps are made in windows, as `_windows` says.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.families import FullRank, MeanField, is_diagonal
from kullback.fitting._chart import Chart
from kullback.fitting._elbo_gradients import Drawn, Estimator, check_estimator, drawn_at
from kullback.fitting._reverse import ReverseFit
from kullback.fitting._run import Run
from kullback.fitting._search import Search
from kullback.fitting._windows import windows
from kullback.solvers._adam import Adam
from kullback.solvers._density import Density, Evaluate

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


@final
class Judge:
    """Compares Gaussians on draws that no gradient has seen."""

    def __init__(self, density: Density, chart: Chart, rng: np.random.Generator) -> None:
        self._density, self._chart = density, chart
        self._z = rng.standard_normal((_COMPARED, chart.origin.means.shape[1]))

    def log_ratio(self, at: Float[np.ndarray, " p"]) -> Float[np.ndarray, " n"]:
        """Returns log p - log q at the draws."""
        return drawn_at(self._density, self._chart.member(at), self._z).log_ratio


@final
class Climb:
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
        q = self._chart.member(self.at)
        z = self._rng.standard_normal((self._draws, q.means.shape[1]))
        drawn = _patched(drawn_at(self._evaluate, q, z))
        shift, root = self._row.estimate(drawn).mean(diagonal=q.diagonal)
        gradient = self._chart.gradient(self.at, shift, root)
        if np.isfinite(gradient).all():
            self._adam = self._adam.after(gradient)
            self.at = self.at + step * self._adam.direction


def _patched(drawn: Drawn) -> Drawn:
    """Draws where p is 0 count as ten nats below the lowest of the others; the report names them."""
    alive = np.isfinite(drawn.log_p)
    if alive.all():
        return drawn
    lowest = float(drawn.log_p[alive].min()) if alive.any() else 0.0
    return replace(drawn, log_p=np.where(alive, drawn.log_p, lowest - 10.0))


def stochastic_fit(
    density: Density,
    found: Search,
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
    chart, rng = Chart(start), run.generator("steps")

    def evaluate(x: Array) -> tuple[Array, Array]:
        return density(x) if minibatch is None else minibatch(x, rng)

    climb = Climb(evaluate, chart, estimator, rng, draws)
    judge = Judge(density, chart, run.generator("comparison"))
    reached = windows(
        climb.window,
        judge.log_ratio,
        chart.errors,
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
            q, spent = chart.member(best.at), best.spent or draws
            made = replace(made, q=q, trace=trace, noise=best.noise, draws=spent)
            run.told(density.count, best.elbo)
    except KeyboardInterrupt:
        if not made.trace:
            raise
        return replace(made, interrupted=True)
    return made
