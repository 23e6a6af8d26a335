"""Mixtures of Gaussians fitted to a known density, in either direction, from many starts."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.fitting.components import Chart, Components, Vector, one
from kullback.fitting.covariances import Prior, Structure
from kullback.fitting.em import MixtureModel
from kullback.fitting.multistart import Basin, Descents, in_words, search
from kullback.fitting.natural_gradient import expectation
from kullback.fitting.nodes import Nodes, standard_normal
from kullback.fitting.pieces import Piece, at_random, of_modes
from kullback.fitting.pieces import of_density as pieces_of_density
from kullback.fitting.rows import ScaledRows
from kullback.results.fit import Direction
from kullback.solvers.minimise import Minimum, descend_past_saddles
from kullback.targets import Samples

#: Pieces of p that components of a mixture are begun at, in all combinations.
_PIECES = 6
#: Optima of a smaller mixture that are grown by a component.
_GROWN = 3


def descents(
    p: Distribution,
    nodes: Nodes,
    chart: Chart,
    direction: Direction,
    *,
    starts: int,
    key: object,
    watch: Callable[[int | str], None],
) -> Descents:
    """Returns the local optima that descents reach, in the coordinates of p.

    They begin at the optima of the families that this one contains (a component less; a diagonal
    covariance), at p's modes and quantiles, and at random. Of the families contained `evaluations` are
    counted, `starts` are not.

    Args:
        p: the target.
        nodes: p as weighted points.
        chart: of q.
        direction: of the divergence.
        starts: descents to make.
        key: randomness of the starts, an int or a JAX key.
        watch: told of each descent, and in words of those in the families contained.
    """
    if direction == "reverse":
        _check_covered(p)
    found = [
        (smaller, descents(p, nodes, smaller, direction, starts=n, key=key, watch=in_words(watch)))
        for smaller, n in _contained(chart, direction, starts)
    ]
    frame = _Frame.of(nodes, chart, direction)
    objective = _objective(p, nodes, chart, direction, frame)
    inner = [
        [frame.inward(smaller.unpack(b.best.at)) for b in result.basins]
        for smaller, result in found
    ]
    contained = [_embedded(q[0], chart, objective) for q in inner]
    stopped = next((result for _, result in found if result.interrupted), None)
    begun = _starts(p, nodes, frame, chart, inner, starts, generator(key))
    searched = search(
        () if stopped is not None else begun,
        lambda start: descend_past_saddles(objective, start),
        lambda m: _features(chart.unpack(m.at)),
        watch,
        usable=lambda m: _sane(chart.unpack(m.at)),
        contained=contained,
        failure="no start led to an optimum: is the target a density with finite moments?",
    )
    return Descents(
        [_back(b, chart, frame) for b in searched.basins],
        searched.starts if stopped is None else stopped.starts,
        searched.evaluations + sum(result.evaluations for _, result in found),
        searched.interrupted or stopped is not None,
    )


def moment_matched(nodes: Nodes, chart: Chart) -> Components:
    """Returns the Gaussian closest in KL(p||q): it has p's mean, and its covariance or variances."""
    covariance = _regular(nodes.covariance)
    if chart.diagonal:
        covariance = np.diag(np.diag(covariance))
    return one(nodes.mean, np.linalg.cholesky(covariance))


def _contained(chart: Chart, direction: Direction, starts: int) -> list[tuple[Chart, int]]:
    """The families to search first, and with how many starts: a member of them is one of this family."""
    k, d = chart.k, chart.d
    if direction == "forward" and k == 1:
        return []
    smaller = [(Chart.standard(k - 1, d, diagonal=chart.diagonal), starts)] if k > 1 else []
    if d > 1 and not chart.diagonal:
        smaller.append(
            (Chart.standard(k, d, diagonal=True), starts if k == 1 else max(starts // 2, 1))
        )
    return smaller


@final
@dataclass(frozen=True)
class _Frame:
    """Coordinates in which p has mean 0 and covariance I, or median 0 and quartiles of that size."""

    center: Float[np.ndarray, " d"]
    root: Float[np.ndarray, "d d"]

    @classmethod
    def of(cls, nodes: Nodes, chart: Chart, direction: Direction) -> "_Frame":
        if direction == "reverse":
            center, root = nodes.bulk()
        else:
            center, root = nodes.mean, np.linalg.cholesky(_regular(nodes.covariance))
        if chart.diagonal:
            root = np.diag(np.sqrt(np.diag(root @ root.T)))
        return cls(center, root)

    def inward(self, q: Components) -> Components:
        """Returns a mixture of p's coordinates in these."""
        inverse = np.linalg.inv(self.root)
        return Components(q.weights, (q.means - self.center) @ inverse.T, inverse @ q.roots)

    def outward(self, q: Components) -> Components:
        """Returns a mixture of these coordinates in p's."""
        return Components(q.weights, self.center + q.means @ self.root.T, self.root @ q.roots)


ValueAndGradient = tuple[float, Vector]


@final
class Forward:
    """Cross-entropy -sum_i w_i log q(x_i): KL(p||q) up to the entropy of p, which q cannot change.

    A pass of EM over weighted points gives the value and its gradient.
    """

    def __init__(self, chart: Chart, points: Nodes) -> None:
        n, d = points.x.shape
        structure = Structure("diagonal" if chart.diagonal else "full", d)
        self._chart, self._model = chart, MixtureModel(structure, Prior(0.0, np.zeros((d, d))))
        samples = Samples(points.x, points.weights)
        self._rows = ScaledRows(samples, np.zeros(d), np.ones(d), n, 1.0, float(n))

    def __call__(self, vector: Vector) -> ValueAndGradient:
        """Returns the objective and its gradient."""
        q = self._chart.unpack(vector)
        sums = self._model.expect(self._rows, q)
        return -sums.log_likelihood, -self._chart.gradient(q, *self._model.slope(q, sums))


@final
@dataclass(frozen=True)
class Reverse:
    """KL(q||p) up to log Z: nodes move with q, so no mass of q can leave where it is looked for."""

    chart: Chart
    nodes: Nodes
    log_p: Callable[[np.ndarray], np.ndarray]

    def __call__(self, vector: Vector) -> ValueAndGradient:
        """Returns the objective and its gradient."""
        q, z = self.chart.unpack(vector), self.nodes.x
        step = 1e-5 * np.repeat(np.diagonal(q.roots, axis1=1, axis2=2), len(z), axis=0)
        known = value_and_slope(self.log_p, q.place(z).reshape(step.shape), step)
        found = expectation(q, z, self.nodes.weights, *known)
        if not np.isfinite(found.levels).all():
            return math.inf, np.zeros_like(vector)
        w, elbo = q.weights, float(q.weights @ found.levels)
        shifts, turns = w[:, None] * found.shifts, w[:, None, None] * found.turns
        return -elbo, -self.chart.gradient(q, w * (found.levels - elbo), shifts, turns)


def _objective(
    p: Distribution, nodes: Nodes, chart: Chart, direction: Direction, frame: _Frame
) -> Forward | Reverse:
    if direction == "forward":
        white = (nodes.x - frame.center) @ np.linalg.inv(frame.root).T
        return Forward(chart, Nodes(white, nodes.weights))
    return Reverse(
        chart, standard_normal(chart.d), lambda y: _log_prob(p, frame.center + y @ frame.root.T)
    )


def _embedded(q: Components, chart: Chart, objective: Forward | Reverse) -> Minimum:
    """The member of a family that is a member of a contained one: one component stands twice."""
    weights, means, roots = q.weights, q.means, q.roots
    if len(weights) < chart.k:
        heaviest = int(np.argmax(weights))
        weights = np.append(weights, 0.5 * weights[heaviest])
        weights[heaviest] *= 0.5
        means = np.concatenate([means, means[heaviest, None]])
        roots = np.concatenate([roots, roots[heaviest, None]])
    at = chart.pack(Components(weights, means, roots))
    with np.errstate(all="ignore"):
        return Minimum(float(objective(at)[0]), at, (at,), 1)


def _starts(
    p: Distribution,
    nodes: Nodes,
    frame: _Frame,
    chart: Chart,
    inner: list[list[Components]],
    n: int,
    rng: np.random.Generator,
) -> Iterator[Float[np.ndarray, " m"]]:
    """Yields n mixtures: grown from those contained, at pieces of p, then at random.

    Half of the starts of a mixture are random, so that shares say how likely an optimum is to be met.
    """
    if chart.k == 1:
        for q in [q for found in inner for q in found][: max(n // 2, 1)]:
            yield chart.pack(q)
            n -= 1
        random = at_random(nodes, rng)
        for piece in itertools.islice(
            itertools.chain(pieces_of_density(p, nodes), random), max(n, 0)
        ):
            yield chart.pack(frame.inward(_at([piece], chart)))
        return
    pieces = of_modes(p, nodes)[:_PIECES]
    grown = [q for found in inner for q in _grown(found[:_GROWN], pieces, frame, chart)]
    groups = (list(g) for g in itertools.combinations(pieces, chart.k))
    placed = (frame.inward(_at(group, chart)) for group in groups)
    # In turn, so that a few starts are of every kind.
    planned = itertools.islice(_in_turn(iter(grown), placed), (n + 1) // 2)
    made = 0
    for q in planned:
        made += 1
        yield chart.pack(q)
    inverse = np.linalg.inv(frame.root)
    white = Nodes((nodes.x - frame.center) @ inverse.T, nodes.weights)
    yield from _random(white, chart, n - made, rng)


def _in_turn(*sources: Iterator[Components]) -> Iterator[Components]:
    """Yields from each source in turn, until all are at their ends."""
    for row in itertools.zip_longest(*sources):
        yield from (q for q in row if q is not None)


def _at(pieces: list[Piece], chart: Chart) -> Components:
    """The mixture with a component at each piece."""
    roots = np.array([piece.root for piece in pieces])
    if chart.diagonal:
        variances = np.diagonal(roots @ roots.transpose(0, 2, 1), axis1=1, axis2=2)
        roots = np.sqrt(variances)[:, :, None] * np.eye(chart.d)
    masses = np.array([piece.mass for piece in pieces])
    return Components(masses / masses.sum(), np.array([piece.center for piece in pieces]), roots)


def _grown(
    found: list[Components], pieces: list[Piece], frame: _Frame, chart: Chart
) -> Iterator[Components]:
    """Optima of a contained family, with a component more at a piece of p if one is missing."""
    for q in found:
        if len(q.weights) == chart.k:
            yield q
            continue
        for piece in pieces:
            new = frame.inward(_at([piece], chart))
            yield q.with_another(min(max(piece.mass, 0.02), 0.5), new.means[0], new.roots[0])


def _random(
    nodes: Nodes, chart: Chart, n: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, " m"]]:
    """Yields random mixtures: means drawn from p, scales over a decade, any weights."""
    k, d = chart.k, chart.d
    for i in range(n):
        if d == 1 and i % 3 == 2:
            yield _at_scales_of_p(nodes, chart, rng)
            continue
        means = nodes.x[rng.choice(len(nodes.x), k, p=nodes.weights)]
        means = means + 0.1 * rng.standard_normal((k, d))
        scales = np.exp(rng.uniform(np.log(0.1), np.log(1.2), k))
        roots = scales[:, None, None] * np.eye(d)
        yield chart.pack(Components(rng.dirichlet(np.full(k, 2.0)), means, roots))


def _at_scales_of_p(
    nodes: Nodes, chart: Chart, rng: np.random.Generator
) -> Float[np.ndarray, " m"]:
    """A mixture on the line as narrow as p is where its means are: nodes crowd where p is narrow."""
    x = nodes.x[:, 0]
    order = np.argsort(x)
    x, weights = x[order], nodes.weights[order]
    at = rng.choice(len(x), chart.k, p=weights)
    below = np.cumsum(weights)
    near = np.searchsorted(below, np.minimum(below[at] + rng.uniform(0.02, 0.3, chart.k), 1.0))
    widths = np.abs(x[np.minimum(near, len(x) - 1)] - x[at])
    scales = np.clip(widths, 1e-4, 3.0)
    means = x[at][:, None]
    return chart.pack(
        Components(rng.dirichlet(np.full(chart.k, 2.0)), means, scales[:, None, None])
    )


def _features(mixture: Components) -> Float[np.ndarray, " f"]:
    """Weights, means and scales, with components in the order of their means."""
    order = mixture.order()
    weights = mixture.weights[order]
    # A component without weight may stand anywhere.
    seen = (weights > 1e-4)[:, None]
    covariances = mixture.covariances[order].reshape(len(order), -1)
    parts = [weights, (mixture.means[order] * seen).ravel(), (covariances * seen).ravel()]
    return np.concatenate(parts)


def _back(basin: Basin, chart: Chart, frame: _Frame) -> Basin:
    """Returns the basin in the coordinates of p."""

    def moved(vector: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return chart.pack(frame.outward(chart.unpack(vector)))

    best = basin.best
    path = tuple(moved(v) for v in best.path)
    end = Minimum(best.value, moved(best.at), path, best.evaluations)
    return Basin(end, basin.count, basin.spread * float(np.max(np.diag(frame.root))))


def _sane(q: Components) -> bool:
    """Whether q is no spike between nodes and has not run away."""
    scales = np.diagonal(q.roots, axis1=1, axis2=2)
    heavy = q.weights > 1e-6
    return bool((scales[heavy] > 1e-5).all() and (scales[heavy] < 1e3).all())


def _check_covered(p: Distribution) -> None:
    s = p.support
    if s.dimension == 0 and (np.isfinite(s.low) or np.isfinite(s.high)):
        there = {(0.0, math.inf): "gamma", (0.0, 1.0): "beta"}.get((s.low, s.high))
        remedy = f"the family {there}, or direction='forward'" if there else "direction='forward'"
        raise UnsupportedError(
            f"KL(q||p) is infinite for every Gaussian q: p lives on {s} and q everywhere; choose {remedy}"
        )


def _log_prob(p: Distribution, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return p.log_prob(x[:, 0] if p.support.dimension == 0 else x)


def _regular(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    if not np.isfinite(covariance).all() or np.diag(covariance).min() <= 0.0:
        raise UnsupportedError(
            "the target has no finite, positive variance: no Gaussian is closest to it"
        )
    return covariance


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
