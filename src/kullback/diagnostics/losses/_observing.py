"""Looking at a loss on experiments: expectations of its value and of its gradient."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final, runtime_checkable

import numpy as np

from kullback.diagnostics.losses._experiments import Arguments, Experiment
from kullback.diagnostics.losses._quantities import Array

#: Step of the differences and their weights, of fourth order.
_STEP = 1e-3
_STENCIL = ((1, 8.0 / 12.0), (-1, -8.0 / 12.0), (2, -1.0 / 12.0), (-2, 1.0 / 12.0))
_TOLERANCES = {64: 2e-5, 32: 2e-4, 16: 4e-3}


@runtime_checkable
class Call(Protocol):
    """A loss in its library; see `interop`."""

    name: str

    def many(
        self, draws: Sequence[Arguments], wanted: Sequence[str], weigh: Callable[..., Any]
    ) -> tuple[Array, dict[str, Array] | None, int]:
        """Returns values, gradients and the precision."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Observed:
    """A loss on one experiment, under one way of drawing.

    Attributes:
        value: its expectation.
        deviation: the standard deviation of one batch.
        gradient: with respect to the parameters of q.
        given: the length of the gradient with respect to p's arguments.
        bits: the precision, 64, 32 or 16.
    """

    value: float
    deviation: float
    gradient: Array
    given: float
    bits: int


def observe(
    call: Call, experiment: Experiment, of_q: Sequence[str], of_p: Sequence[str]
) -> dict[str, Observed]:
    """Returns what a loss does on an experiment, for each way of drawing.

    Args:
        call: the loss.
        experiment: the problem.
        of_q, of_p: names of the arguments of q, and of p, that are differentiated.
    """
    draws = experiment.at(experiment.theta)
    values, slopes, bits = call.many(draws, (*of_q, *of_p), experiment.weigh)
    differences = None if slopes is not None else _differences(call, experiment)
    found = {}
    for policy, weights in experiment.weights.items():
        mean = float(weights @ values)
        spread = float(np.sqrt(max(weights @ (values - mean) ** 2, 0.0)))
        if slopes is None:
            gradient, given = (weights @ differences)[experiment.kept], 0.0
        else:
            gradient = experiment.pull({n: slopes[n] for n in of_q}, weights)
            given = float(sum(np.abs(slopes[n]).sum() for n in of_p))
        found[policy] = Observed(mean, spread, gradient, given, bits)
    return found


def _differences(call: Call, experiment: Experiment) -> Array:
    """Gradients of every draw's loss, (M, n), by differences in the parameters of q."""
    columns = []
    for i in range(len(experiment.theta)):
        slope: Any = 0.0
        for step, weight in _STENCIL:
            moved = experiment.theta.copy()
            moved[i] += step * _STEP
            slope = slope + weight * call.many(experiment.at(moved), (), experiment.weigh)[0]
        columns.append(slope / _STEP)
    return np.stack(columns, axis=1)


def hidden(call: Call, experiment: Experiment, seen: Observed, policy: str) -> str:
    """Returns "none", "partly" or "wholly": how much of a loss's slope its gradient does not show.

    The slope along one direction by differences is compared with the gradient's; the draws stay.
    """
    if seen.bits == 16:
        return "none"  # differences of so few digits show nothing
    direction = np.random.default_rng(0).standard_normal(len(experiment.theta))
    moved_ones = np.zeros_like(direction)
    moved_ones[experiment.kept] = direction[experiment.kept]
    direction = moved_ones / np.linalg.norm(moved_ones)
    slope: Any = 0.0
    for step, weight in _STENCIL:
        draws = experiment.at(experiment.theta + step * _STEP * direction)
        slope = slope + weight * call.many(draws, (), experiment.weigh)[0]
    moved = float(experiment.weights[policy] @ slope) / _STEP
    shown = float(seen.gradient @ direction[experiment.kept])
    size = max(abs(moved), abs(shown), 1e-6)
    slack = 1e-4 * size + 1e-7 if seen.bits == 64 else 0.05 * size + 1e-3
    if abs(moved - shown) <= slack:
        return "none"
    return "wholly" if not np.any(seen.gradient) else "partly"


def tolerance(observed: Sequence[Observed], *, differences: bool) -> float:
    """Returns the relative error up to which two things are equal."""
    bits = min(o.bits for o in observed)
    return _TOLERANCES[bits] * (10.0 if differences and bits == 32 else 1.0)
