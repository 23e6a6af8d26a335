"""What a report says of a fit to samples: scores, the search, goodness of fit, and what more rows would give."""

import math

import numpy as np

from kullback.families import Mixture
from kullback.render.document import (
    Axis,
    Badge,
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
    Section,
    Series,
    Table,
)
from kullback.results.estimate import Estimate
from kullback.results.fit import Candidate, Fit, Goodness, Likelihood, Selection
from kullback.results.others import Score
from kullback.results.quantity import LOG_PROB, factor
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.components import fact
from kullback.views.numbers import full, number, percent, with_error
from kullback.views.posterior import in_words

#: Columns whose histogram is drawn, and listed in a terminal.
_DRAWN, _LISTED = 6, 40
#: Below this a p-value times the number of columns speaks against q.
_RARE = 0.05


def sample_sections(fit: Fit) -> list[Section]:
    """Returns the sections on a fit to samples; none for other fits."""
    chosen, likelihood = fit.selection, fit.likelihood
    found = []
    if likelihood is not None:
        found.append(Section("The score, and how it was found", "", (_scores(fit, likelihood),)))
    if chosen is not None and (len(chosen.candidates) > 1 or chosen.skipped):
        lead = f"chosen from {len(chosen.candidates)} candidate(s), by {chosen.rule}"
        found.append(Section("What it was chosen from", lead, selection_blocks(chosen)))
    if likelihood is None:
        return found
    title = "Does the data look like draws of q?"
    found.append(Section(title, _against(likelihood), _goodness(likelihood)))
    if likelihood.learning:
        more: Block = Detail(lambda: (learning(fit, likelihood),))
    else:
        more = Detail(lambda: (Notes((_unmeasured(likelihood),)),))
    found.append(Section("What more rows would give", "", (more,)))
    return found


def _unmeasured(found: Likelihood) -> str:
    own = found.parameters / (2.0 * found.weight) * factor("nats", found.unit)
    return (
        f"Were p in the family, q would have about {number(own, 2)} {found.unit} a row of KL(p||q) above the best q, "
        f"{found.parameters} parameters / (2 rows); twice the rows halve it. It was not measured by fits to fewer "
        "rows: there are too few rows or too many, or a single one decides the score."
    )


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
        f"Each point: fits to so many of the rows, scored on rows left out, {len(points)} sizes. Were p in the "
        f"family, a fit to n rows would have {m}/(2n{log}) {unit} of KL(p||q) above the best q, so that twice the rows "
        "halve it, and with n towards infinity maximum likelihood minimises the forward KL itself. The excess of "
        "the fit to all rows is not measurable and taken from the line. Points above it: fewer rows than the "
        "law needs, or a p outside the family."
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


def _scores(fit: Fit, found: Likelihood) -> Table:
    starts = f"{found.starts} start{'' if found.starts == 1 else 's'}"
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
        expected = found.parameters / found.weight * factor("nats", inside.unit)
        rows.append(
            ("the difference", full(apart, 3), f"about {number(expected, 3)}: parameters / rows")
        )
    rows += [
        ("log likelihood of all rows", f"{found.log_likelihood:.4f}", "nats"),
        ("parameters", str(found.parameters), f"of {number(found.weight)} rows"),
        ("BIC", f"{found.bic:.2f}", "to be small"),
        ("climbs that reached the best", percent(found.reached), starts),
        ("estimated remaining gain", number(found.remaining, 2), "nats over all rows, extrapolated"),
        ("cost of the floor", number(found.floor_cost, 2), "nats over all rows"),
        ("passes over the rows", str(found.passes), _passes(found)),
    ]  # fmt: skip
    columns = (Column("quantity"), Column("value", "right"), Column("remark"))
    return Table("", columns, tuple(rows))


def _score(e: Estimate, value: float) -> str:
    return with_error(
        Estimate.sampled(value, e.standard_error, LOG_PROB.in_unit(e.unit), method=e.method)
    )


def _passes(found: Likelihood) -> str:
    return f"and {found.sample_passes} over {found.sample_rows} rows while starts were compared"


def _against(found: Likelihood) -> str:
    least = found.least_p_value
    if least is None:
        return ""
    columns = len(found.goodness)
    times = f", the smallest p-value of {columns} columns times {columns}" if columns > 1 else ""
    says = "No marginal rejects q" if least >= _RARE else "Some marginal rejects q"
    alone = columns > 1 and found.gap is not None
    together = " Each column is looked at alone; the gap below is of all together." if alone else ""
    return (
        f"{says} (p = {number(least, 2)}{times}). Tested is a q fitted to a random half of the rows, on all of "
        f"them: for it the p-values hold.{together}"
    )


def _goodness(found: Likelihood) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if found.goodness:
        blocks.append(_tests(found.goodness))
        shown = found.goodness[:_DRAWN]
        more = (
            f" The first {len(shown)} of {len(found.goodness)} columns."
            if len(found.goodness) > _DRAWN
            else ""
        )
        caption = (
            "The values of a column under q's distribution function are spread evenly where the column is drawn "
            "from q. A hump in the middle: q is too wide. High ends: its tails are too thin. Dashed: 95 % of "
            f"the bars would lie between.{more}"
        )
        drawn = Gallery("", tuple(histogram(g) for g in shown), caption)
        blocks.append(Detail(lambda: (drawn,)))
    if found.gap is not None:
        blocks.append(Notes((_of_gap(found.gap),)))
    return tuple(blocks)


def histogram(g: Goodness) -> Figure:
    """Returns the histogram of a column under q's distribution function, with 95 % limits of the bars."""
    k = len(g.shares)
    heights = k * np.array(g.shares)
    edges = np.repeat(np.linspace(0.0, 1.0, k + 1), 2)
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
        (
            Series(
                "", edges, np.concatenate([[0.0], np.repeat(heights, 2), [0.0]]), "sample", "area"
            ),
            *limits,
        ),
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
            Badge("not of q", "bad") if count * g.p_value < _RARE else Badge("compatible", "good"),
        )
        for g in shown
    )
    columns = (
        Column("column"), Column("largest distance", "right"), Column("p-value", "right"),
        Column("rows", "right"), Column(""),
    )  # fmt: skip
    left = count - len(shown)
    more = f" The first {len(shown)} of {count} columns." if left else ""
    return Table(
        "", columns, rows,
        "The largest distance of the distribution functions of column and q (Kolmogorov and Smirnov). A column "
        f"is not of q where its p-value times the number of columns is below {_RARE}.{more}",
    )  # fmt: skip


def _of_gap(gap: Estimate) -> str:
    sure = abs(gap.value) > 2.0 * gap.standard_error
    if not sure:
        means = "rows are as likely under q as q's own draws are, within the error"
    elif gap.value > 0.0:
        means = (
            "rows are less likely under q than q's own draws are: q is too narrow, or overfitted"
        )
    else:
        means = "rows are more likely under q than q's own draws are: q is wider than p"
    return f"{gap}: 0 if q is p; {means}."


# What a family, or a number of components, was chosen from: a table and, of numbers of components, figures.


def selection_blocks(found: Selection) -> tuple[Block, ...]:
    """Returns the candidates as a table and, where they differ in their number of components, as figures."""
    left = (Notes(found.skipped, "left out"),) if found.skipped else ()
    figures = _figures(found)
    drawn = () if figures is None else (Detail(lambda: (figures,)),)
    return (_table(found), *left, *drawn)


def _table(found: Selection) -> Table:
    unit = next((c.held_out.unit for c in found.candidates if c.held_out is not None), "nats")
    columns = (
        Column("family"),
        Column("parameters", "right"),
        Column("log likelihood", "right", detail=True),
        Column("BIC", "right"),
        Column("ICL", "right"),
        Column(f"held out, {unit} a row", "right"),
        Column("behind the best", "right"),
        Column(""),
    )
    rows = tuple(_row(c, taken=i == found.chosen) for i, c in enumerate(found.candidates))
    caption = (
        "BIC and ICL are better when smaller; ICL adds to BIC what the memberships leave open. How far a score is "
        "behind the best is measured row by row, so its error is smaller than those of the scores."
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


def _figures(found: Selection) -> Gallery | None:
    """The score on rows left out, and BIC, against the number of components."""
    known = [(int(c.family.k), c) for c in found.candidates if isinstance(c.family, Mixture)]
    if len(known) < max(2, len(found.candidates)) or len({k for k, _ in known}) < len(known):
        return None
    known.sort(key=lambda pair: pair[0])
    figures = [f for f in (_scores_section(known), _bic(known, found)) if f is not None]
    return Gallery("", tuple(figures))


def _scores_section(known: list[tuple[int, Candidate]]) -> Figure | None:
    scored = [(k, c.held_out, c.behind) for k, c in known if c.held_out is not None]
    if len(scored) < 2:
        return None
    x = np.array([float(k) for k, _, _ in scored])
    y = np.array([held.value for _, held, _ in scored])
    reach = np.array([1.96 * _error(behind) for _, _, behind in scored])
    bars = np.stack([y - reach, y + reach, np.full(len(y), np.nan)]).T.ravel()
    return Figure(
        "Score on rows left out",
        "The higher the better. Bars: 95 % intervals of the difference to the best, row by row.",
        _axis(x),
        Axis(f"{scored[0][1].unit} a row"),
        (
            Series("", x, y, "forward", "line", 0.5),
            Series("", np.repeat(x, 3), bars, "forward", "line"),
            Series("", x, y, "forward", "dots"),
        ),
    )


def _bic(known: list[tuple[int, Candidate]], found: Selection) -> Figure:
    x = np.array([float(k) for k, _ in known])
    bic = np.array([c.bic for _, c in known])
    icl = np.array([np.nan if c.icl is None else c.icl for _, c in known])
    best = next(k for k, c in known if c is found.best)
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
    fit: Fit, found: Score, *, model: str, data: str, names: tuple[str, ...], unit: Unit
) -> Document:
    """Returns how probable rows are under a fit.

    Args:
        fit: the saved fit.
        found: the log densities in short.
        model, data: the files, as they were given.
        names: of the columns that were read.
        unit: of what is shown.
    """
    mean = unit.of(found.mean)
    held = None if fit.held_out is None else unit.of(fit.held_out)
    facts = [fact(mean, "neutral", "mean log density a row")]
    facts += [] if held is None else [fact(held, "neutral", "the model's own, held out")]
    counts = [("rows outside the support of q", found.outside)]
    if found.left_out:
        counts.append(("rows with missing cells, not scored", found.left_out))
    facts += [Fact(label, "", f"{n:,}", "", f"{n:,}") for label, n in counts]
    headline = (
        f"p: {found.rows:,} rows of {', '.join(names)} ({data})",
        f"q: {model}, {fit.direction} fit of {fit.family}",
    )

    def values() -> dict[str, object]:
        own = to_json(held)
        moved = {"mean": to_json(mean), "held_out": own}
        return {"model": model, "data": data, **to_json(found), **moved}

    return Document("Scores of rows", values, headline, tuple(facts), notes=mean.notes)
