"""Which modes of p a q covers, what it spills, what it drops."""

import itertools
import math

import numpy as np

from kullback.diagnostics._shape import grid, modes_and_valleys
from kullback.distributions._base import Distribution
from kullback.estimators import _support
from kullback.results._demo import Coverage, ModeCover

#: A mode is dropped below this share of its mass, thin below the other.
_DROPPED, _THIN = 0.05, 0.5
_EMPTY = 0.01


def coverage(p: Distribution, q: Distribution) -> Coverage:
    """Returns what q does with each mode of p, both being densities of the line."""
    modes, valleys = modes_and_valleys(p)
    ends = [p.support.low, *(float(v) for v in valleys), p.support.high]
    found = []
    for mode, low, high in zip(modes, ends[:-1], ends[1:], strict=True):
        masses = _support.mass(p, low, high), _support.mass(q, low, high)
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
    masses = [_support.mass(q, a, b) for a, b in itertools.pairwise(ends)]
    first = 0 if low[0] else 1
    return float(sum(masses[first::2]))
