"""Mixtures of Gaussians fitted to a known density, in either direction, from many starts."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.real import Normal
from kullback.distributions.vector import MultivariateNormal
from kullback.fitting.multistart import Basin, Search, in_words, search
from kullback.fitting.nodes import Nodes, standard_normal
from kullback.fitting.pieces import Piece, at_random, of_modes
from kullback.fitting.pieces import of_density as pieces_of_density
from kullback.results.fit import Direction
from kullback.solvers.minimise import Minimum, descend_past_saddles

#: Pieces of p that components of a mixture are begun at, in all combinations.
_PIECES = 6
#: Optima of a smaller mixture that are grown by a component.
_GROWN = 3


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
    key: object,
    watch: Callable[[int | str], None],
) -> Search:
    """Returns the local optima that descents reach, in the coordinates of p.

    They begin at the optima of the families that this one contains (a component less; a diagonal
    covariance), at p's modes and quantiles, and at random. Of the families contained `evaluations` are
    counted, `starts` are not.

    Args:
        p: the target.
        nodes: p as weighted points.
        layout: of q.
        direction: of the divergence.
        starts: descents to make.
        key: randomness of the starts, an int or a JAX key.
        watch: told of each descent, and in words of those in the families contained.
    """
    if direction == "reverse":
        _check_covered(p)
    found = [
        (smaller, descents(p, nodes, smaller, direction, starts=n, key=key, watch=in_words(watch)))
        for smaller, n in _contained(layout, direction, starts)
    ]
    frame = _Frame.of(nodes, layout, direction)
    objective = _objective(p, nodes, layout, direction, frame)
    inner = [
        [frame.inward(smaller.unpack(b.best.at)) for b in result.basins]
        for smaller, result in found
    ]
    contained = [_embedded(q[0], layout, objective) for q in inner]
    stopped = next((result for _, result in found if result.interrupted), None)
    begun = _starts(p, nodes, frame, layout, inner, starts, generator(key))
    searched = search(
        () if stopped is not None else begun,
        lambda start: descend_past_saddles(objective, start),
        lambda m: _features(layout.unpack(m.at)),
        watch,
        usable=lambda m: _sane(layout.unpack(m.at)),
        contained=contained,
        failure="no start led to an optimum: is the target a density with finite moments?",
    )
    return Search(
        [_back(b, layout, frame) for b in searched.basins],
        searched.starts if stopped is None else stopped.starts,
        searched.evaluations + sum(result.evaluations for _, result in found),
        searched.interrupted or stopped is not None,
    )


def moment_matched(nodes: Nodes, layout: Layout) -> GaussianMixture:
    """Returns the Gaussian closest in KL(p||q): it has p's mean, and its covariance or variances."""
    covariance = _regular(nodes.covariance)
    if layout.diagonal:
        covariance = np.diag(np.diag(covariance))
    return GaussianMixture(np.ones(1), nodes.mean[None], np.linalg.cholesky(covariance)[None])


def _contained(layout: Layout, direction: Direction, starts: int) -> list[tuple[Layout, int]]:
    """The families to search first, and with how many starts: a member of them is one of this family."""
    k, d = layout.k, layout.d
    if direction == "forward" and k == 1:
        return []
    smaller = [(Layout(k - 1, d, layout.diagonal), starts)] if k > 1 else []
    if d > 1 and not layout.diagonal:
        smaller.append((Layout(k, d, diagonal=True), starts if k == 1 else max(starts // 2, 1)))
    return smaller


@final
@dataclass(frozen=True)
class _Frame:
    """Coordinates in which p has mean 0 and covariance I, or median 0 and quartiles of that size."""

    center: Float[np.ndarray, " d"]
    root: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, nodes: Nodes, layout: Layout, direction: Direction) -> "_Frame":
        if direction == "reverse":
            center, root = nodes.bulk()
        else:
            center, root = nodes.mean, np.linalg.cholesky(_regular(nodes.covariance))
        if layout.diagonal:
            root = np.diag(np.sqrt(np.diag(root @ root.T)))
        return cls(center, root)

    def inward(self, q: GaussianMixture) -> GaussianMixture:
        """Returns a mixture of p's coordinates in these."""
        inverse = np.linalg.inv(self.root)
        return GaussianMixture(
            q.weights, (q.means - self.center) @ inverse.T, inverse @ q.scale_trils
        )

    def outward(self, q: GaussianMixture) -> GaussianMixture:
        """Returns a mixture of these coordinates in p's."""
        return GaussianMixture(
            q.weights, self.center + q.means @ self.root.T, self.root @ q.scale_trils
        )


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


def _objective(
    p: Distribution, nodes: Nodes, layout: Layout, direction: Direction, frame: _Frame
) -> Forward | Reverse:
    if direction == "forward":
        white = (nodes.x - frame.center) @ np.linalg.inv(frame.root).T
        return Forward(layout, white, nodes.weights)
    z = standard_normal(layout.d)
    return Reverse(layout, z.x, z.weights, lambda y: _log_prob(p, frame.center + y @ frame.root.T))


def _embedded(q: GaussianMixture, layout: Layout, objective: Forward | Reverse) -> Minimum:
    """The member of a family that is a member of a contained one: one component stands twice."""
    weights, means, roots = q.weights, q.means, q.scale_trils
    if len(weights) < layout.k:
        heaviest = int(np.argmax(weights))
        weights = np.append(weights, 0.5 * weights[heaviest])
        weights[heaviest] *= 0.5
        means = np.concatenate([means, means[heaviest, None]])
        roots = np.concatenate([roots, roots[heaviest, None]])
    at = layout.pack(GaussianMixture(weights, means, roots))
    with np.errstate(all="ignore"):
        return Minimum(float(objective(at)[0]), at, (at,), 1)


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
    p: Distribution,
    nodes: Nodes,
    frame: _Frame,
    layout: Layout,
    inner: list[list[GaussianMixture]],
    n: int,
    rng: np.random.Generator,
) -> Iterator[Float[np.ndarray, " m"]]:
    """Yields n mixtures: grown from those contained, at pieces of p, then at random.

    Half of the starts of a mixture are random, so that shares say how likely an optimum is to be met.
    """
    if layout.k == 1:
        for q in [q for found in inner for q in found][: max(n // 2, 1)]:
            yield layout.pack(q)
            n -= 1
        random = at_random(nodes, rng)
        for piece in itertools.islice(
            itertools.chain(pieces_of_density(p, nodes), random), max(n, 0)
        ):
            yield layout.pack(frame.inward(_at([piece], layout)))
        return
    pieces = of_modes(p, nodes)[:_PIECES]
    grown = [q for found in inner for q in _grown(found[:_GROWN], pieces, frame, layout)]
    groups = (list(g) for g in itertools.combinations(pieces, layout.k))
    placed = (frame.inward(_at(group, layout)) for group in groups)
    # In turn, so that a few starts are of every kind.
    planned = itertools.islice(_in_turn(iter(grown), placed), (n + 1) // 2)
    made = 0
    for q in planned:
        made += 1
        yield layout.pack(q)
    inverse = np.linalg.inv(frame.root)
    white = Nodes((nodes.x - frame.center) @ inverse.T, nodes.weights)
    yield from _random(white, layout, n - made, rng)


def _in_turn(*sources: Iterator[GaussianMixture]) -> Iterator[GaussianMixture]:
    """Yields from each source in turn, until all are at their ends."""
    for row in itertools.zip_longest(*sources):
        yield from (q for q in row if q is not None)


def _at(pieces: list[Piece], layout: Layout) -> GaussianMixture:
    """The mixture with a component at each piece."""
    roots = np.array([piece.root for piece in pieces])
    if layout.diagonal:
        variances = np.diagonal(roots @ roots.transpose(0, 2, 1), axis1=1, axis2=2)
        roots = np.sqrt(variances)[:, :, None] * np.eye(layout.d)
    masses = np.array([piece.mass for piece in pieces])
    return GaussianMixture(
        masses / masses.sum(), np.array([piece.center for piece in pieces]), roots
    )


def _grown(
    found: list[GaussianMixture], pieces: list[Piece], frame: _Frame, layout: Layout
) -> Iterator[GaussianMixture]:
    """Optima of a contained family, with a component more at a piece of p if one is missing."""
    for q in found:
        if len(q.weights) == layout.k:
            yield q
            continue
        for piece in pieces:
            new = frame.inward(_at([piece], layout))
            weight = min(max(piece.mass, 0.02), 0.5)
            yield GaussianMixture(
                np.append((1.0 - weight) * q.weights, weight),
                np.concatenate([q.means, new.means]),
                np.concatenate([q.scale_trils, new.scale_trils]),
            )


def _random(
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


def _back(basin: Basin, layout: Layout, frame: _Frame) -> Basin:
    """Returns the basin in the coordinates of p."""

    def moved(vector: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return layout.pack(frame.outward(layout.unpack(vector)))

    best = basin.best
    path = tuple(moved(v) for v in best.path)
    end = Minimum(best.value, moved(best.at), path, best.evaluations)
    return Basin(end, basin.count, basin.spread * float(np.max(np.diag(frame.root))))


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
_EM_GAIN = 1e-10


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
        if value - last < _EM_GAIN * (1.0 + abs(value)):
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
