"""Standard errors of a mixture's parameters, from the information that its rows hold."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float
from scipy import linalg

from kullback.fitting.components import Components
from kullback.fitting.rows import ScaledRows

#: More multiplications than this are too many.
_WORK = 4e10
#: Directions that the rows say less about than this share are taken for unknown.
_SINGULAR = 1e-10


@final
@dataclass(frozen=True, eq=False)
class Errors:
    """Standard errors in scaled coordinates: weights (k,), means (k, d), sds (k, d)."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    sds: Float[np.ndarray, "k d"]


def errors(
    model: Any, q: Components, rows: ScaledRows, sample: ScaledRows, *, most: int
) -> Errors | None:
    """Returns standard errors of weights, means and sds; None if there are too many parameters.

    Too many to invert their information, or as many as there are rows, whose scores then say nothing of some.

    Taken from the sample, as if all rows were like it, where all rows are too many.

    Args:
        model: of maximum likelihood.
        q: the fit, in scaled coordinates.
        rows: all.
        sample: some of them, in memory.
        most: so many parameters are not too many.
    """
    k, d = q.means.shape
    diagonal = model.structure.by_square
    size = k * (1 + d + (d if diagonal else d * (d + 1) // 2))
    if size > most or size >= min(rows.n, rows.effective):
        return None
    seen = rows if rows.in_memory and rows.n * size**2 < _WORK else sample
    every = np.arange(d)
    lower = (every, every) if diagonal else np.tril_indices(d)
    inverse = q.inverses
    information = np.zeros((size, size))
    for x, weights in seen.blocks(2048):
        shares = model.shares(q, x)
        z = np.einsum("kij,kjm->kim", inverse, x[None] - q.means[:, :, None])
        turns = z[:, lower[0]] * z[:, lower[1]] - (lower[0] == lower[1])[:, None]
        scores = np.concatenate(
            [
                shares - q.weights[:, None],
                (shares[:, None] * z).reshape(k * d, -1),
                (shares[:, None] * turns).reshape(k * len(lower[0]), -1),
            ]
        )
        information += (scores * weights) @ scores.T
    information *= rows.total / seen.total
    return _delta(q, _inverse(information, k), lower)


def _inverse(information: Float[np.ndarray, "m m"], k: int) -> Float[np.ndarray, "m m"]:
    """The inverse but for the direction in which all k logits, which come first, rise together."""
    unit = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(unit, unit)
    together = np.concatenate([unit[:k], np.zeros(len(unit) - k)])
    together /= np.linalg.norm(together)
    try:
        root = np.linalg.cholesky(scaled + np.outer(together, together))
    except np.linalg.LinAlgError:
        root = np.zeros((1, 1))
    if np.diag(root).min() ** 2 > _SINGULAR:
        half = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
        inverse = half.T @ half
    else:
        inverse = np.linalg.pinv(scaled, rcond=_SINGULAR, hermitian=True)
    return inverse / np.outer(unit, unit)


def _delta(
    q: Components, covariance: Float[np.ndarray, "m m"], lower: tuple[np.ndarray, np.ndarray]
) -> Errors:
    """Errors of weights, means and sds from those of logits, moves and turns of the factors."""
    k, d = q.means.shape
    by_logit = np.diag(q.weights) - np.outer(q.weights, q.weights)
    of_weights = by_logit @ covariance[:k, :k] @ by_logit
    means, sds = np.empty((k, d)), np.empty((k, d))
    for i, root in enumerate(q.roots):
        at = slice(k + i * d, k + (i + 1) * d)
        means[i] = np.sqrt(np.maximum(np.diag(root @ covariance[at, at] @ root.T), 0.0))
        first = k + k * d + i * len(lower[0])
        turn = covariance[first : first + len(lower[0]), first : first + len(lower[0])]
        sd = np.sqrt(np.sum(root**2, axis=1))
        # d cov = root (dT + dT') root', so that d var_j = 2 sum root_ja root_jb dT_ab.
        by_turn = root[:, lower[0]] * root[:, lower[1]] / sd[:, None]
        sds[i] = np.sqrt(np.maximum(np.einsum("ja,ab,jb->j", by_turn, turn, by_turn), 0.0))
    return Errors(np.sqrt(np.maximum(np.diag(of_weights), 0.0)), means, sds)
