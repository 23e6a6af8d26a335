"""The reverse fit of Gaussians to a log density: from the starts, on more and more draws, to the best."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import DensityError
from kullback.families import Gaussians as Recipe
from kullback.families import is_diagonal
from kullback.fitting._natural_gradient import Ascent, Gaussians, ascend, slope_at
from kullback.fitting._run import Run
from kullback.fitting._search import Search, one
from kullback.solvers._density import Density
from kullback.solvers._modes import climb, mode_at
from kullback.solvers._whitened import whitened

#: When the draws are many enough: the error of the fit in nats, and of each mean and sd in sds.
NATS, SDS = 0.01, 0.05
_FEWEST, _PER_DIMENSION, _MOST, _MOST_OF_MIXTURES = 64, 4, 2**15, 2**13
#: Fits are made from this many starts, and the best one goes on.
_STARTS = 4
#: A step worth more than this many nats, where an ascent has ended, means that it is nowhere.
_HOPELESS = 1e6


@final
@dataclass(frozen=True, eq=False)
class ReverseFit:
    """Where the ascents ended.

    Attributes:
        q: the best.
        others: the other optima, from other starts.
        trace: (gradients, ELBO on the draws, draws) of the best one.
        noise: the error that the draws leave, in nats and in sds.
        draws: how many the last ascent had.
        grown: whether the scales grew without end.
        curvature: E_q[minus the Hessian of log p] in the coordinates of q, (d, d), of a single Gaussian.
        interrupted: whether it was stopped.
    """

    q: Gaussians
    others: tuple[Gaussians, ...]
    trace: tuple[tuple[int, float, int], ...]
    noise: tuple[float, float]
    draws: int
    grown: bool
    curvature: Float[np.ndarray, "d d"] | None = None
    interrupted: bool = False


def reverse_fit(
    density: Density,
    found: Search,
    recipe: Recipe,
    run: Run,
) -> ReverseFit:
    """Returns the Gaussian of the family that is closest in KL(q||p).

    Args:
        density: log p, unnormalised.
        found: where to start.
        recipe: MeanField() or FullRank().
        run: randomness, progress, checkpoint.
    """
    d = density.dimension
    n = max(_FEWEST, _PER_DIMENSION * d)
    z = whitened(d, n, run.generator("draws"))
    starts = [q.within(diagonal=is_diagonal(recipe)) for q in found.starts[:_STARTS]]
    ends: list[Ascent] = []
    for i, q in enumerate(starts):
        ends.append(climbed(density, q, z, run, f"{recipe} from start {i}"))
        if ends[-1].interrupted:
            break
    interrupted = ends[-1].interrupted
    ends.sort(key=lambda a: a.slope.elbo, reverse=True)
    best = ends[0]
    if not math.isfinite(best.slope.elbo):
        # Nothing to go on from: whoever looks at draws of this q will find p to be 0, or no number, there.
        return ReverseFit(best.q, (), (), (math.inf, math.inf), n, grown=False)
    lost = not math.isfinite(best.slope.noise[0]) or best.slope.decrement > _HOPELESS
    around = best.q.place(run.generator("draws", 1).standard_normal((256, d)))[0]
    if lost and np.isneginf(density(around)[0]).any():
        return ReverseFit(best.q, (), (), (math.inf, math.inf), n, grown=False)
    if lost:
        raise DensityError(
            "no Gaussian near the log density was found: at the best one it still rises by "
            f"{best.slope.decrement:.2g} nats a step. Its scales are beyond what float64 can follow: give "
            "an example closer to its mass, or parameters of order one, such as x / 1e6"
        )
    others = tuple(a.q for a in ends[1:] if _apart(a.q, best.q))
    best = replace(best, interrupted=interrupted)
    return more_draws(density, best, n, run, str(recipe), others)


def from_elsewhere(
    density: Density,
    recipe: Recipe,
    before: ReverseFit,
    origin: Float[np.ndarray, " d"],
    run: Run,
) -> ReverseFit | None:
    """Returns the fit at the mode above a point where q has no mass, if it is better; None if not."""
    mode = mode_at(density, climb(density, origin)[-1])
    if not mode.proper:
        return None
    start = one(mode.at, mode.root).within(diagonal=is_diagonal(recipe))
    n = max(_FEWEST, _PER_DIMENSION * density.dimension)
    z = whitened(density.dimension, n, run.generator("draws"))
    place = ", ".join(f"{x:.6g}" for x in mode.at[:4])
    end = climbed(density, start, z, run, f"{recipe} from {place}")
    # On the same draws: fewer draws flatter a fit.
    if not end.slope.elbo > slope_at(density, before.q, z).elbo + NATS:
        return None
    made = more_draws(density, end, n, run, f"{recipe} at {place}", (before.q, *before.others))
    return replace(made, trace=(*before.trace, *made.trace))


def climbed(
    density: Density, start: Gaussians, z: Float[np.ndarray, "n d"], run: Run, name: str
) -> Ascent:
    """Returns the end of an ascent, kept under a name."""
    return run.once(name, density, lambda: ascend(density, start, z, watch=run.told))


def more_draws(
    density: Density,
    best: Ascent,
    n: int,
    run: Run,
    name: str,
    others: tuple[Gaussians, ...] = (),
) -> ReverseFit:
    """Returns the fit on so many draws that more would not change it; stages are kept under `name`."""
    trace = [(count, elbo, n) for count, elbo in best.trace]
    level = 0
    while not (settled(best.slope.noise) or best.grown or best.interrupted):
        if n * len(best.q.weights) >= (_MOST if len(best.q.weights) == 1 else _MOST_OF_MIXTURES):
            break
        level += 1
        n = _more(n, best.slope.noise)
        z = whitened(density.dimension, n, run.generator("draws", level))
        best = climbed(density, best.q, z, run, f"{name} on {n} draws")
        trace += [(count, elbo, n) for count, elbo in best.trace]
    fit = ReverseFit(
        best.q,
        others,
        tuple(trace),
        best.slope.noise,
        n,
        grown=best.grown,
        interrupted=best.interrupted,
    )
    if len(best.q.weights) > 1:
        return fit
    return replace(fit, curvature=np.eye(density.dimension) - best.slope.hessian[0])


def settled(noise: tuple[float, float]) -> bool:
    """Returns whether more draws would change the fit by too little to care, by its error in nats and sds."""
    return noise[0] <= NATS and noise[1] <= SDS


def _more(n: int, noise: tuple[float, float]) -> int:
    """The number of draws that would do, between twice and eight times as many, a power of two times n."""
    wanted = np.nan_to_num(max(noise[0] / NATS, (noise[1] / SDS) ** 2), nan=8.0, posinf=8.0)
    return n * int(2 ** np.clip(math.ceil(math.log2(max(wanted, 1.0))), 1, 3))


def _apart(a: Gaussians, b: Gaussians) -> bool:
    """Whether two Gaussians are different optima: more than two sds apart somewhere."""
    scale = b.roots[0] if b.diagonal else np.linalg.norm(b.roots[0], axis=1)
    return bool(np.max(np.abs(a.means[0] - b.means[0]) / scale) > 2.0)
