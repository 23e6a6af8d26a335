"""Mixtures of Gaussians fitted to a known density, in either direction, from many starts."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import DensityError, InputError, KullbackError, UnsupportedError
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.real import Normal
from kullback.distributions.scalar import Parametric
from kullback.distributions.scalar import Vector as scalar_Vector
from kullback.distributions.vector import MultivariateNormal
from kullback.losses.divergences import forward_kl
from kullback.measure.question import KL
from kullback.measure.table import Effort, choose
from kullback.results.estimate import Outcome, unresolved
from kullback.results.fit import Direction
from kullback.solvers.minimise import Minimum, descend_all, without_gradient
from kullback.solvers.quadrature import fill, nodes

# Descents that ended in the same place, counted together.


@final
@dataclass(frozen=True)
class Basin:
    """A local optimum, how many descents ended in it, and how far apart they ended.

    `spread` is the largest distance in any feature; NaN if only one descent ended here.
    """

    best: Minimum
    count: int
    spread: float


@final
@dataclass(frozen=True)
class Descents:
    """The basins found, how many starts there were, evaluations over all, and whether it was stopped."""

    basins: list[Basin]
    starts: int
    evaluations: int
    interrupted: bool


# A density as weighted points: where it is looked at when a q is fitted to it.


@final
@dataclass(frozen=True)
class Nodes:
    """Points (n, d) and weights that sum to 1, such that sum w g(x) is the mean of g under p."""

    x: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        return self.weights @ self.x

    def bulk(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
        """Returns the median and a diagonal of quartile distances: they exist for every tail."""
        quartiles = []
        for x in self.x.T:
            order = np.argsort(x)
            below = np.cumsum(self.weights[order])
            quartiles.append(x[order][np.searchsorted(below, [0.16, 0.5, 0.84])])
        low, middle, high = np.array(quartiles).T
        return middle, np.diag(np.maximum(0.5 * (high - low), 1e-300))

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        moved = self.x - self.mean
        return (moved * self.weights[:, None]).T @ moved


# Layer 7: what is minimised over Gaussian mixtures, with exact gradients, in either direction.

Vector = Float[np.ndarray, " m"]


@final
@dataclass(frozen=True)
class Layout:
    """How the parameters of k Gaussians in d dimensions lie in one vector."""

    k: int
    d: int
    diagonal: bool

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return self.k * (1 + self.d + len(self._rows))

    def unpack(self, vector: Vector) -> GaussianMixture:
        """Returns the mixture."""
        k, d = self.k, self.d
        logits, means, entries = np.split(vector, [k, k + k * d])
        roots = np.zeros((k, d, d))
        roots[:, self._rows, self._columns] = entries.reshape(k, -1)
        diagonal = np.arange(d)
        roots[:, diagonal, diagonal] = np.exp(np.clip(roots[:, diagonal, diagonal], -300, 300))
        shifted = np.exp(logits - logits.max())
        return GaussianMixture(shifted / shifted.sum(), means.reshape(k, d), roots)

    def pack(self, mixture: GaussianMixture) -> Vector:
        """Returns the vector of a mixture."""
        roots = mixture.scale_trils.copy()
        diagonal = np.arange(self.d)
        roots[:, diagonal, diagonal] = np.log(roots[:, diagonal, diagonal])
        entries = roots[:, self._rows, self._columns]
        logits = np.log(np.maximum(mixture.weights, 1e-300))
        return np.concatenate([logits, mixture.means.ravel(), entries.ravel()])

    def gradient(
        self,
        mixture: GaussianMixture,
        by_weight: Float[np.ndarray, " k"],
        by_mean: Float[np.ndarray, "k d"],
        by_root: Float[np.ndarray, "k d d"],
    ) -> Vector:
        """Returns the gradient in the vector from those in the weights, means and factors."""
        diagonal = np.arange(self.d)
        by_root = by_root.copy()
        by_root[:, diagonal, diagonal] *= mixture.scale_trils[:, diagonal, diagonal]
        centered = by_weight - mixture.weights @ by_weight
        entries = by_root[:, self._rows, self._columns]
        return np.concatenate([mixture.weights * centered, by_mean.ravel(), entries.ravel()])

    @cached_property
    def _rows(self) -> np.ndarray:
        return np.arange(self.d) if self.diagonal else np.tril_indices(self.d)[0]

    @cached_property
    def _columns(self) -> np.ndarray:
        return np.arange(self.d) if self.diagonal else np.tril_indices(self.d)[1]


def descents(
    p: Distribution,
    nodes: Nodes,
    layout: Layout,
    direction: Direction,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[int], None],
) -> Descents:
    """Returns the local optima that descents from random starts reach.

    Works in coordinates in which p has mean 0 and covariance I. `watch` is told of each descent.
    """
    if direction == "reverse":
        center, root = nodes.bulk()
    else:
        center, root = nodes.mean, np.linalg.cholesky(_regular(nodes.covariance))
    if layout.diagonal:
        root = np.diag(np.sqrt(np.diag(root @ root.T)))
    inverse = np.linalg.inv(root)
    white = Nodes((nodes.x - center) @ inverse.T, nodes.weights)
    if direction == "forward":
        objective = Forward(layout, white.x, white.weights)
    else:
        _check_covered(p)
        z = standard_normal(layout.d)
        objective = Reverse(layout, z.x, z.weights, lambda y: _log_prob(p, center + y @ root.T))
    minima: list[Minimum] = []
    interrupted = False
    try:
        for minimum in descend_all(objective, _starts(white, layout, starts, rng)):
            minima.append(minimum)
            watch(len(minima))
    except KeyboardInterrupt:
        if not minima:
            raise
        interrupted = True
    usable = [m for m in minima if _sane(layout.unpack(m.at))]
    if not usable:
        raise UnsupportedError(
            "no start led to an optimum: is the target a density with finite moments?"
        )
    basins = gather(usable, lambda m: _features(layout.unpack(m.at)))
    return Descents(
        [_back(b, layout, center, root) for b in basins],
        len(minima),
        sum(m.evaluations for m in minima),
        interrupted,
    )


def member(mixture: GaussianMixture, *, scalar: bool) -> Distribution:
    """Returns a mixture as the simplest distribution it is, its components in order."""
    order = order_of(mixture.means, mixture.scale_trils)
    kept = [k for k in order if mixture.weights[k] > 0.0]
    if scalar:
        parts = tuple(
            Normal(float(mixture.means[k, 0]), float(mixture.scale_trils[k, 0, 0])) for k in kept
        )
        return parts[0] if len(parts) == 1 else Mixture(mixture.weights[kept], parts)
    if len(kept) == 1:
        return MultivariateNormal(mixture.means[kept[0]], mixture.scale_trils[kept[0]])
    return GaussianMixture(mixture.weights[kept], mixture.means[kept], mixture.scale_trils[kept])


def _starts(
    nodes: Nodes, layout: Layout, n: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, " m"]]:
    """Yields random mixtures: means drawn from p, scales over a decade, any weights."""
    k, d = layout.k, layout.d
    for i in range(n):
        if d == 1 and i % 3 == 2:
            yield _at_scales_of_p(nodes, layout, rng)
            continue
        means = nodes.x[rng.choice(len(nodes.x), k, p=nodes.weights)]
        means = means + 0.1 * rng.standard_normal((k, d))
        scales = np.exp(rng.uniform(np.log(0.1), np.log(1.2), k))
        roots = scales[:, None, None] * np.eye(d)
        yield layout.pack(GaussianMixture(rng.dirichlet(np.full(k, 2.0)), means, roots))


def _at_scales_of_p(
    nodes: Nodes, layout: Layout, rng: np.random.Generator
) -> Float[np.ndarray, " m"]:
    """A mixture on the line as narrow as p is where its means are: nodes crowd where p is narrow."""
    x = nodes.x[:, 0]
    order = np.argsort(x)
    x, weights = x[order], nodes.weights[order]
    at = rng.choice(len(x), layout.k, p=weights)
    below = np.cumsum(weights)
    near = np.searchsorted(below, np.minimum(below[at] + rng.uniform(0.02, 0.3, layout.k), 1.0))
    widths = np.abs(x[np.minimum(near, len(x) - 1)] - x[at])
    scales = np.clip(widths, 1e-4, 3.0)
    means = x[at][:, None]
    return layout.pack(
        GaussianMixture(rng.dirichlet(np.full(layout.k, 2.0)), means, scales[:, None, None])
    )


def order_of(
    means: Float[np.ndarray, "k d"],
    roots: Float[np.ndarray, "k d d"],
) -> np.ndarray:
    """Returns the order of components by their means, of those that share one by their scales."""
    scales = np.diagonal(roots, axis1=1, axis2=2)
    keys = np.concatenate([np.round(means, 5) + 0.0, scales], axis=1)
    return np.lexsort(keys.T[::-1])


def _features(mixture: GaussianMixture) -> Float[np.ndarray, " f"]:
    """Weights, means and scales, with components in the order of their means."""
    order = order_of(mixture.means, mixture.scale_trils)
    weights = mixture.weights[order]
    # A component without weight may stand anywhere.
    seen = (weights > 1e-4)[:, None]
    covariances = mixture.covariances[order].reshape(len(order), -1)
    parts = [weights, (mixture.means[order] * seen).ravel(), (covariances * seen).ravel()]
    return np.concatenate(parts)


def _back(
    basin: Basin, layout: Layout, center: Float[np.ndarray, " d"], root: Float[np.ndarray, "d d"]
) -> Basin:
    """Returns the basin in the coordinates of p."""

    def moved(vector: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        q = layout.unpack(vector)
        return layout.pack(
            GaussianMixture(q.weights, center + q.means @ root.T, root @ q.scale_trils)
        )

    best = basin.best
    path = tuple(moved(v) for v in best.path)
    end = Minimum(best.value, moved(best.at), path, best.evaluations)
    return Basin(end, basin.count, basin.spread * float(np.max(np.diag(root))))


def _sane(q: GaussianMixture) -> bool:
    """Whether q is no spike between nodes and has not run away."""
    scales = np.diagonal(q.scale_trils, axis1=1, axis2=2)
    heavy = q.weights > 1e-6
    return bool((scales[heavy] > 1e-5).all() and (scales[heavy] < 1e3).all())


def _check_covered(p: Distribution) -> None:
    s = p.support
    if s.dimension == 0 and (np.isfinite(s.low) or np.isfinite(s.high)):
        raise UnsupportedError(
            f"KL(q||p) is infinite for every Gaussian q: p lives on {s} and q everywhere; choose a "
            "family on that support, such as numpyro.distributions.Gamma, or direction='forward'"
        )


def _log_prob(p: Distribution, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return p.log_prob(x[:, 0] if p.support.dimension == 0 else x)


def _regular(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    if not np.isfinite(covariance).all() or np.diag(covariance).min() <= 0.0:
        raise UnsupportedError(
            "the target has no finite, positive variance: no Gaussian is closest to it"
        )
    return covariance


#: Points below this share of the whole are left out.
_NEGLIGIBLE = 1e-18
_SIDE = 321


def of_density(p: Distribution, example: Float[np.ndarray, " d"] | None = None) -> Nodes:
    """Returns quadrature nodes of a density of one or two variables, weighted by it."""
    if p.support.discrete:
        raise UnsupportedError("a Gaussian family cannot be fitted to a discrete target")
    if p.support.dimension == 0:
        s = p.support
        x, log_weight = nodes(fill(p.landmarks(), s.low, s.high), s.low, s.high)
        return _weighted(x[:, None], log_weight + p.log_prob(x))
    if p.support.dimension == 2:
        return _plane(p, np.zeros(2) if example is None else example)
    raise UnsupportedError(
        f"the target has {p.support.dimension} coordinates: known targets are fitted in one or two; "
        "draw samples from it and fit those"
    )


def standard_normal(d: int) -> Nodes:
    """Returns nodes of N(0, I): trapezoid points, which converge geometrically for a Gaussian."""
    axis = np.linspace(-8.0, 8.0, 161) if d == 1 else np.linspace(-6.5, 6.5, 53)
    x = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)
    return _weighted(x, -0.5 * np.sum(x * x, axis=1))


def _plane(p: Distribution, example: Float[np.ndarray, " d"]) -> Nodes:
    """Points of a rectangle that is grown and shrunk until it just holds the mass."""
    pieces = p.strata()
    center, reach = example, np.full(2, 10.0)
    if pieces:
        z = np.random.default_rng(0).standard_normal((256, pieces[0].dimension))
        seen = np.concatenate([s.transport(z) for s in pieces])
        center = 0.5 * (seen.min(axis=0) + seen.max(axis=0))
        reach = np.ptp(seen, axis=0)
    for _ in range(60):
        x, log_p = _rectangle(p, center, reach, 121)
        peak = log_p.max()
        if not math.isfinite(peak):
            raise DensityError(
                "p's log density is -inf all around the example; give one near its mass"
            )
        inside = x[log_p > peak - 45.0]
        low, high = inside.min(axis=0), inside.max(axis=0)
        cell = 2.0 * reach / 120.0
        at_edge = (low <= center - reach + cell) | (high >= center + reach - cell)
        wanted = np.where(at_edge, 2.0 * reach, 0.5 * (high - low) + 2.0 * cell)
        if not at_edge.any() and (wanted > 0.75 * reach).all():
            break
        center, reach = 0.5 * (low + high), wanted
    x, log_p = _rectangle(p, center, reach, _SIDE)
    return _weighted(x, log_p)


def _rectangle(
    p: Distribution, center: Float[np.ndarray, " d"], reach: Float[np.ndarray, " d"], side: int
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    axes = [np.linspace(c - r, c + r, side) for c, r in zip(center, reach, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return x, p.log_prob(x)


def _weighted(x: Float[np.ndarray, "n d"], log_weight: Float[np.ndarray, " n"]) -> Nodes:
    weights = np.exp(log_weight - log_weight.max())
    weights /= weights.sum()
    kept = weights > _NEGLIGIBLE
    return Nodes(x[kept], weights[kept] / weights[kept].sum())


def kl(p: Distribution, q: Distribution, nodes: Nodes, direction: Direction) -> Outcome:
    """Returns KL(p||q) or KL(q||p) on a plane, p being unnormalised, by sums over a rectangle.

    The error is the distance from the same sum over every other point.
    """
    low, high = nodes.x.min(axis=0), nodes.x.max(axis=0)
    center, reach = 0.5 * (low + high), 0.75 * (high - low)
    values = []
    for side in (_SIDE, _SIDE // 2 + 1):
        x, log_p = _rectangle(p, center, reach, side)
        cell = math.log(float(np.prod(2.0 * reach / (side - 1))))
        log_p = log_p - np.logaddexp.reduce(log_p) - cell
        log_q = q.log_prob(x)
        terms = forward_kl(log_p, log_q) if direction == "forward" else forward_kl(log_q, log_p)
        mass = np.exp((log_p if direction == "forward" else log_q) + cell).sum()
        values.append((float(terms.sum()) * math.exp(cell), float(mass)))
    (value, mass), (coarse, _) = values
    if direction == "reverse" and abs(mass - 1.0) > 1e-4:
        return unresolved(value, f"{1.0 - mass:.2g} of q's mass is off the rectangle", "plane sums")
    if value < -abs(value - coarse) - 1e-9:
        return unresolved(value, "p's mass does not end within any rectangle tried", "plane sums")
    error = abs(value - coarse) + abs(mass - 1.0) * (1.0 + abs(value)) * 10.0 + 1e-12
    return Outcome(value, error, "numeric", "plane sums", _SIDE * _SIDE)


def gather(
    minima: list[Minimum],
    features: Callable[[Minimum], Float[np.ndarray, " f"]],
    *,
    within: float = 1e-2,
    close: float = 1e-5,
) -> list[Basin]:
    """Returns the basins, best first.

    Args:
        minima: ends of descents.
        features: numbers of order 1 that two descents into one optimum share.
        within: how far features of one optimum may be apart.
        close: how far values of one optimum may be apart.
    """
    found: list[tuple[Minimum, np.ndarray, int, float]] = []
    for minimum in sorted(minima, key=lambda m: m.value):
        here = features(minimum)
        for i, (best, there, count, spread) in enumerate(found):
            apart = float(np.max(np.abs(here - there), initial=0.0))
            if apart < within and minimum.value - best.value < close * (1.0 + abs(best.value)):
                found[i] = (best, there, count + 1, max(spread, apart))
                break
        else:
            found.append((minimum, here, 1, 0.0))
    return [Basin(best, n, spread if n > 1 else math.nan) for best, _, n, spread in found]


# Families with two or three parameters, fitted without gradients, in either direction.


def to_nodes(data: Nodes) -> Callable[[Distribution], float]:
    """Returns the objective -sum w log q(x): forward KL up to the entropy of p."""

    def value(q: Distribution) -> float:
        log_q = q.log_prob(data.x[:, 0])
        return -float(data.weights @ log_q) if np.isfinite(log_q).all() else math.inf

    return value


def to_density(p: Distribution, direction: Direction) -> Callable[[Distribution], float]:
    """Returns the objective KL(p||q), or KL(q||p), measured by the method that the table chooses."""

    def value(q: Distribution) -> float:
        pair = (p, q) if direction == "forward" else (q, p)
        outcome = choose(KL, *pair)[1](Effort())
        return outcome.value if outcome.kind in ("exact", "numeric") else math.inf

    return value


def parametric_minima(
    family: Parametric,
    objective: Callable[[Distribution], float],
    watch: Callable[[int], None],
    *,
    best: int = 3,
) -> list[Minimum]:
    """Returns the ends of descents from the best of the family's starts."""

    def value(vector: scalar_Vector) -> float:
        try:
            return objective(family.build(vector))
        except (KullbackError, OverflowError, ZeroDivisionError):
            return math.inf

    ranked = sorted(family.starts, key=value)
    usable = [s for s in ranked[:best] if math.isfinite(value(s))]
    if not usable:
        raise UnsupportedError(
            f"{family.name}: the divergence is infinite for every member tried; its support or its "
            "tails do not fit the target: choose another family, or the other direction"
        )
    found = []
    for start in usable:
        found.append(without_gradient(value, start))
        watch(len(found))
    return found


ValueAndGradient = tuple[float, Vector]


@final
@dataclass(frozen=True)
class Forward:
    """Cross-entropy -sum_i w_i log q(x_i): KL(p||q) up to the entropy of p, which q cannot change."""

    layout: Layout
    nodes: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]

    def __call__(self, vector: Vector) -> ValueAndGradient:
        """Returns the objective and its gradient."""
        q = self.layout.unpack(vector)
        log_joint = q.log_joint_columns((self.nodes - q.mean).T)
        log_q = np.logaddexp.reduce(log_joint, axis=0)
        mass = np.exp(log_joint - log_q) * self.weights
        totals = mass.sum(axis=1)
        by_mean = np.empty_like(q.means)
        by_root = np.empty_like(q.scale_trils)
        for k, (mean, root) in enumerate(zip(q.means, q.scale_trils, strict=True)):
            inverse = np.linalg.inv(root)
            z = (self.nodes - mean) @ inverse.T
            pull = (mass[k, :, None] * z).T
            by_mean[k] = -inverse.T @ pull.sum(axis=1)
            by_root[k] = -inverse.T @ (pull @ z - totals[k] * np.eye(len(mean)))
        gradient = self.layout.gradient(q, -totals / q.weights, by_mean, by_root)
        return -float(self.weights @ log_q), gradient


@final
@dataclass(frozen=True)
class Reverse:
    """KL(q||p) up to log Z: nodes move with q, so no mass of q can leave where it is looked for.

    sum_k w_k sum_j v_j [log q - log p](m_k + L_k z_j), with the gradient along the path x(z); the
    other part of the gradient, the mean of q's score, is 0.
    """

    layout: Layout
    z: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]
    log_p: Callable[[np.ndarray], np.ndarray]

    def __call__(self, vector: Vector) -> ValueAndGradient:
        """Returns the objective and its gradient."""
        q = self.layout.unpack(vector)
        k, d, n = self.layout.k, self.layout.d, len(self.z)
        x = (q.means[:, None, :] + self.z @ q.scale_trils.transpose(0, 2, 1)).reshape(k * n, d)
        step = 1e-5 * np.repeat(q.scale_trils[:, range(d), range(d)], n, axis=0)
        log_p, slope_p = value_and_slope(self.log_p, x, step)
        log_joint = q.log_joint_columns((x - q.mean).T)
        log_q = np.logaddexp.reduce(log_joint, axis=0)
        slope = _score(q, x, np.exp(log_joint - log_q)) - slope_p
        ratio = (log_q - log_p).reshape(k, n)
        by_weight = ratio @ self.weights
        if not np.isfinite(by_weight).all():
            return math.inf, np.zeros_like(vector)
        pull = slope.reshape(k, n, d) * self.weights[:, None] * q.weights[:, None, None]
        by_root = np.einsum("knd,ne->kde", pull, self.z)
        gradient = self.layout.gradient(q, by_weight, pull.sum(axis=1), by_root)
        return float(q.weights @ by_weight), gradient


def _score(
    q: GaussianMixture, x: Float[np.ndarray, "n d"], shares: Float[np.ndarray, "k n"]
) -> Float[np.ndarray, "n d"]:
    """The gradient of log q in x."""
    total = np.zeros_like(x)
    for share, mean, root in zip(shares, q.means, q.scale_trils, strict=True):
        inverse = np.linalg.inv(root)
        total -= share[:, None] * ((x - mean) @ inverse.T @ inverse)
    return total


def value_and_slope(
    log_p: Callable[[np.ndarray], np.ndarray],
    x: Float[np.ndarray, "n d"],
    step: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
    """Returns log p and its gradient by central differences, in one call."""
    n, d = x.shape
    shifts = [x]
    for i in range(d):
        moved = np.zeros_like(x)
        moved[:, i] = step[:, i]
        shifts += [x + moved, x - moved]
    values = log_p(np.concatenate(shifts)).reshape(1 + 2 * d, n)
    with np.errstate(invalid="ignore"):
        slope = (values[1::2] - values[2::2]).T / (2.0 * step)
    return values[0], np.where(np.isfinite(slope), slope, 0.0)


# Maximum likelihood of Gaussian mixtures by EM: the forward KL from samples.

_FLOOR = 1e-6
#: Stop when an iteration gains less than this, in nats a row.
_GAIN = 1e-10


def maximum_likelihood(
    data: Nodes,
    layout: Layout,
    *,
    starts: int,
    rng: np.random.Generator,
    watch: Callable[[int], None],
    keep: bool,
) -> list[Minimum]:
    """Returns the end of EM from each start, values being minus the mean log-likelihood.

    When interrupted, what there is is returned if `keep`, otherwise nothing is.
    """
    found: list[Minimum] = []
    try:
        for _ in range(1 if layout.k == 1 else starts):
            found.append(climb(data, layout, _seed(data, layout, rng)))
            watch(len(found))
    except KeyboardInterrupt:
        if not (found and keep):
            raise
    return found


def climb(
    data: Nodes, layout: Layout, start: GaussianMixture, *, iterations: int = 2000
) -> Minimum:
    """Returns where EM ends from a start."""
    q, path, last = start, [layout.pack(start)], -math.inf
    count = 0
    for count in range(1, iterations + 1):
        log_joint = q.log_joint_columns((data.x - q.mean).T)
        log_q = np.logaddexp.reduce(log_joint, axis=0)
        value = float(data.weights @ log_q)
        if value - last < _GAIN * (1.0 + abs(value)):
            break
        last = value
        q = _update(data, np.exp(log_joint - log_q) * data.weights, diagonal=layout.diagonal)
        if count <= 20 or count % 20 == 0:
            path.append(layout.pack(q))
    end = layout.pack(q)
    value = float(data.weights @ q.log_prob(data.x))
    return Minimum(-value, end, (*path, end), count)


def _update(data: Nodes, mass: Float[np.ndarray, "k n"], *, diagonal: bool) -> GaussianMixture:
    totals = np.maximum(mass.sum(axis=1), 1e-300)
    means = (mass @ data.x) / totals[:, None]
    roots = []
    for m, mean, total in zip(mass, means, totals, strict=True):
        moved = data.x - mean
        covariance = (moved * m[:, None]).T @ moved / total
        if diagonal:
            covariance = np.diag(np.diag(covariance))
        roots.append(np.linalg.cholesky(covariance + _FLOOR * np.eye(len(mean))))
    return GaussianMixture(totals / totals.sum(), means, np.array(roots))


def _seed(data: Nodes, layout: Layout, rng: np.random.Generator) -> GaussianMixture:
    """k-means++ centres, each with the spread of the points closest to it."""
    n = len(data.x)
    centers = [data.x[rng.choice(n, p=data.weights)]]
    nearest = np.full(n, math.inf)
    for _ in range(layout.k - 1):
        nearest = np.minimum(nearest, np.sum((data.x - centers[-1]) ** 2, axis=1))
        odds = nearest * data.weights
        if odds.sum() <= 0.0:
            raise InputError(
                f"Mixture(k={layout.k}): the samples have only {len(centers)} distinct row(s); "
                "ask for fewer components"
            )
        centers.append(data.x[rng.choice(n, p=odds / odds.sum())])
    distance = np.stack([np.sum((data.x - c) ** 2, axis=1) for c in centers])
    hard = (distance == distance.min(axis=0)) * data.weights + 1e-3 * data.weights / layout.k
    return _update(data, hard, diagonal=layout.diagonal)
