"""`kullback fit` of a log density: may q be used, why, and what it looks like beside p."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.distributions.base import Distribution
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.transported import Approximation
from kullback.distributions.vector import MultivariateNormal
from kullback.expressions.format import format_distribution
from kullback.families import FullRank, LowRank, MeanField, Mixture, Recipe
from kullback.render.document import (
    Annotation,
    Axis,
    Badge,
    Band,
    Banner,
    Bar,
    Block,
    Cell,
    Column,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Notes,
    Role,
    Section,
    Series,
    Table,
    Tone,
)
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.posterior import Diagnosis, Parameter, Posterior
from kullback.results.quantity import EUBO
from kullback.results.serialise import to_json
from kullback.views.components import fact, made
from kullback.views.numbers import kind_of, near, number, with_error
from kullback.views.planes import pictures

_TONES: dict[str, Tone] = {"trust": "good", "caution": "unsure", "do not use": "bad"}
#: Parameters in a terminal's table.
_BRIEF = 30
#: Up to this many coordinates q is written out as an expression.
_WRITTEN = 3
_ROUTES = ("  route 1, which knows q", "  route 2, which does not")
_NO_TAIL = "no weight is far above their mean, so there is no tail to fit"


def posterior_document(fit: Fit, *, source: str = "", key: object = None) -> Document:
    """Returns what there is to say of a fit to a log density.

    Args:
        fit: what was found; `fit.posterior` is not None.
        source: p in words, such as "p: model.py:log_posterior".
        key: the randomness it was made with.
    """
    found = fit.posterior
    assert found is not None
    d = len(found.parameters)
    headline = (
        f"{source or 'p: a log density'}, {d} parameter{'' if d == 1 else 's'}",
        f"q: {in_full(fit.family)}, by minimising KL(q||p): q seeks a part of p that it can match",
    )
    sections = (
        Section("", "", (_numbers(fit, found), Detail(lambda: _evidence(fit, found)))),
        Section(
            "All parameters",
            "",
            (_parameters(found.parameters), Detail(lambda: (Notes((_BARS,)),))),
        ),
        *([Section("The ladder", _CLIMB, _ladder(found))] if len(found.ladder) > 1 else []),
        *([Section("Other optima", "", (_others(fit),))] if len(fit.optima) > 1 else []),
        Section("What was looked at", "", (_findings(found.diagnosis),)),
        Section("q beside p", "", (Detail(lambda: _pictures(fit, found)),)),
    )
    family = in_full(fit.family)
    return Document(
        f"{family[:1].upper()}{family[1:]} fitted to p by minimising KL(q||p)",
        lambda: _values(fit, found),
        headline,
        _facts(fit, found),
        sections,
        _notes(fit, found),
        made(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,)),
        _banner(found.diagnosis),
    )


_BARS = "Bars: shifts up to 1 sd, and ratios from half to twice as wide; hatched where q is lower or narrower."
_CLIMB = "Families were tried from the simplest up, until one could be trusted or none was left."


def _banner(told: Diagnosis) -> Banner:
    decided = told.decided_by
    if decided is None:
        text = f"none of {len(told.findings)} findings speaks against using this q for p"
        return Banner(told.verdict, _TONES[told.verdict], text)
    named = decided.text.startswith(decided.name)
    text = decided.text if named else f"{decided.name}: {decided.text}"
    return Banner(told.verdict, _TONES[told.verdict], text, decided.remedy)


def _facts(fit: Fit, found: Posterior) -> tuple[Fact, ...]:
    known: list[tuple[Estimate | None, str, Role]] = [
        (fit.reverse_kl, "minimised", "reverse"),
        (fit.forward_kl, "of the same q", "forward"),
        (found.jeffreys, "Jeffreys", "neutral"),
        (found.elbo, "", "reverse"),
        (found.log_evidence, "", "q"),
    ]
    numbers = (fact(e, role, label, repeated=True) for e, label, role in known if e is not None)
    return (*numbers, _outside(found.outside))


def _outside(mass: Estimate) -> Fact:
    name = "p's mass outside q"
    if mass.kind == "unresolved":
        return Fact("", name, mass.kind, kind_of(mass), str(mass), repeated=True)
    low, high = (100.0 * end for end in mass.interval)
    detail = f"± {100.0 * mass.standard_error:.1f} %; 95 % interval {low:.1f} to {high:.1f} %; {kind_of(mass)}"
    return Fact("", name, f"{100.0 * mass.value:.1f} %", detail, str(mass), repeated=True)


def _numbers(fit: Fit, found: Posterior) -> Table:
    mass = found.outside
    known = [
        ("ELBO", found.elbo),
        ("= E_q[log p]", found.energy),
        ("+ H(q)", found.entropy),
        ("log evidence", found.log_evidence),
        *zip(_ROUTES, found.routes, strict=True),
        ("  difference of the routes", found.agreement),
        ("KL(q||p), minimised", fit.reverse_kl),
        ("KL(p||q), of the same q", fit.forward_kl),
        (found.jeffreys.direction, found.jeffreys),
        ("EUBO - ELBO, a few steps from q", found.probe),
    ]
    share = f"{100.0 * mass.value:.2f} ± {100.0 * mass.standard_error:.2f} %"
    k = found.pareto_k
    rows = (
        *((name, with_error(e), _how(e)) for name, e in known if e is not None),
        ("p's mass outside q", mass.kind if mass.kind == "unresolved" else share, _how(mass)),
        ("Pareto k of the weights", "none", _NO_TAIL)
        if k == -math.inf
        else (
            "Pareto k of the weights",
            f"{k:.2f}",
            "of q's own draws; above 0.7 they cannot be relied on",
        ),
    )
    return Table("", (Column(""), Column(fit.divergence.unit), Column("how")), rows)


def _how(e: Estimate) -> str:
    count = "" if e.n is None else f", n = {e.n}"
    return e.reason or f"{e.method}{count}"


def _findings(told: Diagnosis) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (f.name, Badge(f.verdict, _TONES[f.verdict]), f.text.removeprefix(f"{f.name} = "), f.remedy)
        for f in told.findings
    ]
    columns = (Column("finding"), Column("verdict"), Column("what was found"), Column("what to do"))
    if not any(f.remedy for f in told.findings):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table("", columns, tuple(rows), "The worst finding is the verdict.")


def _evidence(fit: Fit, found: Posterior) -> tuple[Block, ...]:
    trace = _trace(found)
    figures = (sandwich(fit, found), *(() if trace is None else (trace,)))
    return (Gallery("The evidence, and the way there", figures),)


def _pictures(fit: Fit, found: Posterior) -> tuple[Block, ...]:
    drawn = pictures(fit, found)
    return () if drawn is None else (drawn,)


def _trace(found: Posterior) -> Figure | None:
    """Returns the ELBO on the draws of the fit against gradients; None if it has no steps."""
    steps = [t for t in found.trace if math.isfinite(t[1])]
    if len(steps) < 2:
        return None
    gradients, elbo, draws = (np.array(c, dtype=np.float64) for c in zip(*steps, strict=True))
    evidence, final = found.log_evidence, found.elbo
    tops = [float(elbo.max()), final.value]
    if math.isfinite(evidence.value) and evidence.kind != "unresolved":
        tops.append(evidence.value)
    low, high = _window(elbo, final.value, max(tops))
    breaks = np.flatnonzero(np.diff(draws)) + 1
    x, y = np.insert(gradients, breaks, np.nan), np.insert(elbo, breaks, np.nan)
    ends = np.array([gradients[0], gradients[-1]])
    series = [
        Series("on the draws of the fit", x, y, "neutral", "dots"),
        Series("on fresh draws, at the end", ends, np.full(2, final.value), "reverse", "dashed"),
    ]
    if len(tops) == 3:
        series.append(Series("log evidence", ends, np.full(2, evidence.value), "q", "line"))
    below = int((elbo < low).sum())
    hidden = f" {below} of {len(elbo)} steps lie below." if below else ""
    caption = (
        f"From {draws.min():.0f} draws at first to {draws.max():.0f}; the line breaks where they change, since "
        f"the ELBO is known on the draws of the fit only up to their error.{hidden}"
    )
    return Figure(
        "The ELBO on the way",
        caption,
        Axis("gradients, search included"),
        Axis(f"ELBO, {found.elbo.unit}", (low, high)),
        tuple(series),
    )


def _window(elbo: np.ndarray, final: float, top: float) -> tuple[float, float]:
    """Returns a range that shows the end of a climb, however deep it began."""
    scale = max(top - float(np.median(elbo)), top - final, 1e-3)
    low = max(float(elbo.min()), final - 6.0 * scale)
    pad = 0.06 * (top - low) or 0.5
    return low - pad, top + pad


def _ladder(found: Posterior) -> tuple[Block, ...]:
    columns = (
        Column("family"), Column(f"ELBO, {found.elbo.unit}", "right"), Column("gained", "right"),
        Column("KL(q||p)", "right"), Column("verdict"), Column("gradients", "right"),
    )  # fmt: skip
    best, rows = -math.inf, []
    for r in found.ladder:
        gained = r.elbo.value - best
        rows.append(
            (
                in_words(r.family), with_error(r.elbo), f"{gained:+.3f}" if math.isfinite(gained) else "",
                with_error(r.reverse_kl), Badge(r.verdict, _TONES[r.verdict]), f"{r.evaluations:,}".replace(",", " "),
            )
        )  # fmt: skip
        best = max(best, r.elbo.value)
    return (Table("", columns, tuple(rows)), Detail(lambda: (Gallery("", (ladder(found),)),)))


def _parameters(parameters: tuple[Parameter, ...]) -> Table:
    expected = any(p.expected_shrinkage is not None for p in parameters)
    columns = (
        Column("parameter"),
        Column("mean of q", "right"),
        Column("sd of q", "right"),
        Column("mean of p: shift, sds", "right"),
        Column("sd of q / sd of p", "right"),
        *([Column("expected", "right")] if expected else []),
    )
    linear = (
        "Expected: the ratio that linear response foresees for a mean-field q." if expected else ""
    )
    rows = tuple(_row(p, expected=expected) for p in parameters)
    return Table("", columns, rows, linear, brief=_BRIEF)


def _row(p: Parameter, *, expected: bool) -> tuple[Cell, ...]:
    shift, ratio = p.mean_shift, p.shrinkage
    log_ratio = math.log2(ratio.value) if ratio.value > 0.0 else -math.inf
    cells: list[Cell] = [
        p.name,
        _near(p.mean, p.sd),
        _near(p.sd, p.sd),
        Bar(f"{shift.value:+.2f} ± {shift.standard_error:.2f}", _share(shift.value)),
        Bar(f"{ratio.value:.2f} ± {ratio.standard_error:.2f}", _share(log_ratio)),
    ]
    if expected:
        known = p.expected_shrinkage
        cells.append("" if known is None else f"{known:.2f}")
    return tuple(cells)


def _near(value: float, scale: float) -> str:
    usual = 1e-6 < scale < 1e6 and abs(value) < 1e9
    return near(value, scale) if usual else f"{value:.6g}"


def _share(value: float) -> float:
    return 0.0 if math.isnan(value) else min(max(value, -1.0), 1.0)


def _others(fit: Fit) -> Table:
    rows = tuple((f"#{i}", with_error(o.divergence)) for i, o in enumerate(fit.optima, start=1))
    columns = (Column("optimum"), Column(f"KL(q||p), {fit.divergence.unit}", "right"))
    return Table(
        "", columns, rows, "Where the fit from other starting points ended; the first is q."
    )


def _notes(fit: Fit, found: Posterior) -> tuple[str, ...]:
    error = found.fit_error
    sds = number(100.0 * error.sds, 2)
    own = f"error of the fit itself: {number(error.kl, 2)} {error.unit}, {sds} % of an sd"
    took = f"{fit.evaluations} gradients, {fit.seconds:.1f} s"
    return (f"{own}; {took}", *fit.notes, f"not knowable: {found.diagnosis.unseen}")


def _values(fit: Fit, found: Posterior) -> dict[str, object]:
    """Returns plain JSON values, the verdict at the top and q by its numbers."""
    body = to_json(fit, _described)
    posterior = body["posterior"]
    if found.pareto_k == -math.inf:
        posterior["pareto_k_reason"] = _NO_TAIL
    told = {name: posterior["diagnosis"][name] for name in ("verdict", "decided_by", "remedy")}
    return {**told, **body, "gaussians": _gaussians(fit.q), "seconds": fit.seconds}


def _described(q: Distribution) -> str:
    base, d = (
        (q.base, len(q.coordinates)) if isinstance(q, Approximation) else (q, q.support.dimension)
    )
    if base is q and d <= _WRITTEN:
        return format_distribution(q)
    k = len(base.weights) if isinstance(base, GaussianMixture) else 1
    what = "a Gaussian" if k == 1 else f"a mixture of {k} Gaussians"
    return f"{what} over {d} unconstrained coordinates"


def _gaussians(q: Distribution) -> dict[str, object] | None:
    """Weights, means and covariance roots over the unconstrained coordinates; None for others."""
    base = q.base if isinstance(q, Approximation) else q
    match base:
        case MultivariateNormal():
            weights, means, roots = np.ones(1), base.loc[None], base.scale_tril[None]
        case GaussianMixture():
            weights, means, roots = base.weights, base.means, base.scale_trils
        case _:
            return None
    plain = tuple(f"x[{i}]" for i in range(base.support.dimension)) or ("x",)
    names = q.coordinates if isinstance(q, Approximation) else plain
    return {
        "unconstrained_coordinates": list(names),
        "weights": weights.tolist(),
        "means": means.tolist(),
        "scale_trils": roots.tolist(),
    }


# Estimates of one quantity, one above the other, with their errors: the sandwich, the ladder.

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
    shown = [_rung_row("ELBO", found.elbo, "reverse")]
    shown += [
        _rung_row(f"log evidence: {way}", route, "q")
        for way, route in zip(("by weights", "tempered"), found.routes, strict=True)
    ]
    if evidence not in found.routes:
        shown.append(_rung_row("log evidence: both", evidence, "q"))
    shown.append(_rung_row("EUBO", eubo, "forward"))
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
    best, shown, unit = -math.inf, [], found.elbo.unit
    for rung in found.ladder:
        gained = rung.elbo.value - best
        words = f"{gained:+.3f} {unit}" if math.isfinite(gained) else _plain_rung(rung.elbo)
        shown.append(Row(in_words(rung.family), rung.elbo, words, "reverse"))
        best = max(best, rung.elbo.value)
    caption = "Each family's ELBO on fresh draws, and what it gained over the best before it."
    evidence, bands = found.log_evidence, ()
    if _known(evidence):
        caption += (
            f" Nothing can rise above the log evidence, {with_error(evidence)}: the tinted edge."
        )
        bands = (Band(evidence.value, math.inf, "", "bad"),)
    return rows("What each step gained", caption, shown, f"ELBO, {unit}", bands)


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
        EUBO.in_unit(gap.unit),
        "upper_bound",
        gap.method,
        gap.n,
    )


def in_words(family: Recipe) -> str:
    """Returns a family's name as short words.

    Example:
        >>> in_words(Mixture(4)), in_words(LowRank(5))
        ('mixture of 4', 'low rank, 5')
    """
    match family:
        case MeanField():
            return "mean field"
        case FullRank():
            return "full rank"
        case LowRank(r):
            return f"low rank, {r}"
        case Mixture(k):
            return f"mixture of {k}"
    return str(family)


def in_full(family: Recipe) -> str:
    """Returns a family's name as words of a sentence.

    Example:
        >>> in_full(Mixture(4))
        'a mixture of 4 Gaussians'
    """
    match family:
        case MeanField():
            return "a mean-field Gaussian"
        case FullRank():
            return "a full-rank Gaussian"
        case LowRank(r):
            return f"a Gaussian of low rank, {r}"
        case Mixture(k):
            return f"a mixture of {k} Gaussians"
    return str(family)


def _rung_row(name: str, e: Estimate, role: Role) -> Row:
    return Row(name, e, _plain_rung(e), role)


def _plain_rung(e: Estimate) -> str:
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
