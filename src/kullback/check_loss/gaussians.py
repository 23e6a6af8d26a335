"""Divergences between diagonal Gaussians, and problems of means and log variances."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.check_loss.problems import Experiment, Reading, posed
from kullback.check_loss.quantities import Array, Catalogue, Family, Quantity
from kullback.check_loss.roles import Role


@final
@dataclass(frozen=True, eq=False)
class GaussianPair:
    """Rows of diagonal Gaussians, (B, d): means and log variances of q, which moves, and of p."""

    mean: Array
    log_variance: Array
    mean_p: Array
    log_variance_p: Array


#: (value, slope in the mean, slope in the log variance), each (B, d).
Slopes = tuple[Array, Array, Array]


def _reverse(x: GaussianPair) -> Slopes:
    gap, t = x.mean - x.mean_p, x.log_variance - x.log_variance_p
    precision = np.exp(-x.log_variance_p)
    value = 0.5 * (gap**2 * precision + np.exp(t) - 1.0 - t)
    return value, gap * precision, 0.5 * (np.exp(t) - 1.0)


def _forward(x: GaussianPair) -> Slopes:
    gap, t = x.mean - x.mean_p, x.log_variance - x.log_variance_p
    precision = np.exp(-x.log_variance)
    value = 0.5 * (gap**2 * precision + np.exp(-t) - 1.0 + t)
    return value, gap * precision, 0.5 * (1.0 - np.exp(-t) - gap**2 * precision)


def _jeffreys(x: GaussianPair) -> Slopes:
    return tuple(a + b for a, b in zip(_forward(x), _reverse(x), strict=True))  # type: ignore[return-value]


def _entropy(x: GaussianPair) -> Slopes:
    value = 0.5 * (x.log_variance + math.log(2.0 * math.pi) + 1.0)
    return value, 0.0 * value, 0.5 + 0.0 * value


def _reverse_cross_entropy(x: GaussianPair) -> Slopes:
    kl, entropy = _reverse(x), _entropy(x)
    return tuple(a + b for a, b in zip(kl, entropy, strict=True))  # type: ignore[return-value]


def _cross_entropy(x: GaussianPair) -> Slopes:
    gap = x.mean_p - x.mean
    precision, variance_p = np.exp(-x.log_variance), np.exp(x.log_variance_p)
    square = (gap**2 + variance_p) * precision
    value = 0.5 * (x.log_variance + math.log(2.0 * math.pi) + square)
    return value, -gap * precision, 0.5 * (1.0 - square)


def _sd_for_variance(x: GaussianPair) -> Slopes:
    """KL(q||p) with exp(log variance) taken for the sd."""
    twice = GaussianPair(x.mean, 2.0 * x.log_variance, x.mean_p, x.log_variance_p)
    value, mean, slope = _reverse(twice)
    return value, mean, 2.0 * slope


def _squared_mean(x: GaussianPair) -> Slopes:
    value = (x.mean - x.mean_p) ** 2
    return value, 2.0 * (x.mean - x.mean_p), 0.0 * value


def _renyi(alpha: float) -> Callable[[GaussianPair], Slopes]:
    """The Renyi divergence of order alpha of p and q, closed form while the mixed variance is positive."""

    def slopes(x: GaussianPair) -> Slopes:
        gap, v, w = x.mean - x.mean_p, np.exp(x.log_variance), np.exp(x.log_variance_p)
        mixed = alpha * v + (1.0 - alpha) * w
        with np.errstate(invalid="ignore"):
            value = 0.5 * alpha * gap**2 / mixed + (
                np.log(mixed) - alpha * x.log_variance - (1.0 - alpha) * x.log_variance_p
            ) / (2.0 * (1.0 - alpha))
        down = alpha * v / mixed
        slope_v = -0.5 * alpha * gap**2 / mixed * down + (down - alpha) / (2.0 * (1.0 - alpha))
        return value, alpha * gap / mixed, slope_v

    return slopes


_PLAIN = (
    ("reverse", "KL(q||p)", _reverse),
    ("forward", "KL(p||q)", _forward),
    ("jeffreys", "[KL(p||q) + KL(q||p)]", _jeffreys),
    ("reverse_cross_entropy", "the cross-entropy E_q[-log p]", _reverse_cross_entropy),
    ("cross_entropy", "the cross-entropy E_p[-log q]", _cross_entropy),
    ("entropy", "the entropy of q", _entropy),
    ("sd_for_variance", "KL(q||p) with exp(log variance) taken for the sd", _sd_for_variance),
    ("squared_mean", "the squared distance of the means", _squared_mean),
)
_ORDERS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)


def catalogue(pairs: Sequence[GaussianPair]) -> Catalogue:
    """Returns all that a loss of these Gaussians may be."""

    def renyi(alpha: float) -> Quantity:
        words = "Renyi divergence of p and q"
        return _quantity("renyi", words, _renyi(alpha), pairs, (("alpha", alpha),))

    return Catalogue(
        tuple(_quantity(*row, pairs) for row in _PLAIN),
        (Family("renyi", "alpha", _ORDERS, renyi),),
        mixed=("reverse", "forward", "entropy", "reverse_cross_entropy"),
    )


def _quantity(
    name: str,
    label: str,
    formula: Callable[[GaussianPair], Slopes],
    pairs: Sequence[GaussianPair],
    parameters: tuple[tuple[str, float], ...] = (),
) -> Quantity:
    values, gradients = [], []
    for pair in pairs:
        value, mean, log_variance = formula(pair)
        values.append(value.sum(axis=-1).mean())
        gradients.append(np.concatenate([mean.ravel(), log_variance.ravel()]) / len(mean))
    return Quantity(name, label, np.array(values), tuple(gradients), parameters)


_SIZES = ((3, 2), (2, 4), (4, 7))


def gaussians(reading: Reading, layout: str, key: int) -> list[Experiment]:
    """Returns problems for a loss of means and (log) variances; p is N(0, I) where it is not an argument.

    Args:
        reading: what the arguments are.
        layout: "(B,d)" or "(d)".
        key: of the random numbers.
    """
    rng = np.random.default_rng(key)
    with_p = any(role.side == "p" for role in reading.values())
    problems = []
    for (b, d), spread in itertools.product(_SIZES, (0.4, 0.8, 1.2)):
        rows = (b,) if layout == "(B,d)" else ()
        m, s, mp, sp = (
            spread * rng.standard_normal((*rows, d) if rows else (1, d)) for _ in range(4)
        )
        pair = GaussianPair(m, s, mp * with_p, sp * with_p)
        data = 1.0 / (1.0 + np.exp(-rng.standard_normal((2, *(rows or (1,)), 6))))
        sizes = {"B": b, "d": d} if rows else {"d": d}
        problems.append(_gaussian(reading, sizes, rows, pair, data.reshape(2, *rows, 6)))
    return problems


def _gaussian(
    reading: Reading, sizes: dict[str, int], rows: tuple[int, ...], pair: GaussianPair, data: Array
) -> Experiment:
    shape = (*rows, pair.mean.shape[-1])

    def values(theta: Array) -> Callable[[Role, int], Array]:
        sides = {"q": np.split(theta, 2), "p": (pair.mean_p.ravel(), pair.log_variance_p.ravel())}

        def value(role: Role, _: int) -> Array:
            mean, log_variance = sides["q" if role.side == "q" else "p"]
            form = mean if role.kind == "mean" else _forms(log_variance)[role.kind][0]
            return form.reshape(shape).copy()

        return value

    def slope(role: Role, g: Array, w: Array) -> Array:
        g, nothing = w @ g, np.zeros(pair.mean.size)
        if role.kind == "mean":
            return np.concatenate([g, nothing])
        return np.concatenate([nothing, g * _forms(pair.log_variance.ravel())[role.kind][1]])

    theta = np.concatenate([pair.mean.ravel(), pair.log_variance.ravel()])
    return posed(
        reading, sizes, rows, theta, {"": np.ones(1)}, pair, values=values, slope=slope, others=[*data]
    )  # fmt: skip


def _forms(log_variance: Array) -> dict[str, tuple[Array, Array]]:
    """What a spread may be given as, and its derivative with respect to the log variance."""
    variance, sd, one = np.exp(log_variance), np.exp(0.5 * log_variance), np.ones_like(log_variance)
    return {
        "log_variance": (log_variance, one),
        "variance": (variance, variance),
        "sd": (sd, 0.5 * sd),
        "log_sd": (0.5 * log_variance, 0.5 * one),
    }


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(14)
#: Draws of a batch of two, (M, 2), with their probabilities.
_PAIRS = np.stack(np.meshgrid(_NODES, _NODES, indexing="ij"), axis=-1).reshape(-1, 2)
_PROBABILITIES = np.outer(_WEIGHTS, _WEIGHTS).ravel() / _WEIGHTS.sum() ** 2


def paths(reading: Reading, key: int) -> list[Experiment]:
    """Returns problems for a loss of log densities at reparameterised draws of q, z = m + s e."""
    rng = np.random.default_rng(key)
    spreads = (0.2, 0.3, 0.4, 0.5)
    return [
        _path(reading, GaussianPair(*rng.normal(size=(4, 1, 1)) * spread)) for spread in spreads
    ]


def _path(reading: Reading, pair: GaussianPair) -> Experiment:
    m, s, m_p, s_p = (
        x.item() for x in (pair.mean, pair.log_variance, pair.mean_p, pair.log_variance_p)
    )
    sd = math.exp(0.5 * s)
    z = m + sd * _PAIRS
    slope_p = -(z - m_p) * math.exp(-s_p)
    log_q_at = -0.5 * (math.log(2.0 * math.pi) + s + _PAIRS**2)
    log_p_at = -0.5 * (math.log(2.0 * math.pi) + s_p + (z - m_p) ** 2 * math.exp(-s_p))

    def values(theta: Array) -> Callable[[Role, int], Array]:
        z = theta[0] + np.exp(0.5 * theta[1]) * _PAIRS
        log_q = -0.5 * (math.log(2.0 * math.pi) + theta[1] + _PAIRS**2)
        log_p = -0.5 * (math.log(2.0 * math.pi) + s_p + (z - m_p) ** 2 * math.exp(-s_p))
        sides = {"q": log_q, "p": log_p}

        def value(role: Role, draw: int) -> Array:
            if role.kind not in ("log_ratio", "ratio"):
                return sides[role.side][draw].copy()
            gap = (sides[role.side] - sides["p" if role.side == "q" else "q"])[draw]
            return np.exp(gap) if role.kind == "ratio" else gap.copy()

        return value

    def slope(role: Role, g: Array, w: Array) -> Array:
        g = w[:, None] * g
        if role.kind in ("log_ratio", "ratio"):
            of_q, of_p = (-1.0, 1.0) if role.side == "p" else (1.0, -1.0)
            if role.kind == "ratio":
                g = g * np.exp(of_q * log_q_at + of_p * log_p_at)
            own = np.array([0.0, -0.5 * g.sum()])
            return of_q * own + of_p * np.array(
                [(g * slope_p).sum(), (g * slope_p * 0.5 * sd * _PAIRS).sum()]
            )
        if role.side == "q":
            return np.array([0.0, -0.5 * g.sum()])
        return np.array([(g * slope_p).sum(), (g * slope_p * 0.5 * sd * _PAIRS).sum()])

    return posed(
        reading, {"B": 2}, (2,), np.array([m, s]), {"path": _PROBABILITIES}, pair,
        values=values, slope=slope,
    )  # fmt: skip
