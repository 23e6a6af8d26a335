"""Estimates of one quantity, one above the other, with their errors: the sandwich, the ladder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.reports._figures import Annotation, Axis, Band, Figure, Role, Series
from kullback.reports._numbers import with_error
from kullback.results._diagnosis import Posterior
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit

#: Room beside the values, as a share of their range.
_ROOM = 0.18


@final
@dataclass(frozen=True)
class Row:
    """A name, an estimate, and words that stand above it."""

    name: str
    estimate: Estimate
    words: str
    role: Role = "neutral"


def rows(
    title: str, caption: str, shown: Sequence[Row], x_label: str, bands: tuple[Band, ...] = ()
) -> Figure:
    """Returns the estimates from top to bottom, with their 95 % intervals; words where there is no value."""
    series: list[Series] = []
    words: list[Annotation] = []
    known = [r.estimate for r in shown if _known(r.estimate)]
    low, high = _span(known)
    for place, row in zip(range(len(shown) - 1, -1, -1), shown, strict=True):
        y, e = float(place), row.estimate
        if not _known(e):
            words.append(Annotation(0.5 * (low + high), y - 0.12, row.words))
            continue
        ends = _interval(e)
        series.append(Series("", np.array(ends), np.full(2, y), row.role, "line"))
        series.append(Series("", np.array([e.value]), np.array([y]), row.role, "dots"))
        words.append(Annotation(e.value, y + 0.08, row.words))
    names = tuple(r.name for r in reversed(shown))
    return Figure(
        title,
        caption,
        Axis(x_label, (low, high)),
        Axis("", (-0.5, len(shown) - 0.4), names=names),
        tuple(series),
        bands=bands,
        annotations=tuple(words),
    )


def sandwich(fit: Fit, found: Posterior) -> Figure:
    """Returns ELBO <= log evidence <= EUBO, the log evidence by both routes."""
    eubo = upper_bound(fit, found)
    evidence = found.log_evidence
    shown = [_row("ELBO", found.elbo, "reverse")]
    shown += [
        _row(f"log evidence: {way}", route, "q")
        for way, route in zip(("by weights", "tempered"), found.routes, strict=True)
    ]
    if evidence not in found.routes:
        shown.append(_row("log evidence: both", evidence, "q"))
    shown.append(_row("EUBO", eubo, "forward"))
    bands = []
    if _known(evidence):
        if evidence.value > found.elbo.value:
            bands.append(Band(found.elbo.value, evidence.value, "KL(q||p)"))
        if _known(eubo) and eubo.value > evidence.value:
            bands.append(Band(evidence.value, eubo.value, "KL(p||q)"))
    caption = (
        "Bars are 95 % intervals. KL(q||p) is the way from the ELBO to the log evidence, KL(p||q) from there "
        "to the EUBO. The two routes to the log evidence know nothing of each other."
    )
    return rows("The evidence from below and above", caption, shown, found.elbo.unit, tuple(bands))


def ladder(found: Posterior) -> Figure:
    """Returns the ELBO of each family that was tried, with what it gained over those before."""
    best = -math.inf
    shown = []
    for rung in found.ladder:
        gained = rung.elbo.value - best
        words = f"{gained:+.3f} {rung.elbo.unit}" if math.isfinite(gained) else ""
        shown.append(Row(in_words(rung.family), rung.elbo, words or _plain(rung.elbo), "reverse"))
        best = max(best, rung.elbo.value)
    evidence = found.log_evidence
    caption = "Each family's ELBO on fresh draws, and what it gained over the best before it."
    figure = rows("What each step gained", caption, shown, f"ELBO, {found.elbo.unit}")
    if not _known(evidence):
        return figure
    return rows(
        "What each step gained",
        f"{caption} Nothing can rise above the log evidence, {with_error(evidence)}: the tinted edge.",
        shown,
        f"ELBO, {found.elbo.unit}",
        (Band(evidence.value, math.inf, "", "bad"),),
    )


def upper_bound(fit: Fit, found: Posterior) -> Estimate:
    """Returns the EUBO, E_p[log p - log q]: the ELBO and Jeffreys' divergence above it."""
    gap = found.jeffreys
    if fit.forward_kl is not None and not _known(fit.forward_kl):
        return fit.forward_kl
    if not _known(gap):
        return gap
    value, error = (
        found.elbo.value + gap.value,
        math.hypot(found.elbo.standard_error, gap.standard_error),
    )
    return Estimate(
        value,
        error,
        (value - 1.96 * error, value + 1.96 * error),
        "eubo",
        "EUBO",
        "upper_bound",
        gap.method,
        gap.n,
        unit=gap.unit,
    )


def in_words(family: str) -> str:
    """Returns a family's name as short words: "mean field", "mixture of 4".

    Example:
        >>> in_words("Mixture(k=4) found by adding components"), in_words("LowRank(r=5)")
        ('mixture of 4', 'low rank, 5')
    """
    name, argument = _parsed(family)
    short = {
        "MeanField": "mean field",
        "FullRank": "full rank",
        "LowRank": f"low rank, {argument}",
        "Mixture": f"mixture of {argument}",
    }
    return short.get(name, family)


def in_full(family: str) -> str:
    """Returns a family's name as words of a sentence.

    Example:
        >>> in_full("Mixture(k=4) found by adding components")
        'a mixture of 4 Gaussians'
    """
    name, argument = _parsed(family)
    words = {
        "MeanField": "a mean-field Gaussian",
        "FullRank": "a full-rank Gaussian",
        "LowRank": f"a Gaussian of low rank, {argument}",
        "Mixture": f"a mixture of {argument} Gaussians",
    }
    return words.get(name, family)


def _parsed(family: str) -> tuple[str, str]:
    """Returns "Mixture" and "4" of "Mixture(k=4, ...) ..."."""
    name, _, inner = family.partition("(")
    return name, inner.partition(")")[0].partition(",")[0].partition("=")[2]


def _row(name: str, e: Estimate, role: Role) -> Row:
    return Row(name, e, _plain(e), role)


def _plain(e: Estimate) -> str:
    return with_error(e).lstrip("≥≤ ") if _known(e) else f"{e.kind}: {e.reason}"


def _known(e: Estimate) -> bool:
    return math.isfinite(e.value) and e.kind not in ("infinite", "unresolved")


def _interval(e: Estimate) -> tuple[float, float]:
    reach = 1.96 * e.standard_error
    return e.value - reach, e.value + reach


def _span(known: Sequence[Estimate]) -> tuple[float, float]:
    if not known:
        return 0.0, 1.0
    ends = [end for e in known for end in _interval(e)]
    low, high = min(ends), max(ends)
    pad = _ROOM * (high - low) or 0.5
    return low - pad, high + pad
