"""Importance weights of a fit: the evidence and both KLs from draws of q, with one error for each.

Draws come from q and, one third of them, from q with the tails of a t distribution, so that weights stay
bounded where p's tails are somewhat heavier than q's. What is correlated is subtracted draw by draw: the
error of KL(q||p) is much smaller than those of the evidence and the ELBO.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float
from scipy import special

from kullback.fitting.components import Components
from kullback.solvers.modes import CountedDensity
from kullback.solvers.shear import Shear

Array = np.ndarray

_FIRST, _MOST = 2048, 16384
#: The ELBO's standard error that is worth more draws.
_ERROR = 0.01
#: The error of KL(p||q) that is worth more draws of a mixture closer to p.
_CLOSE = 0.003
#: Components whose densities are held at a time: walks along arms give many.
_BLOCK = 64
#: Degrees of freedom of heavy tails.
FREEDOM = 5.0
#: Below this spread log weights are constant up to rounding, and say nothing of what q misses.
CONSTANT = 1e-6
#: Pareto k of what draws add to a mean above which it has no variance, or no mean; and how many of the largest are
#: then as many as may be missing (measured on banana-shaped densities and funnels).
_HEAVY, _NO_MEAN, _LARGEST = 0.5, 1.0, 20
#: The share of Jeffreys that these may be where it has no mean.
_FEW = 0.2
#: With no weight above this many times their mean, thousands of weights have no heavy tail.
_SMALL = 5.0

Value = tuple[float, float]
#: Gives n draws.
Sampler = Callable[[np.random.Generator, int], Float[np.ndarray, "n d"]]


@final
@dataclass(frozen=True, eq=False)
class Kin:
    """A mixture with t tails, which draws may come from instead of q.

    Attributes:
        mixture: in coordinates of its own.
        shear: these coordinates; None for those of p.
        closer: whether it is closer to p than q is, not q itself.
        arrived: whether it reaches where log p - log q decides no more.
    """

    mixture: Components
    shear: Shear | None = None
    closer: bool = True
    arrived: bool = True

    def draw(self, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n d"]:
        """Returns n draws."""
        x = draw(self.mixture, rng, n, freedom=FREEDOM)
        return x if self.shear is None else self.shear.forward(x)

    def log_prob(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Returns the log density at n points."""
        if self.shear is None:
            return heavy_log_prob(self.mixture, x)
        z = self.shear.inverse(x)
        return heavy_log_prob(self.mixture, z) - self.shear.log_det(z)


@final
@dataclass(frozen=True, eq=False)
class Weighed:
    """Draws of q and of its heavy-tailed kin, with the logs of p, q and the mixture they come from.

    Attributes:
        x: all draws, those of q first, (n, d).
        own: how many are of q.
        log_p, log_q, log_r: log densities; r is what all draws together are drawn from.
        gradient: of log p, (n, d), at q's draws at least.
        kin: what the others come from; None if there are none.
    """

    x: Float[np.ndarray, "n d"]
    own: int
    log_p: Float[np.ndarray, " n"]
    log_q: Float[np.ndarray, " n"]
    log_r: Float[np.ndarray, " n"]
    gradient: Float[np.ndarray, "m d"]
    kin: Kin | None

    @property
    def closer(self) -> bool:
        """Whether the others come from what is closer to p, not from q itself with t tails."""
        return self.kin is not None and self.kin.closer

    def log_r_at(self, x: Array, log_q: Array) -> Float[np.ndarray, " m"]:
        """Returns the log density of what all draws come from at other points, given log q there."""
        if self.kin is None:
            return log_q
        share = self.own / len(self.x)
        return np.logaddexp(math.log(share) + log_q, math.log1p(-share) + self.kin.log_prob(x))

    @property
    def log_ratio(self) -> Float[np.ndarray, " n"]:
        """log p - log q, at all draws."""
        return self.log_p - self.log_q

    @property
    def dead(self) -> float:
        """The share of q's draws at which p is 0."""
        return float(np.isneginf(self.log_p[: self.own]).mean())

    @cached_property
    def _smoothed(self) -> tuple[Float[np.ndarray, " n"], float, float]:
        """Weights with mean 1, the log evidence and Pareto k."""
        return smoothed(self.log_p - self.log_r)

    @cached_property
    def weights(self) -> Float[np.ndarray, " n"]:
        """Weights of all draws with mean 1, smoothed unless they come from a mixture that knows where they matter."""
        if not self.closer:
            return self._smoothed[0]
        weights = np.exp(self.log_p - self.log_r - self._smoothed[1])
        return weights / weights.mean()

    @property
    def pareto_k(self) -> float:
        """Of the weights of all draws."""
        return self._smoothed[2]

    @cached_property
    def own_weights(self) -> tuple[Float[np.ndarray, " m"], float, bool]:
        """Returns the smoothed weights of q's own draws, their Pareto k, and whether they are constant."""
        ratio = self.log_ratio[: self.own]
        weights, _, k = smoothed(ratio)
        return weights / len(weights), k, bool(np.ptp(ratio) < CONSTANT)

    @property
    def elbo(self) -> Value:
        """E_q[log p - log q]."""
        return _mean(self.log_ratio[: self.own])

    @property
    def energy(self) -> Value:
        """E_q[log p]."""
        return _mean(self.log_p[: self.own])

    @cached_property
    def _steadied(self) -> Float[np.ndarray, " n"]:
        """Weights less what q / r explains of them, whose mean under r is known to be 1."""
        known = np.exp(self.log_q - self.log_r) - 1.0
        weights = self.weights
        return weights - known * float(np.mean((weights - 1.0) * known) / np.mean(known**2))

    @property
    def log_evidence(self) -> Value:
        """The log of the integral of p, by importance sampling."""
        mean = float(self._steadied.mean())
        value = self._smoothed[1] + (math.log(mean) if mean > 0.0 else 0.0)
        error = self._error(self._steadied, np.zeros(self.own))
        return value, math.hypot(error, self._doubt_of_evidence)

    @cached_property
    def _doubt_of_evidence(self) -> float:
        """What the largest of p - q add to the evidence, where they have no variance in sight.

        q close to p explains nearly all of the weights. What is left is small, and skewed: a flow in five coordinates
        had an evidence of -.0016 ± .0003.
        """
        if not self.closer:
            return 0.0
        left = np.abs(self._steadied - self._steadied.mean())
        return _largest(left) if _tail(left) > _HEAVY else 0.0

    @property
    def reverse_kl(self) -> Value:
        """KL(q||p): the log evidence less the ELBO, on the same draws."""
        value = self.log_evidence[0] - self.elbo[0]
        error = self._error(self._steadied, -self.log_ratio[: self.own])
        return value, math.hypot(error, self._doubt_of_evidence)

    @property
    def eubo(self) -> Value:
        """E_p[log p - log q], by weighting: an upper bound of the log evidence."""
        # About the ELBO, so that a large constant is not multiplied by the rounding of the weights.
        level = self.elbo[0]
        value = level + float(np.mean(self.weights * (self._known - level)))
        error = self._error(self.weights * (self._known - value), np.zeros(self.own))
        return value, math.hypot(error, self._doubt)

    @cached_property
    def _doubt(self) -> float:
        """What the largest draws add to the EUBO, where more of their kind may not have been drawn.

        Its error is infinite where the tail of what is added has no mean in sight, or no variance under weights
        that have none.
        """
        if self.kin is None or not self.kin.closer:
            return 0.0
        if not self.kin.arrived:
            return math.inf
        level = self.elbo[0]
        value = level + float(np.mean(self.weights * (self._known - level)))
        added = self.weights * np.abs(self._known - value)
        tail = _tail(added)
        # Where the weights have no variance either, the largest of what is added have not been drawn.
        largest = max(_largest(added) if tail > _HEAVY else 0.0, self._frontier(added))
        if tail < (_HEAVY if self.pareto_k > _HEAVY else _NO_MEAN):
            return largest
        return 2.0 * largest if largest < _FEW * (value - level) else math.inf

    def _frontier(self, added: Float[np.ndarray, " n"]) -> float:
        """What the draws add at which log p - log q is largest: as much as p may have of it beyond them."""
        last = np.argpartition(self._known, -_LARGEST)[-_LARGEST:]
        return float(added[last].sum()) / len(added)

    @property
    def heavy(self) -> bool:
        """Whether a few draws of a mixture closer to p decide the evidence, or the EUBO."""
        doubt = math.hypot(self._doubt, self._doubt_of_evidence)
        return doubt > 0.5 * self.forward_kl[1]

    @property
    def forward_kl(self) -> Value:
        """KL(p||q): the EUBO less the log evidence."""
        upper = self.eubo[0]
        spread = self.weights * (self._known - upper) - self._steadied
        error = self._error(spread, np.zeros(self.own))
        return upper - self.log_evidence[0], math.hypot(error, self._doubt)

    @property
    def jeffreys(self) -> Value:
        """KL(q||p) + KL(p||q) = EUBO - ELBO."""
        upper = self.eubo[0]
        spread = self.weights * (self._known - upper)
        error = self._error(spread, -self.log_ratio[: self.own])
        return upper - self.elbo[0], math.hypot(error, self._doubt)

    @property
    def _known(self) -> Float[np.ndarray, " n"]:
        """log p - log q where p is not 0; its weight is 0 elsewhere."""
        return np.where(np.isfinite(self.log_ratio), self.log_ratio, 0.0)

    def _error(self, everywhere: Array, on_q: Array) -> float:
        """The standard error of mean(everywhere) + mean(on_q), q's draws being in both."""
        n, m = len(self.x), self.own
        first = everywhere[:m] / n + on_q / m
        variance = m * float(np.var(first))
        if n > m:
            variance += (n - m) * float(np.var(everywhere[m:])) / n**2
        return math.sqrt(variance)


def _tail(added: Float[np.ndarray, " n"]) -> float:
    """Pareto k of what draws add to a mean."""
    return smoothed(np.log(np.maximum(added, 1e-300)))[2]


def _largest(added: Float[np.ndarray, " n"]) -> float:
    """What the largest add."""
    return float(np.sort(added)[-_LARGEST:].sum()) / len(added)


def smoothed(log_weights: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], float, float]:
    """Returns Pareto-smoothed weights with mean 1, the log of the mean weight before that, and Pareto k.

    Where no weight is far above the mean there is no tail to fit: k is then -inf.
    """
    finite = np.where(np.isfinite(log_weights), log_weights, log_weights.max() - 700.0)
    level = float(np.logaddexp.reduce(finite)) - math.log(len(finite))
    if float(finite.max()) - level < math.log(_SMALL):
        return np.exp(finite - level), level, -math.inf
    with np.errstate(all="ignore"):
        normalized, k = array_stats.psislw(-finite)  # it takes minus log weights, as of losses
    # Smoothing changes the largest only: the others tell by how much the sum was divided. The smallest may be
    # -1e18, of which float64 keeps no units.
    middle = int(np.argpartition(finite, len(finite) // 2)[len(finite) // 2])
    level = float(finite[middle] - normalized[middle]) - math.log(len(finite))
    return np.exp(normalized + math.log(len(finite))), level, float(k)


def own_draws(
    density: CountedDensity,
    q: Components,
    log_q: Callable[[Array], Array],
    rng: np.random.Generator,
    sample: Sampler | None = None,
) -> Weighed:
    """Returns weighed draws of q alone, so many that the ELBO is known to a hundredth of a nat if it can be.

    Arguments as of `weigh`.
    """
    parts: list[tuple[Array, Array, Array, Array]] = []
    n = _FIRST
    while True:
        x = draw(q, rng, n) if sample is None else sample(rng, n)
        values, gradient = density(x)
        parts.append((x, values, log_q(x), gradient))
        ratio = np.concatenate([p[1] - p[2] for p in parts])
        if not np.isfinite(ratio).all():
            break
        spread = float(ratio.std()) / math.sqrt(len(ratio))
        if spread < _ERROR or len(ratio) >= _MOST:
            break
        n = int(min(len(ratio) * min((spread / _ERROR) ** 2, 3.0), _MOST - len(ratio))) or 1
    x, log_p, logs, gradient = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Weighed(x, len(x), log_p, logs, logs, gradient, None)


def weigh(
    density: CountedDensity,
    q: Components,
    log_q: Callable[[Array], Array],
    rng: np.random.Generator,
    kin: Kin | None = None,
    sample: Sampler | None = None,
) -> Weighed:
    """Returns weighed draws of q, and of a mixture with t tails.

    Args:
        density: log p.
        q: a Gaussian or mixture; one close to q where it is something else.
        log_q: the log density of q at n points.
        rng: randomness.
        kin: a mixture closer to p, which gives up to twice as many draws; q with t tails, which gives half as
            many, if None.
        sample: gives draws of q, where it is no mixture.
    """
    alone = own_draws(density, q, log_q, rng, sample)
    if kin is None:
        return _with_others(alone, density, log_q, Kin(q, closer=False), rng, alone.own // 2)
    found = _with_others(alone, density, log_q, kin, rng, _MOST // 2)
    if found.forward_kl[1] < _CLOSE and not found.heavy:
        return found
    return _with_others(found, density, log_q, kin, rng, 3 * _MOST // 2)


def _with_others(
    known: Weighed,
    density: CountedDensity,
    log_q: Callable[[Array], Array],
    kin: Kin,
    rng: np.random.Generator,
    n: int,
) -> Weighed:
    """Returns the draws and n more, of the kin that others of them come from."""
    x = kin.draw(rng, n)
    log_p, gradient = density.far_out(x)
    both = ((known.x, x), (known.log_p, log_p), (known.log_q, log_q(x)), (known.gradient, gradient))
    x, log_p, logs, gradient = (np.concatenate(column) for column in both)
    share = known.own / len(x)
    log_r = np.logaddexp(math.log(share) + logs, math.log1p(-share) + kin.log_prob(x))
    return Weighed(x, known.own, log_p, logs, log_r, gradient, kin)


def draw(
    q: Components, rng: np.random.Generator, n: int, *, freedom: float = math.inf
) -> Float[np.ndarray, "n d"]:
    """Returns draws of q, or of q with t tails."""
    counts = rng.multinomial(n, q.weights / q.weights.sum())
    rows = []
    for k, count in enumerate(counts):
        z = rng.standard_normal((count, q.means.shape[1]))
        if math.isfinite(freedom):
            z *= np.sqrt(freedom / rng.chisquare(freedom, (count, 1)))
        root = q.roots[k]
        rows.append(q.means[k] + (z * root if q.diagonal else z @ root.T))
    return rng.permutation(np.concatenate(rows))


def heavy_log_prob(q: Components, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Returns the log density of q with t tails."""
    d = x.shape[1]
    v = FREEDOM
    constant = (
        special.gammaln(0.5 * (v + d))
        - special.gammaln(0.5 * v)
        - 0.5 * d * math.log(v * math.pi)
        - q.log_dets
    )
    inverses = None if q.diagonal else np.linalg.inv(q.roots).transpose(0, 2, 1)
    total = np.full(len(x), -np.inf)
    for first in range(0, len(q.weights), _BLOCK):
        logs = np.empty((min(_BLOCK, len(q.weights) - first), len(x)))
        for i in range(len(logs)):
            k = first + i
            moved = x - q.means[k]
            z = moved / q.roots[k] if inverses is None else moved @ inverses[k]
            squares = np.einsum("nd,nd->n", z, z)
            logs[i] = -0.5 * (v + d) * np.log1p(squares / v)
            logs[i] += math.log(max(q.weights[k], 1e-300)) + constant[k]
        top = logs.max(axis=0)
        logs -= top
        total = np.logaddexp(total, top + np.log(np.exp(logs, out=logs).sum(axis=0)))
    return total


def _mean(values: Float[np.ndarray, " n"]) -> Value:
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
