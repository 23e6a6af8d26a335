"""Fits to samples by a game: a critic bounds an f-divergence from below, q descends the bound.

For q = sum_k w_k N(m_k, L_k L_k') and a network V, with the row of `losses.CONJUGATES` for D_f,

    F(q, V) = E_p[g(V(x))] - sum_k w_k E[f*(g(V(m_k + L_k z)))] <= D_f(p||q)

V ascends F and q descends it, both by Adam, all steps of a block in one compiled loop. Of q the average
over the last steps is kept, because the iterates of a game circle. Then V is forgotten: the number that is
reported is F with critics that are trained on one half of the rows, stopped where a part of that half
says so, and evaluated on the other half and on fresh draws of q.

Source: Nowozin, Cseke and Tomioka, "f-GAN" (2016). "gan" is the game of Goodfellow et al. (2014).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from kullback.core.run import named
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.families import Gaussians, components, is_diagonal
from kullback.fitting.components import Components
from kullback.losses.adversarial import Adversarial, conjugate_pair
from kullback.results.estimate import Estimate
from kullback.results.quantity import Quantity
from kullback.solvers.minimise import Adam
from kullback.targets import Samples

Array = np.ndarray
Watch = Callable[[str], None]
#: Blocks of the critic alone, of the game, and of those the last over which q is averaged.
_WARM, _GAME, _AVERAGED = 2, 14, 4
#: The largest steps of Adam, for the critic and for q.
_RATES = (2e-3, 5e-3)
#: Blocks of a critic that is to measure, and how many without a gain are the last.
_MEASURE, _PATIENCE = 12, 4
#: The share of a half of the rows that says when to stop; rows and draws that a number is made of.
_WATCHED, _MOST = 0.2, 100_000


@final
@dataclass(frozen=True, eq=False)
class Game:
    """What a game ended with.

    Attributes:
        q: the fitted mixture.
        bound: of the divergence at q, from below, by critics on rows that they have not seen.
        path: q along the game, first to last.
        steps: of Adam, over the game and the critics that measured.
    """

    q: Components
    bound: Estimate
    path: tuple[Components, ...]
    steps: int


def fit_adversarial(
    samples: Samples,
    family: Gaussians,
    *,
    divergence: Adversarial = "reverse_kl",
    start: Components | None = None,
    key: object = 0,
    watch: Watch | None = None,
) -> Game:
    """Returns the member of a family that a critic can tell least from samples, in an f-divergence.

    min_q max_V E_p[g(V)] - E_q[f*(g(V))]

    Args:
        samples: draws of p, perhaps with weights.
        family: MeanField(), FullRank() or Mixture(k).
        divergence: a name in `losses.CONJUGATES`.
        start: where q begins; the samples' moments unless given, moved apart for a mixture. The game
            finds a local optimum near it.
        key: randomness, an int or a JAX key.
        watch: told what is being done.

    Raises:
        InputError: there is no such divergence.

    Example:
        >>> rows = np.random.default_rng(0).normal(3.0, 2.0, size=(2000, 1))
        >>> game = fit_adversarial(Samples(rows), FullRank())  # doctest: +SKIP
        >>> print(game.bound)  # doctest: +SKIP
        KL(q||p) ≥ 0.000 ± 0.002 nats (f-GAN, critics on unseen rows, n = 2000)

    Source:
        Nowozin, Cseke and Tomioka, "f-GAN" (2016), algorithm 1 and table 6.
    """
    conjugate_pair(divergence)
    told = watch or (lambda said: None)
    rows, center, scale = _standard(samples)
    given = start or _moments(samples, components(family), named(key, "game start"))
    begun = _moved(given, -center / scale, 1.0 / scale)
    if is_diagonal(family):
        begun = Components(begun.weights, begun.means, _diagonal(begun.roots))
    table = _Table(rows, divergence, is_diagonal(family))
    path, played = _play(table, begun, named(key, "game"), told)
    bounds, measured = _measure(table, path[-1], key, told)
    return Game(
        _moved(path[-1], center, scale),
        _reported(divergence, bounds, len(samples.values)),
        tuple(_moved(q, center, scale) for q in path),
        (played + measured) * BLOCK,
    )


# A network that tells draws of q from rows of p, and the compiled steps that train it, and q against it.


@final
@dataclass(frozen=True, eq=False)
class StandardRows:
    """Rows of p in standard coordinates, and how likely each is to be drawn.

    Attributes:
        x: (n, d), float32.
        weights: (n,), summing to 1; 0 for rows that are kept from sight.
    """

    x: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]

    def only(self, kept: Array) -> "StandardRows":
        """Returns the rows with the others kept from sight; the shapes, and so the compiled loop, stay."""
        weights = np.where(kept, self.weights, 0.0)
        return StandardRows(self.x, weights / weights.sum())


Tree = Any


class State(NamedTuple):
    """The networks' parameters and Adam's memories, for the critic and for q."""

    critic: Tree
    critic_memory: Tree
    generator: Tree
    generator_memory: Tree


@final
@dataclass(frozen=True, eq=False)
class _Table:
    """What a game is played with."""

    rows: StandardRows
    kind: str
    diagonal: bool

    def block(
        self, state: State, rows: StandardRows, rng: np.random.Generator, rates: tuple[float, float]
    ) -> tuple[State, Any]:
        """Returns the state a block of steps later, and the mean of q's parameters over them."""
        cumulative = np.cumsum(rows.weights)
        given = (rows.x, (cumulative / cumulative[-1]).astype(np.float32))
        key = jax.random.key(int(rng.integers(2**31)))
        every = np.tile(np.asarray(rates, dtype=np.float32), (BLOCK, 1))
        return play(state, given, key, every, kind=self.kind, diagonal=self.diagonal)


def _play(
    table: _Table, q: Components, rng: np.random.Generator, watch: Watch
) -> tuple[list[Components], int]:
    """Returns q along the game, its average last, and the number of blocks."""
    state, path = begin(q, rng), [q]
    means: list[Any] = []
    for i in range(_WARM + _GAME):
        watch(f"a critic against q, block {i + 1} of {_WARM + _GAME}")
        left = _decay((i - _WARM) / _GAME) if i >= _WARM else 1.0
        rates = (_RATES[0] * max(left, 0.2), _RATES[1] * left if i >= _WARM else 0.0)
        state, mean = table.block(state, table.rows, rng, rates)
        means.append(mean)
        if i >= _WARM:
            path.append(mixture_of(mean))
    last = [
        np.mean([np.asarray(p) for p in parts], axis=0)
        for parts in zip(*means[-_AVERAGED:], strict=True)
    ]
    return [*path, mixture_of(last)], _WARM + _GAME


@final
@dataclass(frozen=True)
class Bound:
    """The bound by a critic on rows and draws that it has not seen, and its variance."""

    value: float
    variance: float


def _measure(table: _Table, q: Components, key: object, watch: Watch) -> tuple[list[Bound], int]:
    """Returns the bounds by two critics, each on the half of the rows that it has not seen."""
    rng = named(key, "critics")
    seen = table.rows.weights > 0.0
    half = rng.permutation(len(seen)) % 2 == 0
    bounds, blocks = [], 0
    for i, mine in enumerate((half, ~half)):
        watch(f"measuring by critics on rows they have not seen, {i + 1} of 2")
        trained, stopped = _train(table, q, mine, rng)
        draws = _sampled(q, rng, min(max(4 * len(seen), 20_000), _MOST))
        unseen = table.rows.only(_some(~mine, _MOST, rng))
        bounds.append(evaluate(table.kind, trained, unseen, draws))
        blocks += stopped
    return bounds, blocks


def _train(table: _Table, q: Components, mine: Array, rng: np.random.Generator) -> tuple[Any, int]:
    """Returns the critic of a half of the rows, as it was when rows set apart rated it best."""
    watched = mine & (rng.random(len(mine)) < _WATCHED)
    trained, judge = table.rows.only(mine & ~watched), table.rows.only(watched)
    draws = _sampled(q, rng, 20_000)
    state = begin(q, rng)
    best, value, idle, i = state.critic, 0.0, 0, 0
    for i in range(_MEASURE):
        state, _ = table.block(state, trained, rng, (_RATES[0] * _decay(i / _MEASURE), 0.0))
        rated = evaluate(table.kind, state.critic, judge, draws).value
        idle = 0 if rated > value else idle + 1
        if rated > value or i == 0:
            best, value = state.critic, rated
        if idle == _PATIENCE:
            break
    return best, i + 1


def _decay(done: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done)) + 0.02


def _some(kept: Array, most: int, rng: np.random.Generator) -> Array:
    if kept.sum() <= most:
        return kept
    picked = np.zeros_like(kept)
    picked[rng.choice(np.flatnonzero(kept), most, replace=False)] = True
    return picked


def _reported(divergence: Adversarial, bounds: list[Bound], n: int) -> Estimate:
    row = conjugate_pair(divergence)
    value = float(np.mean([b.value for b in bounds]))
    error = math.sqrt(sum(b.variance for b in bounds)) / len(bounds)
    name = "kl" if divergence.endswith("_kl") else divergence
    unit = "" if divergence in ("pearson_chi2", "squared_hellinger") else "nats"
    return Estimate.sampled(
        value,
        error,
        # The value of Goodfellow's game is a divergence less log 4, so it may be negative.
        Quantity(name, row.label, unit, nonnegative=name in ("kl", "jeffreys")).below,
        method="f-GAN, critics on unseen rows",
        n=n,
        notes=(row.convention,) if row.convention else (),
    )


def _standard(p: Samples) -> tuple[StandardRows, Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    n = len(p.values)
    counts = p.rows.counts
    weights = np.full(n, 1.0 / n) if counts is None else counts / counts.sum()
    center = weights @ p.values
    scale = np.sqrt(weights @ (p.values - center) ** 2)
    return StandardRows(((p.values - center) / scale).astype(np.float32), weights), center, scale


def _moments(p: Samples, k: int, rng: np.random.Generator) -> Components:
    rows, center, scale = _standard(p)
    covariance = (rows.x.T * rows.weights) @ rows.x * np.outer(scale, scale)
    root = np.linalg.cholesky(covariance)
    means = center + 0.5 * (k > 1) * rng.standard_normal((k, len(center))) @ root.T
    return Components(np.full(k, 1.0 / k), means, np.repeat(root[None], k, axis=0))


def _sampled(q: Components, rng: np.random.Generator, n: int) -> Float[np.ndarray, "n d"]:
    return GaussianMixture(q.weights, q.means, q.roots).sample(rng, n)


def _diagonal(roots: Float[np.ndarray, "k d d"]) -> Float[np.ndarray, "k d d"]:
    sds = np.linalg.norm(roots, axis=2)
    return sds[:, :, None] * np.eye(roots.shape[1])


def _moved(
    q: Components, center: Float[np.ndarray, " d"], scale: Float[np.ndarray, " d"]
) -> Components:
    return Components(q.weights, center + scale * q.means, scale[:, None] * q.roots)


#: Steps of one call of the compiled loop.
BLOCK = 250
#: Units of the two hidden layers, rows and draws of a step.
_UNITS, _BATCH = 64, 512
#: What Adam's means keep (the first little, as games need), and the longest gradient it is shown.
_DECAYS, _LONGEST = (0.5, 0.99), 5.0


def begin(q: Components, rng: np.random.Generator) -> State:
    """Returns a critic that says nothing yet, against q."""
    d, sizes = q.means.shape[1], (q.means.shape[1], _UNITS, _UNITS, 1)
    critic = [
        (
            (rng.standard_normal((m, n)) / math.sqrt(m)).astype(np.float32),
            np.zeros(n, dtype=np.float32),
        )
        for m, n in itertools.pairwise(sizes)
    ]
    critic[-1] = (0.01 * critic[-1][0], critic[-1][1])
    logs = np.log(np.maximum(q.weights, 1e-6))
    roots = q.roots
    parts = logs, q.means, np.log(roots[:, range(d), range(d)]), np.tril(roots, -1)
    generator = tuple(part.astype(np.float32) for part in parts)
    return State(critic, _blank(critic), generator, _blank(generator))


def _blank(parameters: Tree) -> Adam:
    """Returns Adam's memory before the first gradient."""
    size = sum(part.size for part in jax.tree.leaves(parameters))
    nothing = np.zeros(size, dtype=np.float32)
    return Adam(nothing, nothing, np.float32(0.0), _DECAYS)


def _moved_by(parameters: Tree, gradient: Tree, memory: Adam, rate: Any) -> tuple[Tree, Adam]:
    """Returns parameters a step of Adam further along a gradient, cut to a length of 5, and its memory."""
    flat, _ = ravel_pytree(gradient)
    memory = memory.after(flat * jnp.minimum(1.0, _LONGEST / jnp.linalg.norm(flat)))
    place, back = ravel_pytree(parameters)
    return back(place + rate * memory.direction), memory


def mixture_of(generator: Tree) -> Components:
    """Returns q from its parameters."""
    logs, means, scales, lower = (np.asarray(part, dtype=np.float64) for part in generator)
    weights = np.exp(logs - logs.max())
    roots = np.tril(lower, -1) + np.exp(scales)[:, :, None] * np.eye(means.shape[1])
    return Components(weights / weights.sum(), means, roots)


@partial(jax.jit, static_argnames=("kind", "diagonal"))
def play(
    state: State,
    rows: tuple[Any, Any],
    key: Any,
    rates: Any,
    *,
    kind: str,
    diagonal: bool,
) -> tuple[State, Tree]:
    """Returns the state after a block of steps, and the mean of q's parameters over them.

    Args:
        state: before.
        rows: (x, cumulative weights).
        key: JAX's.
        rates: (BLOCK, 2), the steps of Adam for the critic and for q; 0 for q leaves it where it is.
        kind: of the divergence.
        diagonal: whether q's coordinates are independent within a component.
    """
    row = conjugate_pair(kind)
    x, cumulative = rows
    shape = (_BATCH, x.shape[1])

    def value(critic: Tree, generator: Tree, batch: Any, z: Any) -> Any:
        logs, means, scales, lower = generator
        lower = jnp.tril(0.0 * lower if diagonal else lower, -1)
        placed = means[:, None] + jnp.exp(scales)[:, None] * z + z @ lower.transpose(0, 2, 1)
        charges = row.charge(outputs(critic, placed, jnp)).mean(axis=1)
        return row.activation(outputs(critic, batch, jnp)).mean() - jax.nn.softmax(logs) @ charges

    def step(carry: tuple[State, Any], rate: Any) -> tuple[tuple[State, Any], None]:
        (critic, critic_memory, generator, memory), total = carry
        key, by_row, by_draw = jax.random.split(total[0], 3)
        u = jax.random.uniform(by_row, (_BATCH,), dtype=jnp.float32)
        picked = jnp.minimum(jnp.searchsorted(cumulative, u, side="right"), len(x) - 1)
        z = jax.random.normal(by_draw, shape, dtype=jnp.float32)
        up, down = jax.grad(value, argnums=(0, 1))(critic, generator, x[picked], z)
        critic, critic_memory = _moved_by(critic, up, critic_memory, rate[0])
        generator, memory = _moved_by(generator, down, memory, -rate[1])
        seen = jax.tree.map(lambda a, b: a + b / BLOCK, total[1], generator)
        return (State(critic, critic_memory, generator, memory), (key, seen)), None

    nothing = jax.tree.map(jnp.zeros_like, state.generator)
    (state, (_, mean)), _ = jax.lax.scan(step, (state, (key, nothing)), rates)
    return state, mean


def outputs(critic: Tree, x: Any, xp: Any) -> Any:
    """Returns V at points (..., d)."""
    for w, b in critic[:-1]:
        x = xp.tanh(x @ w + b)
    w, b = critic[-1]
    return (x @ w + b)[..., 0]


def evaluate(kind: str, critic: Tree, rows: StandardRows, draws: Float[np.ndarray, "m d"]) -> Bound:
    """Returns mean g(V) over the rows that are in sight, less the mean of f*(g(V)) over draws of q."""
    row = conjugate_pair(kind)
    plain = [tuple(np.asarray(part, dtype=np.float64) for part in layer) for layer in critic]
    seen = rows.weights > 0.0
    w = rows.weights[seen]
    with np.errstate(over="ignore"):
        gains = row.activation(outputs(plain, rows.x[seen].astype(np.float64), np))
        charges = row.charge(outputs(plain, draws, np))
        mean = float(w @ gains)
        variance = float(w**2 @ (gains - mean) ** 2) + float(charges.var()) / len(draws)
    return Bound(mean - float(charges.mean()), variance)
