"""KL between categoricals given by logits, in the memory of its inputs and one gradient."""

import importlib
import math
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import InputError
from kullback.losses.arrays import (
    Array,
    Reduction,
    RowFormula,
    Saved,
    as_array,
    is_torch,
    log_mass,
    log_normalizer,
    namespace,
    near_zero,
    product_and,
    reduced,
    rows,
    small_excess,
    stopped,
    taken,
    total,
    widened,
)


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
        log_z_p, log_z_q = log_mass(p, xp), log_mass(q, xp)
        mass_p, mass_q = xp.exp(p - log_z_p), xp.exp(q - log_z_q)
        log_ratio = xp.where(mass_p > 0, (p - q) - (log_z_p - log_z_q), _NOWHERE)
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
#: A log-ratio of what has no mass: it counts nothing, and is not near 0.
_NOWHERE = 1.0


def excess(mass_p: Array, mass_q: Array, log_ratio: Array, xp: Any) -> Array:
    """Returns q - p + p r >= 0 with r = log p - log q, whose sum is KL(p||q), with its digits near 0.

    Where p is 0, r is `_NOWHERE`, far from 0.
    """
    near = near_zero(log_ratio, xp)
    series = mass_p * small_excess(xp.where(near, -log_ratio, 0.0), xp)
    return xp.where(near, series, product_and(mass_p, log_ratio, mass_q - mass_p, xp))


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


# The generalised Jensen-Shannon divergence of logits, continuous from KL(p||q) to KL(q||p).

#: Beyond this log-ratio exp is not asked for.
_FAR = 15.0


def generalized_jensen_shannon(
    *, p: Float[Array, "*batch v"], q: Float[Array, "*batch v"], beta: float, reduction: Reduction
) -> Float[Array, "..."]:
    """Returns the generalised Jensen-Shannon divergence of softmax(p) and softmax(q), in nats per row.

    JS_beta = KL(p||m) / (1 - beta) + KL(q||m) / beta,  m = beta p + (1 - beta) q

    It goes to KL(p||q) as beta -> 0 and to KL(q||p) as beta -> 1, and is those at 0 and 1; at 1/2 it is 4 JS.
    That is the usual beta KL(p||m) + (1 - beta) KL(q||m) divided by beta (1 - beta): without the division the
    usual one goes to 0 at both ends, and codes that put the KL there jump. Exact at probabilities of 0, finite
    for 0 < beta < 1, with finite gradients.

    Args:
        p, q: logits (..., V); in distillation p is the teacher, q the student.
        beta: from 0 to 1, the weight of p in m.
        reduction: "mean" over rows, "sum" or "none".

    Raises:
        InputError: beta is not in [0, 1], shapes differ, or the reduction is unknown.

    Example:
        >>> import numpy as np
        >>> p, q = np.array([[1.0, 0.0, -1.0]]), np.array([[0.0, 0.0, 2.0]])
        >>> for beta in (0.0, 1e-6, 0.5, 1.0):
        ...     print(round(float(generalized_jensen_shannon(p=p, q=q, beta=beta, reduction="mean")), 4))
        1.2271
        1.2271
        1.1417
        1.4225

    Source:
        Lin, "Divergence measures based on the Shannon entropy" (1991), section IV.
    """
    if not 0.0 <= beta <= 1.0:
        raise InputError(f"beta={beta} must be from 0, which is KL(p||q), to 1, which is KL(q||p)")
    if beta in (0.0, 1.0):
        left, right = (p, q) if beta == 0.0 else (q, p)
        return categorical_kl(p=left, q=right, reduction=reduction)
    return reduced(rows(MixedKl(float(beta)), p, q), reduction, namespace(p, q))


@final
@dataclass(frozen=True)
class MixedKl(RowFormula):
    """The divergence for 0 < beta < 1; saved are the normalisers and the means in the slopes."""

    beta: float

    def value(self, p: Array, q: Array, xp: Any) -> tuple[Array, Saved]:
        log_z_p, log_z_q = log_mass(p, xp), log_mass(q, xp)
        mass_p, mass_q, to_p, to_q = self._parts(p, q, (log_z_p, log_z_q), xp)
        middle = self.beta * mass_p + (1.0 - self.beta) * mass_q
        of_p, of_q = excess(mass_p, middle, to_p, xp), excess(mass_q, middle, to_q, xp)
        found = total(of_p, xp) / (1.0 - self.beta) + total(of_q, xp) / self.beta
        return found, (log_z_p, log_z_q, total(mass_p * to_p, xp), total(mass_q * to_q, xp))

    def slope_p(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        mass_p, _, to_p, _ = self._parts(p, q, saved, xp)
        return mass_p * (to_p - saved[2]) / (1.0 - self.beta)

    def slope_q(self, p: Array, q: Array, saved: Saved, xp: Any) -> Array:
        _, mass_q, _, to_q = self._parts(p, q, saved, xp)
        return mass_q * (to_q - saved[3]) / self.beta

    def _parts(
        self, p: Array, q: Array, saved: Saved, xp: Any
    ) -> tuple[Array, Array, Array, Array]:
        """p, q, log p/m and log q/m; the logarithms are `_NOWHERE` where there is no mass."""
        log_z_p, log_z_q = saved[0], saved[1]
        mass_p, mass_q = xp.exp(p - log_z_p), xp.exp(q - log_z_q)
        nought = xp.zeros_like(mass_p)
        ratio = xp.where((mass_p > 0) | (mass_q > 0), (p - q) - (log_z_p - log_z_q), nought)
        low, high = xp.where(ratio < _FAR, ratio, nought), xp.where(ratio > -_FAR, ratio, nought)
        to_q = -xp.log1p(self.beta * xp.expm1(low))
        to_p = -xp.log1p((1.0 - self.beta) * xp.expm1(-high))
        to_p, to_q = (
            xp.where(ratio > -_FAR, to_p, to_q + ratio),
            xp.where(ratio < _FAR, to_q, to_p - ratio),
        )
        return (
            mass_p,
            mass_q,
            xp.where(mass_p > 0, to_p, _NOWHERE),
            xp.where(mass_q > 0, to_q, _NOWHERE),
        )


# KL of the k likeliest tokens and one bucket for the rest: a lower bound, and named so.


def top_k_kl_lower_bound(
    *, p: Float[Array, "*batch v"], q: Float[Array, "*batch v"], k: int, reduction: Reduction
) -> Float[Array, "..."]:
    """Returns a lower bound of KL(p||q) from the k tokens that p likes best and a bucket for all others.

    KL(p||q) >= sum_{v in top k} p_v log(p_v / q_v) + p_rest log(p_rest / q_rest) >= 0

    Lumping outcomes together never increases a KL, so this is one, of coarser distributions. The sum over
    the top k alone is neither: it may be negative, and clamping it at 0 hides its gradient. With q's k
    likeliest exchange p and q: it bounds KL(q||p).

    Args:
        p, q: logits (..., V).
        k: how many tokens keep a place of their own, from 1 to V - 1.
        reduction: "mean" over rows, "sum" or "none".

    Raises:
        InputError: k is out of range, shapes differ, or the reduction is unknown.

    Example:
        >>> import numpy as np
        >>> p, q = np.array([[3.0, 1.0, 0.0, -1.0]]), np.array([[0.0, 1.0, 0.0, 0.0]])
        >>> for k in (1, 2, 3):
        ...     print(round(float(top_k_kl_lower_bound(p=p, q=q, k=k, reduction="mean")), 4))
        1.027
        1.0298
        1.0361

    Source:
        Cover and Thomas, "Elements of Information Theory" (2006), the data processing inequality.
    """
    xp = namespace(p, q)
    p, q = widened(as_array(p, xp), xp), widened(as_array(q, xp), xp)
    if tuple(p.shape) != tuple(q.shape) or not 1 <= k < p.shape[-1]:
        raise InputError(
            f"k={k} with logits of p {tuple(p.shape)} and q {tuple(q.shape)}: the shapes must be one, and k from 1 "
            "to V - 1; with all V tokens it is categorical_kl"
        )
    indices = _top(stopped(p, xp), k, xp)
    return categorical_kl(p=_coarse(p, indices, xp), q=_coarse(q, indices, xp), reduction=reduction)


def _coarse(logits: Array, indices: Array, xp: Any) -> Array:
    """The logits at the indices, and the log of the mass of all others."""
    rest = log_normalizer(_without(logits, indices, xp), xp)
    parts = [taken(logits, indices, xp), rest]
    return xp.cat(parts, -1) if is_torch(xp) else xp.concatenate(parts, axis=-1)


def _top(logits: Array, k: int, xp: Any) -> Array:
    if is_torch(xp):
        return xp.topk(logits, k, dim=-1).indices
    if xp is np:
        return np.argpartition(-logits, k - 1, axis=-1)[..., :k]
    return importlib.import_module("jax").lax.top_k(logits, k)[1]


def _without(logits: Array, indices: Array, xp: Any) -> Array:
    if is_torch(xp):
        return logits.scatter(-1, indices, -math.inf)
    if xp is np:
        copy = logits.copy()
        np.put_along_axis(copy, indices, -math.inf, axis=-1)
        return copy
    return xp.put_along_axis(logits, indices, -math.inf, axis=-1, inplace=False)


# Supervised cross-entropy, which is forward KL.


def label_cross_entropy(
    logits: Float[Array, "*batch v"], labels: Int[Array, " *batch"], *, reduction: Reduction
) -> Float[Array, "..."]:
    """Returns -log softmax(logits)[label] in nats per row: forward KL, up to the entropy of the data.

    E_p[-log q(y|x)] = KL(p||q) + H(p),  p the distribution of the labels

    Minimising it is maximum likelihood. A label is a distribution with all mass in one place, so that each
    row is KL(label||q) itself. Its gradient, softmax(logits) - label, is finite always.

    Args:
        logits: (..., V).
        labels: (...,), from 0 to V - 1; not checked, as they may be traced.
        reduction: "mean" over rows, "sum" or "none".

    Raises:
        InputError: the shapes do not fit, or the reduction is unknown.

    Example:
        >>> import numpy as np
        >>> logits = np.log([[0.7, 0.2, 0.1]])
        >>> round(float(label_cross_entropy(logits, np.array([1]), reduction="mean")), 4)
        1.6094

    Source:
        Goodfellow, Bengio and Courville, "Deep Learning" (2016), equation 5.59.
    """
    xp = namespace(logits, labels)
    logits = widened(as_array(logits, xp), xp)
    labels = as_array(labels, xp)
    if tuple(labels.shape) != tuple(logits.shape[:-1]):
        raise InputError(
            f"labels {tuple(labels.shape)} must have the shape of logits {tuple(logits.shape)} without the last axis"
        )
    chosen = taken(logits, labels[..., None], xp)
    return reduced((log_normalizer(logits, xp) - chosen)[..., 0], reduction, xp)
