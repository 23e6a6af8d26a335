"""Families with a few parameters, fitted to a known density from many starts, for any divergence."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import KullbackError, UnsupportedError
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.distributions.scalar import Parametric, Scalar, Vector
from kullback.fitting.multistart import Descents, in_words, search
from kullback.fitting.nodes import Nodes, of_density, of_integers
from kullback.fitting.pieces import Piece, at_random
from kullback.fitting.pieces import of_density as pieces_of_density
from kullback.measure.question import Question
from kullback.measure.table import Effort, choose
from kullback.solvers.minimise import Minimum, descend_by_differences, without_gradient
from kullback.solvers.quadrature import fill, nodes

#: Stand for infinity: where a descent may begin, and where a limit is reached to all digits that are told.
_BEFORE, _LIMIT = 50.0, 1e6
#: Integers that are summed over; where there are more, the divergence is measured as of any two.
_MOST = 20_000
#: Points of a piece of p that the start near it is fitted to, and evaluations of that.
_POINTS, _EVALUATIONS = 48, 60
#: Shares of both densities below this add nothing.
_NEGLIGIBLE = -75.0
#: A descent that is this much better than one by differences says that those stopped early.
_GAIN = 1e-9
_LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


@final
class FamilyDivergence:
    """A divergence between p and members of a family, by a fixed rule: it is smooth in their parameters.

    The line is cut at the landmarks of both, and integers are summed over: as the measuring of two
    distributions begins, which then refines it. What tails beyond add is left to that.

    Args:
        question: what is asked, KL or another divergence.
        p: the target.
        first: whether p is the first argument.
    """

    def __init__(self, question: Question, p: Distribution, *, first: bool) -> None:
        self._question = question
        self._p = p
        self._first = first
        self._marks = p.landmarks()
        self._log_mass = 0.0 if p.normalized else self._log_integral()

    @np.errstate(all="ignore")
    def __call__(self, q: Distribution) -> float:
        """Returns the divergence, infinite where it cannot be told."""
        x, log_weight = self._points(q)
        if not len(x):
            return self.measured(q)
        log_p, log_q = self._p.log_prob(x) - self._log_mass, q.log_prob(x)
        felt = np.maximum(log_p, log_q) if self._question.over_q else self._of_first(log_p, log_q)
        kept = felt + log_weight > _NEGLIGIBLE
        a, b = (log_p, log_q) if self._first else (log_q, log_p)
        terms = self._question.contribution(a[kept], b[kept], log_weight[kept])
        weights = np.exp(log_weight[kept]) if self._discrete else 1.0
        value = self._question.finish(float(np.sum(terms * weights if self._discrete else terms)))
        return value if math.isfinite(value) else math.inf

    def _of_first(self, log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
        return log_p if self._first else log_q

    @property
    def _discrete(self) -> bool:
        return self._p.support.discrete

    def _points(self, q: Distribution) -> tuple[np.ndarray, np.ndarray]:
        own, others = (self._marks, q.landmarks()) if self._first else (q.landmarks(), self._marks)
        a, b = (self._p, q) if self._first else (q, self._p)
        low, high = a.support.low, a.support.high
        if self._question.over_q:
            low, high = min(low, b.support.low), max(high, b.support.high)
            own, others = np.concatenate([own, others]), own[:0]
        if self._discrete:
            first, last = np.floor(own.min()), np.floor(own.max())
            x = np.arange(first, last + 1.0) if last - first < _MOST else np.zeros(0)
            return x, np.zeros_like(x)
        reach = 1e3 * max(float(np.ptp(own)), 1e-300)
        others = others[(others > own.min() - reach) & (others < own.max() + reach)]
        ends = np.array([a.support.low, a.support.high, b.support.low, b.support.high])
        cuts = np.unique(np.concatenate([own, others, ends]))
        cuts = cuts[np.isfinite(cuts) & (cuts > low) & (cuts < high)]
        return nodes(_filled(cuts), low, high)

    def _log_integral(self) -> float:
        s = self._p.support
        x, log_weight = nodes(fill(self._marks, s.low, s.high), s.low, s.high)
        return float(np.logaddexp.reduce(self._p.log_prob(x) + log_weight))

    def measured(self, q: Distribution) -> float:
        """Returns the divergence as it is measured between any two; infinite where it cannot be told."""
        pair = (self._p, q) if self._first else (q, self._p)
        outcome = choose(self._question, *pair)[1](Effort())
        return outcome.value if outcome.kind in ("exact", "numeric") else math.inf


def _filled(cuts: Float[np.ndarray, " m"]) -> Float[np.ndarray, " k"]:
    """Returns the points and others between them: from one gap to the next widths grow at most fourfold.

    Of a few dozen points plain numbers are faster than arrays.
    """
    points = cuts.tolist()
    gaps = [b - a for a, b in itertools.pairwise(points)]
    added = []
    for i, gap in enumerate(gaps):
        for end, sign, near in ((points[i], 1.0, i - 1), (points[i + 1], -1.0, i + 1)):
            step = 4.0 * gaps[near] if 0 <= near < len(gaps) else gap
            while step < 0.5 * gap:
                added.append(end + sign * step)
                step *= 4.0
    return np.unique(np.concatenate([cuts, added])) if added else cuts


def closest(
    family: Parametric,
    p: Distribution,
    objective: FamilyDivergence,
    *,
    starts: int,
    key: object,
    watch: Callable[[int | str], None],
) -> Descents:
    """Returns the local optima of a divergence from a density of one variable, over a family.

    Descents begin at the optima of the families that this one contains, at the members nearest to pieces
    of p (around its modes, between its quantiles; the best of these if fewer starts are asked for), and
    at the members nearest to random pieces. Of the families contained `evaluations` are counted, `starts`
    are not.

    Args:
        family: what to choose from.
        p: the target.
        objective: the divergence.
        starts: descents to make.
        key: randomness of the starts, an int or a JAX key.
        watch: told of each descent, and in words of those in the families contained.
    """
    failure = (
        f"{family.name}: the divergence is infinite for every member tried; its support or its tails do not "
        "fit the target: choose another family, or the other direction"
    )
    if not _possible(family, p, objective):
        raise UnsupportedError(failure)
    found = [
        (embed, closest(smaller, p, objective, starts=starts, key=key, watch=in_words(watch)))
        for smaller, embed in family.contained
        if _possible(smaller, p, objective)
    ]
    count = 0

    def value(vector: Vector) -> float:
        nonlocal count
        count += 1
        return _guarded(family, objective, vector)

    inner = [(embed, b.best.at) for embed, result in found for b in result.basins[:2]]
    seeds = [embed(at, _BEFORE) for embed, at in inner]
    limits = [embed(at, _LIMIT) for embed, at in inner]
    contained = [Minimum(value(at), at, (at,), 1) for at in [*limits, *family.constants]]
    stopped = next((result for _, result in found if result.interrupted), None)
    begun = _starts(family, p, value, [*seeds, *family.constants], starts, generator(key))
    result = search(
        () if stopped is not None else begun,
        lambda start: descend_by_differences(value, start),
        lambda m: _features(family.build(m.at), m.at),
        watch,
        usable=lambda m: True,
        contained=contained,
        within=1e-3,
        failure=failure,
    )
    spent = count + sum(inner.evaluations for _, inner in found)
    made = result.starts if stopped is None else stopped.starts
    return Descents(result.basins, made, spent, result.interrupted or stopped is not None)


def _possible(family: Parametric, p: Distribution, objective: FamilyDivergence) -> bool:
    """Whether a family can be close at all: tails too heavy or too light are so for all of its members."""
    data = _points_of(p)
    start = _nearest(family, Piece(1.0, data))
    guessed = family.guesses(float(data.bulk()[0][0]), max(float(data.bulk()[1][0, 0]), 1e-9) ** 2)
    tried = guessed if start is None else itertools.chain([start], guessed)
    return any(math.isfinite(_guarded(family, objective.measured, at)) for at in tried)


def _points_of(p: Distribution) -> Nodes:
    return of_integers(p) if p.support.discrete else of_density(p)


def _starts(
    family: Parametric,
    p: Distribution,
    value: Callable[[Vector], float],
    seeds: list[Vector],
    n: int,
    rng: np.random.Generator,
) -> Iterator[Vector]:
    finite = [v for v in sorted(seeds, key=value) if math.isfinite(value(v))][: max(n // 3, 1)]
    yield from finite
    n -= len(finite)
    if n <= 0:
        return
    points = _points_of(p)
    near = [_nearest(family, piece) for piece in pieces_of_density(p, points)]
    ranked = sorted(((value(v), i) for i, v in enumerate(near) if v is not None))
    planned = [near[i] for height, i in ranked if math.isfinite(height)]
    yield from (v for v in planned[:n] if v is not None)
    # Random pieces may all be where the family cannot go: a start is made all the same, and leads nowhere.
    for piece in itertools.islice(at_random(points, rng), max(n - len(planned), 0)):
        start = _nearest(family, piece)
        yield family.guesses(0.0, 1.0)[0] if start is None else start


def _nearest(family: Parametric, piece: Piece) -> Vector | None:
    """Parameters of a member with a high likelihood of a piece of p; None where none was met."""
    data = _thinned(piece.nodes)
    center, root = float(data.bulk()[0][0]), float(data.bulk()[1][0, 0])
    least = 1e-9 * max(1.0, abs(center))
    mean, variance = float(data.mean[0]), float(data.covariance[0, 0])
    pairs = [(center, max(root, least) ** 2)]
    if math.isfinite(variance) and variance > least**2:
        pairs.insert(0, (mean, variance))

    def cross_entropy(q: Distribution) -> float:
        log_q = q.log_prob(data.x[:, 0])
        return -float(data.weights @ log_q) if np.isfinite(log_q).all() else math.inf

    def value(vector: Vector) -> float:
        return _guarded(family, cross_entropy, vector)

    guessed = [guess for pair in pairs for guess in family.guesses(*pair)]
    best = min(guessed, key=value)
    if not math.isfinite(value(best)):
        return None
    return without_gradient(value, best, evaluations=_EVALUATIONS, restarts=1).at


def _thinned(data: Nodes) -> Nodes:
    """A few points at even steps of mass: a start need not be exact."""
    order = np.argsort(data.x[:, 0])
    below = np.cumsum(data.weights[order])
    levels = (np.arange(_POINTS) + 0.5) / _POINTS * below[-1]
    x = data.x[order][np.searchsorted(below, levels)]
    return Nodes(x, np.full(_POINTS, 1.0 / _POINTS))


def _guarded(
    family: Parametric, objective: Callable[[Distribution], float], vector: Vector
) -> float:
    try:
        return objective(family.build(vector))
    except (KullbackError, OverflowError, ZeroDivisionError):
        return math.inf


def _features(q: Distribution, at: Vector) -> Float[np.ndarray, " f"]:
    """Quantiles in units of their own distance: parameters may be told by nothing, as large df are."""
    if not isinstance(q, Scalar) or q.support.discrete:
        return at
    x = q.quantile(_LEVELS)
    spread = float(x[-1] - x[0])
    # Beyond what a double holds, values alone tell optima apart.
    return x / spread if np.isfinite(x).all() and spread > 0.0 else np.zeros_like(x)
