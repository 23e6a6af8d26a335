"""`kullback calibrate`: whether fits are right over the data that a model makes, parameter by parameter."""

import math
from itertools import pairwise

import numpy as np

from kullback.render.document import (
    Axis,
    Badge,
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
    Size,
    Table,
    Tone,
    heads,
)
from kullback.results.calibration import (
    FEWEST,
    LEVEL,
    CalibratedQuantity,
    Calibration,
    CalibrationVerdict,
)
from kullback.results.estimate import Estimate, in_decimals
from kullback.results.serialise import to_json
from kullback.views.components import provenance
from kullback.views.numbers import number
from kullback.views.posterior import BARS

_TONES: dict[CalibrationVerdict, Tone] = {
    "no miscalibration found": "good", "miscalibrated": "bad", "unresolved": "unsure"
}  # fmt: skip
#: Quantities that a terminal lists, and those that are drawn alone.
_BRIEF, _DRAWN = 30, 9
_READING = (
    """Each line is the share of data sets whose true value has a rank below x among the draws of its fit, less x: 0
    where the draws follow the posterior.""",
    """Above 0 on the left and below it on the right: true values lie in the tails of the fits, which are too narrow;
    the other way round: too wide. Above 0 throughout: true values are low among the draws, which are too high.""",
    """The log density of p at the true parameters, among those at the draws, sees what no parameter shows by itself:
    a correlation that is missing, draws that do not know the data.""",
    BARS,
)


def calibration_document(found: Calibration, *, key: object = None) -> Document:
    """Returns what the ranks of true values show.

    Args:
        found: the result.
        key: randomness.
    """
    worth = f"{found.draws:,.0f} draws each"
    headline = (
        f"p: the posteriors of {found.simulations:,} data sets that the model made",
        f"q: {found.of}, {worth}",
    )
    reading = tuple(" ".join(note.split()) for note in _READING)
    sections = (
        Section("", "", (_table(found), Detail(lambda: _figures(found)))),
        Section("How to read this", "", (Detail(lambda: (Notes(reading),)),)),
    )
    seen = (
        f"shifts of {number(found.detectable_shift, 2)} sds, and ratios of sds below "
        f"{number(found.detectable_ratio, 2)} or above {number(1.0 / found.detectable_ratio, 2)}, are found in four of "
        "five calibrations"
    )
    return Document(
        f"Calibration of {found.of}",
        lambda: {**to_json(found), "seconds": found.seconds},
        headline,
        _facts(found),
        sections,
        (seen, *found.notes),
        provenance(key=key, seconds=found.seconds, clock="wall-clock"),
        _banner(found),
    )


def _banner(found: Calibration) -> Banner:
    off, m = found.miscalibrated, len(found.quantities)
    tone = _TONES[found.verdict]
    if found.verdict == "unresolved":
        return Banner(
            found.verdict, tone, f"{found.simulations} data sets; at least {FEWEST} are needed"
        )
    if not off:
        return Banner(
            found.verdict, tone, f"in {m} quantities over {found.simulations:,} data sets"
        )
    worst = min(off, key=lambda q: q.p_value)
    size = worst.mean_shift if worst.findings[0] in ("too low", "too high") else worst.sd_ratio
    several = f"; {len(off)} of {m} quantities" if m > 1 else ""
    text = f"{worst.name} {worst.finding}: {size.direction} {_size(size)}{several}"
    remedy = "judge a single fit, judge(p, q), to see why; fit a richer family, or reparametrise"
    return Banner(found.verdict, tone, text, remedy)


def _facts(found: Calibration) -> tuple[Fact, ...]:
    counts = [
        ("data sets", f"{found.simulations:,}", f"of {found.asked:,}"),
        ("quantities with findings", str(len(found.miscalibrated)), f"of {len(found.quantities)}"),
    ]
    if found.failed:
        counts.append(("data sets without a fit", str(found.failed), found.failure))
    return tuple(
        Fact("", name, value, detail, f"{name}: {value} {detail}", repeated=True)
        for name, value, detail in counts
    )


def _table(found: Calibration) -> Table:
    head = heads(
        "quantity", "", ">mean of p: shift, sds", ">sd of q / sd of p", ">p-value, adjusted"
    )
    caption = f"At most {100 * LEVEL:.0f} % of calibrations of exact draws find anything, all quantities together."
    return Table("", head, tuple(map(_row, found.quantities)), caption, brief=_BRIEF)


def _row(q: CalibratedQuantity) -> tuple[Cell, ...]:
    shift, ratio = q.mean_shift, q.sd_ratio
    log_ratio = math.log2(ratio.value) if ratio.value > 0.0 else -1.0
    return (
        q.name,
        Badge(q.finding, "bad" if q.findings else "good"),
        Bar(_size(shift, signed=True), min(max(shift.value, -1.0), 1.0)),
        Bar(_size(ratio), min(max(log_ratio, -1.0), 1.0)),
        f"{q.p_value:.2g}",
    )


def _size(e: Estimate, *, signed: bool = False) -> str:
    if e.kind == "unresolved":
        return e.kind
    return in_decimals(e, signed=signed)


def _figures(found: Calibration) -> tuple[Block, ...]:
    order = sorted(range(len(found.quantities)), key=lambda j: found.quantities[j].p_value)
    level = 100.0 * found.band.level
    caption = (
        f"A line leaves the band by chance, anywhere, in at most {number(level, 2)} % of calibrations: one that does "
        "is a finding. Quantities without findings are pale."
    )
    every = _figure(found, order, "Distribution of ranks, less the diagonal", caption, "wide")
    if len(order) == 1:
        return (every,)
    alone = tuple(
        _figure(found, [j], found.quantities[j].name, found.quantities[j].finding, "small")
        for j in order[:_DRAWN]
    )
    return (every, Gallery("One by one", alone))


def _figure(found: Calibration, which: list[int], title: str, caption: str, size: Size) -> Figure:
    x, low = _steps(found.band.at, found.band.low)
    _, high = _steps(found.band.at, found.band.high)
    series = [
        Series("band", x, high, "neutral", "area", 0.5),
        Series("", x, low, "neutral", "area", 0.5),
    ]
    named = sum(bool(found.quantities[j].findings) for j in which)
    for j in reversed(which):
        quantity = found.quantities[j]
        role: Role = "reverse" if quantity.findings else "q"
        name = quantity.name if quantity.findings and len(which) > 1 and named <= _DRAWN else ""
        ranks = np.sort(found.ranks[:, j])
        at, difference = _thinned(*_distribution(ranks), _PIECES[size])
        faint = len(which) > 1 and not quantity.findings
        series.append(Series(name, at, difference, role, "line", 0.4 if faint else 1.0))
    return Figure(
        title, caption, Axis("rank of the true value", (0.0, 1.0)), Axis("share below, less rank"), tuple(series),
        size=size,
    )  # fmt: skip


#: Pieces of a line of which the lowest and the highest point are drawn: a page of many lines stays small.
_PIECES: dict[Size, int] = {"wide": 120, "small": 40}


def _thinned(x: np.ndarray, y: np.ndarray, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """A line of few points that goes as high and as low, nearly where it did."""
    if len(x) <= 2 * pieces:
        return x, y
    parts = np.array_split(np.arange(len(x)), pieces)
    ends = [p[f(y[p])] for p in parts for f in (np.argmin, np.argmax)]
    kept = np.unique([0, *ends, len(x) - 1])
    return x[kept], y[kept]


def _steps(at: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A band between the places where it is known."""
    return np.r_[0.0, at, 1.0], np.r_[0.0, height, 0.0]


def _distribution(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The empirical distribution less the diagonal, with its jumps."""
    n = len(ranks)
    at = np.repeat(ranks, 2)
    share = np.array([step for pair in pairwise(range(n + 1)) for step in pair]) / n
    return np.r_[0.0, at, 1.0], np.r_[0.0, share - at, 0.0]
