"""Where p log(p/q) is paid: the integrals over regions, which add up to the divergence."""

import itertools
import math

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Product
from kullback.distributions.vector import Categorical
from kullback.measure.quadrature import over
from kullback.measure.question import KL
from kullback.measure.support import mass, share_nothing
from kullback.measure.table import Effort, choose
from kullback.results.contributions import Coverage, ModeCover
from kullback.results.estimate import Outcome, exact, infinite
from kullback.solvers.quadrature import fill

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
    if share_nothing(p, q) and not isinstance(p, Product):
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
        part = over(KL, p, q, low, high)
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
        outcome = choose(KL, a, b)[1](Effort())
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


# Which modes of p a q covers, what it spills, what it drops.

#: A mode is dropped below this share of its mass, thin below the other.
_DROPPED, _THIN = 0.05, 0.5
_EMPTY = 0.01


def coverage(p: Distribution, q: Distribution) -> Coverage:
    """Returns what q does with each mode of p, both being densities of the line."""
    modes, valleys = modes_and_valleys(p)
    ends = [p.support.low, *(float(v) for v in valleys), p.support.high]
    found = []
    for mode, low, high in zip(modes, ends[:-1], ends[1:], strict=True):
        masses = mass(p, low, high), mass(q, low, high)
        share = masses[1] / masses[0]
        verdict = "dropped" if share < _DROPPED else "thin" if share < _THIN else "covered"
        found.append(ModeCover(f"mode at x = {mode + 0.0:.2f}", low, high, *masses, verdict))
    lowest = float(p.log_prob(modes).min()) + float(np.log(_EMPTY))
    dropped = math.fsum(m.mass_p for m in found if m.verdict == "dropped")
    return Coverage(tuple(found), _mass_below(p, q, lowest), dropped)


def _mass_below(p: Distribution, q: Distribution, level: float) -> float:
    """q's mass where log p < level."""
    x = grid(p, q)
    low = p.log_prob(x) < level
    edges = np.flatnonzero(low[1:] != low[:-1])
    cuts = [float(0.5 * (x[i] + x[i + 1])) for i in edges]
    ends = [min(p.support.low, q.support.low), *cuts, max(p.support.high, q.support.high)]
    masses = [mass(q, a, b) for a, b in itertools.pairwise(ends)]
    first = 0 if low[0] else 1
    return float(sum(masses[first::2]))


# The shape of a density of the line: its modes and the valleys between them.

#: A dip between two modes counts as a valley if the density halves there.
_DIP = math.log(2.0)


def grid(*densities: Distribution) -> Float[np.ndarray, " n"]:
    """Returns points dense enough to see every mode of the densities."""
    points = []
    for d in densities:
        s = d.support
        marks = fill(d.landmarks(), s.low, s.high)
        points += [np.linspace(a, b, 12) for a, b in itertools.pairwise(marks)]
        points.append(marks)
    return np.unique(np.concatenate(points))


def modes_and_valleys(
    p: Distribution,
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " v"]]:
    """Returns the modes of p and the lowest points between neighbours."""
    x = grid(p)
    height = p.log_prob(x)
    peaks = [int(i) for i in range(len(x)) if _is_peak(height, i)]
    modes: list[int] = []
    valleys: list[int] = []
    for i in peaks:
        if not modes:
            modes.append(i)
            continue
        between = modes[-1] + int(np.argmin(height[modes[-1] : i + 1]))
        deep = height[between] < min(height[modes[-1]], height[i]) - _DIP
        if deep:
            modes.append(i)
            valleys.append(between)
        elif height[i] > height[modes[-1]]:
            modes[-1] = i
    worth = height[modes] > height.max() - 12.0
    kept = [m for m, w in zip(modes, worth, strict=True) if w]
    return x[kept], x[[v for v, w in zip(valleys, worth[1:], strict=True) if w]]


def crossings(p: Distribution, q: Distribution) -> Float[np.ndarray, " c"]:
    """Returns where p and q are equal."""
    x = grid(p, q)
    with np.errstate(invalid="ignore"):
        ratio = p.log_prob(x) - q.log_prob(x)
    seen = np.isfinite(ratio) & (p.log_prob(x) > p.log_prob(x).max() - 30.0)
    x, ratio = x[seen], ratio[seen]
    at = np.flatnonzero(np.sign(ratio[1:]) * np.sign(ratio[:-1]) < 0)
    share = ratio[at] / (ratio[at] - ratio[at + 1])
    return x[at] + share * (x[at + 1] - x[at])


def _is_peak(height: np.ndarray, i: int) -> bool:
    left = height[i - 1] if i > 0 else -math.inf
    right = height[i + 1] if i + 1 < len(height) else -math.inf
    return bool(height[i] > left and height[i] >= right and math.isfinite(height[i]))
