"""What a report says of a fit to samples: scores, the search, goodness of fit, and what more rows would give."""

import math

import numpy as np

from kullback.reports._figures import (
    Axis,
    Badge,
    Bar,
    Block,
    Column,
    Figure,
    Gallery,
    Notes,
    Section,
    Series,
    Table,
)
from kullback.reports._numbers import full, number, percent, with_error
from kullback.reports._selection import selection_blocks
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit
from kullback.results._likelihood import Goodness, Likelihood

#: Columns whose histogram is drawn, and listed.
_DRAWN, _LISTED = 6, 40
#: Below this a p-value times the number of columns speaks against q.
_RARE = 0.05


def sample_sections(fit: Fit) -> list[Section]:
    """Returns the sections on a fit to samples; none for other fits."""
    found, chosen = [], fit.selection
    if chosen is not None and len(chosen.candidates) > 1:
        found.append(Section("What it was chosen from", "", selection_blocks(chosen)))
    likelihood = fit.likelihood
    if likelihood is None:
        return found
    found.insert(0, Section("The score, and how it was found", "", (_scores(fit, likelihood),)))
    fits_well = _goodness(likelihood)
    if fits_well:
        found.append(
            Section("Does the data look like draws of q?", _against(likelihood), fits_well)
        )
    curve = learning(fit, likelihood) if likelihood.learning else Notes((_unmeasured(likelihood),))
    found.append(Section("What more rows would give", "", (curve,)))
    return found


def _unmeasured(found: Likelihood) -> str:
    own = found.parameters / (2.0 * found.weight)
    return (
        f"Were p in the family, q would have about {number(own, 2)} nats a row of KL(p||q) above the best q, "
        f"{found.parameters} parameters / (2 rows); twice the rows halve it. It was not measured by fits to fewer "
        "rows: there are too few rows or too many, or a single one decides the score."
    )


def learning(fit: Fit, likelihood: Likelihood) -> Figure:
    """Returns the excess KL against the number of rows, with the line m / (2n)."""
    m, points = likelihood.parameters, likelihood.learning
    unit = fit.divergence.unit
    scale = 1.0 if unit == "nats" else 1.0 / math.log(2.0)
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
    caption = (
        f"Each point: fits to so many of the rows, scored on rows left out, {len(points)} sizes. Were p in the "
        f"family, a fit to n rows would have {m}/(2n) nats of KL(p||q) above the best q, so that twice the rows "
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
    inside, held = fit.divergence, fit.held_out
    unit = f"log q, {inside.unit}"
    rows = [
        (
            f"{unit} a row on the rows fitted to",
            _score(inside, -inside.value),
            "too good: q has seen them",
        )
    ]
    if held is not None:
        rows.append(
            (f"{unit} a row on rows left out", with_error(held), "what new rows would score")
        )
        apart = -inside.value - held.value
        expected = (
            found.parameters / found.weight / (1.0 if inside.unit == "nats" else math.log(2.0))
        )
        rows.append(
            ("the difference", full(apart, 3), f"about {number(expected, 3)}: parameters / rows")
        )
    rows += [
        ("log likelihood of all rows", f"{found.log_likelihood:.4f}", "nats"),
        ("parameters", str(found.parameters), f"of {number(found.weight)} rows"),
        ("BIC", f"{found.bic:.2f}", "to be small"),
        ("climbs that reached the best", percent(found.reached), f"{found.starts} starts"),
        ("left to gain there", number(found.remaining, 2), "nats over all rows, extrapolated"),
        ("cost of the floor", number(found.floor_cost, 2), "nats over all rows"),
        ("passes over the rows", str(found.passes), _passes(found)),
    ]  # fmt: skip
    columns = (Column("quantity"), Column("value", "right"), Column("remark"))
    return Table("", columns, tuple(rows))


def _score(e: Estimate, value: float) -> str:
    return with_error(
        Estimate.sampled(
            value, e.standard_error, quantity="log_prob", direction="", method=e.method, unit=e.unit
        )
    )


def _passes(found: Likelihood) -> str:
    return f"and {found.sample_passes} over {found.sample_rows} rows while starts were compared"


def _against(found: Likelihood) -> str:
    least = found.least_p_value
    if least is None:
        return ""
    columns = len(found.goodness)
    times = f", the smallest p-value of {columns} columns times {columns}" if columns > 1 else ""
    says = (
        "No column says that it is not drawn from q"
        if least >= _RARE
        else "Some column is not drawn from q"
    )
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
        blocks.append(Gallery("", tuple(histogram(g) for g in shown), caption))
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
    return f"{gap.direction} = {with_error(gap)} {gap.unit}, 0 if q is p: {means}."
