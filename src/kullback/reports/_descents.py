"""Figures of the way to an optimum: how far above its end a descent still was, step by step."""

import math

import numpy as np
from jaxtyping import Float

from kullback.distributions._base import Distribution
from kullback.losses._divergences import forward_kl
from kullback.reports._figures import Axis, Figure, Series, Size
from kullback.reports._line import density, sounding
from kullback.results._fit import Fit

Gaps = Float[np.ndarray, " steps"]
#: Smaller gaps are rounding of the sums.
_FLOOR = 1e-11
#: Samples looked at for every step.
_MOST_ROWS = 20_000


def gaps_to_density(p: Distribution, fit: Fit) -> Gaps:
    """Returns the divergence along the path less that at its end, by sums over one set of points."""
    ends = [fit.path[i] for i in sorted({0, len(fit.path) // 2, len(fit.path) - 1})]
    x = sounding(p, *ends)
    log_p = density(p).log_at(x)
    found = []
    for q in fit.path:
        log_q = density(q).log_at(x)
        with np.errstate(invalid="ignore"):
            terms = (
                forward_kl(log_p, log_q) if fit.direction == "forward" else forward_kl(log_q, log_p)
            )
        total = terms.sum() if p.support.discrete else np.trapezoid(terms, x)
        found.append(float(total))
    return np.array(found) - found[-1]


def gaps_to_samples(
    samples: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None, fit: Fit
) -> Gaps:
    """Returns the cross-entropy along the path less that at its end, over rows fitted to."""
    every = max(1, math.ceil(len(samples) / _MOST_ROWS))
    x = samples[::every]
    w = np.ones(len(x)) if weights is None else weights[::every]
    points = x[:, 0] if fit.q.support.dimension == 0 else x
    found = [-float(w @ q.log_prob(points)) / float(w.sum()) for q in fit.path]
    return np.array(found) - found[-1]


def descent(
    title: str, caption: str, gaps: dict[str, tuple[Fit, Gaps]], size: Size = "wide"
) -> Figure | None:
    """Returns the gaps of one or more fits on a logarithmic axis; None if none is worth drawing."""
    series = []
    for name, (fit, gap) in gaps.items():
        steps = np.arange(len(gap), dtype=np.float64)
        shown = np.where(np.isfinite(gap) & (gap > _FLOOR), gap, np.nan)
        if np.isfinite(shown).sum() > 1:
            series.append(Series(name, steps, shown, fit.direction, "dots"))
    if not series:
        return None
    longest = max(int(np.flatnonzero(np.isfinite(s.y))[-1]) for s in series)
    return Figure(
        title,
        caption,
        Axis("step", (-0.4, longest + 0.4)),
        Axis("above the value at the last step, in nats", log=True),
        tuple(series),
        size=size,
    )
