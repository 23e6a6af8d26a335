"""Divergences between categoricals, by their contribution per outcome and its slope in q.

Written out here on its own, not by calling `losses`: what checks must not share the faults of what
is checked.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np

from kullback.check_loss.quantities import Array, Catalogue, Family, Plane, Quantity

#: (contribution, slope in q) of rows.
Formula = Callable[["Masses"], tuple[Array, Array]]


@final
@dataclass(frozen=True, eq=False)
class Pair:
    """Rows of p and q, (R, V), given by logits; q moves."""

    logits_p: Array
    logits_q: Array

    @property
    def log_p(self) -> Array:
        """Log-probabilities of p."""
        return log_softmax(self.logits_p)

    @property
    def log_q(self) -> Array:
        """Log-probabilities of q."""
        return log_softmax(self.logits_q)

    def at_temperatures(self, of_p: float, of_q: float) -> "Pair":
        """Returns the pair with its logits divided."""
        return Pair(self.logits_p / of_p, self.logits_q / of_q)


def log_softmax(logits: Array) -> Array:
    """Returns log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@final
@dataclass(frozen=True, eq=False)
class Masses:
    """Probabilities and their logarithms, each (R, V)."""

    p: Array
    q: Array
    lp: Array
    lq: Array


def _forward(x: Masses) -> tuple[Array, Array]:
    return x.p * (x.lp - x.lq), -x.p / x.q


def _reverse(x: Masses) -> tuple[Array, Array]:
    return x.q * (x.lq - x.lp), x.lq - x.lp


def _jeffreys(x: Masses) -> tuple[Array, Array]:
    return (x.p - x.q) * (x.lp - x.lq), x.lq - x.lp - x.p / x.q


def _cross_entropy(x: Masses) -> tuple[Array, Array]:
    return -x.p * x.lq, -x.p / x.q


def _reverse_cross_entropy(x: Masses) -> tuple[Array, Array]:
    return -x.q * x.lp, -x.lp


def _entropy(x: Masses) -> tuple[Array, Array]:
    return -x.q * x.lq, -x.lq


def _entropy_p(x: Masses) -> tuple[Array, Array]:
    return -x.p * x.lp, 0.0 * x.q


def _total_variation(x: Masses) -> tuple[Array, Array]:
    return 0.5 * np.abs(x.p - x.q), 0.5 * np.sign(x.q - x.p)


def _triangular(x: Masses) -> tuple[Array, Array]:
    both = x.p + x.q
    return (x.p - x.q) ** 2 / both, 1.0 - 4.0 * x.p**2 / both**2


def _squared(x: Masses) -> tuple[Array, Array]:
    return (x.p - x.q) ** 2, 2.0 * (x.q - x.p)


def _uniform(x: Masses) -> tuple[Array, Array]:
    u = 1.0 / x.q.shape[-1]
    return u * (math.log(u) - x.lq), -u / x.q


def _reverse_uniform(x: Masses) -> tuple[Array, Array]:
    return x.q * (x.lq + math.log(x.q.shape[-1])), x.lq


def _focal(gamma: float) -> Formula:
    """E_p[-(1 - q)^gamma log q]."""

    def formula(x: Masses) -> tuple[Array, Array]:
        rest = 1.0 - x.q
        slope = gamma * rest ** (gamma - 1.0) * x.lq - rest**gamma / x.q
        return -x.p * rest**gamma * x.lq, x.p * slope

    return formula


def _half_squared_ratio(x: Masses) -> tuple[Array, Array]:
    r = x.lq - x.lp
    return 0.5 * x.q * r**2, 0.5 * r**2 + r


def _alpha(alpha: float) -> Formula:
    def formula(x: Masses) -> tuple[Array, Array]:
        power = np.exp(alpha * (x.lp - x.lq))
        return (x.q * power - alpha * x.p - (1.0 - alpha) * x.q) / (
            alpha * (alpha - 1.0)
        ), -power / alpha

    return formula


def _renyi(alpha: float) -> Formula:
    """Of a whole row, spread evenly over its outcomes."""

    def formula(x: Masses) -> tuple[Array, Array]:
        ratio = np.exp(alpha * (x.lp - x.lq))
        power = (x.q * ratio).sum(axis=-1, keepdims=True)
        value = np.log(power) / ((alpha - 1.0) * x.q.shape[-1])
        return value + 0.0 * x.q, -ratio / power

    return formula


def _mixed(beta: float) -> Formula:
    """beta KL(p||m) + (1 - beta) KL(q||m), m = beta p + (1 - beta) q."""

    def formula(x: Masses) -> tuple[Array, Array]:
        lm = np.log(beta * x.p + (1.0 - beta) * x.q)
        value = beta * x.p * (x.lp - lm) + (1.0 - beta) * x.q * (x.lq - lm)
        return value, (1.0 - beta) * (x.lq - lm)

    return formula


def _skew_forward(share: float) -> Formula:
    """KL(p||m), m = share p + (1 - share) q."""

    def formula(x: Masses) -> tuple[Array, Array]:
        m = share * x.p + (1.0 - share) * x.q
        return x.p * (x.lp - np.log(m)), -(1.0 - share) * x.p / m

    return formula


def _skew_reverse(share: float) -> Formula:
    """KL(q||m), m = share q + (1 - share) p."""

    def formula(x: Masses) -> tuple[Array, Array]:
        m = share * x.q + (1.0 - share) * x.p
        return x.q * (x.lq - np.log(m)), x.lq - np.log(m) - share * x.q / m

    return formula


def _smoothed(share: float) -> Formula:
    """KL(p'||q), p' = (1 - share) p + share / V."""

    def formula(x: Masses) -> tuple[Array, Array]:
        smooth = (1.0 - share) * x.p + share / x.p.shape[-1]
        return smooth * (np.log(smooth) - x.lq), -smooth / x.q

    return formula


def _forward_epsilon(epsilon: float) -> Formula:
    def formula(x: Masses) -> tuple[Array, Array]:
        return x.p * (np.log(x.p + epsilon) - np.log(x.q + epsilon)), -x.p / (x.q + epsilon)

    return formula


def _reverse_epsilon(epsilon: float) -> Formula:
    def formula(x: Masses) -> tuple[Array, Array]:
        r = np.log(x.q + epsilon) - np.log(x.p + epsilon)
        return x.q * r, r + x.q / (x.q + epsilon)

    return formula


#: Name, label, formula.
_PLAIN = (
    ("forward", "KL(p||q)", _forward),
    ("reverse", "KL(q||p)", _reverse),
    ("jeffreys", "[KL(p||q) + KL(q||p)]", _jeffreys),
    ("jensen_shannon", "JS(p,q)", _mixed(0.5)),
    ("cross_entropy", "the cross-entropy E_p[-log q]", _cross_entropy),
    ("reverse_cross_entropy", "the cross-entropy E_q[-log p]", _reverse_cross_entropy),
    ("entropy", "the entropy of q", _entropy),
    ("entropy_p", "the entropy of p", _entropy_p),
    ("alpha", "chi2(p||q), alpha = 2", _alpha(2.0)),
    ("alpha", "chi2(q||p), alpha = -1", _alpha(-1.0)),
    ("alpha", "squared Hellinger, alpha = 1/2", _alpha(0.5)),
    ("le_cam", "the triangular discrimination (Le Cam)", _triangular),
    ("total_variation", "TV(p,q)", _total_variation),
    ("uniform", "KL(uniform||q)", _uniform),
    ("reverse_uniform", "KL(q||uniform)", _reverse_uniform),
    ("squared_probabilities", "the squared difference of probabilities", _squared),
    ("half_squared_ratio", "E_q[(log q - log p)^2] / 2", _half_squared_ratio),
)
_SHARES = (
    1e-6, 1e-5, 1e-4, 1e-3, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98,
    0.995, 0.999, 0.9999,
)  # fmt: skip
#: Temperatures of p and of q from which both are looked for.
_STARTS = tuple(itertools.product((0.05, 0.2, 1.0, 2.0, 5.0), repeat=2))
_TEMPERATURES = (0.05, 0.1, 0.25, 0.5, 0.7, 0.9, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 8.0, 12.0, 20.0)
_ALPHAS = (-3.0, -2.0, -0.5, -0.2, 0.1, 0.25, 0.4, 0.6, 0.75, 0.9, 1.2, 1.5, 1.8, 2.5, 3.0, 4.0)
_ORDERS = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0)
_GAMMAS = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0)
_EPSILONS = tuple(10.0**-k for k in range(9, 2, -1))
_ONE = (
    ("generalized_jensen_shannon", "generalised JS(p,q)", "beta", _SHARES, _mixed),
    ("skew_forward", "KL(p||a p + (1-a) q)", "a", _SHARES, _skew_forward),
    ("skew_reverse", "KL(q||a q + (1-a) p)", "a", _SHARES, _skew_reverse),
    ("forward", "KL(p'||q), p' smoothed", "label_smoothing", _SHARES, _smoothed),
    ("alpha", "alpha-divergence of p and q", "alpha", _ALPHAS, _alpha),
    ("renyi", "Renyi divergence of p and q", "alpha", _ORDERS, _renyi),
    ("focal", "the focal loss E_p[-(1 - q)^gamma log q]", "gamma", _GAMMAS, _focal),
    ("forward", "KL(p||q)", "epsilon", _EPSILONS, _forward_epsilon),
    ("reverse", "KL(q||p)", "epsilon", _EPSILONS, _reverse_epsilon),
)
#: Those that are tried with temperatures.
_TEMPERED = ("forward", "reverse", "jeffreys", "jensen_shannon", "squared_probabilities")


def catalogue(pairs: Sequence[Pair], labels: Sequence[Array] = ()) -> Catalogue:
    """Returns all that a loss on these pairs may be.

    Args:
        pairs: one a problem.
        labels: logits of a third distribution, of labels, where there is one.
    """
    plain = tuple(_quantity(*row, pairs) for row in _PLAIN)
    extra = ()
    if labels:
        third = [Pair(r, pair.logits_q) for r, pair in zip(labels, pairs, strict=True)]
        extra = (_quantity("labels", "the cross-entropy of the labels", _cross_entropy, third),)
    formulas = {name: (label, formula) for name, label, formula in reversed(_PLAIN)}

    def tempered(name: str, of_p: float, of_q: float) -> Quantity:
        label, formula = formulas[name]
        found = (("temperature", of_p),) if of_p == of_q else ()
        found = found or (("temperature_p", of_p), ("temperature_q", of_q))
        return _quantity(name, label, formula, pairs, parameters=found, temperatures=(of_p, of_q))

    heated = [Family(n, "temperature", _TEMPERATURES, _heated(tempered, n)) for n in _TEMPERED]
    squares = Quantity(
        "squared_logits",
        "the squared difference of logits",
        np.array([((x.logits_q - x.logits_p) ** 2).sum(-1).mean() for x in pairs]),
        tuple((2 * (x.logits_q - x.logits_p) / len(x.logits_q)).ravel() for x in pairs),
    )
    return Catalogue(
        (*plain, squares),
        (*heated, *(_family(row, pairs) for row in _ONE)),
        tuple(Plane(n, _STARTS, partial(tempered, n)) for n in ("forward", "reverse")),
        ("forward", "reverse", "jensen_shannon", "entropy", "reverse_cross_entropy", "uniform"),
        extra,
    )


def top_k(pairs: Sequence[Pair], side: str, k: int) -> tuple[Quantity, ...]:
    """Returns KLs of which only the k likeliest outcomes of a side enter one by one.

    Args:
        pairs: one a problem.
        side: "p" or "q".
        k: how many.
    """
    made = []
    for label, formula in (("KL(p||q)", _forward), ("KL(q||p)", _reverse)):
        of = f"the {k} likeliest outcomes of {side}"
        bound = f"{label} of {of} and the rest in one bucket: a lower bound of {label}"
        renormalised = f"{label} within {of}, renormalised"
        made += [
            _quantity("top_k_bucket", bound, _bucketed(formula, side, k), pairs),
            _quantity("top_k_renormalised", renormalised, _renormalised(formula, side, k), pairs),
        ]
    return tuple(made)


def _top(x: Masses, side: str, k: int) -> Array:
    of = x.p if side == "p" else x.q
    return of >= np.sort(of, axis=-1)[:, -k][:, None]


def _bucketed(formula: Formula, side: str, k: int) -> Formula:
    """The rest is one outcome: the same as all of the rest with its mean mass."""

    def bucketed(x: Masses) -> tuple[Array, Array]:
        top = _top(x, side, k)
        count = (~top).sum(axis=-1, keepdims=True)
        p, q = (np.where(top, m, (m * ~top).sum(-1, keepdims=True) / count) for m in (x.p, x.q))
        return formula(Masses(p, q, np.log(p), np.log(q)))

    return bucketed


def _renormalised(formula: Formula, side: str, k: int) -> Formula:
    def renormalised(x: Masses) -> tuple[Array, Array]:
        top = _top(x, side, k)
        of_p, of_q = ((m * top).sum(-1, keepdims=True) for m in (x.p, x.q))
        p, q = x.p / of_p, x.q / of_q
        value, slope = formula(Masses(p, q, np.log(p), np.log(q)))
        value, slope = np.where(top, value, 0.0), np.where(top, slope, 0.0)
        return value, np.where(top, slope - (q * slope).sum(-1, keepdims=True), 0.0) / of_q

    return renormalised


def _heated(tempered: Callable[..., Quantity], name: str) -> Callable[[float], Quantity]:
    return lambda t: tempered(name, t, t)


def _family(row: tuple, pairs: Sequence[Pair]) -> Family:
    name, label, parameter, grid, maker = row

    def at(value: float) -> Quantity:
        return _quantity(name, label, maker(value), pairs, parameters=((parameter, value),))

    return Family(name, parameter, grid, at)


def _quantity(
    name: str,
    label: str,
    formula: Formula,
    pairs: Sequence[Pair],
    *,
    parameters: tuple[tuple[str, float], ...] = (),
    temperatures: tuple[float, float] = (1.0, 1.0),
) -> Quantity:
    values, gradients = [], []
    for pair in pairs:
        hot = pair.at_temperatures(*temperatures)
        lp, lq = hot.log_p, hot.log_q
        q = np.exp(lq)
        with np.errstate(all="ignore"):  # far apart, some are infinite
            value, slope = formula(Masses(np.exp(lp), q, lp, lq))
            centred = q * (slope - (q * slope).sum(axis=-1, keepdims=True))
        values.append(value.sum(axis=-1).mean())
        gradients.append((centred / (len(q) * temperatures[1])).ravel())
    return Quantity(name, label, np.array(values), tuple(gradients), parameters)
