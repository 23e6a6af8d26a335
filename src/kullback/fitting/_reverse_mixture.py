"""The reverse fit of mixtures to a log density: components from draws of p and from its modes."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback._core.errors import DensityError
from kullback.fitting._em import maximum_likelihood
from kullback.fitting._natural_gradient import Ascent, Gaussians, ascend
from kullback.fitting._nodes import Nodes
from kullback.fitting._reverse import ReverseFit, climbed, more_draws
from kullback.fitting._run import Run
from kullback.fitting._search import Search
from kullback.objectives import Layout
from kullback.solvers._density import Density
from kullback.solvers._whitened import whitened

_FEWEST, _PER_DIMENSION = 64, 4
_EM_STARTS = 3
#: Components with less weight than this are removed.
_NEGLIGIBLE = 1e-4
#: Another component is worth having if it gains more than this, in nats.
WORTH = 0.02
MOST_COMPONENTS = 16


def reverse_mixture(
    density: Density,
    found: Search,
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
    d = density.dimension
    z = whitened(d, max(_FEWEST, _PER_DIMENSION * d), run.generator("mixture draws", k))
    starts = [_by_likelihood(draws, k, run.generator("mixture start", k), diagonal=diagonal)]
    at_modes = _by_modes(found, k, diagonal=diagonal)
    if at_modes is not None:
        starts.append(at_modes)
    return best_of(density, starts, z, run, f"mixture of {k}")


def best_of(
    density: Density, starts: list[Gaussians], z: Float[np.ndarray, "n d"], run: Run, name: str
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
    density: Density,
    q: Gaussians,
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
    z = whitened(
        density.dimension,
        max(_FEWEST, _PER_DIMENSION * density.dimension),
        run.generator("mixture draws", k),
    )
    starts = [added(q, at) for at in _worst(draws, log_ratio)]
    starts.append(_by_likelihood(draws, k, run.generator("mixture start", k), diagonal=q.diagonal))
    return best_of(density, starts, z, run, f"{k} components")


def added(q: Gaussians, at: Float[np.ndarray, " d"]) -> Gaussians:
    """Returns q with a component of the average shape at a point."""
    weights = np.append(0.9 * q.weights, 0.1)
    root = 0.7 * q.roots[int(np.argmax(q.weights))]
    return Gaussians(
        weights / weights.sum(), np.vstack([q.means, at]), np.concatenate([q.roots, root[None]])
    )


def pruned(density: Density, end: Ascent, z: Float[np.ndarray, "n d"], run: Run) -> Ascent:
    """Returns the ascent without components that have lost their weight, gone on."""
    heavy = end.q.weights > _NEGLIGIBLE
    if heavy.all():
        return end
    weights = end.q.weights[heavy] / end.q.weights[heavy].sum()
    fewer = Gaussians(weights, end.q.means[heavy], end.q.roots[heavy])
    again = ascend(density, fewer, z, watch=run.told)
    return replace(again, trace=(*end.trace, *again.trace))


def _worst(
    draws: Float[np.ndarray, "n d"], log_ratio: Float[np.ndarray, " n"]
) -> list[Float[np.ndarray, " d"]]:
    """The draw at which p exceeds q most, and the middle of the worst hundredth."""
    order = np.argsort(log_ratio)[::-1]
    worst = draws[order[: max(len(draws) // 100, 1)]]
    return [draws[order[0]], np.median(worst, axis=0)]


def _by_likelihood(
    draws: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator, *, diagonal: bool
) -> Gaussians:
    """The mixture that is closest to draws of p in the other direction: it covers all of them."""
    center, scale = draws.mean(axis=0), draws.std(axis=0)
    data = Nodes((draws - center) / scale, np.full(len(draws), 1.0 / len(draws)))
    layout = Layout(k, draws.shape[1], diagonal)
    ends = maximum_likelihood(
        data, layout, starts=_EM_STARTS, rng=rng, watch=lambda done: None, keep=True
    )
    best = layout.unpack(min(ends, key=lambda m: m.value).at)
    roots = scale[:, None] * best.scale_trils
    if diagonal:
        roots = np.diagonal(roots, axis1=1, axis2=2).copy()
    return Gaussians(best.weights, center + scale * best.means, roots)


def _by_modes(found: Search, k: int, *, diagonal: bool) -> Gaussians | None:
    """The Gaussians at the k modes of most mass; None if there are fewer modes than two."""
    modes = [m for m in found.modes if m.proper][:k]
    if len(modes) < min(k, 2) or len(modes) < k:
        return None
    masses = np.array([m.log_mass for m in modes])
    weights = np.maximum(np.exp(masses - masses.max()), 1e-3)
    means, roots = np.array([m.at for m in modes]), np.array([m.root for m in modes])
    return Gaussians(weights / weights.sum(), means, roots).within(diagonal=diagonal)
