"""`kullback fit` of a log density: may q be used, why, and what it looks like beside p."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.render.document import (
    Annotation,
    Axis,
    Badge,
    Band,
    Banner,
    Bar,
    Block,
    Cell,
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
    heads,
)
from kullback.results.estimate import Estimate, in_decimals
from kullback.results.fit import Fit
from kullback.results.posterior import Coordinate, Diagnosis, Posterior
from kullback.results.quantity import EUBO
from kullback.results.serialise import to_json
from kullback.views.components import described, fact, gaussian_values, in_words, provenance
from kullback.views.numbers import kind_of, near, number, with_error
from kullback.views.planes import pictures

#: What is minimised, and what that does to q.
AIMS = {
    "forward": "KL(p||q): q must cover all of p",
    "reverse": "KL(q||p): q seeks a part of p that it can match",
}
_TONES: dict[str, Tone] = {"trust": "good", "caution": "unsure", "do not use": "bad"}
#: Parameters in a terminal's table.
_BRIEF = 30
_TEMPERED = "  tempered SMC, independent of q"
_ROUTES = {
    "reverse": ("  importance sampling from q", _TEMPERED),
    "forward": ("  importance sampling from mixtures", _TEMPERED),
}
_NO_TAIL = "no weight is far above their mean, so there is no tail to fit"
_PARETO = "of q's own draws; above 0.7 importance sampling is unreliable"
BARS = "Bars: shifts up to 1 sd, and ratios from half to twice as wide; hatched where q is lower or narrower."
_LADDER = "Families were tried from the simplest up, until one could be trusted or none was left."
_OTHERS = "Where the fit from other starting points ended; the first is q."


def posterior_document(fit: Fit, *, source: str = "", key: object = None) -> Document:
    """Returns what there is to say of a fit to a log density.

    Args:
        fit: the result; `fit.posterior` is not None.
        source: p in words, such as "p: model.py:log_posterior".
        key: randomness of the fit.
    """
    posterior = fit.posterior
    assert posterior is not None
    d = len(posterior.parameters)
    headline = (
        f"{source or 'p: a log density'}, {d} parameter{'' if d == 1 else 's'}",
        f"q: {in_words(fit.family, full=True)}, by minimising {AIMS[fit.direction]}",
    )
    bars = Detail(lambda: (Notes((BARS,)),))
    ladder = Section("Families tried", _LADDER, _ladder(posterior))
    others = Section("Other optima", "", (other_optima(fit),))
    sections = (
        Section("", "", (_numbers(fit, posterior), Detail(lambda: _evidence(fit, posterior)))),
        Section("All parameters", "", (coordinates_table(posterior.parameters), bars)),
        *([ladder] if len(posterior.ladder) > 1 else []),
        *([others] if len(fit.optima) > 1 else []),
        Section("Findings", "", (findings_table(posterior.diagnosis),)),
        Section("q and p", "", (Detail(lambda: _pictures(fit, posterior)),)),
    )
    family = in_words(fit.family, full=True)
    return Document(
        f"{family[:1].upper()}{family[1:]} fitted to p by minimising {fit.divergence.direction}",
        lambda: _values(fit, posterior),
        headline,
        _facts(fit, posterior),
        sections,
        _notes(fit, posterior),
        provenance(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,)),
        banner(posterior.diagnosis),
    )


def banner(diagnosis: Diagnosis) -> Banner:
    """Returns the verdict with what decided it."""
    decided, tone = diagnosis.decided_by, _TONES[diagnosis.verdict]
    if decided is None:
        text = f"none of {len(diagnosis.findings)} findings argues against using q for p"
        return Banner(diagnosis.verdict, tone, text)
    named = decided.text.startswith(decided.name)
    text = decided.text if named else f"{decided.name}: {decided.text}"
    return Banner(diagnosis.verdict, tone, text, decided.remedy)


def _facts(fit: Fit, posterior: Posterior) -> tuple[Fact, ...]:
    both: list[tuple[Estimate | None, Role]] = [
        (fit.reverse_kl, "reverse"),
        (fit.forward_kl, "forward"),
    ]
    first, second = both if fit.direction == "reverse" else both[::-1]
    known: list[tuple[Estimate | None, str, Role]] = [
        (first[0], "minimised", first[1]),
        (second[0], "of the same q", second[1]),
        (posterior.jeffreys, "Jeffreys", "neutral"),
        (posterior.elbo, "", "reverse"),
        (posterior.log_evidence, "", "q"),
    ]
    numbers = (fact(e, role, label, repeated=True) for e, label, role in known if e is not None)
    return (*numbers, outside_fact(posterior.outside))


def outside_fact(mass: Estimate) -> Fact:
    """Returns the mass of p outside q in percent."""
    name = mass.direction
    if mass.kind == "unresolved":
        return Fact("", name, mass.kind, kind_of(mass), str(mass), repeated=True)
    low, high = (100.0 * end for end in mass.interval)
    detail = f"± {100.0 * mass.standard_error:.1f} %; 95 % interval {low:.1f} to {high:.1f} %; {kind_of(mass)}"
    return Fact("", name, f"{100.0 * mass.value:.1f} %", detail, str(mass), repeated=True)


def _numbers(fit: Fit, posterior: Posterior) -> Table:
    mass, forward = posterior.outside, fit.direction == "forward"
    known = [
        ("ELBO", posterior.elbo),
        ("= E_q[log p]", posterior.energy),
        ("+ H(q)", posterior.entropy),
        ("log evidence", posterior.log_evidence),
        *zip(_ROUTES[fit.direction], posterior.routes, strict=True),
        ("  difference of the two", posterior.agreement),
        (f"KL(q||p), {'of the same q' if forward else 'minimised'}", fit.reverse_kl),
        (f"KL(p||q), {'minimised' if forward else 'of the same q'}", fit.forward_kl),
        (posterior.jeffreys.direction, posterior.jeffreys),
        ("EUBO - ELBO, a few steps from q", posterior.probe),
    ]
    share = f"{100.0 * mass.value:.2f} ± {100.0 * mass.standard_error:.2f} %"
    k = posterior.pareto_k
    rows = (
        *((name, with_error(e), how(e)) for name, e in known if e is not None),
        (mass.direction, mass.kind if mass.kind == "unresolved" else share, how(mass)),
        (
            "Pareto k of the weights",
            *(("none", _NO_TAIL) if k == -math.inf else (f"{k:.2f}", _PARETO)),
        ),
    )
    return Table("", heads("", fit.divergence.unit, "method"), rows)


def how(e: Estimate) -> str:
    """Returns the method of an estimate, or why there is none."""
    count = "" if e.n is None else f", n = {e.n}"
    return e.reason or f"{e.method}{count}"


def findings_table(diagnosis: Diagnosis) -> Table:
    """Returns all findings, each with its verdict."""
    rows: list[tuple[Cell, ...]] = [
        (f.name, Badge(f.verdict, _TONES[f.verdict]), f.text.removeprefix(f"{f.name} = "), f.remedy)
        for f in diagnosis.findings
    ]
    head = heads("finding", "verdict", "evidence", "what to do")
    if not any(f.remedy for f in diagnosis.findings):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table("", head, tuple(rows), "The verdict is that of the worst finding.")


def _evidence(fit: Fit, posterior: Posterior) -> tuple[Block, ...]:
    figures = tuple(f for f in (sandwich(fit, posterior), _trace(posterior)) if f is not None)
    return (Gallery("Log evidence", figures),)


def _pictures(fit: Fit, posterior: Posterior) -> tuple[Block, ...]:
    corner = pictures(fit, posterior)
    return () if corner is None else (corner,)


def _trace(posterior: Posterior) -> Figure | None:
    """Returns the ELBO on the draws of the fit against gradients; None if it has no steps."""
    steps = [t for t in posterior.trace if math.isfinite(t[1])]
    if len(steps) < 2:
        return None
    gradients, elbo, draws = (np.array(c, dtype=np.float64) for c in zip(*steps, strict=True))
    evidence, final = posterior.log_evidence, posterior.elbo
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
        f"From {draws.min():.0f} draws at first to {draws.max():.0f}; the line breaks where their number changes, "
        f"since the ELBO on the draws of the fit has their Monte Carlo error.{hidden}"
    )
    return Figure(
        "ELBO trace",
        caption,
        Axis("gradient evaluations, mode search included"),
        Axis(f"ELBO, {posterior.elbo.unit}", (low, high)),
        tuple(series),
    )


def _window(elbo: np.ndarray, final: float, top: float) -> tuple[float, float]:
    """Returns a range that shows the end of the trace, however deep it began."""
    scale = max(top - float(np.median(elbo)), top - final, 1e-3)
    low = max(float(elbo.min()), final - 6.0 * scale)
    pad = 0.06 * (top - low) or 0.5
    return low - pad, top + pad


def _ladder(posterior: Posterior) -> tuple[Block, ...]:
    head = heads(
        "family", f">ELBO, {posterior.elbo.unit}", ">gain", ">KL(q||p)", "verdict", ">gradients"
    )
    best, rows = -math.inf, []
    for r in posterior.ladder:
        gained = r.elbo.value - best
        rows.append(
            (
                in_words(r.family), with_error(r.elbo), f"{gained:+.3f}" if math.isfinite(gained) else "",
                with_error(r.reverse_kl), Badge(r.verdict, _TONES[r.verdict]), f"{r.evaluations:,}".replace(",", " "),
            )
        )  # fmt: skip
        best = max(best, r.elbo.value)
    return (Table("", head, tuple(rows)), Detail(lambda: (Gallery("", (ladder(posterior),)),)))


def coordinates_table(parameters: tuple[Coordinate, ...]) -> Table:
    """Returns the mean and sd of each parameter under q, against those under p."""
    expected = any(p.expected_shrinkage is not None for p in parameters)
    head = heads(
        "parameter", ">mean of q", ">sd of q", ">mean of p: shift, sds", ">sd of q / sd of p",
        *([">expected"] if expected else []),
    )  # fmt: skip
    linear = "Expected: the ratio that linear response predicts for mean field." if expected else ""
    rows = tuple(_row(p, expected=expected) for p in parameters)
    return Table("", head, rows, linear, brief=_BRIEF)


def _row(p: Coordinate, *, expected: bool) -> tuple[Cell, ...]:
    shift, ratio = p.mean_shift, p.shrinkage
    if p.fixed:
        return (p.name, f"{p.mean:.6g}", "0", "one value", "one value", *([""] if expected else []))
    log_ratio = math.log2(ratio.value) if ratio.value > 0.0 else -math.inf
    cells: list[Cell] = [
        p.name,
        _near(p.mean, p.sd),
        _near(p.sd, p.sd),
        Bar(in_decimals(shift, signed=True), _share(shift.value)),
        Bar(in_decimals(ratio), _share(log_ratio)),
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


def other_optima(fit: Fit) -> Table:
    """Returns where restarts ended."""
    rows = tuple((f"#{i}", with_error(o.divergence)) for i, o in enumerate(fit.optima, start=1))
    kl = fit.divergence
    return Table("", heads("optimum", f">{kl.direction}, {kl.unit}"), rows, _OTHERS)


def _notes(fit: Fit, posterior: Posterior) -> tuple[str, ...]:
    error = posterior.fit_error
    sds = number(100.0 * error.sds, 2)
    own = f"error of the optimisation: {number(error.kl, 2)} {error.unit}, {sds} % of an sd"
    limit = f"limitation: {posterior.diagnosis.unseen}"
    return (f"{own}; {fit.seconds:.1f} s", *fit.notes, limit)


def _values(fit: Fit, posterior: Posterior) -> dict[str, object]:
    """Returns plain JSON values, the verdict at the top and q by its numbers."""
    body = to_json(fit, described)
    entry = body["posterior"]
    if posterior.pareto_k == -math.inf:
        entry["pareto_k_reason"] = _NO_TAIL
    verdict = {name: entry["diagnosis"][name] for name in ("verdict", "decided_by", "remedy")}
    return {**verdict, **body, "gaussians": gaussian_values(fit.q), "seconds": fit.seconds}


# Interval plots: estimates of one quantity, one above the other, with their errors.

#: Room beside the values, as a share of their range.
_ROOM = 0.18


@final
@dataclass(frozen=True)
class IntervalRow:
    """A name, an estimate, and words that stand above it."""

    name: str
    estimate: Estimate
    words: str
    role: Role = "neutral"


def interval_plot(
    title: str,
    caption: str,
    shown: Sequence[IntervalRow],
    x_label: str,
    bands: tuple[Band, ...] = (),
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
    y_axis = Axis("", (-0.5, len(shown) - 0.4), names=names)
    return Figure(
        title, caption, Axis(x_label, (low, high)), y_axis, tuple(series), bands, tuple(words)
    )


def sandwich(fit: Fit, posterior: Posterior) -> Figure:
    """Returns ELBO <= log evidence <= EUBO, the log evidence by both routes."""
    eubo = upper_bound(fit, posterior)
    evidence = posterior.log_evidence
    shown = [row_of("ELBO", posterior.elbo, "reverse")]
    shown += [
        row_of(way, route, "q")
        for way, route in zip(
            ("importance sampling", "tempered SMC"), posterior.routes, strict=True
        )
    ]
    if evidence not in posterior.routes:
        shown.append(row_of("log evidence", evidence, "q"))
    shown.append(row_of("EUBO", eubo, "forward"))
    bands = []
    if _known(evidence):
        if evidence.value > posterior.elbo.value:
            bands.append(Band(posterior.elbo.value, evidence.value, "KL(q||p)"))
        if _known(eubo) and eubo.value > evidence.value:
            bands.append(Band(evidence.value, eubo.value, "KL(p||q)"))
    caption = (
        "Bars are 95 % intervals. KL(q||p) is the gap between the ELBO and the log evidence, KL(p||q) that between "
        "the log evidence and the EUBO. The two estimates of the log evidence are independent."
    )
    return interval_plot(
        "Bounds and estimates of the log evidence",
        caption,
        shown,
        posterior.elbo.unit,
        tuple(bands),
    )


def ladder(posterior: Posterior) -> Figure:
    """Returns the ELBO of each family that was tried, with what it gained over those before."""
    best, shown, unit = -math.inf, [], posterior.elbo.unit
    for rung in posterior.ladder:
        gained = rung.elbo.value - best
        words = f"{gained:+.3f} {unit}" if math.isfinite(gained) else _plain(rung.elbo)
        shown.append(IntervalRow(in_words(rung.family), rung.elbo, words, "reverse"))
        best = max(best, rung.elbo.value)
    caption = "The ELBO of each family on fresh draws, and its gain over the best before it."
    evidence, bands = posterior.log_evidence, ()
    if _known(evidence):
        caption += f" The log evidence, {with_error(evidence)}, bounds them all: the edge of the tinted area."
        bands = (Band(evidence.value, math.inf, "", "bad"),)
    return interval_plot("ELBO gain of each family", caption, shown, f"ELBO, {unit}", bands)


def upper_bound(fit: Fit, posterior: Posterior) -> Estimate:
    """Returns the EUBO, E_p[log p - log q]: the ELBO and Jeffreys' divergence above it."""
    gap = posterior.jeffreys
    if fit.forward_kl is not None and not _known(fit.forward_kl):
        return fit.forward_kl
    if not _known(gap):
        return gap
    value = posterior.elbo.value + gap.value
    error = math.hypot(posterior.elbo.standard_error, gap.standard_error)
    quantity = EUBO.in_unit(gap.unit)
    return Estimate.sampled(value, error, quantity, method=gap.method, n=gap.n)


def row_of(name: str, e: Estimate, role: Role) -> IntervalRow:
    """Returns an estimate as a row of an interval plot."""
    return IntervalRow(name, e, _plain(e), role)


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
