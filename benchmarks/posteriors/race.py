"""What a racer must do: come within .1 nat of the best ELBO of its family, judged off the clock on fresh draws."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.posteriors.record import Posterior

LOG_2PI = math.log(2.0 * math.pi)
NEAR = 0.1
CAP_SECONDS = 30.0
CAP_GRADIENTS = 200_000
CHUNK = 250
DRAWS = 8192


@dataclass(frozen=True)
class Race:
    """How one setting of one peer did.

    Attributes:
        setting: in words.
        seconds: on the clock until it was within .1 nat, compilation included; None if it never was.
        gradients: likewise.
        gap: ELBO* - ELBO at the end, nats.
        end: why it ended.
    """

    setting: str
    seconds: float | None
    gradients: int | None
    gap: float | None
    end: str

    def record(self) -> dict[str, Any]:
        return asdict(self)


class Judge:
    """The ELBO of N(mean, root root') on draws that no racer has seen, minus the best there is."""

    def __init__(self, posterior: Posterior, best_elbo: float) -> None:
        self.best = best_elbo
        self.batched = jax.jit(jax.vmap(posterior.log_density))
        half = np.random.default_rng(4321).standard_normal((DRAWS // 2, posterior.dimension))
        self.e = np.concatenate([half, -half])
        self.gap(posterior.start, np.eye(posterior.dimension))  # compiled off the clock

    def gap(self, mean: np.ndarray, root: np.ndarray) -> float:
        mean, root = np.asarray(mean, np.float64), np.asarray(root, np.float64)
        if not (np.isfinite(mean).all() and np.isfinite(root).all()):
            return math.inf
        x = mean + self.e @ root.T
        log_q = -0.5 * (self.e**2).sum(1) - 0.5 * len(mean) * LOG_2PI
        log_q = log_q - np.linalg.slogdet(root)[1]
        return self.best - float(np.mean(np.asarray(self.batched(jnp.asarray(x))) - log_q))


def looks() -> Iterator[int]:
    """Yields the numbers of chunks after which to look: each, then every tenth more."""
    n = 0
    while True:
        n += max(1, n // 10)
        yield n


def run(
    setting: str,
    judge: Judge,
    start: Callable[[], Any],
    advance: Callable[[Any], Any],
    normal: Callable[[Any], tuple[np.ndarray, np.ndarray]],
    *,
    per_chunk: int,
) -> Race:
    """Runs chunks of steps until near enough or capped; the clock stops while the judge looks.

    Args:
        setting: in words.
        judge: judges.
        start: makes the first state; on the clock, with everything it compiles.
        advance: does CHUNK steps.
        normal: reads mean and root off a state.
        per_chunk: gradients of the target a chunk takes.
    """
    clock = time.perf_counter()
    state = start()
    spent, chunks, gap = time.perf_counter() - clock, 0, math.inf
    for until in looks():
        clock = time.perf_counter()
        while chunks < until:
            state = advance(state)
            chunks += 1
        jax.block_until_ready(state)
        spent += time.perf_counter() - clock
        gap = judge.gap(*normal(state))
        if gap <= NEAR:
            return Race(setting, spent, chunks * per_chunk, gap, "near")
        if not math.isfinite(gap):
            return Race(setting, None, None, None, "diverged")
        if spent > CAP_SECONDS:
            return Race(setting, None, None, gap, f"{CAP_SECONDS:.0f} s")
        if chunks * per_chunk >= CAP_GRADIENTS:
            return Race(setting, None, None, gap, f"{CAP_GRADIENTS} gradients")
    raise AssertionError
