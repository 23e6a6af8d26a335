"""Reports of fits to samples: scores, model selection, goodness of fit, and the learning curve."""

import math

import numpy as np

from kullback.families import Mixture
from kullback.render.document import (
    Axis,
    Badge,
    Bar,
    Block,
    Cell,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Head,
    Notes,
    Section,
    Series,
    Table,
    heads,
)
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.likelihood import Candidate, Goodness, Likelihood, Selection
from kullback.results.quantity import LOG_PROB, factor
from kullback.results.score import Score
from kullback.results.serialise import to_json
from kullback.views.components import fact, in_words
from kullback.views.lines import steps
from kullback.views.numbers import full, number, percent, with_error

#: Columns whose histogram is drawn, and listed in a terminal.
_DRAWN, _LISTED = 6, 40
#: Below this a p-value times the number of columns speaks against q.
_RARE = 0.05


def sample_sections(fit: Fit) -> list[Section]:
    """Returns the sections on a fit to samples; none for other fits."""
    selection, likelihood = fit.selection, fit.likelihood
    sections = []
    if likelihood is not None:
        sections.append(Section("Scores", "", (_scores(fit, likelihood),)))
    if selection is not None and (len(selection.candidates) > 1 or selection.skipped):
        lead = f"chosen from {len(selection.candidates)} candidate(s), by {selection.rule}"
        sections.append(Section("Model selection", lead, selection_blocks(selection)))
    if likelihood is None:
        return sections
    sections.append(Section("Goodness of fit", _against(likelihood), _goodness(likelihood)))
    more = Detail(
        lambda: (
            learning(fit, likelihood)
            if likelihood.learning and likelihood.parameters
            else _unmeasured(likelihood),
        )
    )
    sections.append(Section("What more rows would give", "", (more,)))
    return sections


def conditional_sections(fit: Fit) -> tuple[Section, ...]:
    """Returns the sections on a density of some columns given others."""
    found = fit.conditional
    assert found is not None
    both = tuple(g for g in (found.goodness, found.marginal_goodness) if g is not None)
    if not both:
        return ()
    caption = (
        "Rows under a distribution function that was fitted without them: uniform where q is right. A hump in the "
        "middle: q is too wide. High ends: its tails are too thin. Dashed: 95 % limits of a bar."
    )
    drawn = Gallery("", tuple(map(histogram, both)), caption)
    return (Section("Goodness of fit", "", (_tests(both), Detail(lambda: (drawn,)))),)


def _unmeasured(likelihood: Likelihood) -> Notes:
    own = likelihood.parameters / (2.0 * likelihood.weight) * factor("nats", likelihood.unit)
    text = (
        f"If p is in the family, q has about {number(own, 2)} {likelihood.unit} a row of KL(p||q) above the best q, "
        f"{likelihood.parameters} parameters / (2 rows); twice the rows halve it. It was not measured by fits to fewer "
        "rows: there are too few rows or too many, or a single one decides the score."
    )
    return Notes((text,))


def learning(fit: Fit, likelihood: Likelihood) -> Figure:
    """Returns the excess KL against the number of rows, with the line m / (2n)."""
    m, points = likelihood.parameters, likelihood.learning
    unit = fit.divergence.unit
    scale = factor("nats", unit)
    rows = np.array([float(p.rows) for p in points])
    excess = np.array([p.excess for p in points])
    reach = 1.96 * np.array([p.standard_error for p in points])
    n = float(likelihood.weight)
    ends = np.array([0.7 * rows.min(), 1.5 * n])
    line = scale * m / (2.0 * ends)
    # A bar that reaches 0 ends at the foot of the picture: the axis is of powers of ten.
    foot = 0.25 * float(line.min())
    bars_x = np.repeat(rows, 3)
    bars_y = np.stack(
        [np.maximum(excess - reach, foot), excess + reach, np.full(len(rows), np.nan)]
    )
    series = (
        Series(f"{m} parameters / (2 rows)", ends, line, "forward", "dashed"),
        Series("", bars_x, bars_y.T.ravel(), "q", "line"),
        Series("measured, 95 % bars", rows, excess, "q", "dots"),
        Series("all rows", np.array([n]), np.array([scale * m / (2.0 * n)]), "forward", "dots"),
    )
    log = "" if unit == "nats" else " log 2"
    caption = (
        f"Each point: fits to so many of the rows, scored on rows left out, {len(points)} sizes. If p is in the "
        f"family, a fit to n rows has {m}/(2n{log}) {unit} of KL(p||q) above the best q: twice the rows halve it, and "
        "as n grows maximum likelihood minimises the forward KL itself. The excess of the fit to all rows cannot be "
        "measured and is taken from the line. Points above the line: too few rows for the law, or a p outside the "
        "family."
    )
    top = 1.6 * float(np.nanmax(np.append(bars_y, line)))
    return Figure(
        "Excess KL(p||q) against rows",
        caption,
        Axis("rows fitted to", (float(ends[0]), float(ends[1])), log=True),
        Axis(f"{unit} above the best q of the family", (foot, top), log=True),
        series,
        size="wide",
    )


def _scores(fit: Fit, likelihood: Likelihood) -> Table:
    starts = f"{likelihood.starts} start{'' if likelihood.starts == 1 else 's'}"
    starts += "" if likelihood.reached > 0.0 else "; splits and merges of others led there"
    inside, held = fit.divergence, fit.held_out
    unit = f"log q, {inside.unit}"
    rows = [
        (
            f"{unit} a row on the rows fitted to",
            _score(inside, -inside.value),
            "in-sample, optimistic",
        )
    ]
    if held is not None:
        rows.append((f"{unit} a row on rows left out", with_error(held), "out-of-sample"))
        apart = -inside.value - held.value
        expected = likelihood.parameters / likelihood.weight * factor("nats", inside.unit)
        rows.append(
            ("the difference", full(apart, 3), f"about {number(expected, 3)}: parameters / rows")
        )
    rows += [
        ("log likelihood of all rows", f"{likelihood.log_likelihood:.4f}", "nats"),
        ("parameters", str(likelihood.parameters), f"of {number(likelihood.weight)} rows"),
        ("BIC", f"{likelihood.bic:.2f}", "smaller is better"),
        ("restarts that reached the best optimum", percent(likelihood.reached), starts),
        ("estimated remaining gain", number(likelihood.remaining, 2), f"{likelihood.unit} over all rows, extrapolated"),
        ("cost of the variance floor", number(likelihood.floor_cost, 2), f"{likelihood.unit} over all rows"),
        ("passes over the rows", str(likelihood.passes), _passes(likelihood)),
    ]  # fmt: skip
    return Table("", heads("quantity", ">value", "remark"), tuple(rows))


def _score(e: Estimate, value: float) -> str:
    return with_error(
        Estimate.sampled(value, e.standard_error, LOG_PROB.in_unit(e.unit), method=e.method)
    )


def _passes(likelihood: Likelihood) -> str:
    return f"and {likelihood.sample_passes} over {likelihood.sample_rows} rows while starts were compared"


def _against(likelihood: Likelihood) -> str:
    least = likelihood.least_p_value
    if least is None:
        return ""
    columns = len(likelihood.goodness)
    times = f", Bonferroni-corrected for {columns} columns" if columns > 1 else ""
    says = "No marginal rejects q" if least >= _RARE else "Some marginal rejects q"
    several = columns > 1 and likelihood.gap is not None
    together = (
        " Each column is tested by itself; the gap below is of all together." if several else ""
    )
    return (
        f"{says} (p = {number(least, 2)}{times}). The test is of a q fitted to a random half of the rows, so "
        f"that its p-values are valid.{together}"
    )


def _goodness(likelihood: Likelihood) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if likelihood.goodness:
        blocks.append(_tests(likelihood.goodness))
        shown = likelihood.goodness[:_DRAWN]
        more = (
            f" The first {len(shown)} of {len(likelihood.goodness)} columns."
            if len(likelihood.goodness) > _DRAWN
            else ""
        )
        caption = (
            "PIT histograms: a column under q's distribution function is uniform if the column is drawn from q. A hump "
            f"in the middle: q is too wide. High ends: its tails are too thin. Dashed: 95 % limits of a bar.{more}"
        )
        drawn = Gallery("", tuple(histogram(g) for g in shown), caption)
        blocks.append(Detail(lambda: (drawn,)))
    if likelihood.gap is not None:
        blocks.append(Notes((_of_gap(likelihood.gap),)))
    return tuple(blocks)


def histogram(g: Goodness) -> Figure:
    """Returns the histogram of a column under q's distribution function, with 95 % limits of the bars."""
    k = len(g.shares)
    heights = k * np.array(g.shares)
    outline = steps(np.linspace(0.0, 1.0, k + 1), heights)
    reach = 1.96 * math.sqrt((k - 1) / g.n)
    ends = np.array([0.0, 1.0])
    top = max(1.15 * float(heights.max()), 1.4, 1.1 * (1.0 + reach))
    limits = [
        Series("", ends, np.full(2, y), "neutral", "dashed")
        for y in (1.0 - reach, 1.0 + reach)
        if y > 0.0
    ]
    return Figure(
        g.column,
        f"distance {number(g.distance, 2)}, p = {number(g.p_value, 2)}",
        Axis("", (0.0, 1.0)),
        Axis("", (0.0, top)),
        (Series("", *outline, "sample", "area"), *limits),
        size="small",
    )


def _tests(goodness: tuple[Goodness, ...]) -> Table:
    shown = goodness[:_LISTED]
    count = len(goodness)
    largest = max(g.distance for g in shown)
    rows = tuple(
        (
            g.column,
            Bar(number(g.distance, 3), g.distance / largest if largest > 0.0 else 0.0),
            number(g.p_value, 3),
            str(g.n),
            Badge("rejected", "bad") if count * g.p_value < _RARE else Badge("compatible", "good"),
        )
        for g in shown
    )
    columns = heads("column", ">KS distance", ">p-value", ">rows", "")
    left = count - len(shown)
    more = f" The first {len(shown)} of {count} columns." if left else ""
    return Table(
        "", columns, rows,
        "Kolmogorov-Smirnov: the largest distance of the distribution functions of column and q. A column rejects q "
        f"where its p-value times the number of columns is below {_RARE}.{more}",
    )  # fmt: skip


def _of_gap(gap: Estimate) -> str:
    if abs(gap.value) <= 2.0 * gap.standard_error:
        means = "rows are as likely under q as q's own draws are, within the error"
    elif gap.value > 0.0:
        means = (
            "rows are less likely under q than q's own draws are: q is too narrow, or overfitted"
        )
    else:
        means = "rows are more likely under q than q's own draws are: q is wider than p"
    return f"{gap}: 0 if q is p; {means}."


# What a family, or a number of components, was chosen from: a table and, of numbers of components, figures.


def selection_blocks(selection: Selection) -> tuple[Block, ...]:
    """Returns the candidates as a table and, where they differ in their number of components, as figures."""
    left = (Notes(selection.skipped, "left out"),) if selection.skipped else ()
    figures = _figures(selection)
    drawn = () if figures is None else (Detail(lambda: (figures,)),)
    return (_table(selection), *left, *drawn)


def _table(selection: Selection) -> Table:
    unit = next((c.held_out.unit for c in selection.candidates if c.held_out is not None), "nats")
    columns = (
        *heads("family", ">parameters"),
        Head("log likelihood", "right", detail=True),
        *heads(">BIC", ">ICL", f">held out, {unit} a row", ">below the best", ""),
    )
    rows = tuple(_row(c, taken=i == selection.chosen) for i, c in enumerate(selection.candidates))
    caption = (
        "BIC and ICL are better when smaller; ICL adds the entropy of the memberships to BIC. Differences to the best "
        "are paired, row by row, so that their errors are smaller than those of the scores."
    )
    return Table("", columns, rows, caption)


def _row(c: Candidate, *, taken: bool) -> tuple[Cell, ...]:
    return (
        in_words(c.family),
        str(c.parameters),
        number(c.log_likelihood, 8) if math.isinf(c.log_likelihood) else f"{c.log_likelihood:.2f}",
        f"{c.bic:.2f}" if math.isfinite(c.bic) else number(c.bic),
        "" if c.icl is None else f"{c.icl:.2f}",
        "" if c.held_out is None else with_error(c.held_out),
        "" if c.behind is None else with_error(c.behind),
        Badge("chosen", "good") if taken else "",
    )


def _figures(selection: Selection) -> Gallery | None:
    """The score on rows left out, and BIC, against the number of components."""
    sizes = [(int(c.family.k), c) for c in selection.candidates if isinstance(c.family, Mixture)]
    if len(sizes) < max(2, len(selection.candidates)) or len({k for k, _ in sizes}) < len(sizes):
        return None
    sizes.sort(key=lambda pair: pair[0])
    figures = [f for f in (_score_figure(sizes), _bic(sizes, selection)) if f is not None]
    return Gallery("", tuple(figures))


def _score_figure(sizes: list[tuple[int, Candidate]]) -> Figure | None:
    scored = [(k, c.held_out, c.behind) for k, c in sizes if c.held_out is not None]
    if len(scored) < 2:
        return None
    x = np.array([float(k) for k, _, _ in scored])
    y = np.array([held.value for _, held, _ in scored])
    reach = np.array([1.96 * _error(behind) for _, _, behind in scored])
    bars = np.stack([y - reach, y + reach, np.full(len(y), np.nan)]).T.ravel()
    return Figure(
        "Score on rows left out",
        "The higher the better. Bars: 95 % intervals of the paired difference to the best.",
        _axis(x),
        Axis(f"{scored[0][1].unit} a row"),
        (
            Series("", x, y, "forward", "line", 0.5),
            Series("", np.repeat(x, 3), bars, "forward", "line"),
            Series("", x, y, "forward", "dots"),
        ),
    )


def _bic(sizes: list[tuple[int, Candidate]], selection: Selection) -> Figure:
    x = np.array([float(k) for k, _ in sizes])
    bic = np.array([c.bic for _, c in sizes])
    icl = np.array([np.nan if c.icl is None else c.icl for _, c in sizes])
    best = next(k for k, c in sizes if c is selection.best)
    series = [
        Series("BIC", x, bic - np.nanmin(bic), "q", "line"),
        Series("", x, bic - np.nanmin(bic), "q", "dots"),
    ]
    if np.isfinite(icl).any():
        least = np.nanmin(icl)
        series += [
            Series("ICL", x, icl - least, "neutral", "dashed"),
            Series("", x, icl - least, "neutral", "dots"),
        ]
    return Figure(
        "BIC and ICL above their lowest",
        f"The lower the better; {best} component(s) were taken.",
        _axis(x),
        Axis("above the lowest"),
        tuple(series),
    )


def _axis(x: np.ndarray) -> Axis:
    return Axis("components", (float(x.min()) - 0.3, float(x.max()) + 0.3), whole=True)


def _error(behind: Estimate | None) -> float:
    return 0.0 if behind is None else behind.standard_error


# `kullback score`: the log density of rows under a saved fit.


def score_document(
    fit: Fit, score: Score, *, model: str, data: str, names: tuple[str, ...]
) -> Document:
    """Returns how probable rows are under a fit.

    Args:
        fit: the saved fit.
        score: the log densities in short, in its unit.
        model, data: the files, as typed.
        names: of the columns that were read.
    """
    held = fit.held_out
    facts = [fact(score.mean, "neutral", "mean log density a row")]
    facts += [] if held is None else [fact(held, "neutral", "the model's own, held out")]
    counts = [("rows outside the support of q", score.outside)]
    if score.left_out:
        counts.append(("rows with missing cells, not scored", score.left_out))
    facts += [Fact(label, "", f"{n:,}", "", f"{n:,}") for label, n in counts]
    headline = (
        f"p: {score.rows:,} rows of {', '.join(names)} ({data})",
        f"q: {model}, {fit.direction} fit of {fit.family}",
    )
    files = {"model": model, "data": data}
    return Document(
        "Scores of rows", lambda: {**files, **to_json(score), "held_out": to_json(held)}, headline,
        tuple(facts), notes=score.mean.notes,
    )  # fmt: skip
