"""The report on a fit to a log density: may it be used, why, and what it looks like beside p."""

import math

import numpy as np

from kullback.reports._draws import pictures
from kullback.reports._figures import (
    Axis,
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Column,
    Fact,
    Figure,
    Gallery,
    Notes,
    Page,
    Role,
    Section,
    Series,
    Table,
    Tone,
)
from kullback.reports._html import render
from kullback.reports._making import fact, made
from kullback.reports._numbers import aligned, kind_of, number, sentence, with_error
from kullback.reports._rungs import in_full, in_words, ladder, sandwich
from kullback.results._diagnosis import Diagnosis, Parameter, Posterior
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit

_TONES: dict[str, Tone] = {"trust": "good", "caution": "unsure", "do not use": "bad"}
#: Parameters in the table.
_MOST = 500
_FINE = "None of what was looked at speaks against using this q for p."


def posterior_report(fit: Fit, *, key: object = None) -> str:
    """Returns a fit to a log density as one HTML page that needs nothing else.

    Args:
        fit: what was found; `fit.posterior` is not None.
        key: the randomness it was made with, for the foot of the page.
    """
    found = fit.posterior
    assert found is not None
    drawn = pictures(fit, found)
    sections = [
        Section("What was looked at", "", (_findings(found.diagnosis),)),
        Section("The evidence, and the way there", "", _evidence(fit, found)),
        Section("q beside p", "", () if drawn is None else (drawn,)),
        Section("All parameters", "", (_parameters(found.parameters),)),
    ]
    if len(found.ladder) > 1:
        sections.insert(2, Section("The ladder", _CLIMB, _ladder(found)))
    others = _others(fit)
    sections += [Section("Other optima", "", (others,))] if others else []
    sections.append(Section("Notes", "", (Notes(_notes(fit, found)),)))
    return render(
        Page(
            f"{in_full(fit.family)[:1].upper()}{in_full(fit.family)[1:]} fitted to p by minimising KL(q||p)",
            _summary(fit, found),
            _facts(fit, found),
            tuple(sections),
            made(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,)),
            _banner(found.diagnosis),
        )
    )


_CLIMB = "Families were tried from the simplest up, until one could be trusted or none was left."


def _banner(told: Diagnosis) -> Banner:
    decided = told.decided_by
    if decided is None:
        return Banner(told.verdict, _TONES[told.verdict], _FINE)
    named = decided.text.startswith(decided.name)
    text = decided.text if named else f"{decided.name}: {decided.text}"
    return Banner(told.verdict, _TONES[told.verdict], f"{text}.", decided.remedy)


def _summary(fit: Fit, found: Posterior) -> str:
    return (
        f"q, {in_full(fit.family)}, was fitted to the log density of {len(found.parameters)} "
        f"{'parameter' if len(found.parameters) == 1 else 'parameters'} by minimising KL(q||p), which "
        f"makes q seek a part of p that it can match. {sentence(fit.divergence)}."
    )


def _facts(fit: Fit, found: Posterior) -> tuple[Fact, ...]:
    known: list[tuple[Estimate | None, str, Role]] = [
        (fit.reverse_kl, "KL(q||p), minimised", "reverse"),
        (fit.forward_kl, "KL(p||q), of the same q", "forward"),
        (found.jeffreys, "Jeffreys: both together", "neutral"),
        (found.elbo, "ELBO", "reverse"),
        (found.log_evidence, "log evidence", "q"),
    ]
    numbers = tuple(fact(e, role, label) for e, label, role in known if e is not None)
    return (*numbers, _outside(found.outside))


def _outside(mass: Estimate) -> Fact:
    plain = fact(mass, label="p's mass outside q")
    if mass.kind == "unresolved":
        return plain
    low, high = (100.0 * end for end in mass.interval)
    return Fact(
        plain.label,
        f"{100.0 * mass.value:.1f} %",
        f"± {100.0 * mass.standard_error:.1f} %; 95 % interval {low:.1f} to {high:.1f} %; {kind_of(mass)}",
    )


def _findings(told: Diagnosis) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            f.name,
            Badge(f.verdict, _TONES[f.verdict]),
            f.text.removeprefix(f"{f.name} = "),
            f.remedy,
        )
        for f in told.findings
    ]
    columns = (Column("finding"), Column("verdict"), Column("what was found"), Column("what to do"))
    if not any(f.remedy for f in told.findings):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table("", columns, tuple(rows), "The worst finding is the verdict.")


def _evidence(fit: Fit, found: Posterior) -> tuple[Block, ...]:
    parts = (
        f"The ELBO in two parts: {sentence(found.energy)}, {sentence(found.entropy)}.",
        f"The routes to the log evidence: {sentence(found.agreement)}.",
        f"A few Langevin steps from q: {sentence(found.probe)}.",
    )
    trace = _trace(found)
    figures = (sandwich(fit, found), *(() if trace is None else (trace,)))
    return (Gallery("", figures), Notes(parts))


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
        Column("family"),
        Column(f"ELBO, {found.elbo.unit}", "right"),
        Column("KL(q||p)", "right"),
        Column("verdict"),
        Column("gradients", "right"),
    )
    rows = tuple(
        (
            in_words(r.family),
            with_error(r.elbo),
            with_error(r.reverse_kl),
            Badge(r.verdict, _TONES[r.verdict]),
            f"{r.evaluations:,}".replace(",", " "),
        )
        for r in found.ladder
    )
    return (Gallery("", (ladder(found),)), Table("", columns, rows))


def _parameters(parameters: tuple[Parameter, ...]) -> Table:
    shown = parameters[:_MOST]
    expected = any(p.expected_shrinkage is not None for p in shown)
    columns = [
        Column("parameter"),
        Column("mean of q", "right"),
        Column("sd of q", "right"),
        Column("shift of p's mean, sds", "right"),
        Column("sd of q / sd of p", "right"),
        *([Column("expected", "right")] if expected else []),
    ]
    rows = tuple(_row(p, expected=expected) for p in shown)
    left = len(parameters) - len(shown)
    caption = (
        "The bars show shifts up to 1 sd, and ratios from half to twice as wide, hatched where q is lower "
        "or narrower."
    )
    more = f" The first {len(shown)} of {len(parameters)}." if left else ""
    linear = (
        " Expected: the ratio that linear response foresees for a mean-field q." if expected else ""
    )
    return Table("", tuple(columns), rows, caption + linear + more)


def _row(p: Parameter, *, expected: bool) -> tuple[Cell, ...]:
    shift, ratio = p.mean_shift, p.shrinkage
    log_ratio = math.log2(ratio.value) if ratio.value > 0.0 else -math.inf
    mean, sd = aligned([p.mean, p.sd])
    cells: list[Cell] = [
        p.name,
        mean,
        sd,
        Bar(f"{shift.value:+.2f} ± {shift.standard_error:.2f}", _share(shift.value)),
        Bar(f"{ratio.value:.2f} ± {ratio.standard_error:.2f}", _share(log_ratio)),
    ]
    if expected:
        known = p.expected_shrinkage
        cells.append("" if known is None else f"{known:.2f}")
    return tuple(cells)


def _share(value: float) -> float:
    return 0.0 if math.isnan(value) else min(max(value, -1.0), 1.0)


def _others(fit: Fit) -> Table | None:
    if len(fit.optima) < 2:
        return None
    rows = tuple((f"#{i}", with_error(o.divergence)) for i, o in enumerate(fit.optima, start=1))
    columns = (Column("optimum"), Column(f"KL(q||p), {fit.divergence.unit}", "right"))
    return Table(
        "", columns, rows, "Where the fit from other starting points ended; the first is q."
    )


def _notes(fit: Fit, found: Posterior) -> tuple[str, ...]:
    nats, sds = found.fit_error
    return (
        f"Not knowable: {found.diagnosis.unseen}.",
        f"Error of the fit itself: {number(nats, 2)} nats, {number(100.0 * sds, 2)} % of an sd.",
        *fit.notes,
    )
