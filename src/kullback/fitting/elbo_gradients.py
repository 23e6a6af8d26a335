"""Estimators of the gradient of the ELBO of a Gaussian, draw by draw, in its own coordinates.

For q = N(m, L L') and a draw x = m + L z, the parameters are a shift a of the mean and a change A of the
root, m + L a and L (I + A), A lower triangular (diagonal in a mean-field family). With g = L' grad log p(x)
and r = log p(x) - log q(x), one draw contributes

    reparameterization   a: g        A: g z' + I         the entropy in closed form
    stick_the_landing    a: g + z    A: (g + z) z'       E_q[grad log q] = 0 left out
    score_function       a: w z      A: w (z z' - I)     w = r less the mean of the other draws' r

All three have the same mean, the gradient of the ELBO, which is minus that of KL(q||p). In every row the
part of A is that of a times z' plus a multiple of I, the gradient of the entropy: so it is kept.

Sources: Kingma and Welling (2014); Roeder, Wu, Duvenaud (2017); Williams (1992), Kool, van Hoof, Welling
(2019) for the baseline.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.fitting.components import Components
from kullback.solvers.modes import Evaluate

Array = np.ndarray
Estimator = Literal["reparameterization", "stick_the_landing", "score_function"]
Needs = Literal["gradient", "value"]


@final
@dataclass(frozen=True, eq=False)
class GaussianDraws:
    """Draws of a Gaussian with what estimators need of them.

    Attributes:
        z: in its own coordinates, (n, d).
        log_p, log_q: log densities, (n,).
        pull: L' grad log p, (n, d); not looked at by estimators that need values only.
    """

    z: Float[np.ndarray, "n d"]
    log_p: Float[np.ndarray, " n"]
    log_q: Float[np.ndarray, " n"]
    pull: Float[np.ndarray, "n d"]

    @property
    def log_ratio(self) -> Float[np.ndarray, " n"]:
        """log p - log q."""
        return self.log_p - self.log_q


@final
@dataclass(frozen=True, eq=False)
class DrawGradients:
    """What each draw says the gradient is.

    Attributes:
        shift: with respect to the mean, (n, d).
        z: the draws, (n, d).
        entropy: how many times I is added to shift z' to make the part of the root, (n,).
    """

    shift: Float[np.ndarray, "n d"]
    z: Float[np.ndarray, "n d"]
    entropy: Float[np.ndarray, " n"]

    def mean(self, *, diagonal: bool) -> tuple[Float[np.ndarray, " d"], Array]:
        """Returns the estimate: with respect to the mean, and to the root, (d,) or lower (d, d)."""
        n, d = self.z.shape
        level = float(self.entropy.mean())
        if diagonal:
            return self.shift.mean(axis=0), (self.shift * self.z).mean(axis=0) + level
        return self.shift.mean(axis=0), np.tril(self.shift.T @ self.z / n) + level * np.eye(d)

    def each(self, *, diagonal: bool) -> Float[np.ndarray, "n p"]:
        """Returns the contributions, a row per draw: the mean's d, then the root's d or d (d + 1) / 2."""
        d = self.z.shape[1]
        i, j = (np.arange(d), np.arange(d)) if diagonal else np.tril_indices(d)
        root = self.shift[:, i] * self.z[:, j] + self.entropy[:, None] * (i == j)
        return np.concatenate([self.shift, root], axis=1)


def reparameterization(drawn: GaussianDraws) -> DrawGradients:
    """Returns the gradient through the draws, the entropy's in closed form."""
    return DrawGradients(drawn.pull, drawn.z, np.ones(len(drawn.z)))


def stick_the_landing(drawn: GaussianDraws) -> DrawGradients:
    """Returns the gradient through the draws alone: 0 at every draw where q is p."""
    return DrawGradients(drawn.pull + drawn.z, drawn.z, np.zeros(len(drawn.z)))


def score_function(drawn: GaussianDraws) -> DrawGradients:
    """Returns (log p - log q) grad log q, less the mean of the other draws' log-ratios; n >= 2."""
    return _by_score(drawn, _less_the_others(drawn.log_ratio))


def score_function_without_baseline(drawn: GaussianDraws) -> DrawGradients:
    """Returns (log p - log q) grad log q: unbiased, and the noisier the further log Z is from the ELBO."""
    return _by_score(drawn, drawn.log_ratio)


def score_function_of_log_p(drawn: GaussianDraws) -> DrawGradients:
    """Returns log p grad log q: what is left when the entropy of q is forgotten, biased by its gradient."""
    return _by_score(drawn, drawn.log_p)


def of_log_p_with_baseline(drawn: GaussianDraws) -> DrawGradients:
    """Returns log p grad log q, less the mean of the others' log p: as biased, and less noisy."""
    return _by_score(drawn, _less_the_others(drawn.log_p))


def _less_the_others(weight: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    n = len(weight)
    return (weight - weight.mean()) * (n / (n - 1.0))


def _by_score(drawn: GaussianDraws, weight: Float[np.ndarray, " n"]) -> DrawGradients:
    return DrawGradients(weight[:, None] * drawn.z, drawn.z, -weight)


@final
@dataclass(frozen=True)
class EstimatorRow:
    """An estimator as the table has it.

    Attributes:
        estimate: the function.
        needs: what it asks of log p at each draw: its gradient, or its value only.
        fits: whether a fit may use it; the others are there to be compared.
        about: in a few words.
        steadied: with the same mean and less noise, to tell a bias by; None if it is so itself.
    """

    estimate: Callable[[GaussianDraws], DrawGradients]
    needs: Needs
    fits: bool
    about: str
    steadied: Callable[[GaussianDraws], DrawGradients] | None = None


ESTIMATORS: dict[str, EstimatorRow] = {
    "stick_the_landing": EstimatorRow(
        stick_the_landing, "gradient", fits=True, about="path gradient, the score term left out"
    ),
    "reparameterization": EstimatorRow(
        reparameterization, "gradient", fits=True, about="path gradient, entropy in closed form"
    ),
    "score_function": EstimatorRow(
        score_function, "value", fits=True, about="REINFORCE, leave-one-out baseline"
    ),
    "score_function_without_baseline": EstimatorRow(
        score_function_without_baseline,
        "value",
        fits=False,
        about="REINFORCE",
        steadied=score_function,
    ),
    "score_function_of_log_p": EstimatorRow(
        score_function_of_log_p,
        "value",
        fits=False,
        about="REINFORCE, the entropy forgotten",
        steadied=of_log_p_with_baseline,
    ),
}


def check_estimator(name: object) -> EstimatorRow:
    """Returns the row of an estimator that a fit may use.

    Raises:
        InputError: there is none of this name.
    """
    row = ESTIMATORS.get(name) if isinstance(name, str) else None
    if row is None or not row.fits:
        names = ", ".join(f'"{n}"' for n, r in ESTIMATORS.items() if r.fits)
        why = "" if row is None else f" is {row.about}, shown for comparison only"
        raise InputError(f"estimator={name!r}{why}: choose one of {names}")
    return row


def drawn_at(evaluate: Evaluate, q: Components, z: Float[np.ndarray, "n d"]) -> GaussianDraws:
    """Returns what estimators need of the draws m + L z of a single Gaussian."""
    x = q.place(z)[0]
    log_p, gradient = evaluate(x)
    pull = gradient * q.roots[0] if q.diagonal else gradient @ q.roots[0]
    constant = -0.5 * z.shape[1] * math.log(2.0 * math.pi) - float(q.log_dets[0])
    return GaussianDraws(z, log_p, constant - 0.5 * np.einsum("nd,nd->n", z, z), pull)
