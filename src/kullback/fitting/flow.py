"""The fit of a flow, in either direction: steps of Adam in one compiled scan, in phases, each judged on fresh draws."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from kullback.core.numerics import float64
from kullback.core.run import Counted, Run
from kullback.distributions.flow import CouplingFlow, couplings, size, unmoved
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.fitting.components import Components
from kullback.fitting.cross_validation import moments
from kullback.fitting.reverse import NATS
from kullback.interop.jax_function import CompiledDensity
from kullback.solvers.modes import CountedDensity

Array = np.ndarray
#: Couplings, and hidden units of each: more gained little on hierarchies of 10 to 80 coordinates.
_LAYERS, _WIDTH = 6, 48
#: Draws a step, steps of one call of the compiled scan, and steps of the phases.
BATCH, _STEPS, PHASES = 256, 50, (200, 400, 800)
#: Of Adam: at the top of a cosine that starts and ends at 0. A gradient longer than this is cut.
_RATE, _RISE, _LONGEST = 0.005, 20, 10.0
#: Of rows, which are the same in every pass: at twice the rate 800 steps lost what 200 had gained.
_RATE_OF_ROWS = 0.002
#: Fresh draws on which a phase is judged.
JUDGED = 8192
_LOG_2PI = math.log(2.0 * math.pi)

#: A gain of so many errors is one.
_SIGMAS = 2.0
#: One row of so many says when to stop, and two others what was gained.
_HELD_OUT = 10
#: The mean loss of a batch, from parameters, the batch, and what log p holds.
Loss = Callable[[Any, Any, Any], Any]
#: Of rows: those that judge phases, those that judge what was gained, and those that are fitted to.
Parts = tuple[Int[np.ndarray, " j"], Int[np.ndarray, " u"], Int[np.ndarray, " l"]]
#: What parameters gain over others in the objective, on the draws that judge a phase, and its error.
Gained = Callable[[Array, Array, int], tuple[float, float]]


def parted(n: int, rng: np.random.Generator) -> Parts:
    """Returns which of n rows judge phases, which judge what was gained, and which are fitted to."""
    judges, unseen, learnt = np.split(rng.permutation(n), [n // _HELD_OUT, 3 * n // _HELD_OUT])
    return judges, unseen, learnt


def numbers(d: int) -> int:
    """Returns how many parameters a flow of d coordinates has."""
    return size(_LAYERS, d, _WIDTH)


def flow_from(q: Components, rng: np.random.Generator) -> CouplingFlow:
    """Returns a flow that is q yet, in coordinates in which q has mean 0 and covariance 1.

    Args:
        q: a Gaussian or a mixture of two coordinates or more.
        rng: of the orders of coordinates and the hidden layers.
    """
    center, covariance = q.moments
    root = np.linalg.cholesky(covariance)
    d, inverse = len(center), np.linalg.inv(root)
    white = q.moved(-inverse @ center, inverse).lower()
    # The half that was moved is handed on next: each pair of couplings moves all coordinates.
    swap = np.roll(np.arange(d), -(d // 2))
    orders = np.array([rng.permutation(d) if i % 2 else swap for i in range(_LAYERS)])
    base = GaussianMixture(white.weights, white.means, white.roots)
    return CouplingFlow(center, root, base, orders, _WIDTH, unmoved(_LAYERS, d, _WIDTH, rng))


@final
@dataclass(frozen=True, eq=False)
class FlowFit:
    """Where the phases ended.

    Attributes:
        q: the flow; one that is its base where nothing was gained.
        gain: in the objective over the base, in nats, on draws that no phase saw.
        error: of the gain.
        last: what the last phase gained.
        steps: how many were taken.
        length: those of the last phase.
        draws: of a step.
        interrupted: whether it was stopped.
    """

    q: CouplingFlow
    gain: float
    error: float
    last: float
    steps: int
    length: int
    draws: int = BATCH
    interrupted: bool = False

    @property
    def moved(self) -> bool:
        """Whether the flow is better than its base, beyond the error."""
        return self.gain > _SIGMAS * self.error


def reverse_flow(
    density: CountedDensity, traced: CompiledDensity, start: CouplingFlow, run: Run, name: str
) -> FlowFit:
    """Returns the flow with the largest ELBO, by path gradients (Roeder, Wu and Duvenaud 2017) on fresh draws.

    The gradient is that of log p - log q at draws T(z), through T alone: it vanishes where q is p.

    Args:
        density: log p, which is told how many gradients were taken.
        traced: the same, for the compiled scan.
        start: where to begin: its base.
        run: randomness, progress, checkpoint.
        name: of the fit, for the stages that are kept.
    """
    layers, d = start.orders.shape
    forth, back = (jax.vmap(f, (None, None, 0)) for f in couplings(layers, d, start.width))
    log_base = _log_prob(start.base)

    def path_loss(parameters: Any, z: Any, held: Any) -> Any:
        white, _ = forth(start.orders, parameters, z)
        again, log_det = back(start.orders, jax.lax.stop_gradient(parameters), white)
        u = start.loc + white @ start.scale_tril.T
        value, slope = jax.vmap(traced.traced, (None, 0))(held, jax.lax.stop_gradient(u))
        sound = jnp.isfinite(value) & jnp.isfinite(slope).all(axis=1)
        slope = jnp.where(sound[:, None], slope, 0.0)
        # Linear in u: its gradient is that of log p.
        log_p = jnp.sum(slope * u, axis=1)
        return jnp.mean(jnp.where(sound, log_base(again) + log_det - log_p, 0.0))

    def batches(rng: np.random.Generator) -> Array:
        density.count += _STEPS * BATCH
        return start.base.sample(rng, _STEPS * BATCH).reshape(_STEPS, BATCH, d)

    def gained(old: Array, new: Array, phase: int) -> tuple[float, float]:
        """The ELBO on fresh draws, less the old one on the same."""
        z = start.base.sample(run.generator(f"{name}: judged", phase), JUDGED)
        apart = _elbo_at(density, start, new, z) - _elbo_at(density, start, old, z)
        return moments(apart, np.ones(JUDGED))

    def whole(at: Array) -> tuple[float, float]:
        return gained(start.parameters, at, len(PHASES))

    steps = _Steps(path_loss, traced.arrays, batches, _RATE)
    end = _phases(steps, gained, density, start, run, name)
    return _judged(end, start, start, whole)


def _elbo_at(density: CountedDensity, flow: CouplingFlow, parameters: Array, z: Array) -> Array:
    """log p - log q at T(z), less what does not depend on T."""
    white, log_det = replace(flow, parameters=parameters).pushed(z)
    return density(flow.loc + white @ flow.scale_tril.T)[0] + log_det


def likeliest_flow(
    rows: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"],
    parts: Parts,
    base: CouplingFlow,
    start: CouplingFlow,
    run: Run,
    counted: Counted,
    name: str,
) -> FlowFit:
    """Returns the flow under which rows are likeliest: rows held out say when to stop, and others what was gained.

    Args:
        rows: draws of p.
        weights: how many independent ones each stands for.
        parts: which of them judge phases, judge what was gained, and are fitted to.
        base: what the flow must be better than.
        start: where to begin: the base, or a better flow.
        run: randomness, progress, checkpoint.
        counted: counts gradients of log p, of which none are taken here.
        name: of the fit, for the stages that are kept.
    """
    layers, d = start.orders.shape
    back = jax.vmap(couplings(layers, d, start.width)[1], (None, None, 0))
    log_base, white = _log_prob(start.base), start.whitened(rows)
    judges, unseen, learnt = parts
    share = weights[learnt] / weights[learnt].sum()

    def loss(at: Any, x: Any, _: Any) -> Any:
        z, log_det = back(start.orders, at, x)
        return -jnp.mean(log_base(z) + log_det)

    def batches(rng: np.random.Generator) -> Array:
        chosen = rng.choice(learnt, _STEPS * BATCH, p=share)
        return white[chosen].reshape(_STEPS, BATCH, d)

    def beyond(old: CouplingFlow, at: Array, held: Array) -> tuple[float, float]:
        """The mean log density of rows held out, less the old one."""
        x = rows[held]
        log_ratio = replace(start, parameters=at).log_prob(x) - old.log_prob(x)
        return moments(log_ratio, weights[held])

    def gained(old: Array, new: Array, phase: int) -> tuple[float, float]:
        del phase  # the rows that judge are the same for all
        return beyond(replace(start, parameters=old), new, judges)

    steps = _Steps(loss, None, batches, _RATE_OF_ROWS)
    end = _phases(steps, gained, counted, start, run, name)
    return _judged(end, base, start, lambda at: beyond(base, at, unseen))


@final
@dataclass(frozen=True, eq=False)
class _End:
    """Where phases ended: the parameters, what the last one gained, and steps."""

    at: Array
    last: float
    steps: int
    length: int
    interrupted: bool


def _judged(
    end: _End,
    base: CouplingFlow,
    start: CouplingFlow,
    gained: Callable[[Array], tuple[float, float]],
) -> FlowFit:
    """The flow or, where it gained nothing on draws that no phase saw, its base."""
    gain, error = gained(end.at)
    q = replace(start, parameters=end.at)
    found = FlowFit(
        q, gain, error, end.last, end.steps, end.length, interrupted=end.interrupted
    )  # fmt: skip
    return found if found.moved else replace(found, q=base)


@final
@dataclass(frozen=True, eq=False)
class _Steps:
    """How steps are taken: the loss, what log p holds, batches for a call of the scan, the rate at the top."""

    loss: Loss
    held: Any
    batches: Callable[[np.random.Generator], Array]
    rate: float


def _phases(
    how: _Steps,
    gained: Gained,
    counted: Counted,
    start: CouplingFlow,
    run: Run,
    name: str,
) -> _End:
    """Takes phases, each twice as long as the one before, until one gains less than its error or a hundredth nat."""
    at, last, steps, done, advance = start.parameters, 0.0, 0, 0, _scan(how.loss)
    for phase, length in enumerate(PHASES):

        def compute(at: Array = at, phase: int = phase, length: int = length) -> dict[str, Any]:
            rng = run.generator(f"{name}: batches", phase)
            moved = _taken(advance, at, how, rng, length)
            gain, error = gained(at, moved, phase)
            return {"parameters": moved, "gain": gain, "error": error}

        try:
            run.watch(f"{name}: phase {phase + 1} of at most {len(PHASES)}")
            end = run.once(f"{name}: phase {phase}", counted, compute)
        except KeyboardInterrupt:
            return _End(at, last, steps, done, interrupted=True)
        steps, done = steps + length, length
        if not end["gain"] > 0.0:  # NaN too
            break
        at, last = end["parameters"], float(end["gain"])
        if last <= max(_SIGMAS * end["error"], NATS):
            break
    return _End(at, last, steps, done, interrupted=False)


def _scan(loss: Loss) -> Any:
    """Steps of Adam at given rates on given batches, compiled."""
    optimiser = optax.chain(optax.clip_by_global_norm(_LONGEST), optax.scale_by_adam())

    @jax.jit
    def advance(at: Any, state: Any, held: Any, batches: Any, rates: Any) -> Any:
        def step(carry: Any, batch: Any) -> Any:
            at, state = carry
            z, rate = batch
            slope = jax.grad(loss)(at, z, held)
            update, state = optimiser.update(slope, state)
            return (optax.apply_updates(at, -rate * update), state), None

        return jax.lax.scan(step, (at, state), (batches, rates))[0]

    return optimiser.init, advance


def _taken(
    scan: Any,
    at: Array,
    how: _Steps,
    rng: np.random.Generator,
    length: int,
) -> Array:
    """The parameters after so many steps."""
    init, advance = scan
    steps = np.arange(length)
    rates = 0.5 * how.rate * (1.0 + np.cos(np.pi * steps / length))
    rates *= np.minimum(1.0, (steps + 1.0) / _RISE)
    with float64():
        moved, state = jnp.asarray(at), init(jnp.asarray(at))
        for i in range(0, length, _STEPS):
            moved, state = advance(moved, state, how.held, how.batches(rng), rates[i : i + _STEPS])
        return np.asarray(moved)


def _log_prob(q: GaussianMixture) -> Callable[[Any], Any]:
    """The log density of n points, as JAX traces it."""
    inverses = np.linalg.inv(q.scale_trils)
    dets = np.log(np.diagonal(q.scale_trils, axis1=1, axis2=2)).sum(axis=1)
    level = np.log(q.weights) - dets - 0.5 * q.means.shape[1] * _LOG_2PI
    shift = np.einsum("kij,kj->ki", inverses, q.means)

    def log_prob(z: Any) -> Any:
        white = jnp.einsum("kij,nj->nki", inverses, z) - shift
        return jax.nn.logsumexp(level - 0.5 * jnp.sum(white**2, axis=2), axis=1)

    return log_prob
