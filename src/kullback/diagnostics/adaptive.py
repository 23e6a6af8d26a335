"""Draws that cover p: importance sampling by mixtures with t tails, which learn where p is from the weights.

Each round draws from the mixture that the rounds before it taught; all draws are weighted by the mixture of
all rounds, so that no round's mistake is for ever. What the draws leave unknown of p's mean and covariance
is made smaller by a Gaussian whose own are known: where p is that Gaussian, nothing is left.

Sources: Cappe et al. (2008) for the learning; Cornuet, Marin, Mira, Robert (2012) for the weights; Owen and
Zhou (2000) for the control.
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
from kullback.fitting.em_search import rough_mixture
from kullback.fitting.reverse import NATS
from kullback.fitting.rows import rows_of
from kullback.solvers.modes import CountedDensity
from kullback.solvers.tempering import Points, Tempered, move
from kullback.targets import Samples

Array = np.ndarray

#: Draws of a round, rounds of learning, and draws at most.
_ROUND, _LEARNING, _MOST = 4096, 6, 2**16
#: A round whose effective share is not so many times that of the round before has nothing more to teach.
_BETTER = 1.05
#: A draw that would weigh so many times the mean is of a place that a mixture misses; the share of p from which
#: that is mended, and how often.
_MISSED, _NOTED, _REPAIRS = 20.0, 1e-3, 3
#: Rounds of draws towards a mean at most, and Pareto k of what they add at which they end.
_TOWARDS, _LIGHT = 4, 0.3
_HEAVY, _SHARE = 0.4, 0.3
_CHAINS, _SETTLE, _KEPT, _WORTH = 512, 8, 8, 4.0
#: Numbers of components that a proposal may have, and draws for each of their parameters: of p in truth,
#: and tempered ones, where a proposal that is too close to them does no harm.
_COMPONENTS, _EACH, _EACH_AT_FIRST = (1, 2, 4, 8, 16), 5, 2
#: Eigenvalues of a covariance with a control, in coordinates in which that without is the identity, at least.
_LEAST = 0.2


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
        shares = [math.log(n / len(self.x)) for n, _ in self.rounds]
        logs = [heavy_log_prob(q, x) for _, q in self.rounds]
        return np.logaddexp.reduce([a + b for a, b in zip(shares, logs, strict=True)], axis=0)

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
        # A fault in the far tails, where p is hardly seen, is no reason to refuse.
        met, faulty = list(density.faults), density.faulty
        log_p = density(x)[0]
        density.faults, density.faulty = met, faulty
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
        root = _root(keep * scatter + (1.0 - keep) * typical)
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
    points, step, kept = Points.at(density, x), 0.5, []
    root = _root(np.cov(x.T) + 1e-12 * np.eye(len(x[0])))
    if root is None:
        return x
    for i in range(_SETTLE + _KEPT):
        jittered = step * rng.uniform(0.8, 1.2)
        leaps = int(np.clip(round(1.5 / step), 1, 8))
        points, _, new = move(density, points, root, jittered, rng, leaps=leaps)
        step = min(new * step / jittered, 1.5)
        kept += [points.x] if i >= _SETTLE else []
    return np.concatenate(kept)


def towards(
    density: CountedDensity, now: Cover, values: Callable[[Cover], Array], run: Run, name: str
) -> Cover:
    """Returns draws, the last of which come from a mixture for the mean of some values under p.

    Half of it is the proposal for p itself, half is learnt from the draws by how much they add to that mean:
    far out, p may be small and still decide.

    Args:
        density: log p.
        now: draws of p.
        values: of draws, (n,); their mean under p is about 0, or their sign is that of the mean.
        run: randomness and progress.
        name: of the values.
    """
    base = now.proposal
    for i in range(_TOWARDS):
        heavy = now.weights * np.abs(np.where(np.isfinite(now.log_p), values(now), 0.0))
        if i and smoothed(np.log(np.maximum(heavy, 1e-300)))[2] < _LIGHT:
            break
        worth = float(heavy.sum() ** 2 / (heavy @ heavy))
        found = mixture_of(now.x, heavy, worth * _EACH_AT_FIRST / _EACH, run.generator(name, i))
        both = base if found is None else joined([base, found])
        now = now.with_more(
            density, replace(both, weights=both.weights / both.weights.sum()), _ROUND, run
        )
    return now


def enough(density: CountedDensity, now: Cover, parameters: int, run: Run) -> Cover:
    """Returns draws so many that a fit of some parameters to them is known to a hundredth of a nat.

    Args:
        density: log p.
        now: draws of p.
        parameters: of the family; 0 where p's mean and covariance are all it takes.
        run: randomness and progress.
    """
    if parameters:
        error = parameters / (2.0 * now.effective)
    else:
        found = moments(now)

        def squares(c: Cover) -> Array:
            return np.sum(np.linalg.solve(found.root, (c.x - found.mean).T) ** 2, axis=0)

        now = towards(density, now, squares, run, "moments")
        error = moments(now).error
    wanted = len(now.x) * min(np.nan_to_num(error, nan=np.inf) / NATS, _MOST / len(now.x))
    more = int(wanted) - len(now.x)
    return now.with_more(density, now.proposal, more, run) if more > 0 else now


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
    for k in _COMPONENTS:
        if worth < _EACH_AT_FIRST * size * k or risen == 2:
            break
        try:
            made = _whole(rough_mixture(rows_of(Samples(x, weights)), k, rng))
        except InputError:  # columns that determine each other, or too few rows that differ
            break
        bic = k * size * math.log(worth) - 2.0 * float(weights @ made.log_prob(x))
        risen = 0 if bic < lowest else risen + 1
        best, lowest = (made, bic) if bic < lowest else (best, lowest)
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


# The mean and the covariance of p, with the Gaussian as a control.


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Of p, as far as draws tell.

    Attributes:
        mean, root: of p: the root of its covariance.
        raw_mean, raw_root: the same by the weights alone.
        error: what a Gaussian with the true moments would gain in KL(p||q), in nats.
        sds: the largest error of a mean or an sd, in sds.
    """

    mean: Float[np.ndarray, " d"]
    root: Float[np.ndarray, "d d"]
    raw_mean: Float[np.ndarray, " d"]
    raw_root: Float[np.ndarray, "d d"]
    error: float
    sds: float


def moments(c: Cover) -> Moments:
    """Returns the mean and covariance of p: the weights' own, less what they get wrong of the Gaussian's.

    Raises:
        InputError: the draws that have a weight lie in a plane.
    """
    n, p = len(c.x), c.weights
    own = c.anchor.log_prob(c.x) - c.log_r
    q = np.exp(own - own.max())
    q /= q.mean()
    mean = p @ c.x / n
    root = _root((c.x - mean).T * p @ (c.x - mean) / n)
    if root is None:
        raise InputError("too few draws have a weight for a covariance")
    z = np.linalg.solve(root, (c.x - mean).T).T
    shift = np.linalg.solve(root, c.anchor.means[0] - mean)
    turned = np.linalg.solve(root, _whole(c.anchor).roots[0])
    known = turned @ turned.T + np.outer(shift, shift)
    first, doubt = _controlled(p, q, z, np.ones((n, 1)), shift[:, None])
    second, doubts = _controlled(p, q, z, z, known)
    first = first[:, 0]
    inner = _root(second - np.outer(first, first), least=_LEAST)
    if inner is None:
        first, inner = np.zeros_like(first), np.eye(len(first))
    error = 0.5 * float(doubt.sum()) + 0.25 * float(doubts.sum())
    sds = math.sqrt(max(float(doubt.max()), 0.25 * float(np.diag(doubts).max())))
    return Moments(mean + root @ first, root @ inner, mean, root, error, sds)


def _controlled(
    p: Array, q: Array, a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n e"], known: Array
) -> tuple[Array, Array]:
    """The means of a b' by weights p with those by weights q as controls, and the squares of their errors."""
    n = len(a)

    def by(w: Array, a: Array = a, b: Array = b) -> Array:
        return (a.T * w) @ b / n

    mean_p, mean_q = by(p), by(q)

    def covariance(v: Array, w: Array, mean_v: Array, mean_w: Array) -> Array:
        vw = v * w
        both = by(vw)
        return by(vw, a**2, b**2) - (mean_v + mean_w) * both + mean_v * mean_w * vw.mean()

    var_p, var_q = covariance(p, p, mean_p, mean_p), covariance(q, q, mean_q, mean_q)
    shared = covariance(p, q, mean_p, mean_q)
    slope = shared / np.maximum(var_q, 1e-300)
    left = np.maximum(var_p - slope * shared, 0.0)
    return mean_p - slope * (mean_q - known), left / n


def _root(covariance: Array, least: float = 0.0) -> Array | None:
    try:
        if least and np.linalg.eigvalsh(covariance)[0] < least:
            return None
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None


def samples(c: Cover, names: tuple[str, ...]) -> tuple[Samples, Moments]:
    """Returns the draws as rows, moved so that their moments are the best known, worth what they are."""
    found = moments(c)
    z = np.linalg.solve(found.raw_root, (c.x - found.raw_mean).T).T
    weights = c.weights * (c.effective / len(c.x))
    held = c.weights > 1e-10 * c.weights.max()
    kinds = ("continuous",) * len(names)
    rows = (found.mean + z @ found.root.T)[held]
    return Samples(rows, weights[held], columns=names, kinds=kinds), found
