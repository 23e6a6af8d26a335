"""Which method answers which question: a table that can be read, printed and called."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.core.errors import UnsupportedError
from kullback.core.numerics import threads
from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.compound import Product, Transformed
from kullback.distributions.real import Normal
from kullback.distributions.vector import Categorical, MultivariateNormal
from kullback.measure.closed_form import cross_entropy, entropy, kl, power_divergence
from kullback.measure.density import guard
from kullback.measure.quadrature import measure_by_quadrature
from kullback.measure.question import Question
from kullback.measure.student import student_kl
from kullback.measure.sums import measure
from kullback.measure.support import apart, gap
from kullback.results.estimate import Estimate, Outcome, total
from kullback.results.quantity import Quantity


def label(question: Question, outcome: Outcome, *pq: Distribution) -> Estimate:
    """Returns an outcome as an Estimate that says what it is of."""
    unknown = [
        name
        for name, d in zip("p" if question.name == "entropy" else "pq", pq, strict=False)
        if not d.normalized and outcome.kind == "estimate"
    ]
    plus = "+" if question.name == "kl" else "-"
    constants = {"p": f" {plus} log Z_p", "q": " - log Z_q"}
    if question.name == "cross_entropy":
        constants["p"] = ""
    direction = question.label + "".join(constants[name] for name in unknown)
    quantity = question.quantity
    if unknown:
        quantity = Quantity(f"{question.name}_up_to_constant", direction, quantity.unit)
    notes = (*outcome.notes, *([question.convention] if question.convention else []))
    half = outcome.quantile if outcome.kind == "estimate" else 1.0
    reach = half * outcome.error
    value = outcome.value
    interval = outcome.interval or (value - reach, value + reach)
    interval = (value, value) if outcome.kind == "infinite" else interval
    return Estimate(
        value,
        outcome.error,
        interval,
        quantity,
        outcome.kind,
        outcome.method,
        outcome.n,
        notes,
    )


@final
@dataclass(frozen=True)
class Effort:
    """How hard to try: draws or tolerance for Monte Carlo, and the key."""

    n: int | None = None
    tolerance: float | None = None
    key: object = 0


Run = Callable[[Effort], Outcome]


@final
@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        name: as in `method=`.
        applies: to what, in words.
        gives: the kinds it may return.
        prepare: returns what computes the answer, or None where the row does not apply.
    """

    name: str
    applies: str
    gives: str
    prepare: Callable[[Question, Distribution, Distribution], Run | None]


def choose(
    question: Question, p: Distribution, q: Distribution, method: str | None = None
) -> tuple[Method, Run]:
    """Returns the first row of the table that applies, and what computes the answer.

    Raises:
        UnsupportedError: no row applies, or not the one asked for.
    """
    if isinstance(p, Transformed) and isinstance(q, Transformed) and not question.of_scale:
        p, q = _shared_maps_off(p, q)
    if not question.of_scale:
        p, q = _sources(p, q)
    if method is not None and method not in NAMES:
        raise UnsupportedError(f'method="{method}" is not known; choose from {", ".join(NAMES)}')
    # An infinite answer is infinite by every method.
    if question.name == "kl" and method is None and type(p) is type(q) is Normal:
        return METHODS[2], _now(kl(p, q)) or _never
    rows = [row for row in METHODS if method is None or row.name in (method, "support")]
    for row in rows:
        run = row.prepare(question, p, q)
        if run is not None:
            return row, run
    wanted = "no method applies" if method is None else f'method "{method}" does not apply'
    raise UnsupportedError(
        f"{question.label}: {wanted} to p on {p.support} and q on {q.support}; "
        "kullback plan prints what each method needs"
    )


def _shared_maps_off(p: Transformed, q: Transformed) -> tuple[Distribution, Distribution]:
    """A divergence is the same before and after a bijection that p and q share."""
    a, b = list(p.maps), list(q.maps)
    while a and b and a[-1] == b[-1]:
        a.pop()
        b.pop()
    return (
        Transformed(p.base, tuple(a)) if a else p.base,
        Transformed(q.base, tuple(b)) if b else q.base,
    )


def _sources(p: Distribution, q: Distribution) -> tuple[Distribution, Distribution]:
    """The same for maps that are known by name only."""
    while isinstance(p, Foreign) and isinstance(q, Foreign) and p.source and q.source:
        if p.source[1] != q.source[1] or p.support != q.support:
            break
        p, q = p.source[0], q.source[0]
    return p, q


def _never(_: Effort) -> Outcome:
    raise AssertionError("normals have a closed form")


def _now(outcome: Outcome | None) -> Run | None:
    return None if outcome is None else lambda _: outcome


def _by_support(question: Question, p: Distribution, q: Distribution) -> Run | None:
    gaps = [gap(p, q)] if question.needs_support else []
    if question.needs_reverse_support:
        gaps.append(gap(q, p, names="qp"))
    found = next((g for g in gaps if g is not None), None)
    return _now(found or apart(question, p, q))


def _by_closed_form(question: Question, p: Distribution, q: Distribution) -> Run | None:
    if not (p.normalized and q.normalized) or _stick_out(question, p, q):
        return None
    match question.name:
        case "kl" | "forward_kl":
            return _now(kl(p, q) or student_kl(p, q))
        case "reverse_kl":
            return _now(kl(q, p) or student_kl(q, p))
        case "jeffreys":
            parts = [kl(a, b) or student_kl(a, b) for a, b in ((p, q), (q, p))]
            known = [part for part in parts if part is not None]
            return _now(total(known)) if len(known) == len(parts) else None
        case "entropy":
            return _now(entropy(p))
        case "cross_entropy":
            return _now(cross_entropy(p, q))
        case _:
            return _now(power_divergence(question, p, q))


def _stick_out(question: Question, p: Distribution, q: Distribution) -> bool:
    """Whether ends that are one but for rounding leave a point of one outside the other."""
    a, b = p.support, q.support
    if not a.kind == b.kind == "interval":
        return False
    mine, others = a.low < b.low or a.high > b.high, b.low < a.low or b.high > a.high
    return (question.needs_support and mine) or (question.needs_reverse_support and others)


def _by_parts(question: Question, p: Distribution, q: Distribution) -> Run | None:
    additive = question.of_logs or question.name in ("reverse_kl", "jeffreys")
    if isinstance(p, Product) or isinstance(q, Product):
        p, q = _as_product(p), _as_product(q)
    if not (additive and isinstance(p, Product) and isinstance(q, Product)):
        return None
    if p.widths != q.widths:
        return None
    runs = [choose(question, a, b)[1] for a, b in zip(p.parts, q.parts, strict=True)]
    return lambda effort: total([run(effort) for run in runs])


def _as_product(d: Distribution) -> Distribution:
    """A Gaussian with independent coordinates is a product by another name."""
    if not isinstance(d, MultivariateNormal):
        return d
    scales = np.diag(d.scale_tril)
    if np.any(d.scale_tril != np.diag(scales)):
        return d
    return Product(tuple(Normal(float(m), float(s)) for m, s in zip(d.loc, scales, strict=True)))


def _by_sum(question: Question, p: Distribution, q: Distribution) -> Run | None:
    a, b = _as_integers(p), _as_integers(q)
    if a.support.dimension or not (a.support.discrete and b.support.discrete):
        return None
    return _guarded(lambda _: measure(question, a, b), a, b)


def _as_integers(d: Distribution) -> Distribution:
    """One-hot vectors are integers by another name."""
    return replace(d, one_hot=False) if isinstance(d, Categorical) else d


def _by_quadrature(question: Question, p: Distribution, q: Distribution) -> Run | None:
    if p.support.dimension or p.support.discrete or q.support.discrete:
        return None
    return _guarded(lambda _: measure_by_quadrature(question, p, q), p, q)


def _by_monte_carlo(question: Question, p: Distribution, q: Distribution) -> Run | None:
    if not ((p.normalized and q.normalized) or question.of_logs):
        return None
    drawn = (p, q) if question.over_q else (p,)
    if any(isinstance(d, Foreign) and d.sampler is None for d in drawn):
        return None
    # scipy.stats and arviz-stats take two seconds to import: only this row pays for them.
    from kullback.measure.monte_carlo import Budget, measure  # noqa: PLC0415

    def run(effort: Effort) -> Outcome:
        with threads(p.support.dimension):
            budget = Budget(effort.n, effort.tolerance)
            return measure(question, p, q, budget=budget, key=effort.key)

    return _guarded(run, p, q, drawn=drawn)


def _guarded(
    run: Run, p: Distribution, q: Distribution, *, drawn: tuple[Distribution, ...] = ()
) -> Run:
    """Checks the densities that are not evaluated by our own formulas before it believes them."""

    def checked(effort: Effort) -> Outcome:
        remarks = [
            remark
            for name, d in ((("p", p),) if q is p else (("p", p), ("q", q)))
            for remark in guard(d, name, drawn=any(d is other for other in drawn))
        ]
        outcome = run(effort)
        return replace(outcome, notes=(*outcome.notes, *remarks)) if remarks else outcome

    return checked


METHODS = (
    Method("support", "q is 0 somewhere p is not", "infinite, exact", _by_support),
    Method("parts", "independent blocks: the sum over blocks", "as its parts", _by_parts),
    Method(
        "closed form",
        "densities made of statistics whose means are known; Gaussian, finite, Dirichlet ...",
        "exact, infinite",
        _by_closed_form,
    ),
    Method("sum", "discrete distributions", "numeric, infinite, unresolved", _by_sum),
    Method("quadrature", "densities of the line", "numeric, infinite, unresolved", _by_quadrature),
    Method("monte carlo", "anything p can be drawn from", "estimate, unresolved", _by_monte_carlo),
)
NAMES = tuple(row.name for row in METHODS)
