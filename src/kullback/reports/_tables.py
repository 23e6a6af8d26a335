"""Tables of what results hold: modes covered, regions paid for, claims checked, both directions."""

import math

from kullback.reports._figures import Badge, Bar, Cell, Column, Table, Tone
from kullback.reports._integrands import divergence_of
from kullback.reports._numbers import (
    error_of,
    exchanged,
    kind_of,
    method_of,
    number,
    percent,
    sentence,
    swapped,
    value_of,
    with_error,
)
from kullback.results._contributions import Contributions, Region
from kullback.results._demo import Coverage
from kullback.results._estimate import Estimate
from kullback.results._fit import Direction, Fit
from kullback.results._verification import Finding, Verification

_COVER: dict[str, Tone] = {"covered": "good", "thin": "unsure", "dropped": "bad"}
_STAMPS: dict[str, Tone] = {"confirmed": "good", "refuted": "bad", "cannot tell": "unsure"}


def coverage_table(covers: dict[str, Coverage], title: str) -> Table:
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
    return Table(title, tuple(columns), tuple(rows), " ".join(ends))


def regions_table(parts: Contributions, direction: Direction, title: str) -> Table:
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
    return Table(title, columns, (*rows, end), _decomposition(parts, direction))


def claims_table(found: Verification, title: str = "") -> Table:
    """Returns the claims of a source with their stamps."""
    columns = (
        Column("claim"), Column("verdict"), Column("claimed", "right"), Column("found", "right"),
        Column("difference", "right"), Column("remark"),
    )  # fmt: skip
    ways = sorted({method_of(f.found) for f in found.findings if f.found is not None})
    caption = f"Found by: {'; '.join(ways)}." if ways else ""
    source = f"Source: {found.source}. " if found.source else ""
    return Table(title, columns, tuple(_claim(f) for f in found.findings), source + caption)


def directions_table(fits: dict[str, Fit]) -> Table | None:
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
    return Table(
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
