"""Where p log(p/q) is paid: the integrals over regions, which add up to the divergence."""

import itertools
import math

import numpy as np
from jaxtyping import Float

from kullback._core.errors import UnsupportedError
from kullback.diagnostics._shape import crossings, modes_and_valleys
from kullback.distributions._base import Distribution
from kullback.distributions._compound import Product
from kullback.distributions._vector import Categorical
from kullback.estimators import _quadrature, _select, _support
from kullback.estimators._outcome import Outcome, exact, infinite
from kullback.estimators._question import KL

#: Outcomes of a discrete distribution that get a row of their own.
_MOST = 20
_DRAWS = 2**15

#: Name, low, high, mass of p, mass of q, contribution.
Row = tuple[str, float, float, float, float, Outcome]


def regions(p: Distribution, q: Distribution) -> list[Row]:
    """Returns the regions of x and what each adds to KL(p||q).

    Between the valleys of p where it has several modes, otherwise between the points where p = q;
    single outcomes of discrete distributions; blocks of a product; components of a mixture of vectors.
    """
    if _support.share_nothing(p, q) and not isinstance(p, Product):
        return _apart(p)
    if isinstance(p, Product) and isinstance(q, Product) and p.widths == q.widths:
        return _blocks(p, q)
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        x = np.arange(len(p.probabilities), dtype=np.float64)
        return _outcomes(x, p.log_probabilities, q.log_probabilities)
    if p.support.dimension:
        return _components(p, q)
    if p.support.discrete:
        marks = p.landmarks()
        low = max(p.support.low, marks[0] - 1.0)
        x = np.arange(low, min(p.support.high, marks[-1] + 1.0) + 1.0)
        return _outcomes(x, p.log_prob(x), q.log_prob(x))
    return _intervals(p, q)


def _apart(p: Distribution) -> list[Row]:
    """A mass function and a density: the points where one has its masses, and all the rest."""
    points = "the outcomes of p" if p.support.discrete else "the outcomes of q"
    whole = infinite("support: q has no mass here", "support")
    rows = [("all other x", 0.0, 1.0, exact(0.0, "support")), (points, 1.0, 0.0, whole)]
    if not p.support.discrete:
        rows = [("all other x", 1.0, 0.0, whole), (points, 0.0, 1.0, exact(0.0, "support"))]
    return [(name, math.nan, math.nan, of_p, of_q, out) for name, of_p, of_q, out in rows[::-1]]


def _intervals(p: Distribution, q: Distribution) -> list[Row]:
    valleys = modes_and_valleys(p)[1]
    cuts = valleys if len(valleys) else crossings(p, q)
    s = p.support
    ends = [s.low, *(float(c) for c in cuts), s.high]
    found = []
    for low, high in itertools.pairwise(ends):
        part = _quadrature.over(KL, p, q, low, high)
        found.append((_words(low, high), low, high, part.mass_p, part.mass_q, part.outcome))
    return found


def _outcomes(
    x: Float[np.ndarray, " n"], log_p: Float[np.ndarray, " n"], log_q: Float[np.ndarray, " n"]
) -> list[Row]:
    terms = KL.contribution(log_p, log_q, np.zeros_like(log_p))
    mass_p, mass_q = np.exp(log_p), np.exp(log_q)
    order = np.sort(np.argsort(-np.abs(terms))[:_MOST])
    rows = [
        (
            f"x = {x[i]:g}",
            float(x[i]),
            float(x[i]),
            float(mass_p[i]),
            float(mass_q[i]),
            _sum(terms[[i]]),
        )
        for i in order
    ]
    rest = np.setdiff1d(np.arange(len(x)), order)
    if len(rest):
        masses = float(mass_p[rest].sum()), float(mass_q[rest].sum())
        rows.append(("all others", math.nan, math.nan, *masses, _sum(terms[rest])))
    return rows


def _sum(terms: Float[np.ndarray, " n"]) -> Outcome:
    value = math.fsum(terms)
    if value == math.inf:
        return infinite("support: q is 0 here", "sum")
    return Outcome(value, 4e-16 * math.fsum(np.abs(terms)), "numeric", "sum", len(terms))


def _blocks(p: Product, q: Product) -> list[Row]:
    starts = np.cumsum([0, *p.widths])
    found = []
    for a, b, first, width in zip(p.parts, q.parts, starts, p.widths, strict=False):
        outcome = _select.choose(KL, a, b)[1](_select.Effort())
        name = f"x[{first}]" if width == 1 else f"x[{first}:{first + width}]"
        found.append((name, math.nan, math.nan, 1.0, 1.0, outcome))
    return found


def _components(p: Distribution, q: Distribution) -> list[Row]:
    pieces = p.strata()
    if len(pieces) < 2:
        raise UnsupportedError(
            "explain needs regions: variables of the line, outcomes, independent blocks or a mixture"
        )
    rng = np.random.default_rng(0)
    found = []
    for i, piece in enumerate(pieces):
        x = piece.transport(rng.standard_normal((_DRAWS, piece.dimension)))
        terms = piece.weight * (p.log_prob(x) - q.log_prob(x))
        error = float(terms.std(ddof=1)) / math.sqrt(_DRAWS)
        outcome = Outcome(float(terms.mean()), error, "estimate", "Monte Carlo", _DRAWS)
        found.append(
            (f"component {i + 1} of p", math.nan, math.nan, piece.weight, math.nan, outcome)
        )
    return found


def _words(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "all x"
    if math.isinf(low):
        return f"x < {high:.4g}"
    return f"x > {low:.4g}" if math.isinf(high) else f"{low:.4g} < x < {high:.4g}"
