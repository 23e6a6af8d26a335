"""Sums over the outcomes of discrete distributions, with the truncation bounded."""

import math

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.distributions.vector import Categorical
from kullback.measure.quadrature import BEYOND_UNDERFLOW, UNDERFLOW
from kullback.measure.question import Question
from kullback.measure.support import certainly_empty, mass_outside
from kullback.measure.tails import ratio, rounding
from kullback.results.estimate import Outcome, infinite, unresolved
from kullback.solvers.series import Sum, Terms, add_up

_METHOD = "sum"
_MAIN, _SPARE, _MASS_P, _MASS_Q, _NOISE, _SLOPE, _EMPTY, _UNDERFLOW = range(8)
#: p may miss this much mass before the answer is refused.
_MISSING = 1e-6


@np.errstate(all="ignore")
def measure(question: Question, p: Distribution, q: Distribution) -> Outcome:
    """Returns the answer: exact to rounding over few outcomes, else with a truncation bound."""
    low, high = p.support.low, p.support.high
    if question.over_q:
        low, high = min(low, q.support.low), max(high, q.support.high)
    columns, start = _columns(question, p, q), _start(p, low, high)
    found = add_up(columns, start, low, high, (_MAIN, _MASS_P))
    heavy = not question.of_logs or _heavy(p, low)
    empty = float(found.value[_EMPTY])
    if empty > 0.0 and question.needs_support:
        return infinite(
            f"support: q is 0 where p has mass {empty:.3g}; q lives on {q.support}", _METHOD
        )
    if found.value[_UNDERFLOW] > UNDERFLOW and question.needs_support:
        reason = f"q's log mass underflows to -inf where p has mass {found.value[_UNDERFLOW]:.2g}"
        return unresolved(float(found.value[_MAIN]), reason, _METHOD, found.terms)
    if found.slope > -1.0 - 1e-3:
        reason = "tails: p's tail is too heavy for q; the sum diverges"
        if heavy and _grows(question, p, q, low):
            return infinite(reason, _METHOD)
        reason = "tails: p falls so slowly that whether the sum converges cannot be told"
        return unresolved(float(found.value[_MAIN]), reason, _METHOD, found.terms)
    if np.isposinf(found.value[_MAIN]) and heavy:
        return infinite("tails: p's tail is too heavy for q; the terms grow without bound", _METHOD)
    mass = float(found.value[_MASS_P])
    missing = max(1.0 - mass - float(found.beyond[_MASS_P]), mass - 1.0, 0.0)
    if not np.isfinite(found.value).all() or missing > _MISSING:
        reason = f"the sum finds mass {mass:.6g} of p, not 1"
        return unresolved(float(found.value[_MAIN]), reason, _METHOD, found.terms)
    outside = (0.0, 0.0) if question.nonnegative is None else mass_outside(q, low, high)
    value, error = _value(question, found, outside)
    error += missing * (1.0 + abs(value) + 2.0 * abs(math.log(missing + 1e-300)))
    answer = question.finish(value)
    width = max(abs(question.finish(value + e) - answer) for e in (error, -error))
    if not math.isfinite(width):
        reason = "the sum goes on beyond what floats hold"
        return unresolved(answer, reason, _METHOD, found.terms)
    return Outcome(answer, width, "numeric", _METHOD, found.terms)


def _heavy(p: Distribution, low: float) -> bool:
    """Whether p falls like a power of x as far out as floats go: else what grows may be its bulk, or an overflow."""
    far = (0.0 if math.isinf(low) else low) + 2.0 ** np.array([1000.0, 1010.0])
    sizes = -p.log_prob(far)
    return bool(0.0 < sizes[1] < 1.2 * sizes[0])


def _grows(question: Question, p: Distribution, q: Distribution, low: float) -> bool:
    """Whether the log ratio grows like a power far out, which p's mass does not make up for.

    Where it only grows like a log, p's own mass decides.
    """
    if not question.of_logs:
        return True
    base = 0.0 if math.isinf(low) else low
    x = base + 2.0 ** np.array([[200.0, 201.0], [490.0, 500.0], [990.0, 1000.0]])
    log_p, log_q = (d.log_prob(x.ravel()).reshape(x.shape) for d in (p, q))
    sizes = np.abs(log_p - log_q)
    if float(sizes[0, 1]) < 1.2 * float(sizes[0, 0]):
        return False
    if not np.isfinite(sizes).all():
        return True  # q's overflows
    powers = np.diff(log_p + np.log(sizes), axis=1)[1:, 0] / math.log(2.0**10)
    # k log k grows like k^(1 + 1 / log k).
    return float(2.0 * powers[1] - powers[0]) > -1.0 - 1e-4


def _columns(question: Question, p: Distribution, q: Distribution) -> Terms:
    def columns(x: np.ndarray, factor: float) -> np.ndarray:
        log_p, log_q = p.log_prob(x), q.log_prob(x)
        mass_p, mass_q = np.exp(log_p + factor), np.exp(log_q + factor)
        empty = np.isneginf(log_q) & ~np.isneginf(log_p)
        outside = empty & certainly_empty(q, x)
        of_p = mass_p * rounding(p, x, log_p) * ratio(log_p, log_q)
        of_q = rounding(q, x, log_q)
        if question.needs_support:
            log_q = np.where(empty, log_p, log_q)
        factors = np.full_like(log_p, factor)
        main = question.contribution(log_p, log_q, factors)
        spare = (
            main if question.nonnegative is None else question.nonnegative(log_p, log_q, factors)
        )
        with np.errstate(invalid="ignore"):
            gap = np.minimum(1.0, np.abs(np.where(np.isneginf(log_p), 0.0, log_p - log_q)))
        return np.stack(
            [
                main,
                spare,
                mass_p,
                mass_q,
                of_p + mass_p * of_q,
                # The excess q - p - p log(q/p) is flat where q is p, and is q where p is not.
                of_p * gap + np.abs(mass_q - mass_p) * of_q,
                mass_p * outside,
                mass_p * (empty & ~outside),
            ],
            axis=1,
        )

    return columns


def _start(p: Distribution, low: float, high: float) -> float:
    """Returns an integer in p's bulk."""
    if isinstance(p, Categorical):
        return float(np.argmax(p.probabilities))
    marks = p.landmarks()
    fallback = low if math.isfinite(low) else 0.0
    middle = float(np.floor(marks[len(marks) // 2])) if len(marks) else fallback
    return min(max(middle, low), high)


def _value(question: Question, found: Sum, outside: tuple[float, float]) -> tuple[float, float]:
    """Returns the better of the two sums of the same thing, with its error.

    The second misses exactly q's mass outside the integers that are summed over.
    """
    value = found.value
    missed, unsure = outside
    unseen = BEYOND_UNDERFLOW * float(value[_UNDERFLOW])
    truncated = found.beyond
    rounded = 4.0 * 2.0**-52 * found.absolute
    main = float(value[_MAIN])
    error_main = float(truncated[_MAIN] + rounded[_MAIN] + value[_NOISE]) + unseen
    if question.nonnegative is None or abs(float(value[_MASS_Q]) + missed - 1.0) > 1e-9:
        return main, error_main
    error_spare = float(truncated[_SPARE] + rounded[_SPARE] + value[_SLOPE]) + unsure + unseen
    spare = float(value[_SPARE]) + missed
    return (spare, error_spare) if error_spare < error_main else (main, error_main)


# Densities given on a regular grid: sums times dx, with the error of the grid itself.

_GRID_METHOD = "grid"


def measure_grid(
    question: Question, p: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"], dx: float
) -> Outcome:
    """Returns the trapezoid sum; its error is its distance from the same sum on every other point."""
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p), np.log(q)
    empty = (p > 0.0) & (q == 0.0)
    if empty.any() and question.needs_support:
        return infinite(
            f"support: q is 0 on grid points where p has mass {p[empty].sum() * dx:.3g}",
            _GRID_METHOD,
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
    return Outcome(answer, spread, "numeric", _GRID_METHOD, len(terms))
