"""Densities given on a regular grid: sums times dx, with the error of the grid itself."""

import numpy as np
from jaxtyping import Float

from kullback.estimators._outcome import Outcome, infinite
from kullback.estimators._question import Question

_METHOD = "grid"


def measure(
    question: Question, p: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"], dx: float
) -> Outcome:
    """Returns the trapezoid sum; its error is its distance from the same sum on every other point."""
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log(q)
    empty = (p > 0.0) & (q == 0.0)
    if empty.any() and question.needs_support:
        return infinite(
            f"support: q is 0 on grid points where p has mass {p[empty].sum() * dx:.3g}", _METHOD
        )
    terms = question.contribution(log_p, log_q, np.zeros_like(log_p))
    fine = float(np.trapezoid(terms, dx=dx))
    even = np.arange(0, len(terms), 2)
    coarse = float(np.trapezoid(terms[even], dx=2.0 * dx)) if len(even) > 2 else 0.0
    if len(terms) % 2 == 0:
        coarse += 0.5 * dx * float(terms[-1] + terms[-2])
    edges = dx * float(np.abs(terms[[0, -1]]).sum())
    answer = question.finish(fine)
    error = abs(fine - coarse) + edges + 1e-15 * float(np.abs(terms).sum()) * dx
    spread = max(abs(question.finish(fine + e) - answer) for e in (error, -error))
    return Outcome(answer, spread, "numeric", _METHOD, len(terms))
