"""Draws of p that owe nothing, or little, to q: a few Langevin steps from q, and tempering from afar."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import linalg, special

from kullback.core.run import Run
from kullback.diagnostics.importance import Value, Weighed
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components
from kullback.solvers.bridge import bridge, standard_error
from kullback.solvers.modes import CountedDensity, Mode
from kullback.solvers.shear import learnt_shear
from kullback.solvers.tempering import Points, Tempered, move, temper

Array = np.ndarray

_PROBED, _STEPS = 512, 10
_CHAINS, _LENGTH = 256, 4


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """Draws of q after a few Langevin steps towards p.

    Attributes:
        points: where they ended.
        jeffreys: how much log p - log q rose on the way: KL(q||p) + KL(p||q) if the way was long enough.
        acceptance: of the last step.
    """

    points: Points
    jeffreys: Value
    acceptance: float


def probe(
    density: CountedDensity,
    q: Components,
    log_q: Callable[[Array], Array],
    weighed: Weighed,
    rng: np.random.Generator,
) -> Probe:
    """Returns the first draws of q, each a few preconditioned MALA steps on."""
    n = min(_PROBED, weighed.own)
    points = Points(weighed.x[:n], weighed.log_p[:n], weighed.gradient[:n])
    root, step = overall_root(q), density.dimension ** (-1.0 / 6.0)
    odds = np.ones(n)
    for _ in range(_STEPS):
        points, odds, step = move(density, points, root, step, rng)
    rise = points.log_p - log_q(points.x) - weighed.log_ratio[:n]
    error = float(rise.std(ddof=1)) / math.sqrt(n)
    return Probe(points, (float(rise.mean()), error), float(odds.mean()))


def overall_root(q: Components) -> Float[np.ndarray, "d d"]:
    """Returns the root of the covariance of the whole mixture."""
    if len(q.weights) == 1:
        return np.diag(q.roots[0]) if q.diagonal else q.roots[0]
    return np.linalg.cholesky(q.moments[1])


@final
@dataclass(frozen=True, eq=False)
class Afar:
    """Draws of p that started far from it and never saw q.

    Attributes:
        tempered: the draws.
        log_q, log_r: at the draws, r being what the weighed draws come from.
        threshold: none of the draws of q has a log q below it.
        modes: those found by climbing that lie below the threshold.
        known: all that were found by climbing.
    """

    tempered: Tempered
    log_q: Float[np.ndarray, " n"]
    log_r: Float[np.ndarray, " n"]
    threshold: float
    modes: tuple[Mode, ...]
    known: tuple[Mode, ...]

    @property
    def x(self) -> Float[np.ndarray, "n d"]:
        """The draws."""
        return self.tempered.x

    @property
    def log_ratio(self) -> Float[np.ndarray, " n"]:
        """log p - log q at the draws."""
        return self.tempered.log_p - self.log_q

    @property
    def log_evidence(self) -> Value:
        """The log of the integral of p, by tempering alone."""
        return self.tempered.log_evidence, self.tempered.standard_error

    @cached_property
    def outside(self) -> Value:
        """The share of the draws that lie where none of thousands of draws of q did."""
        if not self.tempered.complete:
            return math.nan, math.inf
        beyond = (self.log_q < self.threshold).astype(float)
        # None seen does not mean none: the error is that of half a family more.
        families = int(self.tempered.family.max()) + 1
        return float(beyond.mean()), math.hypot(self.error(beyond), 0.5 / max(families, _CHAINS))

    def heavier(self, weighed: Weighed) -> Value:
        """Returns the share of the draws that would weigh more than any of the weighed ones."""
        most = float(np.max(weighed.log_p - weighed.log_r))
        beyond = (self.tempered.log_p - self.log_r > most).astype(float)
        return float(beyond.mean()), self.error(beyond)

    @property
    def eubo(self) -> Value:
        """E_p[log p - log q] on the draws."""
        return float(self.log_ratio.mean()), self.error(self.log_ratio)

    def bridged(self, weighed: Weighed) -> Value:
        """Returns the log evidence by a bridge between the weighed draws and these."""
        flat = weighed.log_p - weighed.log_r
        return bridge(
            np.where(np.isfinite(flat), flat, -1e300),
            self.tempered.log_p - self.log_r,
            groups=(None, self.tempered.family),
        )

    def error(self, values: Float[np.ndarray, " n"]) -> float:
        """Returns the standard error of the mean of values at the draws."""
        return standard_error(values, self.tempered.family)


def tempered_draws(density: CountedDensity, found: Climbs, run: Run) -> Tempered:
    """Returns draws of p by tempering from a normal many times as wide as p is at its modes.

    Where modes have very different widths, half of the draws start at them, from normals twice as wide.
    """
    center, root = wide_around(found)
    mixture = _unlike(found, center, root)
    return _tempered(density, center, root, run, "tempering", mixture)


def _tempered(
    density: CountedDensity, center: Array, root: Array, run: Run, name: str, mixture: Components | None = None
) -> Tempered:  # fmt: skip
    place = f"{name} on the way"
    return temper(
        density,
        center,
        root,
        mixture=mixture,
        chains=_CHAINS,
        length=_LENGTH,
        rng=run.generator(name),
        watch=lambda beta: run.watch(f"{name} from afar, β = {beta:.2g}"),
        resume=run.checkpoint.get(place),
        keep=lambda state: run.checkpoint.on_the_way(place, state),
    )


#: How many times as wide as draws of p in the coordinates of a neck tempering starts there; how often these are
#: learnt: the draws that they lead to have been deeper in the neck than those they were learnt from.
_WIDER, _ROUNDS = 3.0, 2


def through_neck(density: CountedDensity, wide: Tempered, found: Climbs, run: Run) -> Tempered:
    """Returns the draws or, where they show a neck, others that walked in coordinates that undo it.

    Where p has several modes the draws are as they are: what is learnt from one may lose another.
    """
    now = wide
    several = sum(m.proper for m in found.modes) > 1
    for i in range(0 if several or not wide.complete else _ROUNDS):
        try:
            shear = learnt_shear(density, now.x) or now.shear
        except KeyboardInterrupt:
            return replace(now, interrupted=True)
        if shear is None:
            break
        z = shear.inverse(now.x)
        root = _WIDER * np.linalg.cholesky(np.cov(z.T) + 1e-12 * np.diag(z.var(axis=0)))
        name = f"tempering in a neck, {i + 1}"
        there = _tempered(shear.density(density), z.mean(axis=0), root, run, name)
        if not there.complete:
            return replace(now, interrupted=there.interrupted)
        now = replace(
            there, x=shear.forward(there.x), log_p=there.log_p - shear.log_det(there.x), shear=shear,
            temperatures=now.temperatures + there.temperatures,
        )  # fmt: skip
    return now


def not_tempered(density: CountedDensity, found: Climbs) -> Tempered:
    """Returns what stands for tempered draws where there was no time for any."""
    center, _ = wide_around(found)
    x = np.stack([center, center])
    return Tempered(
        x, density(x)[0], np.arange(2), math.nan, math.inf, 0, complete=False, interrupted=True
    )


def from_afar(
    tempered: Tempered,
    found: Climbs,
    log_q: Callable[[Array], Array],
    weighed: Weighed,
) -> Afar:
    """Returns tempered draws, held against q."""
    threshold = float(weighed.log_q[: weighed.own].min())
    known = tuple(m for m in found.modes if m.proper)
    missed = tuple(m for m in known if float(log_q(m.at[None])[0]) < threshold)
    x = tempered.x
    logs = log_q(x)
    return Afar(tempered, logs, weighed.log_r_at(x, logs), threshold, missed, known)


def wide_around(found: Climbs) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Returns the mean and root of where tempering starts: the best start of the fits, much wider."""
    start = found.starts[0]
    d = start.means.shape[1]
    times = 20.0 if d <= 10 else 10.0 if d <= 30 else 6.0
    center = start.means[0]
    covariance = times**2 * overall_root(start) @ overall_root(start).T
    for mode in found.modes:
        if mode.proper:
            away = mode.at - center
            covariance = covariance + np.outer(away, away)
    scale = np.sqrt(np.diag(covariance))
    white = covariance / scale / scale[:, None]
    return center, scale[:, None] * np.linalg.cholesky(white + 1e-12 * np.eye(d))


#: Modes lighter than the heaviest by more nats than this count for nothing; whose volumes differ by more than
#: this, tempering from one wide normal does not keep apart: what narrows first takes all points.
_LIGHTER, _UNLIKE = 5.0, 1.5


def _unlike(found: Climbs, center: Array, root: Array) -> Components | None:
    """The wide normal and, of as much weight, normals twice as wide as the modes, if these are of unlike widths."""
    modes = [m for m in found.modes if m.proper]
    heavy = [m for m in modes if m.log_mass > max(o.log_mass for o in modes) - _LIGHTER]
    volumes = [m.log_mass - m.value for m in heavy]
    if not heavy or max(volumes) - min(volumes) < _UNLIKE:
        return None
    own = np.full(len(heavy), 0.5 / len(heavy))
    means, roots = np.stack([m.at for m in heavy]), np.stack([2.0 * m.root for m in heavy])
    inverse = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    wide, at = np.eye(len(root))[None], np.zeros((1, len(root)))
    return Components(
        np.concatenate([[0.5], own]),
        np.concatenate([at, (means - center) @ inverse.T]),
        np.concatenate([wide, inverse @ roots]),
    )


def mode_share(modes: tuple[Mode, ...], log_evidence: float) -> float:
    """Returns the share of p's mass at some modes, by Laplace's approximation, at most 1."""
    if not modes:
        return 0.0
    log_mass = float(np.logaddexp.reduce([m.log_mass for m in modes]))
    return (
        float(special.expit(log_mass - log_evidence))
        if log_mass > log_evidence
        else math.exp(log_mass - log_evidence)
    )
