"""What a loss is compared with: divergences and other functionals of p and q, on every problem, with their gradients.

Each is one formula, written out here and not by calling `losses`: what checks must not share the faults of what is
checked. Slopes are imaginary parts at complex steps (Squire and Trapp, 1998), exact to rounding.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias, final

import numpy as np

Array = np.ndarray
#: Categoricals: of p, q, both (R, V), and parameters, what each outcome adds. Gaussians: of mean and log variance of q
#: and of p, each (B, d), and parameters, what each coordinate adds.
Formula = Callable[..., Any]
#: The imaginary step; slopes are wrong by its square.
_STEP = 1e-10
#: Log-probabilities are held above this, where ratios and steps are normal numbers.
_LEAST = -600.0


@final
@dataclass(frozen=True, eq=False)
class LogitPair:
    """Rows of categoricals, (R, V), given by logits; q moves. Problems of one shape may be stacked, (K, R, V)."""

    logits_p: Array
    logits_q: Array

    @property
    def parts(self) -> tuple[Array, ...]:
        """The arrays that it consists of."""
        return self.logits_p, self.logits_q

    @property
    def log_p(self) -> Array:
        """The log probabilities of p."""
        return log_softmax(self.logits_p)

    @property
    def log_q(self) -> Array:
        """The log probabilities of q."""
        return log_softmax(self.logits_q)

    def evaluate(
        self, formula: Formula, *parameters: float, temperatures: tuple[float, float] = (1.0, 1.0)
    ) -> tuple[Array, Array]:
        """Returns a functional of each problem, a mean over rows, and its gradient in the logits of q, (K, R V)."""
        heated = (x / t for x, t in zip(self.parts, temperatures, strict=True))
        p, q = self._masses if temperatures == (1.0, 1.0) else map(_mass, heated)
        with np.errstate(all="ignore"):  # far apart, some are infinite
            found = formula(p, q * (1.0 + 1j * _STEP), *parameters)
            slope = found.imag / _STEP  # in log q
            centred = slope - q * slope.sum(axis=-1, keepdims=True)
        values = found.real.sum(axis=-1).mean(axis=-1)
        return values, _flat(centred / (q.shape[-2] * temperatures[1]), 2)

    @cached_property
    def _masses(self) -> tuple[Array, Array]:
        return _mass(self.logits_p), _mass(self.logits_q)


@final
@dataclass(frozen=True, eq=False)
class GaussianPair:
    """Rows of diagonal Gaussians, (B, d): means and log variances of q, which moves, and of p. Stacked as logits."""

    mean: Array
    log_variance: Array
    mean_p: Array
    log_variance_p: Array

    @property
    def parts(self) -> tuple[Array, ...]:
        """The arrays that it consists of."""
        return self.mean, self.log_variance, self.mean_p, self.log_variance_p

    def evaluate(self, formula: Formula, *parameters: float) -> tuple[Array, Array]:
        """Returns a functional of each problem, a mean over rows, and its gradient in means and log variances of q."""
        rest = (self.mean_p, self.log_variance_p, *parameters)
        moved = formula(self.mean + 1j * _STEP, self.log_variance, *rest)
        widened = formula(self.mean, self.log_variance + 1j * _STEP, *rest)
        slopes = np.concatenate([_flat(moved.imag, 2), _flat(widened.imag, 2)], axis=-1)
        return moved.real.sum(axis=-1).mean(axis=-1), slopes / (_STEP * self.mean.shape[-2])


Pair: TypeAlias = LogitPair | GaussianPair


def stacked(pairs: Sequence[Pair]) -> list[Any]:
    """Returns the pairs, those of one shape that follow each other as one: a formula is evaluated on all at once."""
    runs = itertools.groupby(pairs, key=lambda pair: pair.parts[0].shape)
    return [
        type(run[0])(*map(np.stack, zip(*(pair.parts for pair in run), strict=True)))
        for run in (list(found) for _, found in runs)
    ]


def _flat(array: Array, axes: int) -> Array:
    """The same with the last axes as one."""
    return array.reshape(*array.shape[:-axes], -1)


def _mass(logits: Array) -> Array:
    return np.exp(np.maximum(log_softmax(logits), _LEAST))


def log_softmax(logits: Array) -> Array:
    """Returns log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@final
@dataclass(frozen=True, eq=False)
class Functional:
    """A divergence, or another functional of p and q, on K problems.

    Attributes:
        name: its key, such as "forward".
        label: as it prints, such as "KL(p||q)".
        values: (K,), mean over rows.
        gradients: K vectors, with respect to the parameters of q.
        parameters: names and values of what was fitted, such as a temperature.
    """

    name: str
    label: str
    values: Array
    gradients: tuple[Array, ...]
    parameters: tuple[tuple[str, float], ...] = ()


@final
@dataclass(frozen=True)
class FunctionalFamily:
    """Functionals with one free parameter: its name, where a search starts, and the member at a value."""

    parameter: str
    grid: tuple[float, ...]
    at: Callable[[float], Functional]


@final
@dataclass(frozen=True)
class FunctionalPlane:
    """Functionals with two free parameters, both positive: where a search starts, and the member at two values."""

    starts: tuple[tuple[float, float], ...]
    at: Callable[[float, float], Functional]


@final
@dataclass(frozen=True)
class Catalogue:
    """All that a loss may turn out to be on one set of problems.

    Attributes:
        plain: without free parameters, the commonest first.
        families: with one.
        planes: with two, such as a temperature of p and one of q.
        mixed: names of those whose mixtures are tried, two at a time.
        extra: what may be added to any of them: the cross-entropy with labels.
    """

    plain: tuple[Functional, ...]
    families: tuple[FunctionalFamily, ...] = ()
    planes: tuple[FunctionalPlane, ...] = ()
    mixed: tuple[str, ...] = ()
    extra: tuple[Functional, ...] = ()

    def named(self, *names: str) -> list[Functional]:
        """Returns the plain functionals of these names, in their order, as far as they are there."""
        found = (next((q for q in self.plain if q.name == name), None) for name in names)
        return [q for q in found if q is not None]

    def values(self, name: str) -> Array:
        """Returns the values of a plain functional; NaN where it is not there."""
        found = self.named(name)
        return found[0].values if found else np.full(len(self.plain[0].values), np.nan)


def catalogue(pairs: Sequence[Any], labels: Sequence[Array] = ()) -> Catalogue:
    """Returns all that a loss on these pairs, one a problem, may be.

    Args:
        pairs: all of categoricals, or all of Gaussians.
        labels: logits of a third distribution, of labels, where there is one.
    """
    third = [LogitPair(r, pair.logits_q) for r, pair in zip(labels, pairs, strict=False)]
    pairs = stacked(pairs)
    if isinstance(pairs[0], GaussianPair):
        return Catalogue(
            tuple(_functional(*row, pairs) for row in _GAUSSIAN),
            tuple(_family(row, pairs) for row in _GAUSSIAN_ONE),
            mixed=("reverse", "forward", "entropy", "reverse_cross_entropy"),
        )
    formulas = {name: (label, formula) for name, label, formula in reversed(_CATEGORICAL)}

    def tempered(name: str, of_p: float, of_q: float) -> Functional:
        same = (("temperature", of_p),) if of_p == of_q else ()
        found = same or (("temperature_p", of_p), ("temperature_q", of_q))
        return _functional(
            name, *formulas[name], pairs, parameters=found, temperatures=(of_p, of_q)
        )

    heated = [
        FunctionalFamily("temperature", _TEMPERATURES, lambda t, n=name: tempered(n, t, t))
        for name in _TEMPERED
    ]
    of_labels = ("labels", "the cross-entropy of the labels", formulas["cross_entropy"][1])
    return Catalogue(
        (*(_functional(*row, pairs) for row in _CATEGORICAL), _squared_logits(pairs)),
        (*heated, *(_family(row, pairs) for row in _CATEGORICAL_ONE)),
        tuple(FunctionalPlane(_STARTS, partial(tempered, n)) for n in ("forward", "reverse")),
        ("forward", "reverse", "jensen_shannon", "entropy", "reverse_cross_entropy", "uniform"),
        (_functional(*of_labels, stacked(third)),) if third else (),
    )


def _functional(
    name: str,
    label: str,
    formula: Formula,
    pairs: Sequence[Pair],
    *at: float,
    parameters: tuple[tuple[str, float], ...] = (),
    **how: tuple[float, float],
) -> Functional:
    values, gradients = zip(*(pair.evaluate(formula, *at, **how) for pair in pairs), strict=True)
    rows = tuple(row for found in gradients for row in found)
    return Functional(name, label, np.concatenate(values), rows, parameters)


def _family(row: tuple, pairs: Sequence[Pair]) -> FunctionalFamily:
    name, label, parameter, grid, formula = row
    return FunctionalFamily(
        parameter,
        grid,
        lambda value: _functional(
            name, label, formula, pairs, value, parameters=((parameter, value),)
        ),
    )


def _squared_logits(pairs: Sequence[Any]) -> Functional:
    gaps = [pair.logits_q - pair.logits_p for pair in pairs]
    return Functional(
        "squared_logits",
        "the squared difference of logits",
        np.concatenate([(gap**2).sum(-1).mean(-1) for gap in gaps]),
        tuple(row for gap in gaps for row in _flat(2.0 * gap / gap.shape[-2], 2)),
    )


# Categoricals, by p and q.


def _kl(p: Array, q: Array) -> Array:
    return p * np.log(p / q)


def _mixed(p: Array, q: Array, beta: float) -> Array:
    """beta KL(p||m) + (1 - beta) KL(q||m), m = beta p + (1 - beta) q."""
    m = beta * p + (1.0 - beta) * q
    return beta * _kl(p, m) + (1.0 - beta) * _kl(q, m)


def _alpha(p: Array, q: Array, alpha: float) -> Array:
    power = q * np.exp(alpha * np.log(p / q))
    return (power - alpha * p - (1.0 - alpha) * q) / (alpha * (alpha - 1.0))


def _renyi(p: Array, q: Array, alpha: float) -> Array:
    """Of a whole row: its logarithm, and what each outcome adds to its slope."""
    power: Any = q * np.exp(alpha * np.log(p / q))
    total = power.real.sum(axis=-1, keepdims=True)
    value = np.log(total) / q.shape[-1] + 1j * power.imag / total
    return value / (alpha - 1.0)


#: Name, label, formula.
_CATEGORICAL = (
    ("forward", "KL(p||q)", _kl),
    ("reverse", "KL(q||p)", lambda p, q: _kl(q, p)),
    ("jeffreys", "[KL(p||q) + KL(q||p)]", lambda p, q: (p - q) * np.log(p / q)),
    ("jensen_shannon", "JS(p,q)", lambda p, q: _mixed(p, q, 0.5)),
    ("cross_entropy", "the cross-entropy E_p[-log q]", lambda p, q: -p * np.log(q)),
    ("reverse_cross_entropy", "the cross-entropy E_q[-log p]", lambda p, q: -q * np.log(p)),
    ("entropy", "the entropy of q", lambda p, q: -q * np.log(q)),
    ("entropy_p", "the entropy of p", lambda p, q: -p * np.log(p)),
    ("alpha", "chi2(p||q), alpha = 2", lambda p, q: _alpha(p, q, 2.0)),
    ("alpha", "chi2(q||p), alpha = -1", lambda p, q: _alpha(p, q, -1.0)),
    ("alpha", "squared Hellinger, alpha = 1/2", lambda p, q: _alpha(p, q, 0.5)),
    ("le_cam", "the triangular discrimination (Le Cam)", lambda p, q: (p - q) ** 2 / (p + q)),
    ("total_variation", "TV(p,q)", lambda p, q: 0.5 * np.sign(p - q.real) * (p - q)),
    ("uniform", "KL(uniform||q)", lambda p, q: _kl(0.0 * p + 1.0 / p.shape[-1], q)),
    ("reverse_uniform", "KL(q||uniform)", lambda p, q: q * np.log(q * q.shape[-1])),
    ("squared_probabilities", "the squared difference of probabilities", lambda p, q: (p - q) ** 2),
    ("half_squared_ratio", "E_q[(log q - log p)^2] / 2", lambda p, q: 0.5 * q * np.log(q / p) ** 2),
)
_SHARES = (
    1e-6, 1e-5, 1e-4, 1e-3, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98,
    0.995, 0.999, 0.9999,
)  # fmt: skip
#: Temperatures of p and of q from which both are looked for.
_STARTS = tuple((a, b) for a in (0.05, 0.2, 1.0, 2.0, 5.0) for b in (0.05, 0.2, 1.0, 2.0, 5.0))
_TEMPERATURES = (0.05, 0.1, 0.25, 0.5, 0.7, 0.9, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 12.0, 20.0)
_ALPHAS = (-3.0, -2.0, -0.5, -0.2, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 1.2, 1.5, 1.8, 2.5, 3.0, 4.0)
_ORDERS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0)
_GAMMAS = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0)
_EPSILONS = tuple(10.0**-k for k in range(9, 2, -1))
#: Name, label, parameter, grid, formula.
_CATEGORICAL_ONE = (
    ("generalized_jensen_shannon", "generalised JS(p,q)", "beta", _SHARES, _mixed),
    ("skew_forward", "KL(p||a p + (1-a) q)", "a", _SHARES,
     lambda p, q, a: _kl(p, a * p + (1.0 - a) * q)),
    ("skew_reverse", "KL(q||a q + (1-a) p)", "a", _SHARES,
     lambda p, q, a: _kl(q, a * q + (1.0 - a) * p)),
    ("forward", "KL(p'||q), p' smoothed", "label_smoothing", _SHARES,
     lambda p, q, a: _kl((1.0 - a) * p + a / p.shape[-1], q)),
    ("alpha", "alpha-divergence of p and q", "alpha", _ALPHAS, _alpha),
    ("renyi", "Renyi divergence of p and q", "alpha", _ORDERS, _renyi),
    ("focal", "the focal loss E_p[-(1 - q)^gamma log q]", "gamma", _GAMMAS,
     lambda p, q, g: -p * (1.0 - q) ** g * np.log(q)),
    ("forward", "KL(p||q)", "epsilon", _EPSILONS, lambda p, q, e: p * np.log((p + e) / (q + e))),
    ("reverse", "KL(q||p)", "epsilon", _EPSILONS, lambda p, q, e: q * np.log((q + e) / (p + e))),
)  # fmt: skip
#: Those that are tried with temperatures.
_TEMPERED = ("forward", "reverse", "jeffreys", "jensen_shannon", "squared_probabilities")


# KLs of which only the k likeliest outcomes of a side enter one by one.


def top_k(pairs: Sequence[Pair], side: str, k: int) -> tuple[Functional, ...]:
    """Returns the KLs of the k likeliest outcomes of p or of q: the rest in a bucket, or left out and renormalised."""

    def top(p: Any, q: Any) -> Any:
        of = p if side == "p" else q.real
        return of >= np.sort(of, axis=-1)[..., -k][..., None]

    def bucketed(p: Any, q: Any, *, reverse: bool) -> Any:
        kept = top(p, q)
        rest = (~kept).sum(axis=-1, keepdims=True)
        one, other = (
            np.where(kept, m, (m * ~kept).sum(-1, keepdims=True) / rest) for m in (p, q.real)
        )
        found = _directed(one, other, reverse=reverse)
        return found.real + 1j * found.imag * q.real / other

    def renormalised(p: Any, q: Any, *, reverse: bool) -> Any:
        kept = top(p, q)
        one, other = (m / (m * kept).sum(-1, keepdims=True) for m in (p, q.real))
        found = _directed(one, other, reverse=reverse)
        slope = np.where(kept, found.imag, 0.0)
        centred = np.where(kept, slope - other * slope.sum(-1, keepdims=True), 0.0)
        return np.where(kept, found.real, 0.0) + 1j * centred

    of = f"the {k} likeliest outcomes of {side}"
    rows: list[tuple[str, str, Formula]] = []
    for label, reverse in (("KL(p||q)", False), ("KL(q||p)", True)):
        bound = f"{label} of {of} and the rest in one bucket: a lower bound of {label}"
        rows.append(("top_k_bucket", bound, partial(bucketed, reverse=reverse)))
        within = f"{label} within {of}, renormalised"
        rows.append(("top_k_renormalised", within, partial(renormalised, reverse=reverse)))
    groups = stacked(pairs)
    return tuple(_functional(*row, groups) for row in rows)


def _directed(p: Any, q: Any, *, reverse: bool) -> Any:
    """A KL and, as its imaginary part, its slope in log q."""
    q = q * (1.0 + 1j * _STEP)
    return _kl(q, p) if reverse else _kl(p, q)


# Diagonal Gaussians, by mean m and log variance s of q, n and t of p.

_LOG_2PI = math.log(2.0 * math.pi)


def _gaussian_kl(m: Array, s: Array, n: Array, t: Array) -> Array:
    """KL(N(m, exp s)||N(n, exp t))"""
    return 0.5 * ((m - n) ** 2 * np.exp(-t) + np.exp(s - t) - 1.0 - (s - t))


def _gaussian_cross_entropy(m: Array, s: Array, n: Array, t: Array) -> Array:
    """The mean of -log N(n, exp t) under N(m, exp s)."""
    return 0.5 * (t + _LOG_2PI + ((m - n) ** 2 + np.exp(s)) * np.exp(-t))


def _gaussian_renyi(m: Array, s: Array, n: Array, t: Array, alpha: float) -> Array:
    """Of order alpha of p and q, alpha < 1: the mixed variance is positive."""
    mixed = alpha * np.exp(s) + (1.0 - alpha) * np.exp(t)
    widths = np.log(mixed) - alpha * s - (1.0 - alpha) * t
    return 0.5 * alpha * (m - n) ** 2 / mixed + widths / (2.0 * (1.0 - alpha))


_GAUSSIAN = (
    ("reverse", "KL(q||p)", _gaussian_kl),
    ("forward", "KL(p||q)", lambda m, s, n, t: _gaussian_kl(n, t, m, s)),
    ("jeffreys", "[KL(p||q) + KL(q||p)]",
     lambda m, s, n, t: _gaussian_kl(m, s, n, t) + _gaussian_kl(n, t, m, s)),
    ("reverse_cross_entropy", "the cross-entropy E_q[-log p]", _gaussian_cross_entropy),
    ("cross_entropy", "the cross-entropy E_p[-log q]",
     lambda m, s, n, t: _gaussian_cross_entropy(n, t, m, s)),
    ("entropy", "the entropy of q", lambda m, s, n, t: 0.5 * (s + _LOG_2PI + 1.0)),
    ("sd_for_variance", "KL(q||p) with exp(log variance) taken for the sd",
     lambda m, s, n, t: _gaussian_kl(m, 2.0 * s, n, t)),
    ("squared_mean", "the squared distance of the means", lambda m, s, n, t: (m - n) ** 2),
)  # fmt: skip
_FREE = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)


def _free(m: Array, s: Array, n: Array, t: Array, least: float) -> Any:
    """max(KL, least) of each coordinate."""
    kl: Any = _gaussian_kl(m, s, n, t)
    return np.where(kl.real > least, kl, least)


def _free_together(m: Array, s: Array, n: Array, t: Array, least: float) -> Any:
    """max(KL, least) of each row, spread over its coordinates."""
    kl: Any = _gaussian_kl(m, s, n, t)
    total = kl.real.sum(axis=-1, keepdims=True)
    return np.where(total > least, kl, least / kl.shape[-1])


_GAUSSIAN_ONE = (
    ("renyi", "Renyi divergence of p and q", "alpha", _ORDERS[:7], _gaussian_renyi),
    ("free_bits", "KL(q||p), of each coordinate not below", "free nats", _FREE, _free),
    ("free_bits", "KL(q||p), of each row not below", "free nats", _FREE, _free_together),
)
