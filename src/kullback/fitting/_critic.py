"""A network that tells draws of q from rows of p, and the compiled steps that train it, and q against it.

V(x) = w'tanh(W2 tanh(W1 x + b1) + b2) + c, in coordinates in which the rows have mean 0 and unit scales.
Training runs in float32; what is reported is evaluated by NumPy in float64.
"""

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.losses._conjugates import conjugate_pair

Array = np.ndarray
Tree = Any
#: Steps of one call of the compiled loop.
BLOCK = 250
#: Units of the two hidden layers, rows and draws of a step.
_UNITS, _BATCH = 64, 512
_OPTIMIZER = optax.chain(optax.clip_by_global_norm(5.0), optax.scale_by_adam(b1=0.5, b2=0.99))


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of p in standard coordinates, and how likely each is to be drawn.

    Attributes:
        x: (n, d), float32.
        weights: (n,), summing to 1; 0 for rows that are kept from sight.
    """

    x: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"]

    def only(self, kept: Array) -> "Rows":
        """Returns the rows with the others kept from sight; the shapes, and so the compiled loop, stay."""
        weights = np.where(kept, self.weights, 0.0)
        return Rows(self.x, weights / weights.sum())


class State(NamedTuple):
    """The networks' parameters and Adam's memories, for the critic and for q."""

    critic: Tree
    critic_memory: Tree
    generator: Tree
    generator_memory: Tree


def begin(q: GaussianMixture, rng: np.random.Generator) -> State:
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
    roots = q.scale_trils
    parts = logs, q.means, np.log(roots[:, range(d), range(d)]), np.tril(roots, -1)
    generator = tuple(part.astype(np.float32) for part in parts)
    return State(critic, _OPTIMIZER.init(critic), generator, _OPTIMIZER.init(generator))


def mixture_of(generator: Tree) -> GaussianMixture:
    """Returns q from its parameters."""
    logs, means, scales, lower = (np.asarray(part, dtype=np.float64) for part in generator)
    weights = np.exp(logs - logs.max())
    roots = np.tril(lower, -1) + np.exp(scales)[:, :, None] * np.eye(means.shape[1])
    return GaussianMixture(weights / weights.sum(), means, roots)


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
        change, critic_memory = _OPTIMIZER.update(up, critic_memory)
        critic = jax.tree.map(lambda a, b: a + rate[0] * b, critic, change)
        change, memory = _OPTIMIZER.update(down, memory)
        generator = jax.tree.map(lambda a, b: a - rate[1] * b, generator, change)
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


@final
@dataclass(frozen=True)
class Bound:
    """The bound by a critic on rows and draws that it has not seen, and its variance."""

    value: float
    variance: float


def evaluate(kind: str, critic: Tree, rows: Rows, draws: Float[np.ndarray, "m d"]) -> Bound:
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
