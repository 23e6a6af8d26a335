"""Draws that cover p: importance sampling by mixtures with t tails, which learn where p is from the weights.

Each round draws from the mixture that the rounds before it taught; all draws are weighted by the mixture of
all rounds, so that no round's mistake is for ever.

Sources: Cappe et al. (2008) for the learning; Cornuet, Marin, Mira, Robert (2012) for the weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.run import Run
from kullback.diagnostics.importance import FREEDOM, draw, heavy_log_prob, smoothed
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components, joined, one
from kullback.fitting.covariances import Structure
from kullback.fitting.em_search import rough_mixture
from kullback.fitting.mixture_family import family_of
from kullback.fitting.rows import rows_of
from kullback.solvers.arms import arms
from kullback.solvers.modes import CountedDensity
from kullback.solvers.tempering import Points, Tempered, move
from kullback.targets import Samples

Array = np.ndarray

#: Draws of a round, and rounds of learning.
_ROUND, _LEARNING = 4096, 6
#: A round whose effective share is not so many times that of the round before has nothing more to teach.
_BETTER = 1.05
#: A draw that would weigh so many times the mean is of a place that a mixture misses; the share of p from which
#: that is mended, and how often.
_MISSED, _NOTED, _REPAIRS = 20.0, 1e-3, 3
#: Rounds of draws towards a mean at most, and Pareto k and effective share of what they add at which they end.
_TOWARDS, _LIGHT, _MANY = 4, 0.3, 0.2
#: Rounds of them at least that go on where the draws end, the power of p by which they do, and walks from draws of
#: each kind.
_BEYOND, _POWER, _WALKS = 3, 0.25, 3
#: Rounds of them at most, and the share of a mean by which it rises where they have not come to an end.
_MOST_BEYOND, _RISEN = 12, 0.02
#: Of values that are all 0 nothing is heavy.
_NONE = 1e-30
_HEAVY, _SHARE = 0.4, 0.3
_CHAINS, _SETTLE, _KEPT, _WORTH = 512, 8, 8, 4.0
#: Numbers of components that a proposal may have, and draws for each of their parameters: of p in truth,
#: and tempered ones, where a proposal that is too close to them does no harm.
_COMPONENTS, _EACH, _EACH_AT_FIRST = (1, 2, 4, 8, 16), 5, 2


@final
@dataclass(frozen=True, eq=False)
class Cover:
    """Weighted draws of p.

    Attributes:
        x: the draws, (n, d).
        log_p: the log density there, unnormalised.
        rounds: how many draws each mixture gave, with t tails around it.
        anchor: a Gaussian close to p.
    """

    x: Float[np.ndarray, "n d"]
    log_p: Float[np.ndarray, " n"]
    rounds: tuple[tuple[int, Components], ...]
    anchor: Components

    @cached_property
    def log_r(self) -> Float[np.ndarray, " n"]:
        """The log density of what all draws together come from."""
        return self.log_r_at(self.x)

    def log_r_at(self, x: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " m"]:
        """Returns the same at other points."""
        return heavy_log_prob(self._together, x)

    @cached_property
    def _together(self) -> Components:
        """The mixture of all rounds, whatever several of them had in common once."""
        total = sum(n for n, _ in self.rounds)
        every = joined([replace(q, weights=q.weights * (n / total)) for n, q in self.rounds])
        places = np.concatenate([every.means, every.roots.reshape(len(every.means), -1)], axis=1)
        _, first, index = np.unique(places, axis=0, return_index=True, return_inverse=True)
        weights = np.bincount(index.ravel(), weights=every.weights)
        return Components(weights, every.means[first], every.roots[first])

    @cached_property
    def _smoothed(self) -> tuple[Float[np.ndarray, " n"], float, float]:
        return smoothed(self.log_p - self.log_r)

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        """With mean 1."""
        return self._smoothed[0] / self._smoothed[0].mean()

    @property
    def pareto_k(self) -> float:
        """Of the weights."""
        return self._smoothed[2]

    @property
    def effective(self) -> float:
        """How many draws of p these are worth (Kish 1965)."""
        return float(self.weights.sum() ** 2 / (self.weights @ self.weights))

    @property
    def proposal(self) -> Components:
        """The mixture of the last round."""
        return self.rounds[-1][1]

    def with_more(self, density: CountedDensity, q: Components, n: int, run: Run) -> "Cover":
        """Returns these and n draws from another mixture."""
        index = len(self.rounds)
        run.watch(f"draws that cover p, round {index + 1}")
        x = draw(q, run.generator("draws that cover p", index), n, freedom=FREEDOM)
        log_p = density.far_out(x)[0]
        both = np.concatenate([self.x, x]), np.concatenate([self.log_p, log_p])
        return Cover(*both, (*self.rounds, (n, q)), self.anchor)


def cover(
    density: CountedDensity, anchor: Components, found: Climbs, tempered: Tempered, run: Run
) -> Cover:
    """Returns weighted draws of p from all that is known of where it is.

    Args:
        density: log p, unnormalised.
        anchor: a Gaussian close to p.
        found: its modes.
        tempered: draws of p, about.
        run: randomness and progress.
    """
    nothing = np.empty((0, density.dimension)), np.empty(0)
    q = _first(anchor, found, tempered, run)
    now = Cover(*nothing, (), anchor).with_more(density, q, _ROUND, run)
    idle, last = 0, 0.0
    for i in range(1, _LEARNING):
        q = _repaired(_learnt(density, now, tempered, run, i) or q, now, tempered)
        now = now.with_more(density, q, _ROUND, run)
        share = now.effective / len(now.x)
        idle = 0 if share > _BETTER * last else idle + 1
        last = share
        if idle:
            break
    return now


def _learnt(
    density: CountedDensity, now: Cover, tempered: Tempered, run: Run, index: int
) -> Components | None:
    """The mixture that weighted draws teach or, where few of them weigh much, chains from them."""
    rng = run.generator("learning to cover", index)
    if now.pareto_k < _HEAVY and now.effective > _SHARE * len(now.x):
        return mixture_of(now.x, now.weights, now.effective * _EACH_AT_FIRST / _EACH, rng)
    x = _moved(density, now, tempered, rng)
    return mixture_of(x, np.ones(len(x)), _WORTH * _CHAINS, rng)


def _repaired(q: Components, now: Cover, tempered: Tempered) -> Components:
    """The mixture, with a component wherever draws known so far would weigh far more than the mean."""
    x, log_p, mass = now.x, now.log_p, now.weights / len(now.x)
    if tempered.complete:
        n = len(tempered.x)
        x, log_p = np.concatenate([x, tempered.x]), np.concatenate([log_p, tempered.log_p])
        mass = np.concatenate([mass, np.full(n, 1.0 / n)])
    level = float(np.logaddexp.reduce(now.log_p - now.log_r)) - math.log(len(now.x))
    for _ in range(_REPAIRS):
        missed = log_p - heavy_log_prob(q, x) > level + math.log(_MISSED)
        share = float(mass[missed].sum())
        if share < _NOTED:
            break
        at, held = x[missed], mass[missed] / share
        mean = held @ at
        moved = at - mean
        scatter = (moved.T * held) @ moved
        # Few draws are no covariance: that of the components stands in.
        worth = 1.0 / float(held @ held)
        keep = worth / (worth + 2.0 * len(mean))
        typical = np.einsum("k,kij->ij", q.weights, q.covariances)
        root = root_of(keep * scatter + (1.0 - keep) * typical)
        if root is None:
            break
        q = q.with_another(max(min(share, 0.5), 0.02), mean, root)
    return q


def _moved(
    density: CountedDensity, now: Cover, tempered: Tempered, rng: np.random.Generator
) -> Array:
    """Points of short chains from the draws, by their weights."""
    at = rng.choice(len(now.x), _CHAINS, p=now.weights / now.weights.sum())
    x = now.x[at]
    if tempered.complete:
        x[: _CHAINS // 2] = tempered.x[rng.choice(len(tempered.x), _CHAINS // 2)]
    return _walked(density, x, now.proposal, rng)


def _walked(
    density: CountedDensity, x: Array, metric: Components, rng: np.random.Generator
) -> Array:
    """Points of short chains from x, each with leaps as of the component that it starts in.

    Along a bend or a ridge the components are what p is there: the covariance of all draws is not.
    """
    points, step, kept = Points.at(density, x), 0.5, []
    root = metric.matrices[metric.nearest(x)]
    for i in range(_SETTLE + _KEPT):
        jittered = step * rng.uniform(0.8, 1.2)
        leaps = int(np.clip(round(1.5 / step), 1, 8))
        points, _, new = move(density, points, root, jittered, rng, leaps=leaps)
        step = min(new * step / jittered, 1.5)
        kept += [points.x] if i >= _SETTLE else []
    return np.concatenate(kept)


def towards(
    density: CountedDensity,
    now: Cover,
    values: Callable[[Cover], Array],
    run: Run,
    name: str,
    *,
    beyond: bool = False,
) -> tuple[Cover, bool]:
    """Returns draws, the last of which come from a mixture for the mean of some values under p; and whether it rises.

    A part of it is the proposal for p itself, another is learnt from the draws by how much they add to that mean:
    far out, p may be small and still decide.

    Args:
        density: log p.
        now: draws of p.
        values: of draws, (n,); their mean under p is about 0, or their sign is that of the mean.
        run: randomness and progress.
        name: of the values.
        beyond: whether a third part goes on where the draws end, in case that p does.
    """
    base, further, before, rising = now.proposal, list[Components](), math.nan, False
    for i in range(_MOST_BEYOND if beyond else _TOWARDS):
        sizes = _sizes(values, now)
        heavy = now.weights * sizes
        rising = bool(heavy.mean() - before > max(_RISEN * heavy.mean(), _error(heavy)))
        before = float(heavy.mean())
        worth = float(heavy.sum() ** 2 / (heavy @ heavy))
        settled = worth > _MANY * len(now.x) or i >= _TOWARDS
        light = smoothed(np.log(np.maximum(heavy, 1e-300)))[2] < _LIGHT or i >= _TOWARDS
        if i >= (_BEYOND if beyond else 1) and light and settled and not rising:
            break
        rng = run.generator(name, i)
        found = mixture_of(now.x, heavy, worth * _EACH_AT_FIRST / _EACH, rng)
        parts = [base] if found is None else [base, found]
        if beyond:
            further += _further(density, now, sizes, values, joined([*parts, *further]), rng)
            parts += [joined(further)] if further else []
        both = joined([replace(q, weights=q.weights / q.weights.sum()) for q in parts])
        now = now.with_more(
            density, replace(both, weights=both.weights / both.weights.sum()), _ROUND, run
        )
    return now, rising


def _error(values: Array) -> float:
    return float(values.std()) / math.sqrt(len(values))


def _sizes(values: Callable[[Cover], Array], at: Cover) -> Array:
    return np.maximum(np.abs(np.where(np.isfinite(at.log_p), values(at), 0.0)), _NONE)


def _further(
    density: CountedDensity,
    now: Cover,
    sizes: Array,
    values: Callable[[Cover], Array],
    metric: Components,
    rng: np.random.Generator,
) -> list[Components]:
    """Mixtures where p may go on, half of them from where the values are large.

    One is around chains of a root of p, which find the way in many dimensions; one is along arms, where chains
    get not far.
    """
    logs = _POWER * now.log_p - now.log_r
    flat = np.exp(logs - logs.max())
    chances = [c / c.sum() for c in (flat, flat * sizes)]

    def drawn(n: int) -> Array:
        return np.concatenate([now.x[rng.choice(len(now.x), n, p=c)] for c in chances])

    x = _walked(_flattened(density, _POWER), drawn(_CHAINS // 2), metric, rng)
    made = [
        mixture_of(x, np.ones(len(x)), _WORTH * _CHAINS, rng),
        _along_arms(density, now, sizes, values, drawn(_WALKS)),
    ]
    return [q for q in made if q is not None]


def _along_arms(
    density: CountedDensity,
    now: Cover,
    sizes: Array,
    values: Callable[[Cover], Array],
    x: Array,
) -> Components | None:
    """Gaussians along the arms that some draws lie on, where p times the values is more than the draws know."""
    # The scale of all of p, beside which an arm is narrow: beside that of a component along it, it would not be.
    mean = now.weights @ now.x / len(now.x)
    apart = now.x - mean
    root = root_of((apart.T * now.weights) @ apart / len(apart))
    if root is None:
        return None
    found = arms(density, x, root)
    if not len(found.means):
        return None
    known = now.log_p - now.log_r + np.log(sizes)
    there = replace(now, x=found.means, log_p=found.log_p)
    heavy = there.log_p - now.log_r_at(there.x) + np.log(_sizes(values, there))
    level = float(np.logaddexp.reduce(known)) - math.log(len(known))
    missed = heavy > level + math.log(_MISSED)
    if not missed.any():
        return None
    logs = 0.5 * found.log_masses[missed]
    weights = np.exp(logs - logs.max())
    return Components(weights / weights.sum(), found.means[missed], found.roots[missed])


def _flattened(density: CountedDensity, power: float) -> CountedDensity:
    """A power of p."""

    def evaluate(x: Array) -> tuple[Array, Array]:
        value, gradient = density.far_out(x)
        return power * value, power * gradient

    return CountedDensity(evaluate, density.dimension)


def _first(anchor: Components, found: Climbs, tempered: Tempered, run: Run) -> Components:
    """The Gaussian, those at the modes where there are several, and a mixture around the tempered draws."""
    parts = [_whole(anchor)]
    modes = [m for m in found.modes if m.proper][: _COMPONENTS[-1]]
    if len(modes) > 1:
        masses = np.array([m.log_mass for m in modes])
        weights = np.maximum(np.exp(masses - np.logaddexp.reduce(masses)), 0.1 / len(modes))
        places = np.array([m.at for m in modes]), np.array([m.root for m in modes])
        parts.append(Components(weights / weights.sum(), *places))
    if tempered.complete:
        rng, n = run.generator("around tempered draws"), len(tempered.x)
        around = mixture_of(tempered.x, np.ones(n), float(n), rng)
        parts += [] if around is None else [around]
    all_of_them = joined(parts)
    return replace(all_of_them, weights=all_of_them.weights / len(parts))


def mixture_of(
    x: Array, weights: Array, worth: float, rng: np.random.Generator
) -> Components | None:
    """Returns the mixture of lowest BIC for weighted draws worth so many; None where they are too few."""
    d = x.shape[1]
    size = 1 + d + d * (d + 1) // 2
    if len(x) > _ROUND:
        at = rng.choice(len(x), _ROUND, p=weights / weights.sum())
        x, weights = x[at], np.ones(len(at))
    held = weights > 1e-8 * weights.max()
    x, weights = x[held], weights[held] * (worth / weights[held].sum())
    best, lowest, risen = None, math.inf, 0
    try:
        rows = rows_of(Samples(x, weights))
        family = family_of(Structure("full", d), rows, 1)
        for k in _COMPONENTS:
            if worth < _EACH_AT_FIRST * size * k or risen == 2:
                break
            made = _whole(rough_mixture(family, rows, k, rng))
            bic = k * size * math.log(worth) - 2.0 * float(weights @ made.log_prob(x))
            risen = 0 if bic < lowest else risen + 1
            best, lowest = (made, bic) if bic < lowest else (best, lowest)
    except (InputError, np.linalg.LinAlgError):
        pass  # columns that determine each other, for all that floats tell, or too few rows that differ
    return best


def close_to(
    x: Float[np.ndarray, "n d"],
    worth: float,
    rng: np.random.Generator,
    least: Float[np.ndarray, " d"] | float = 0.0,
) -> Components:
    """Returns a mixture of Gaussians close to draws worth so many; one with a shrunk covariance where these are few.

    Args:
        x: the draws.
        worth: how many independent ones they are worth.
        rng: randomness.
        least: sds; draws that are narrower are taken to have these.
    """
    narrow = x.std(axis=0) <= least
    found = None if narrow.any() else mixture_of(x, np.ones(len(x)), worth, rng)
    if found is not None:
        return found
    covariance = np.atleast_2d(np.cov(x.T))
    scale = np.maximum(np.diag(covariance), np.broadcast_to(np.square(least), x.shape[1]))
    keep = worth / (worth + 2.0 * x.shape[1])
    mixed = keep * covariance + (1.0 - keep + 1e-10) * np.diag(scale)
    return one(x.mean(axis=0), np.linalg.cholesky(mixed + np.diag(np.where(narrow, scale, 0.0))))


def _whole(q: Components) -> Components:
    return replace(q, roots=q.matrices)


def root_of(covariance: Array, least: float = 0.0) -> Array | None:
    """Returns the Cholesky factor; None where there is none, or an eigenvalue is below the least."""
    try:
        if least and np.linalg.eigvalsh(covariance)[0] < least:
            return None
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
