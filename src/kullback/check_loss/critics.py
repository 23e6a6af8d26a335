"""Losses of a critic's outputs: the divergence that is left when the critic is the best there is."""

import math
from collections.abc import Callable

import numpy as np

from kullback.check_loss.functionals import Array, LogitPair, catalogue
from kullback.check_loss.judging import Judged, under
from kullback.check_loss.matching import Observations
from kullback.check_loss.problems import Experiment, Roles, posed
from kullback.check_loss.roles import ArgumentRole
from kullback.interop.loss_calls import LossCall

#: Outputs of the critic that are tried; kinks of usual losses (0, 1, -1) lie on it.
_GRID = np.linspace(-15.0, 15.0, 1501)
_TOLERANCE = 2e-5


def outputs(roles: Roles, layout: str) -> list[Experiment]:
    """Returns the one problem of a critic: its outputs at real and at fake samples are the parameters.

    The layout is "logits (B)", "probs (B)", or the same with "(B,1)".
    """
    shape = (2, 1) if layout.endswith(",1)") else (2,)

    def values(theta: Array) -> Callable[[ArgumentRole, int], Array]:
        shown = 1.0 / (1.0 + np.exp(-theta)) if layout.startswith("probs") else theta
        at = {"real": shown[0], "fake": shown[1]}
        return lambda role, _: np.full(shape, at[role.kind])

    start, weights = np.array([-1.5, -0.7]), {"critic": np.ones(1)}
    one = posed(
        roles, {"B": 2}, shape, start, weights, None, values=values, slope=lambda *_: np.zeros(2),
        others=[np.ones(shape)],
    )  # fmt: skip
    return [one]


def judge_critic(call: LossCall, experiment: Experiment, roles: Roles, key: int) -> Judged:
    """Returns which divergence a critic's or a generator's loss stands for."""
    rng = np.random.default_rng(key)
    pairs = [LogitPair(*(0.4 * rng.normal(size=(2, 1, v)))) for v in (3, 5, 5, 8, 8, 8)]
    at_real, at_fake, additive = _curves(call, experiment)
    game = any(role.kind == "real" for role in roles.values())
    found = [_game(x, at_real, at_fake) if game else _generator(x, at_fake) for x in pairs]
    note = "" if game else "this is so if the critic puts out log p/q, as a GAN's best one does"
    if not additive:
        found, note = [None], "the loss compares real with fake samples pair by pair"
    elif None in found:
        note = "the critic has no best output: without a constraint the loss has no minimum (Wasserstein)"
    nothing = np.nan, np.full(1, np.nan)
    values, gradients = zip(*(found if None not in found else [nothing] * len(pairs)), strict=True)
    seen = Observations(np.array(values), gradients, [{"V": 1}] * len(pairs), _TOLERANCE)
    best = under(
        "critic", seen, catalogue(pairs), deviations=0.0 * seen.values, whole=False, deep=True
    )
    return Judged((best,), "none", reaches_p=False, bits=64, notes=(note,) * bool(note))


def _curves(call: LossCall, experiment: Experiment) -> tuple[Array, Array, bool]:
    """The loss as a function of the output at real and at fake samples, on the grid; whether it is their sum."""

    def at(real: Array, fake: Array) -> Array:
        draws = [experiment.at(np.array(pair))[0] for pair in zip(real, fake, strict=True)]
        return call.many(draws, (), experiment.weigh)[0]

    nought = np.zeros_like(_GRID)
    corner = at(nought[:1], nought[:1])[0]
    real, fake = at(_GRID, nought) - corner, at(nought, _GRID)
    some = _GRID[::100]
    both = at(some, some[::-1])
    additive = np.allclose(both, (real[::100] + fake[::100][::-1]), rtol=1e-8, atol=1e-8)
    return real, fake, additive


def _game(pair: LogitPair, at_real: Array, at_fake: Array) -> tuple[float, Array] | None:
    """Minus the least loss, less what it is at p = q, and its gradient; None if there is no least."""
    p, q = np.exp(pair.log_p)[0], np.exp(pair.log_q)[0]
    least = [_least(a * at_real + b * at_fake) for a, b in zip(p, q, strict=True)]
    equal = _least(at_real + at_fake)
    if equal is None or any(found is None for found in least):
        return None
    places = [found for found in least if found is not None]
    value = -sum(_at(a * at_real + b * at_fake, x) for a, b, x in zip(p, q, places, strict=True))
    slopes = np.array([-_at(at_fake, x) for x in places])
    return value + _at(at_real + at_fake, equal), q * (slopes - q @ slopes)


def _least(curve: Array) -> float | None:
    """The place of the minimum in steps of the grid, between points; None at an end."""
    i = int(np.argmin(curve))
    if i < 2 or i > len(curve) - 3:
        return None
    left, middle, right = curve[i - 1], curve[i], curve[i + 1]
    bend = left - 2.0 * middle + right
    if bend <= 0.0 or abs(bend - (curve[i - 2] - 2.0 * left + middle)) > 0.2 * bend:
        return float(i)  # a kink, on the grid
    quartic = np.polynomial.Polynomial.fit(np.arange(-2, 3), curve[i - 2 : i + 3] - middle, 4)
    slope, curvature = quartic.deriv(), quartic.deriv(2)
    t = 0.5 * (left - right) / bend
    for _ in range(5):
        t -= float(slope(t) / curvature(t))
    return i + min(max(t, -1.0), 1.0)


def _at(curve: Array, place: float) -> float:
    """The curve between its points, by the polynomial through five."""
    i = min(max(round(place), 2), len(curve) - 3)
    t = place - i
    if t == 0.0:
        return float(curve[i])
    weights = [math.prod((t - m) / (k - m) for m in range(-2, 3) if m != k) for k in range(-2, 3)]
    return float(np.dot(weights, curve[i - 2 : i + 3]))


def _generator(pair: LogitPair, at_fake: Array) -> tuple[float, Array]:
    """The generator's loss against the critic log p/q, which does not move with q."""
    q = np.exp(pair.log_q)[0]
    ratio = (pair.log_p - pair.log_q)[0]
    places = (ratio - _GRID[0]) / (_GRID[1] - _GRID[0])
    slopes = np.array([_at(at_fake, float(x)) for x in places])
    return float(q @ slopes), q * (slopes - q @ slopes)
