"""The generalised Jensen-Shannon divergence of logits, continuous from KL(p||q) to KL(q||p)."""

from dataclasses import dataclass
from typing import Any, final

from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.losses._arrays import Reduction, log_normalizer, reduced, total
from kullback.losses._categorical import categorical_kl, excess
from kullback.losses._gaussian import Array, namespace
from kullback.losses._rows import RowFormula, Saved, rows

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
        log_z_p, log_z_q = log_normalizer(p, xp), log_normalizer(q, xp)
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
        """p, q, log p/m and log q/m; the logarithms are 0 where there is no mass."""
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
            xp.where(mass_p > 0, to_p, nought),
            xp.where(mass_q > 0, to_q, nought),
        )
