"""Divergences between diagonal Gaussians, and problems of means and log variances."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.check_loss.problems import Arguments, Experiment, Reading, constant
from kullback.check_loss.quantities import Array, Catalogue, Family, Quantity
from kullback.check_loss.readings import Role


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
    ("reverse", "KL(q||p)", _reverse, True),
    ("forward", "KL(p||q)", _forward, True),
    ("jeffreys", "[KL(p||q) + KL(q||p)]", _jeffreys, True),
    ("reverse_cross_entropy", "the cross-entropy E_q[-log p]", _reverse_cross_entropy, False),
    ("cross_entropy", "the cross-entropy E_p[-log q]", _cross_entropy, False),
    ("entropy", "the entropy of q", _entropy, False),
    (
        "sd_for_variance",
        "KL(q||p) with exp(log variance) taken for the sd",
        _sd_for_variance,
        False,
    ),
    ("squared_mean", "the squared distance of the means", _squared_mean, False),
)


def catalogue(pairs: Sequence[GaussianPair]) -> Catalogue:
    """Returns all that a loss of these Gaussians may be."""
    plain = tuple(_quantity(n, label, f, pairs, ()) for n, label, f, _ in _PLAIN)
    plain = tuple(
        Quantity(q.name, q.label, q.values, q.gradients, (), row[3])
        for q, row in zip(plain, _PLAIN, strict=True)
    )

    def renyi(alpha: float) -> Quantity:
        found = (("alpha", alpha),)
        return _quantity("renyi", "Renyi divergence of p and q", _renyi(alpha), pairs, found)

    family = Family("renyi", "alpha", (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9), renyi)
    return Catalogue(
        plain, (family,), None, ("reverse", "forward", "entropy", "reverse_cross_entropy")
    )


def _quantity(
    name: str,
    label: str,
    formula: Callable[[GaussianPair], Slopes],
    pairs: Sequence[GaussianPair],
    parameters: tuple[tuple[str, float], ...],
) -> Quantity:
    values, gradients = [], []
    for pair in pairs:
        value, mean, log_variance = formula(pair)
        values.append(value.sum(axis=-1).mean())
        gradients.append(np.concatenate([mean.ravel(), log_variance.ravel()]) / len(mean))
    return Quantity(name, label, np.array(values), tuple(gradients), parameters)


_SIZES = ((3, 2), (2, 4), (4, 7))


def gaussians(reading: Reading, layout: str, key: int) -> list[Experiment]:
    """Returns problems for a loss of means and (log) variances; p is N(0, I) where it is not given.

    Args:
        reading: what the arguments are.
        layout: "(B,d)", "(d)" or "(B,d,T)".
        key: of the random numbers.
    """
    rng = np.random.default_rng(key)
    made = []
    for b, d in _SIZES:
        for spread in (0.4, 0.8, 1.2):
            shape = {"(B,d)": (b, d), "(d)": (d,)}[layout]
            rows = 1 if layout == "(d)" else b
            given = any(role.side == "p" for role in reading.values())
            m, s, mp, sp = (spread * rng.standard_normal((rows, d)) for _ in range(4))
            pair = GaussianPair(m, s, mp * given, sp * given)
            x, recon = (1.0 / (1.0 + np.exp(-rng.standard_normal((rows, 6)))) for _ in range(2))
            others = (x, recon) if layout != "(d)" else (x[0], recon[0])
            sizes = {"B": b, "d": d} if layout == "(B,d)" else {"d": d}
            made.append(_gaussian(reading, sizes, shape, pair, others))
    return made


def _gaussian(
    reading: Reading,
    sizes: dict[str, int],
    shape: tuple[int, ...],
    pair: GaussianPair,
    others: tuple[Array, Array],
) -> Experiment:
    size = pair.mean.size

    def at(theta: Array) -> list[Arguments]:
        q = theta[:size].reshape(shape), theta[size:].reshape(shape)
        p = pair.mean_p.reshape(shape), pair.log_variance_p.reshape(shape)
        count = iter(others)

        def argument(role: Role) -> Any:
            if role.kind == "constant":
                return constant(role.value, sizes)
            if role.kind == "mask":
                return np.ones(shape[:-1])
            if role.kind == "other":
                return next(count, others[0])
            mean, log_variance = q if role.side == "q" else p
            return _form(role.kind, mean, log_variance)

        return [{name: argument(role) for name, role in reading.items()}]

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        out = np.zeros((2, size))
        for name, stacked in gradients.items():
            role = reading[name]
            if role.side != "q" or role.kind == "constant":
                continue
            g = np.tensordot(w, stacked.reshape(len(w), -1), axes=1)
            if role.kind == "mean":
                out[0] += g
            else:
                out[1] += g * _derivative(role.kind, pair.log_variance.ravel())
        return out.ravel()

    theta = np.concatenate([pair.mean.ravel(), pair.log_variance.ravel()])
    return Experiment(sizes, shape[:-1], at, theta, {"": np.ones(1)}, pull, pair)


def _form(kind: str, mean: Array, log_variance: Array) -> Array:
    forms = {
        "mean": mean,
        "log_variance": log_variance,
        "variance": np.exp(log_variance),
        "sd": np.exp(0.5 * log_variance),
        "log_sd": 0.5 * log_variance,
    }
    return forms[kind].copy()


def _derivative(kind: str, log_variance: Array) -> Array:
    """Of the form with respect to the log variance."""
    forms = {
        "log_variance": np.ones_like(log_variance),
        "variance": np.exp(log_variance),
        "sd": 0.5 * np.exp(0.5 * log_variance),
        "log_sd": np.full_like(log_variance, 0.5),
    }
    return forms[kind]


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
    m_p, s_p = pair.mean_p.item(), pair.log_variance_p.item()
    m, s = pair.mean.item(), pair.log_variance.item()

    def at(theta: Array) -> list[Arguments]:
        z = theta[0] + np.exp(0.5 * theta[1]) * _PAIRS
        log_q = -0.5 * (math.log(2.0 * math.pi) + theta[1] + _PAIRS**2)
        log_p = -0.5 * (math.log(2.0 * math.pi) + s_p + (z - m_p) ** 2 * math.exp(-s_p))

        def argument(role: Role, i: int) -> Any:
            if role.kind == "constant":
                return constant(role.value, {"B": 2})
            if role.kind in ("mask", "other"):
                return np.full(2, float(role.kind == "mask"))
            return (log_q if role.side == "q" else log_p)[i].copy()

        return [{n: argument(r, i) for n, r in reading.items()} for i in range(len(_PAIRS))]

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        sd = math.exp(0.5 * s)
        slope_p = -(m + sd * _PAIRS - m_p) * math.exp(-s_p)
        out = np.zeros(2)
        for name, stacked in gradients.items():
            g = w[:, None] * stacked.reshape(-1, 2)
            if reading[name].side == "q":
                out[1] -= 0.5 * g.sum()
            elif reading[name].side == "p":
                out += np.array([(g * slope_p).sum(), (g * slope_p * 0.5 * sd * _PAIRS).sum()])
        return out

    return Experiment({"B": 2}, (2,), at, np.array([m, s]), {"path": _PROBABILITIES}, pull, pair)
