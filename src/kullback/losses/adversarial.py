"""The f-divergences as a game between a critic and a generator: conjugates, activations, the two losses."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.losses.arrays import Array, as_array, namespace

# The f-divergences as a game between a critic and a generator: conjugates and output activations.

Adversarial = Literal[
    "forward_kl",
    "reverse_kl",
    "jensen_shannon_sum",
    "jeffreys",
    "pearson_chi2",
    "squared_hellinger",
    "gan",
]
#: A function of an array, given the namespace.
Curve = Callable[[Array, Any], Array]

_LOG_2 = math.log(2.0)
#: Newton steps for Lambert's function; from its start the eighth changes nothing in float64.
_NEWTON = 8


@final
@dataclass(frozen=True)
class ConjugatePair:
    """One row of the table: f, its slope and its conjugate, and the activation of a critic.

    Attributes:
        kind: the name, as in `divergence(p, q, kind=...)`; "gan" is known here only.
        label: how the divergence prints, with its arguments.
        limit: f* is finite for t below it (for Pearson's it is so everywhere, with another formula).
        least: where t begins: below it f* is constant, and no u >= 0 has this slope.
        convention: which of the conventions in use this is, in words; "" where there is one only.
        offset: what D_f is at p = q, 0 but for "gan".
        curves: (f, f', f*, g, f* after g) as functions of (array, namespace).

    Example:
        >>> float(conjugate_pair("forward_kl").generator(2.0))  # u log u, at 2
        1.386...
    """

    kind: Adversarial
    label: str
    limit: float
    least: float
    convention: str
    offset: float
    curves: tuple[Curve, Curve, Curve, Curve, Curve]

    def generator(self, u: float | Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns f(u), u > 0: D_f(p||q) is the mean of f(p/q) under q."""
        return self._at(0, u)

    def slope(self, u: float | Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns f'(u): at u = p/q it is the best critic."""
        return self._at(1, u)

    def conjugate(self, t: float | Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns f*(t) = sup_u (t u - f(u)), for t below `limit`."""
        return self._at(2, t)

    def activation(self, v: float | Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns g(v), increasing, whose values are where f* is finite."""
        return self._at(3, v)

    def charge(self, v: float | Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns f*(g(v)), what a draw of q costs the critic, in a form that does not overflow early."""
        return self._at(4, v)

    def _at(self, which: int, x: float | Float[Array, "..."]) -> Float[Array, "..."]:
        xp = namespace(x)
        return self.curves[which](as_array(x, xp), xp)


def conjugate_pair(kind: str) -> ConjugatePair:
    """Returns the row of a divergence.

    Args:
        kind: its name, one of `CONJUGATES`.

    Raises:
        InputError: there is no such row.

    Example:
        >>> row = conjugate_pair("pearson_chi2")
        >>> float(row.generator(3.0)), float(row.slope(3.0)), float(row.conjugate(4.0))
        (4.0, 4.0, 8.0)
    """
    for name, row in CONJUGATES.items():
        if name == kind:
            return row
    raise InputError(f'divergence="{kind}" is not known here; choose from {", ".join(CONJUGATES)}')


def variational_bound(
    kind: str, at_p: Float[Array, " n"], at_q: Float[Array, " m"]
) -> Float[Array, ""]:
    """Returns what a critic's outputs say about D_f(p||q): a lower bound in the mean.

    mean_i g(v(x_i)) - mean_j f*(g(v(y_j))), x_i from p, y_j from q

    It bounds D_f for outputs of a critic that was not trained on these x and y; on what it was trained
    on, a critic that memorises exceeds any D_f.

    Args:
        kind: of the divergence, a name in `CONJUGATES`.
        at_p, at_q: the critic's outputs v, before the activation.

    Raises:
        InputError: there is no such divergence.

    Example:
        >>> import numpy as np
        >>> float(variational_bound("jensen_shannon_sum", np.zeros(3), np.zeros(3)))
        0.0

    Source:
        Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 4.
    """
    row, xp = conjugate_pair(kind), namespace(at_p, at_q)
    return xp.mean(row.activation(at_p)) - xp.mean(row.charge(at_q))


def _softplus(v: Array, xp: Any) -> Array:
    """log(1 + exp(v)), for large |v| too."""
    return xp.where(v > 0, v, 0.0 * v) + xp.log1p(xp.exp(-xp.abs(v)))


def _lambert(s: Array, xp: Any) -> Array:
    """W(exp(s)): the w > 0 with w + log w = s; Newton on y = log w falls onto it from above."""
    y = xp.where(s > 1.0, xp.log(xp.where(s > 1.0, s, 1.0 + 0.0 * s)), s)
    for _ in range(_NEWTON):
        w = xp.exp(y)
        y = y - (w + y - s) / (w + 1.0)
    return xp.exp(y)


def _jeffreys_conjugate(t: Array, xp: Any) -> Array:
    w = _lambert(1.0 - t, xp)
    return w + 1.0 / w + t - 2.0


_ROWS = (
    ConjugatePair(
        "forward_kl", "KL(p||q)", math.inf, -math.inf, "", 0.0,
        (
            lambda u, xp: u * xp.log(u),
            lambda u, xp: xp.log(u) + 1.0,
            lambda t, xp: xp.exp(t - 1.0),
            lambda v, xp: v,
            lambda v, xp: xp.exp(v - 1.0),
        ),
    ),
    ConjugatePair(
        "reverse_kl", "KL(q||p)", 0.0, -math.inf, "", 0.0,
        (
            lambda u, xp: -xp.log(u),
            lambda u, xp: -1.0 / u,
            lambda t, xp: -1.0 - xp.log(-t),
            lambda v, xp: -xp.exp(-v),
            lambda v, xp: v - 1.0,
        ),
    ),
    ConjugatePair(
        "jensen_shannon_sum", "2JS(p,q)", _LOG_2, -math.inf,
        "KL(p||m) + KL(q||m), m = (p+q)/2, as in the f-GAN paper: twice the usual; at most 2 log 2",
        0.0,
        (
            lambda u, xp: u * xp.log(u) - (u + 1.0) * (xp.log1p(u) - _LOG_2),
            lambda u, xp: xp.log(u) - xp.log1p(u) + _LOG_2,
            lambda t, xp: -xp.log(2.0 - xp.exp(t)),
            lambda v, xp: _LOG_2 - _softplus(-v, xp),
            lambda v, xp: _softplus(v, xp) - _LOG_2,
        ),
    ),
    ConjugatePair(
        "jeffreys", "J(p,q)", math.inf, -math.inf, "KL(p||q) + KL(q||p), not its half", 0.0,
        (
            lambda u, xp: (u - 1.0) * xp.log(u),
            lambda u, xp: xp.log(u) + 1.0 - 1.0 / u,
            _jeffreys_conjugate,
            lambda v, xp: v,
            _jeffreys_conjugate,
        ),
    ),
    ConjugatePair(
        "pearson_chi2", "chi2(p||q)", math.inf, -2.0, "integral of (p - q)^2 / q", 0.0,
        (
            lambda u, xp: (u - 1.0) ** 2,
            lambda u, xp: 2.0 * (u - 1.0),
            lambda t, xp: 0.25 * t * t + t,
            lambda v, xp: v,
            lambda v, xp: 0.25 * v * v + v,
        ),
    ),
    ConjugatePair(
        "squared_hellinger", "H2(p,q)", 0.5, -math.inf,
        "half the integral of (sqrt p - sqrt q)^2, at most 1: half of the f-GAN paper's", 0.0,
        (
            lambda u, xp: 0.5 * (xp.sqrt(u) - 1.0) ** 2,
            lambda u, xp: 0.5 - 0.5 / xp.sqrt(u),
            lambda t, xp: t / (1.0 - 2.0 * t),
            lambda v, xp: -0.5 * xp.expm1(-v),
            lambda v, xp: 0.5 * xp.expm1(v),
        ),
    ),
    ConjugatePair(
        "gan", "GAN(p,q)", 0.0, -math.inf,
        "Goodfellow's game: KL(p||m) + KL(q||m) - log 4, m = (p+q)/2; at least -log 4",
        -2.0 * _LOG_2,
        (
            lambda u, xp: u * xp.log(u) - (u + 1.0) * xp.log1p(u),
            lambda u, xp: xp.log(u) - xp.log1p(u),
            lambda t, xp: -xp.log1p(-xp.exp(t)),
            lambda v, xp: -_softplus(-v, xp),
            _softplus,
        ),
    ),
)  # fmt: skip

#: The divergences of the paper by name.
CONJUGATES: Mapping[str, ConjugatePair] = MappingProxyType({row.kind: row for row in _ROWS})


# Losses of the two players of an f-divergence's game; the table is `CONJUGATES`.


def critic_loss(
    kind: str, *, at_p: Float[Array, " n"], at_q: Float[Array, " m"]
) -> Float[Array, ""]:
    """Returns what the critic minimises: minus the lower bound on D_f(p||q).

    -( mean_i g(v(x_i)) - mean_j f*(g(v(y_j))) ),  x_i from p (real), y_j from q (generated)

    With kind="gan" it is the usual discriminator's, binary cross-entropy with v the logit of "real". At its
    minimum v is log p/q (for "gan" and both KLs up to a constant), and the loss minus the divergence.

    Args:
        kind: a name in `CONJUGATES`.
        at_p, at_q: the critic's outputs v, before the activation.

    Raises:
        InputError: there is no such divergence.

    Example:
        >>> import numpy as np
        >>> round(float(critic_loss("gan", at_p=np.zeros(2), at_q=np.zeros(2))), 4)
        1.3863

    Source:
        Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 6.
    """
    return -variational_bound(kind, at_p, at_q)


def generator_loss(kind: str, *, at_q: Float[Array, " m"]) -> Float[Array, ""]:
    """Returns what the generator minimises: the part of the bound that depends on q.

    -mean_j f*(g(v(y_j)))

    With the best critic its gradient is that of D_f(p||q). With kind="gan" it is Goodfellow's saturating
    loss log(1 - D), which descends 2 JS.

    Args:
        kind: a name in `CONJUGATES`.
        at_q: the critic's outputs v at draws of the generator.

    Raises:
        InputError: there is no such divergence.

    Example:
        >>> import numpy as np
        >>> round(float(generator_loss("gan", at_q=np.zeros(2))), 4)
        -0.6931

    Source:
        Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 6.
    """
    charge = conjugate_pair(kind).charge(at_q)
    return -namespace(charge).mean(charge)


def non_saturating_generator_loss(*, at_q: Float[Array, " m"]) -> Float[Array, ""]:
    """Returns the generator's loss -log D that is used in place of log(1 - D).

    mean_j log(1 + exp(-v(y_j)))

    With the best critic v = log p/q its gradient is that of KL(q||p) - 2 JS(p,q): no f-divergence's, though
    the critic still measures 2 JS.

    Args:
        at_q: the critic's outputs v at draws of the generator, logits of "real".

    Example:
        >>> import numpy as np
        >>> round(float(non_saturating_generator_loss(at_q=np.zeros(2))), 4)
        0.6931

    Source:
        Arjovsky and Bottou, "Towards principled methods for training GANs" (2017), theorem 2.5.
    """
    found = conjugate_pair("gan").activation(at_q)
    return -namespace(found).mean(found)
