"""The demonstration, published numbers recomputed, and whether this installation is right."""

import math
from collections.abc import Callable
from functools import cache

from kullback.expressions.format import format_distribution
from kullback.render.document import (
    Badge,
    Band,
    Block,
    Cell,
    Column,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Lines,
    Section,
    Table,
    Tone,
)
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.others import Check, Coverage, Demo, DensityReport, Finding, Verification
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.components import covers, describe, fact, family, made
from kullback.views.lines import (
    Backdrop,
    Curve,
    densities,
    descent,
    gaps_to_density,
    integrand,
    of_density,
    snapshots,
)
from kullback.views.measure import regions_table
from kullback.views.numbers import kind_of, method_of, number, percent, with_error
from kullback.views.optima import optima_gallery, optima_table

_COVER: dict[str, Tone] = {"covered": "good", "thin": "unsure", "dropped": "bad"}
_STAMPS: dict[str, Tone] = {"confirmed": "good", "refuted": "bad", "cannot tell": "unsure"}

# `kullback demo`: three modes, two components, both directions.

_NOT_ONE_SCALE = (
    "The two values are not on one scale: each direction weighs the same errors differently. "
    "Each fit wins in its own direction only, and pays for it in the other."
)


def demo_document(demo: Demo, *, unit: Unit = Unit(), key: object = None) -> Document:  # noqa: B008 - frozen
    """Returns what both directions do with one target.

    Args:
        demo: what was found.
        unit: of what is shown.
        key: the randomness it was made with.
    """
    forward, reverse = (unit.of(f) for f in (demo.forward, demo.reverse))
    price = unit.of(demo.price)
    dropped = demo.reverse_cover.dropped > 0.0
    facts = (
        fact(forward.divergence, "forward", "forward fit"),
        fact(reverse.divergence, "reverse", "reverse fit"),
        fact(price, "neutral", "price of the dropped mode" if dropped else "no mode dropped"),
    )
    headline = (
        f"target p = {format_distribution(demo.target)}",
        f"model  q = {family(forward)}",
        f"The forward fit {covers(demo.forward_cover)}; the reverse fit {covers(demo.reverse_cover)}.",
    )
    backdrop = cache(lambda: of_density(demo.target, [forward.q, reverse.q]))
    sections = (
        _fits(demo, forward, reverse, backdrop),
        _optima(demo, forward, reverse),
        Section(
            "Where each divergence is paid",
            "The divergence is the integral of what is drawn here. It may be negative in places, never in total.",
            (Detail(lambda: _paid(demo, forward, reverse, backdrop(), unit)),),
        ),
        Section("The way there", "", (Detail(lambda: _descents(demo, forward, reverse)),)),
        Section(
            "Published numbers, recomputed", f"{demo.claims.title}: {stamps(demo.claims)}",
            (claims_table(demo.claims),),
        ),
    )  # fmt: skip
    foot = made(key=key, seconds=demo.seconds, clock="CPU", fits=(forward, reverse))
    notes = (*_remarks(demo.claims), f"{demo.seconds:.1f} s of CPU time")
    title = f"What each direction of KL does with {len(demo.forward_cover.modes)} modes"
    return Document(title, lambda: _values(demo, unit), headline, facts, sections, notes, foot)


def _fits(demo: Demo, forward: Fit, reverse: Fit, backdrop: Callable[[], Backdrop]) -> Section:
    curves = [
        Curve("forward fit, min KL(p||q)", "forward", forward.q),
        Curve("reverse fit, min KL(q||p)", "reverse", reverse.q, dashed=True),
    ]
    bands = tuple(
        Band(
            m.low,
            m.high,
            f"{m.verdict} by the {name} fit",
            "bad" if m.verdict == "dropped" else "unsure",
        )
        for name, cover in (("forward", demo.forward_cover), ("reverse", demo.reverse_cover))
        for m in cover.modes
        if m.verdict != "covered"
    )
    caption = f"Forward: {describe(forward.q)}. Reverse: {describe(reverse.q)}."

    def drawn() -> tuple[Block, ...]:
        return (densities("The target and both fits", caption, backdrop(), curves, bands=bands),)

    table = coverage_table(
        {"forward": demo.forward_cover, "reverse": demo.reverse_cover}, "The modes of p"
    )
    both = directions_table({"forward": forward, "reverse": reverse})
    lead = (
        "KL(p||q) punishes a q that is small where p is not; KL(q||p) punishes a q that is where p is not. "
        f"{_NOT_ONE_SCALE}"
    )
    tables = (table,) if both is None else (both, table)
    return Section("Two directions, two fits", lead, (Detail(drawn), *tables))


def _paid(
    demo: Demo, forward: Fit, reverse: Fit, backdrop: Backdrop, unit: Unit
) -> tuple[Block, ...]:
    first, second = (unit.of(parts) for parts in (demo.forward_parts, demo.reverse_parts))
    drawn = (
        integrand(
            demo.target, forward.q, "forward", backdrop.line, total=forward.divergence,
            regions=first.regions, title="Forward fit: p log(p/q)",
        ),
        integrand(
            demo.target, reverse.q, "reverse", backdrop.line, total=reverse.divergence,
            regions=second.regions, title="Reverse fit: q log(q/p)",
        ),
    )  # fmt: skip
    return (
        Gallery("", drawn),
        regions_table(first, "forward", "Forward fit, region by region"),
        regions_table(second, "reverse", "Reverse fit, region by region"),
    )


def _optima(demo: Demo, forward: Fit, reverse: Fit) -> Section:
    blocks: list[Block] = []
    for name, fit in (("Forward", forward), ("Reverse", reverse)):
        blocks.append(optima_table(fit, f"{name} fit: optima of {fit.divergence.direction}"))
        blocks.append(Detail(lambda fit=fit: _drawn_optima(demo, fit)))
    return Section(
        "All local optima that were found",
        "Where a descent ends depends on where it starts; a fit from one start may be any of these.",
        tuple(blocks),
    )


def _drawn_optima(demo: Demo, fit: Fit) -> tuple[Block, ...]:
    gallery = optima_gallery(
        fit, of_density(demo.target, [o.q for o in fit.optima], points=200), ""
    )
    return () if gallery is None else (gallery,)


def _descents(demo: Demo, forward: Fit, reverse: Fit) -> tuple[Block, ...]:
    fits = (("Forward", forward), ("Reverse", reverse))
    gaps = {
        f"{name} fit, {fit.divergence.direction}": (fit, gaps_to_density(demo.target, fit))
        for name, fit in fits
    }
    figure = descent(
        "How far each descent still had to go",
        "The best descent in each direction; of a long one, steps at equal distances. "
        "Sums over a grid, for drawing only.",
        gaps,
    )
    gallery = Gallery("", tuple(_path(demo, name, fit) for name, fit in fits))
    return (gallery,) if figure is None else (figure, gallery)


def _path(demo: Demo, name: str, fit: Fit) -> Figure:
    behind = of_density(demo.target, [fit.path[0], fit.q], points=240)
    caption = "From the start, faint and dashed, to the end."
    return snapshots(f"{name} fit: q along its descent", caption, behind, fit)


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
    unit = next(iter(fits.values())).divergence.unit
    columns = (Column("fit"), *(Column(f"{d}, {unit}", "right") for d in ("KL(p||q)", "KL(q||p)")))
    return Table("Each fit measured in both directions", columns, tuple(rows))


def _values(found: Demo, unit: Unit) -> dict[str, object]:
    found = unit.of(found)
    sides = {
        "forward": (found.forward, found.forward_cover, found.forward_parts),
        "reverse": (found.reverse, found.reverse_cover, found.reverse_parts),
    }
    return {
        "target": format_distribution(found.target),
        **{
            name: {
                **to_json(fit, format_distribution),
                "coverage": to_json(cover),
                "contributions": to_json(parts),
            }
            for name, (fit, cover, parts) in sides.items()
        },
        "price": to_json(found.price),
        "claims": to_json(found.claims),
        "seconds": found.seconds,
    }


# Published numbers, recomputed.


def verification_document(
    found: Verification, *, key: object = None, seconds: float = 0.0
) -> Document:
    """Returns the findings on a source.

    Args:
        found: what was found.
        key: the randomness it was made with.
        seconds: CPU seconds it took.
    """
    total = len(found.findings)
    facts = tuple(
        Fact(
            "", stamp, str(n), f"of {total} published numbers", f"{n} {stamp}", tone, repeated=True
        )
        for stamp, tone in _STAMPS.items()
        if (n := sum(f.stamp == stamp for f in found.findings))
    )
    source = f" ({found.source})" if found.source else ""
    section = Section("", "", (claims_table(found),))
    foot = made(key=key, seconds=seconds, clock="CPU")
    return Document(
        found.title, lambda: to_json(found), (f"{found.title}{source}", stamps(found)), facts, (section,),
        _remarks(found), foot,
    )  # fmt: skip


def density_document(name: str, found: DensityReport) -> Document:
    """Returns whether a density is one.

    Args:
        name: of the density.
        found: the verdict.
    """
    return Document(name, lambda: {"density": name, **to_json(found)}, (f"{name} {found}",))


def claims_table(found: Verification) -> Table:
    """Returns the claims of a source with what they should be, and their stamps."""
    columns = (
        Column("claim"), Column("claimed", "right"), Column("recomputed"), Column("quantity"),
        Column("difference", "right"), Column("verdict"),
    )  # fmt: skip
    ways = sorted({method_of(f.found) for f in found.findings if f.found is not None})
    by = f" Found by: {'; '.join(ways)}." if ways else ""
    caption = (
        "Confirmed: it is what was found, to the digits it was published with; refuted: it is not; "
        f"where claim or computation leave room, one cannot tell.{by}"
    )
    return Table("", columns, tuple(_claim(f) for f in found.findings), caption)


def stamps(found: Verification) -> str:
    """Returns "7 confirmed, 7 refuted, 0 cannot tell"."""
    return ", ".join(f"{sum(f.stamp == s for f in found.findings)} {s}" for s in _STAMPS)


def _claim(f: Finding) -> tuple[Cell, ...]:
    of = "" if f.found is None else f.found.direction
    return (
        f.claim + (f" (read: {f.reading})" if f.reading else ""),
        "" if f.claimed is None else number(f.claimed, 8),
        "not computed" if f.found is None else _found(f.found),
        "" if f.claim.endswith(of) else of,
        "" if f.found is None or f.claimed is None else _difference(f.claimed, f.found),
        Badge(f.stamp, _STAMPS[f.stamp]),
    )


def _found(e: Estimate) -> str:
    """Returns the number with its error; its kind too, where it is not the usual one."""
    usual = e.kind in ("numeric", "exact")
    if e.kind == "unresolved":
        return e.kind
    return f"{with_error(e)} {e.unit}".rstrip() if usual else Lines.of((with_error(e), kind_of(e)))


def _difference(claimed: float, found: Estimate) -> str:
    gap = claimed - found.value
    return "" if not math.isfinite(gap) or found.kind == "unresolved" else f"{gap:+#.3g}"


def _remarks(found: Verification) -> tuple[str, ...]:
    """What else there is to say, once each, with the claims it is about."""
    remarks: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.remark:
            remarks.setdefault(finding.remark, []).append(finding.claim)
    return tuple(f"{', '.join(dict.fromkeys(of))}: {remark}" for remark, of in remarks.items())


# `kullback doctor`: is this installation right?


def checks_document(checks: tuple[Check, ...], versions: dict[str, str | None]) -> Document:
    """Returns the versions, and exact values recomputed.

    Args:
        checks: what was recomputed.
        versions: of the packages; None for those that are not installed.
    """
    passed = sum(c.passed for c in checks)
    columns = (Column(""), Column("value"), Column("must be"), Column("is"), Column("by"))
    table = Table("", columns, tuple(_check(c) for c in checks))
    listed = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())

    def values() -> dict[str, object]:
        found = [to_json(c.found) for c in checks]
        listed = [{**vars(c), "found": e} for c, e in zip(checks, found, strict=True)]
        return {"versions": versions, "passes": passed == len(checks), "checks": listed}

    right = f"{passed} of {len(checks)} values are right"
    return Document(
        "Is this installation right?", values, (listed, right), (), (Section("", "", (table,)),)
    )


def _check(check: Check) -> tuple[Cell, ...]:
    stamp = Badge("ok", "good") if check.passed else Badge("WRONG", "bad")
    found = "none" if check.found is None else f"{check.found.value:.10g}"
    return stamp, check.name, f"{check.expected:.10g}", found, check.detail
