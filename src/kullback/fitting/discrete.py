"""Mean-field reverse fits over discrete latents: the score function with a leave-one-out baseline, by Adam.

q is a product of m categoricals of k values, by its logits. One draw x contributes

    (r - mean of the other draws' r) (onehot(x) - probabilities),    r = log p(x) - log q(x)

to the gradient of the ELBO with respect to the logits: log p is called, never differentiated. Windows,
comparisons on common draws, averages and the end are those of `_stochastic`. The start is uniform, where
symmetric targets are flat, and a few random ones; the best end is the fit, others are other optima.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from kullback.core.run import Run
from kullback.distributions.vector import Independent
from kullback.fitting.stochastic import inflation, windows
from kullback.solvers.minimise import Adam

Array = np.ndarray
#: Maps codes (n, m) to log p, (n,).
Values = Callable[[Int[np.ndarray, "n m"]], Float[np.ndarray, " n"]]

_DRAWS, _COMPARED = 64, 1024
#: The first step, in logits; its product with a window's length is kept.
_STEP, _WINDOW, _BATCHES = 0.1, 100, 10
#: Values of log p at most, from one start.
MOST = 200_000
#: Ascents, unless said.
STARTS = 8
#: Probabilities further apart than this somewhere are another optimum.
_APART = 0.1


@final
@dataclass(frozen=True, eq=False)
class DiscreteFit:
    """Where the ascents ended.

    Attributes:
        log_probabilities: of the best q, (m, k).
        others: of the other optima, best first.
        trace: (values so far, ELBO on common draws, how many of these), of the best.
        noise: the error of the fit in nats, and of a probability in its own sds.
        starts: ascents made.
        interrupted: whether it was stopped.
    """

    log_probabilities: Float[np.ndarray, "m k"]
    others: tuple[Float[np.ndarray, "m k"], ...]
    trace: tuple[tuple[int, float, int], ...]
    noise: tuple[float, float]
    starts: int
    interrupted: bool = False


def discrete_fit(
    values: Values, m: int, k: int, run: Run, *, starts: int = STARTS, most: int = MOST
) -> DiscreteFit:
    """Returns the product of m categoricals of k values that is closest to p in KL(q||p).

    Args:
        values: log p at codes (n, m), unnormalised; -inf where there is no mass.
        m, k: how many latents, and values of each.
        run: randomness, progress.
        starts: ascents: one from the uniform distribution, the others from random ones.
        most: values of log p at most, for each start.

    Example:
        >>> table = np.log([[0.3, 0.7], [0.9, 0.1]])
        >>> made = discrete_fit(lambda x: table[[0, 1], x].sum(axis=1), 2, 2, Run(0, lambda _: None))
        >>> np.exp(made.log_probabilities).round(2).tolist()
        [[0.3, 0.7], [0.9, 0.1]]
    """
    ends: list[DiscreteFit] = []
    for i in range(starts):
        logits = np.zeros((m, k))
        if i:
            logits = run.generator("start", i).normal(0.0, 2.0, (m, k))
        ends.append(_ascent(values, logits, run, i, most))
        if ends[-1].interrupted:
            break
    ends.sort(key=lambda e: e.trace[-1][1], reverse=True)
    best, kept = ends[0], [ends[0]]
    for end in ends[1:]:
        if all(_apart(end, other) for other in kept):
            kept.append(end)
    return replace(
        best,
        others=tuple(e.log_probabilities for e in kept[1:]),
        starts=len(ends),
        interrupted=any(e.interrupted for e in ends),
    )


def _ascent(values: Values, logits: Array, run: Run, index: int, most: int) -> DiscreteFit:
    m = len(logits)
    climb = _Climb(values, logits, run.generator("steps", index))
    u = run.generator("comparison", 0).random((_COMPARED, m))

    def ratio_at(logits: Array) -> Array:
        q = Independent(special.log_softmax(logits, axis=1), (m,))
        x = q.at(u)
        return values(x) - q.log_prob(x)

    reached = windows(
        climb.window,
        ratio_at,
        _errors,
        start=logits,
        step=_STEP,
        length=_WINDOW,
        per_step=_DRAWS,
        compared=_COMPARED,
        most=most,
    )
    made = DiscreteFit(_log(logits), (), (), (math.inf, math.inf), 1)
    try:
        for best in reached:
            trace = (*made.trace, (best.spent, best.elbo, _COMPARED))
            made = replace(made, log_probabilities=_log(best.at), trace=trace, noise=best.noise)
            run.watch(f"ELBO {best.elbo:.3f} on common draws, {best.spent} values of log p")
    except KeyboardInterrupt:
        if not made.trace:
            raise
        return replace(made, interrupted=True)
    return made


@final
class _Climb:
    """Where an ascent is, and the momenta of Adam."""

    def __init__(self, values: Values, logits: Array, rng: np.random.Generator) -> None:
        self._at, self._adam = logits, Adam.start(logits.size)
        self._values, self._rng = values, rng

    def window(self, steps: int, step: float) -> Float[np.ndarray, "b m k"]:
        """Returns the means of batches of the next logits."""
        sums = np.zeros((_BATCHES, *self._at.shape))
        for i in range(_BATCHES):
            for _ in range(steps // _BATCHES):
                self._adam = self._adam.after(self._gradient().ravel())
                self._at = self._at + step * self._adam.direction.reshape(self._at.shape)
                sums[i] += self._at
        return sums / (steps // _BATCHES)

    def _gradient(self) -> Float[np.ndarray, "m k"]:
        q = Independent(_log(self._at), (len(self._at),))
        x = q.sample(self._rng, _DRAWS)
        return gradient_at(q, x, self._values(x))


def gradient_at(
    q: Independent, x: Int[np.ndarray, "n m"], log_p: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "m k"]:
    """Returns the estimate of the ELBO's gradient with respect to the logits, from n >= 2 draws of q.

    States without mass count as ten nats below the lowest of the others drawn.
    """
    n, k = len(x), q.log_probabilities.shape[1]
    alive = np.isfinite(log_p)
    if not alive.all():
        lowest = float(log_p[alive].min()) if alive.any() else 0.0
        log_p = np.where(alive, log_p, lowest - 10.0)
    ratio = log_p - q.log_prob(x)
    weight = (ratio - ratio.mean()) / (n - 1.0)
    # The weights sum to 0, so the probabilities that the score subtracts drop out.
    return np.stack([weight @ (x == value) for value in range(k)], axis=1)


def _errors(average: Array, batches: Float[np.ndarray, "b m k"]) -> tuple[float, float]:
    """The error of an average of logits, by its batches: in nats, and in sds of an indicator."""
    b = len(batches)
    centre, apart = np.exp(_log(average)), np.exp(special.log_softmax(batches, axis=2))
    scale = inflation((batches - average).reshape(b, -1)) / (b - 1.0)
    logs = special.log_softmax(batches, axis=2) - _log(average)
    excess = float(np.sum(np.where(apart > 0.0, apart * logs, 0.0), axis=(1, 2)).mean())
    spread = np.mean((apart - centre) ** 2, axis=0)
    sds = np.sqrt(np.maximum(centre * (1.0 - centre), 1e-4))
    return excess * scale, float((np.sqrt(spread * scale) / sds).max())


def _log(logits: Array) -> Array:
    return special.log_softmax(logits, axis=1)


def _apart(a: DiscreteFit, b: DiscreteFit) -> bool:
    gap = np.abs(np.exp(a.log_probabilities) - np.exp(b.log_probabilities))
    return bool(gap.max() > _APART)
