"""KL between categoricals given by logits, in the memory of its inputs and one gradient."""

import math
from dataclasses import dataclass
from typing import Any, Literal, final

from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.losses._arrays import Reduction, log_normalizer, reduced, total
from kullback.losses._gaussian import Array, namespace
from kullback.losses._rows import RowFormula, Saved, rows

#: Below this |r| exp(-r) - 1 + r is summed as its series: to r^6 in float32, to r^9 in float64.
_NEAR = 0.1
_SERIES = {
    bits: tuple(1.0 / math.factorial(n) for n in range(last, 1, -1))
    for bits, last in ((32, 6), (64, 9))
}


def categorical_kl(
    *,
    p: Float[Array, "*batch v"] | None = None,
    q: Float[Array, "*batch v"] | None = None,
    teacher: Float[Array, "*batch v"] | None = None,
    student: Float[Array, "*batch v"] | None = None,
    direction: Literal["forward", "reverse"] | None = None,
    reduction: Reduction,
) -> Float[Array, "..."]:
    """Returns KL between the categoricals softmax(p) and softmax(q) of logits, in nats per row.

    KL(p||q) = sum_v p_v (exp(-r_v) - 1 + r_v) >= 0,  r = log p - log q

    Sides are named, so that no order can be wrong: p and q give KL(p||q); teacher and student need a
    direction, "forward" for KL(teacher||student), "reverse" for KL(student||teacher).
    The sum keeps its digits where p is close to q and is never negative. Logits of -inf are
    probabilities of 0: 0 log 0 = 0; the KL is infinite where p has mass and q none. Gradients with respect to
    q are softmax(q) - softmax(p), finite always; with respect to p they are finite too, a q of 0 counting as the
    smallest number of its dtype. Half precision is summed in float32. Nothing but the gradient is held in the
    size of the logits. Log-probabilities are logits too.

    Args:
        p, q: logits (..., V), of JAX, torch or NumPy.
        teacher, student: the same, by role.
        direction: of teacher and student.
        reduction: "mean" over rows (never over V), "sum", or "none" for one number a row.

    Raises:
        InputError: sides or direction are missing or mixed, shapes differ, or the reduction is unknown.

    Example:
        >>> import numpy as np
        >>> teacher, student = np.array([[0.0, 0.0, -np.inf]]), np.zeros((1, 3))
        >>> sides = {"teacher": teacher, "student": student}
        >>> round(float(categorical_kl(**sides, direction="forward", reduction="mean")), 6)
        0.405465
        >>> float(categorical_kl(**sides, direction="reverse", reduction="mean"))
        inf

    Source:
        Kullback and Leibler, "On information and sufficiency" (1951).
    """
    left, right = _sides(p, q, teacher, student, direction)
    return reduced(rows(_KL, left, right), reduction, namespace(left, right))


@final
@dataclass(frozen=True)
class CategoricalKl(RowFormula):
    """KL(p||q) of logits; saved are the two normalisers and the value."""

    def value(self, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
        log_z_p, log_z_q = log_normalizer(p, xp), log_normalizer(q, xp)
        mass_p, mass_q = xp.exp(p - log_z_p), xp.exp(q - log_z_q)
        log_ratio = xp.where(mass_p > 0, (p - q) - (log_z_p - log_z_q), 0.0 * log_z_p)
        kl = total(excess(mass_p, mass_q, log_ratio, xp), xp)
        return kl, (log_z_p, log_z_q, kl)

    def slope_p(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        log_z_p, log_z_q, kl = saved
        mass_p, least = xp.exp(p - log_z_p), math.log(xp.finfo(p.dtype).tiny)
        log_ratio = (p - q) - (log_z_p - log_z_q)
        log_ratio = xp.where(xp.isneginf(q), (p - log_z_p) - least, log_ratio)
        log_ratio = xp.where(mass_p > 0, log_ratio, 0.0 * log_z_p)
        mean = xp.where(xp.isinf(kl), total(mass_p * log_ratio, xp), kl)
        return mass_p * (log_ratio - mean)

    def slope_q(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        log_z_p, log_z_q, _ = saved
        return xp.exp(q - log_z_q) - xp.exp(p - log_z_p)


_KL = CategoricalKl()


def excess(mass_p: Array, mass_q: Array, log_ratio: Array, xp: Any) -> Array:
    """Returns q - p + p r >= 0 with r = log p - log q, whose sum is KL(p||q), with its digits near 0."""
    near = xp.abs(log_ratio) < _NEAR
    t = xp.where(near, -log_ratio, 0.0 * mass_p)
    first, *others, last = _SERIES[xp.finfo(t.dtype).bits]
    series = first * t
    for coefficient in others:
        series = (series + coefficient) * t
    series = mass_p * ((series + last) * t * t)
    near = near & (mass_p > 0)
    return xp.where(near, series, mass_q - mass_p + mass_p * log_ratio)


def _sides(
    p: Array | None,
    q: Array | None,
    teacher: Array | None,
    student: Array | None,
    direction: str | None,
) -> tuple[Array, Array]:
    """The two sides in the order of the divergence."""
    if p is not None and q is not None and teacher is None and student is None:
        if direction is not None:
            raise InputError(
                f'direction="{direction}" with p and q: their order is the direction, KL(p||q); exchange '
                "them for the other"
            )
        return p, q
    if teacher is None or student is None or p is not None or q is not None:
        raise InputError("give p= and q=, or teacher=, student= and direction=")
    if direction not in ("forward", "reverse"):
        raise InputError(
            f'direction={direction!r}: say "forward" for KL(teacher||student), or "reverse" for '
            "KL(student||teacher)"
        )
    return (teacher, student) if direction == "forward" else (student, teacher)
