"""`kullback kl`: both directions, side by side."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.table import Table

from kullback.cli.inputs import Given
from kullback.distributions.base import Distribution
from kullback.render.document import (
    Badge,
    Bar,
    Block,
    Cell,
    Column,
    Gallery,
    Notes,
    Page,
    Section,
    Tone,
)
from kullback.render.document import Table as document_Table
from kullback.render.html import render
from kullback.render.terminal import line, print_table
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.others import (
    Contributions,
    Coverage,
    Finding,
    Plan,
    PlanRow,
    Region,
    Side,
    Sides,
    Verification,
)
from kullback.results.quantity import Units
from kullback.results.serialise import to_json
from kullback.views.components import describe, fact, made
from kullback.views.lines import Curve, densities, divergence_of, integrand, is_scalar, of_density
from kullback.views.numbers import (
    error_of,
    exchanged,
    figure,
    kind_of,
    method_of,
    number,
    percent,
    sentence,
    short,
    swapped,
    value_of,
    with_error,
)
from kullback.views.planes import box_of, plane

_MEAN = {"forward": "under p", "reverse": "under q"}
_PUNISHES = {"forward": "q for missing what p has", "reverse": "q for having what p lacks"}


def _page(left: Given, right: Given, sides: Sides) -> Iterator[str | Table]:
    yield f"p = {left.words}"
    yield f"q = {right.words}"
    yield ""
    of_kl = sides.forward.value.quantity.name.startswith("kl")
    for side in sides.known:
        yield f"{side.name:<9} {side.value}" if of_kl else str(side.value)
    if sides.missing:
        yield line(f"reverse   not computed: {sides.missing}", indent="          ")
    if of_kl:
        yield ""
        yield print_table(("", *(s.name for s in sides.known)), _rows(sides.known))
    notes = _notes(sides.known)
    if notes:
        yield ""
        yield from notes


def _rows(sides: tuple[Side, ...]) -> list[list[str]]:
    values = [s.value for s in sides]
    units: tuple[Units, ...] = ("bits",) if values[0].unit == "bits" else ("nats", "bits")
    rows = [
        ["", *(v.direction for v in values)],
        *([f"in {u}", *(figure(v.in_unit(u), unit=False) for v in values)] for u in units),
    ]
    if any(v.kind == "estimate" for v in values):
        rows.append(["95 % interval", *(_interval(v) for v in values)])
    for label, parts in (
        ("= cross-entropy", [s.cross_entropy for s in sides]),
        ("- entropy", [s.entropy for s in sides]),
    ):
        if any(parts):
            rows.append([label, *("unknown" if e is None else _named(e) for e in parts)])
    rows.append(["mean of log-ratio", *(_MEAN[s.name] for s in sides)])
    rows.append(["punishes", *(_PUNISHES[s.name] for s in sides)])
    return rows


def _interval(value: Estimate) -> str:
    if value.kind != "estimate":
        return ""
    low, high = value.interval
    return f"[{low:.6g}, {high:.6g}] {value.unit}"


def _named(estimate: Estimate) -> str:
    return f"{estimate.direction} = {figure(estimate)}"


def _notes(sides: tuple[Side, ...]) -> list[str]:
    """What the lines themselves do not say yet, once each."""
    told = {s.value.reason for s in sides}
    known = [e for s in sides for e in (s.value, s.cross_entropy, s.entropy) if e is not None]
    parts = [(e, note) for e in known for note in e.notes if note not in told]
    texts = dict.fromkeys(
        note if len(sides) == 1 else f"{e.direction}: {note}" for e, note in parts
    )
    return [line(f"note: {text}", indent="  ") for text in texts]


def _verdict(value: Estimate, max_kl: float | None, gate: int | None) -> Iterator[str]:
    if gate is None:
        return
    words = {
        0: f"passed: {value.direction} is at most {max_kl:g} {value.unit}",
        1: f"failed: {value.direction} may be {value.interval[1]:.6g} {value.unit}, "
        f"more than {max_kl:g}",
        3: f"cannot be told: {value.direction} is unresolved",
    }
    yield ""
    yield f"gate {words[gate]}"


def _as_dict(
    left: Given,
    right: Given,
    sides: Sides,
    max_kl: float | None,
    gate: int | None,
    report: Path | None,
) -> dict[str, object]:
    return {
        "p": left.words,
        "q": right.words,
        **{s.name: to_json(s) for s in sides.known},
        **({"reverse": None, "reverse_reason": sides.missing} if sides.missing else {}),
        "gate": None if gate is None else {"max_kl": max_kl, "passes": gate == 0},
        "report": None if report is None else str(report),
    }


# The report on two distributions: both divergences and where they are paid.

Describe = Callable[[Distribution], str]


Parts = Contributions | Estimate
_LEAD = (
    "A region may add a negative amount, where the other distribution has more; "
    "the sum is the divergence."
)


def kl_report(
    p: Distribution, q: Distribution, forward: Parts, reverse: Parts, *,
    describe: Describe = describe, key: object = None, seconds: float = 0.0,
) -> str:  # fmt: skip
    """Returns both divergences of two distributions as one HTML page that needs nothing else.

    Args:
        p, q: the distributions.
        forward: explain(p, q), or the divergence alone where there are no regions.
        reverse: explain(q, p), or the divergence alone, named by p and q as they are here.
        describe: writes a distribution in words.
        key: the randomness it was made with, for the foot of the page.
        seconds: CPU seconds it took.
    """
    totals = divergence_of(forward, "forward"), divergence_of(reverse, "reverse")
    names = describe(p), describe(q)
    means = ""
    if all(t.quantity.name == "kl" for t in totals):
        means = " The first is the mean of log(p/q) under p, the second that of log(q/p) under q."
    summary = (
        f"p = {names[0]} and q = {names[1]}. {sentence(totals[0])}; {sentence(totals[1])}.{means}"
    )
    facts = (fact(totals[0], "forward"), fact(totals[1], "reverse"))
    notes = tuple(dict.fromkeys(f"{t.direction}: {n}" for t in totals for n in t.notes))
    sections = [Section("The two distributions", "", _pictures(p, q, names))]
    paid = _paid(p, q, forward, reverse)
    sections += [Section("Where each divergence is paid", _LEAD, paid)] if paid else []
    sections += [Section("Notes", "", (Notes(notes),))] if notes else []
    foot = made(key=key, seconds=seconds, clock="CPU")
    return render(Page(_title(totals), summary, facts, tuple(sections), foot))


def _title(totals: tuple[Estimate, Estimate]) -> str:
    kl = all(t.quantity.name == "kl" for t in totals)
    return f"{'KL divergence' if kl else 'Divergence'} of p and q in both directions"


def _drawable(p: Distribution, q: Distribution) -> bool:
    return is_scalar(p) and is_scalar(q) and p.support.discrete == q.support.discrete


def _pictures(p: Distribution, q: Distribution, names: tuple[str, str]) -> tuple[Block, ...]:
    caption = f"p = {names[0]}; q = {names[1]}."
    if _drawable(p, q):
        return (densities("p and q", caption, of_density(p, [q]), [Curve("q", "q", q)]),)
    flat = all(d.support.kind == "real" and d.support.dimension == 2 for d in (p, q))
    box = box_of(p, q) if flat else None
    if box is not None:
        return (plane("p and q", [("p", "p", p), ("q", "q", q)], box, ("x[0]", "x[1]")),)
    return (Notes((caption, f"Not drawn: they live on {p.support} and {q.support}.")),)


def _paid(p: Distribution, q: Distribution, forward: Parts, reverse: Parts) -> tuple[Block, ...]:
    sides: tuple[tuple[Direction, Parts], ...] = (("forward", forward), ("reverse", reverse))
    drawn, tables = [], []
    where = of_density(p, [q]).line if _drawable(p, q) else None
    for direction, parts in sides:
        total = divergence_of(parts, direction)
        regions = parts.regions if isinstance(parts, Contributions) else ()
        if where is not None and total.quantity.name == "kl":
            drawn.append(integrand(p, q, direction, where, total=total, regions=regions))
        if isinstance(parts, Contributions):
            tables.append(regions_table(parts, direction, f"{total.direction}, region by region"))
    return (*([Gallery("", tuple(drawn))] if drawn else []), *tables)


# Tables of what results hold: modes covered, regions paid for, claims checked, both directions.

_COVER: dict[str, Tone] = {"covered": "good", "thin": "unsure", "dropped": "bad"}
_STAMPS: dict[str, Tone] = {"confirmed": "good", "refuted": "bad", "cannot tell": "unsure"}


def coverage_table(covers: dict[str, Coverage], title: str) -> document_Table:
    """Returns what each fit does with each mode of p, and what it spills.

    Args:
        covers: by the direction of the fit; all of one p.
        title: of the table.
    """
    columns = [Column("mode of p"), Column("mass of p", "right")]
    for name in covers:
        columns += [Column(f"mass of q, {name}", "right"), Column(f"{name} fit")]
    rows: list[tuple[Cell, ...]] = []
    for modes in zip(*(c.modes for c in covers.values()), strict=True):
        row: list[Cell] = [modes[0].name, percent(modes[0].mass_p)]
        for m in modes:
            row += [percent(m.mass_q), Badge(m.verdict, _COVER[m.verdict])]
        rows.append(tuple(row))
    ends = [
        f"The {name} fit spills {percent(c.spilled)} of q where p has next to nothing, "
        f"and drops {percent(c.dropped)} of p."
        for name, c in covers.items()
    ]
    return document_Table(title, tuple(columns), tuple(rows), " ".join(ends))


def regions_table(parts: Contributions, direction: Direction, title: str) -> document_Table:
    """Returns what each region adds to the divergence, with both masses.

    Args:
        parts: of explain(p, q), or for "reverse" of explain(q, p), which calls q its p.
        direction: which of the two.
        title: of the table.
    """
    total = divergence_of(parts, direction)
    largest = max((abs(r.contribution.value) for r in parts.regions), default=0.0)
    rows = tuple(_region(r, direction, largest) for r in parts.regions)
    end: tuple[Cell, ...] = ("all", "", "", value_of(total), error_of(total))
    columns = (
        Column("region"), Column("mass of p", "right"), Column("mass of q", "right"),
        Column(f"adds to {total.direction}, {total.unit}", "right"), Column("error", "right"),
    )  # fmt: skip
    return document_Table(title, columns, (*rows, end), _decomposition(parts, direction))


def claims_table(found: Verification, title: str = "") -> document_Table:
    """Returns the claims of a source with their stamps."""
    columns = (
        Column("claim"), Column("verdict"), Column("claimed", "right"), Column("found", "right"),
        Column("difference", "right"), Column("remark"),
    )  # fmt: skip
    ways = sorted({method_of(f.found) for f in found.findings if f.found is not None})
    caption = f"Found by: {'; '.join(ways)}." if ways else ""
    source = f"Source: {found.source}. " if found.source else ""
    return document_Table(
        title, columns, tuple(_claim(f) for f in found.findings), source + caption
    )


def directions_table(fits: dict[str, Fit]) -> document_Table | None:
    """Returns both divergences of each fit; None where one of them is not known."""
    rows = []
    for name, fit in fits.items():
        if fit.forward_kl is None or fit.reverse_kl is None:
            return None
        both = {"forward": fit.forward_kl, "reverse": fit.reverse_kl}
        cells = [
            with_error(e) + (", minimised" if d == fit.direction else "") for d, e in both.items()
        ]
        rows.append((name, *cells))
    columns = (Column("fit"), Column("KL(p||q), nats", "right"), Column("KL(q||p), nats", "right"))
    return document_Table(
        "Each fit measured in both directions", columns, tuple(rows),
        "Each fit is best in the direction that it minimises, and pays for it in the other.",
    )  # fmt: skip


def stamps(found: Verification) -> str:
    """Returns "7 confirmed, 7 refuted"."""
    counts = [(s, sum(f.stamp == s for f in found.findings)) for s in _STAMPS]
    return ", ".join(f"{n} {s}" for s, n in counts if n) or "no claims"


def _region(r: Region, direction: Direction, largest: float) -> tuple[Cell, ...]:
    mass_p, mass_q = (r.mass_p, r.mass_q) if direction == "forward" else (r.mass_q, r.mass_p)
    value = r.contribution.value
    share = (
        value / largest if largest > 0.0 and math.isfinite(largest) else float(math.isinf(value))
    )
    signed = f"{value:+.6f}" if math.isfinite(value) and abs(value) < 1e6 else number(value)
    return (
        r.name if direction == "forward" else swapped(r.name), percent(mass_p), percent(mass_q),
        Bar(signed, 0.0 if math.isnan(share) else share), error_of(r.contribution),
    )  # fmt: skip


def _decomposition(parts: Contributions, direction: Direction) -> str:
    cross, own = parts.cross_entropy, parts.entropy
    if direction == "reverse":
        cross, own = exchanged(cross), exchanged(own)
    total = divergence_of(parts, direction)
    if not all(math.isfinite(e.value) for e in (cross, own)):
        return f"{sentence(total)}."
    return (
        f"{total.direction} = {cross.direction} − {own.direction}: "
        f"the cross-entropy, {with_error(cross)}, less the entropy, {with_error(own)} {own.unit}."
    )


def _claim(f: Finding) -> tuple[Cell, ...]:
    read = f"Read: {f.reading}." if f.reading else ""
    remark = f.remark[:1].upper() + f.remark[1:] + "." if f.remark else ""
    gap = "" if f.found is None or f.claimed is None else _difference(f.claimed, f.found)
    return (
        f.claim,
        Badge(f.stamp, _STAMPS[f.stamp]),
        "" if f.claimed is None else number(f.claimed, 8),
        "not found" if f.found is None else _found(f.found),
        gap,
        "\n".join(part for part in (read, remark) if part),
    )


def _found(e: Estimate) -> str:
    """Returns the number with its error; its kind too, where it is not the usual one."""
    return with_error(e) if e.kind in ("numeric", "exact") else f"{with_error(e)}\n{kind_of(e)}"


def _difference(claimed: float, found: Estimate) -> str:
    gap = claimed - found.value
    if not math.isfinite(gap) or found.kind == "unresolved":
        return ""
    return f"{gap:+#.3g}"


# `kullback explain P Q`: where a divergence is paid.


def _explain_page(found: Contributions) -> Iterator[str | Table]:
    total = found.total
    rows = [
        [r.name, _mass(r.mass_p), _mass(r.mass_q), figure(r.contribution, unit=False)]
        for r in found.regions
    ]
    headers = ("region", "mass of p", "mass of q", f"adds to {total.direction}, {total.unit}")
    yield print_table(headers, rows, right=(1, 2, 3))
    yield ""
    yield f"total: {total}"
    yield f"  = cross-entropy {found.cross_entropy}"
    yield f"  - entropy {found.entropy}"
    least = min((r.contribution.value for r in found.regions if r.mass_q > r.mass_p), default=0.0)
    if least < 0.0:
        yield f"A region may add less than 0 (here {short(least)}): q has more there than p."
    for note in total.notes if total.reason is None else total.notes[1:]:
        yield line(f"note: {note}", indent="  ")


def _mass(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.4f}"


# `kullback plan`: the table that chooses, printed before anything is computed.


def _chosen(row: PlanRow) -> str:
    both = {(True, True): "both", (True, False): "forward", (False, True): "reverse"}
    return f"{both[row.forward, row.reverse]} ->" if row.forward or row.reverse else ""


def _sides(found: Plan) -> Table:
    cells = (found.forward, found.reverse)
    rows = [
        ["", *(c.direction for c in cells)],
        ["method", *(c.method for c in cells)],
        ["mean", *(c.expectation for c in cells)],
        ["needs", *(c.needs for c in cells)],
        ["fitting it", *(c.does for c in cells)],
    ]
    return print_table(("", "forward", "reverse"), rows)
