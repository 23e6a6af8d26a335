"""The reverse fit of Gaussians to a log density: from the starts, on more and more draws, to the best."""

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError, InputError
from kullback.core.run import Run
from kullback.families import Gaussians, is_diagonal
from kullback.fitting import em_search
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components, one
from kullback.fitting.covariances import Structure
from kullback.fitting.mixture_family import family_of
from kullback.fitting.natural_gradient import Ascent, ascend, slope_at
from kullback.fitting.rows import ScaledRows, rows_of
from kullback.solvers.modes import CountedDensity, climb, mode_at, whitened
from kullback.targets import Samples

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

    q: Components
    others: tuple[Components, ...]
    trace: tuple[tuple[int, float, int], ...]
    noise: tuple[float, float]
    draws: int
    grown: bool
    curvature: Float[np.ndarray, "d d"] | None = None
    interrupted: bool = False


def reverse_fit(
    density: CountedDensity,
    found: Climbs,
    recipe: Gaussians,
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
    density: CountedDensity,
    recipe: Gaussians,
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
    density: CountedDensity, start: Components, z: Float[np.ndarray, "n d"], run: Run, name: str
) -> Ascent:
    """Returns the end of an ascent, kept under a name."""
    return run.once(name, density, lambda: ascend(density, start, z, watch=run.told))


def more_draws(
    density: CountedDensity,
    best: Ascent,
    n: int,
    run: Run,
    name: str,
    others: tuple[Components, ...] = (),
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
    return bool(noise[0] <= NATS and noise[1] <= SDS)


def _more(n: int, noise: tuple[float, float]) -> int:
    """The number of draws that would do, between twice and eight times as many, a power of two times n."""
    wanted = np.nan_to_num(max(noise[0] / NATS, (noise[1] / SDS) ** 2), nan=8.0, posinf=8.0)
    return n * int(2 ** np.clip(math.ceil(math.log2(max(wanted, 1.0))), 1, 3))


def _apart(a: Components, b: Components) -> bool:
    """Whether two Gaussians are different optima: more than two sds apart somewhere."""
    return bool(np.max(np.abs(a.means[0] - b.means[0]) / b.sds[0]) > 2.0)


# The reverse fit of mixtures to a log density: components from draws of p and from its modes.

_FEWEST_OF_MIXTURE, _MIXTURE_PER_DIMENSION = 64, 4
_EM_STARTS = 3
#: Components with less weight than this are removed.
_NEGLIGIBLE = 1e-4
#: Another component is worth having if it gains more than this, in nats.
WORTH = 0.02
MOST_COMPONENTS = 16


def reverse_mixture(
    density: CountedDensity,
    found: Climbs,
    draws: Float[np.ndarray, "n d"],
    k: int,
    run: Run,
    *,
    diagonal: bool,
) -> ReverseFit:
    """Returns the mixture of k Gaussians that is closest in KL(q||p), of several starts.

    Args:
        density: log p, unnormalised.
        found: its modes.
        draws: of p, about.
        k: components.
        run: randomness, progress, checkpoint.
        diagonal: whether coordinates are independent within a component.
    """
    z = _mixture_draws(density, k, run)
    rows = rows_of(Samples(draws))
    starts = [by_likelihood(rows, k, run.generator("mixture start", k), diagonal=diagonal)]
    at_modes = _by_modes(found, k, diagonal=diagonal)
    if at_modes is not None:
        starts.append(at_modes)
    return best_of(density, starts, z, run, f"mixture of {k}")


def _mixture_draws(density: CountedDensity, k: int, run: Run) -> Float[np.ndarray, "n d"]:
    n = max(_FEWEST_OF_MIXTURE, _MIXTURE_PER_DIMENSION * density.dimension)
    return whitened(density.dimension, n, run.generator("mixture draws", k))


def best_of(
    density: CountedDensity,
    starts: list[Components],
    z: Float[np.ndarray, "n d"],
    run: Run,
    name: str,
) -> ReverseFit:
    """Returns the end of the best of several starts, on draws enough."""
    ends: list[Ascent] = []
    for i, q in enumerate(starts):
        end = climbed(density, q, z, run, f"{name} from start {i}")
        ends.append(end if end.interrupted else pruned(density, end, z, run))
        if end.interrupted:
            break
    interrupted = ends[-1].interrupted
    ends.sort(key=lambda a: a.slope.elbo, reverse=True)
    ends[0] = replace(ends[0], interrupted=interrupted)
    if not math.isfinite(ends[0].slope.elbo):
        raise DensityError(
            "the log density is -inf or NaN at draws of every mixture that was tried: say with "
            "support= where the parameters live"
        )
    others = tuple(a.q for a in ends[1:] if a.slope.elbo < ends[0].slope.elbo - 0.01)
    return more_draws(density, ends[0], len(z), run, name, others)


def with_another(
    density: CountedDensity,
    q: Components,
    draws: Float[np.ndarray, "n d"],
    log_ratio: Float[np.ndarray, " n"],
    run: Run,
) -> ReverseFit:
    """Returns the fit with one component more, put where p exceeds q most among draws of p.

    Args:
        density: log p.
        q: the mixture so far.
        draws: of p, about.
        log_ratio: log p - log q there.
        run: randomness, progress, checkpoint.
    """
    k = len(q.weights) + 1
    z = _mixture_draws(density, k, run)
    shape = 0.7 * q.roots[q.heaviest(1)[0]]
    starts = [q.with_another(0.1, at, shape) for at in _worst(draws, log_ratio)]
    rows = rows_of(Samples(draws))
    starts.append(by_likelihood(rows, k, run.generator("mixture start", k), diagonal=q.diagonal))
    return best_of(density, starts, z, run, f"{k} components")


def pruned(density: CountedDensity, end: Ascent, z: Float[np.ndarray, "n d"], run: Run) -> Ascent:
    """Returns the ascent without components that have lost their weight, gone on."""
    heavy = end.q.weights > _NEGLIGIBLE
    if heavy.all():
        return end
    weights = end.q.weights[heavy] / end.q.weights[heavy].sum()
    fewer = Components(weights, end.q.means[heavy], end.q.roots[heavy])
    again = ascend(density, fewer, z, watch=run.told)
    return replace(again, trace=(*end.trace, *again.trace))


def _worst(
    draws: Float[np.ndarray, "n d"], log_ratio: Float[np.ndarray, " n"]
) -> list[Float[np.ndarray, " d"]]:
    """The draw at which p exceeds q most, and the middle of the worst hundredth."""
    order = np.argsort(log_ratio)[::-1]
    worst = draws[order[: max(len(draws) // 100, 1)]]
    return [draws[order[0]], np.median(worst, axis=0)]


def by_likelihood(
    rows: ScaledRows, k: int, rng: np.random.Generator, *, diagonal: bool
) -> Components:
    """Returns the mixture that is closest to draws of p in the other direction: it covers all of them."""
    d = len(rows.center)
    try:
        family = family_of(Structure("diagonal" if diagonal else "full", d), rows, k)
    except InputError:  # columns that determine each other, as far as float64 tells
        family = family_of(Structure("diagonal", d), rows, k)
    how = {"starts": _EM_STARTS, "rng": rng, "watch": lambda _: None}
    found = em_search.search(family, rows, k, offspring="none", **how)
    best = found.ends[0].at.moved(rows.center, np.diag(rows.scale))
    return replace(best, roots=best.sds) if diagonal else best


def _by_modes(found: Climbs, k: int, *, diagonal: bool) -> Components | None:
    """The Gaussians at the k modes of most mass; None if there are fewer modes than two."""
    modes = [m for m in found.modes if m.proper][:k]
    if len(modes) < min(k, 2) or len(modes) < k:
        return None
    masses = np.array([m.log_mass for m in modes])
    weights = np.maximum(np.exp(masses - masses.max()), 1e-3)
    means, roots = np.array([m.at for m in modes]), np.array([m.root for m in modes])
    return Components(weights / weights.sum(), means, roots).within(diagonal=diagonal)
