"""The demonstration, published numbers recomputed, and whether this installation is right."""

import math
from collections.abc import Callable, Iterator
from functools import cache

from kullback.api.explore import live_of
from kullback.expressions.format import format_distribution
from kullback.render.document import (
    Badge,
    Band,
    Block,
    Cell,
    Detail,
    Document,
    Fact,
    Gallery,
    Lines,
    Section,
    Table,
    Tone,
    heads,
)
from kullback.results.contributions import Contributions, Coverage
from kullback.results.demo import Demo
from kullback.results.density_report import DensityReport
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.serialise import to_json
from kullback.results.verification import Check, ClaimFinding, Verification
from kullback.views.components import covers, describe, fact, family, provenance
from kullback.views.curves import (
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
from kullback.views.optima import OPTIMA, optima_gallery, optima_table

_COVER: dict[str, Tone] = {"covered": "good", "thin": "unsure", "dropped": "bad"}
_STAMPS: dict[str, Tone] = {"confirmed": "good", "refuted": "bad", "cannot tell": "unsure"}

# `kullback demo`: three modes, two components, both directions.

_LEAD = (
    "KL(p||q) punishes a q that is small where p is not; KL(q||p) punishes a q that is where p is not. The two values "
    "are not on one scale: each direction weighs the same errors differently. Each fit is the better one in its own "
    "direction, and the worse one in the other."
)
_REGIONS = (
    "A divergence is the integral of the curve: it may be negative in places, never in total."
)
_DESCENT = "From the start, faint and dashed, to the end."


def demo_document(demo: Demo, *, key: object = None) -> Document:
    """Returns what both directions do with one target, in the unit of the result.

    Args:
        demo: the experiment.
        key: its randomness.
    """
    forward, reverse, cover = demo.forward, demo.reverse, demo.reverse_cover
    price = "cost of the dropped mode" if cover.dropped > 0.0 else "no mode dropped"
    facts = (
        fact(forward.divergence, "forward", "forward fit"),
        fact(reverse.divergence, "reverse", "reverse fit"),
        fact(demo.price, "neutral", price),
    )
    headline = (
        f"target p = {format_distribution(demo.target)}",
        f"model  q = {family(forward)}",
        f"The forward fit {covers(demo.forward_cover)}; the reverse fit {covers(cover)}.",
    )
    backdrop = cache(lambda: of_density(demo.target, [forward.q, reverse.q]))
    sections = (
        _fits(demo, backdrop),
        Section("All local optima found", OPTIMA, tuple(_optima(demo))),
        Section("Which regions contribute", _REGIONS, (Detail(lambda: _integrands(demo, backdrop())),)),
        Section("Optimisation paths", "", (Detail(lambda: _paths(demo)),)),
        Section(
            "Published numbers, recomputed", f"{demo.claims.title}: {stamps(demo.claims)}",
            (claims_table(demo.claims),),
        ),
    )  # fmt: skip
    foot = provenance(key=key, seconds=demo.seconds, clock="CPU", fits=(forward, reverse))
    notes = (*_remarks(demo.claims), f"{demo.seconds:.1f} s of CPU time")
    title = f"What each direction of KL does with {len(cover.modes)} modes"
    live = live_of(demo.target, reverse.q, reverse.divergence.unit)
    return Document(title, lambda: _values(demo), headline, facts, sections, notes, foot, live=live)


def _fits(demo: Demo, backdrop: Callable[[], Backdrop]) -> Section:
    forward, reverse = demo.forward.q, demo.reverse.q
    curves = [
        Curve("forward fit, min KL(p||q)", "forward", forward),
        Curve("reverse fit, min KL(q||p)", "reverse", reverse, dashed=True),
    ]
    coverages = {"forward": demo.forward_cover, "reverse": demo.reverse_cover}
    bands = tuple(
        Band(m.low, m.high, f"{m.verdict} by the {name} fit", _COVER[m.verdict])
        for name, cover in coverages.items()
        for m in cover.modes
        if m.verdict != "covered"
    )
    caption = f"Forward: {describe(forward)}. Reverse: {describe(reverse)}."
    both = directions_table({"forward": demo.forward, "reverse": demo.reverse})
    tables = [t for t in (both, coverage_table(coverages, "The modes of p")) if t is not None]
    figure = Detail(
        lambda: (densities("The target and both fits", caption, backdrop(), curves, bands=bands),)
    )
    return Section("Two directions, two fits", _LEAD, (figure, *tables))


def _integrands(demo: Demo, backdrop: Backdrop) -> tuple[Block, ...]:
    figures, tables = [], []
    sides: tuple[tuple[Direction, Fit, Contributions, str], ...] = (
        ("forward", demo.forward, demo.forward_parts, "Forward fit: p log(p/q)"),
        ("reverse", demo.reverse, demo.reverse_parts, "Reverse fit: q log(q/p)"),
    )
    for name, fit, parts, title in sides:
        figures.append(
            integrand(
                demo.target, fit.q, name, backdrop.line, total=fit.divergence, regions=parts.regions,
                title=title,
            )
        )  # fmt: skip
        tables.append(regions_table(parts, name, f"{name.capitalize()} fit, region by region"))
    return (Gallery("", tuple(figures)), *tables)


def _optima(demo: Demo) -> Iterator[Block]:
    for name, fit in (("Forward", demo.forward), ("Reverse", demo.reverse)):
        yield optima_table(fit, f"{name} fit: optima of {fit.divergence.direction}")
        yield Detail(
            lambda fit=fit: optima_gallery(
                fit, of_density(demo.target, [o.q for o in fit.optima], points=200)
            )
        )


def _paths(demo: Demo) -> tuple[Block, ...]:
    fits = (("Forward", demo.forward), ("Reverse", demo.reverse))
    gaps = {
        f"{name} fit, {fit.divergence.direction}": (fit, gaps_to_density(demo.target, fit))
        for name, fit in fits
    }
    figure = descent(
        "Divergence above its final value, step by step",
        "The best run in each direction; of a long one, steps at equal distances. Sums over a grid, for drawing only.",
        gaps,
    )
    paths = []
    for name, fit in fits:
        behind = of_density(demo.target, [fit.path[0], fit.q], points=240)
        paths.append(snapshots(f"{name} fit: q along its path", _DESCENT, behind, fit))
    return (*([] if figure is None else [figure]), Gallery("", tuple(paths)))


def coverage_table(covers: dict[str, Coverage], title: str) -> Table:
    """Returns what each fit does with each mode of p, and what it spills.

    Args:
        covers: by the direction of the fit; all of one p.
        title: of the table.
    """
    columns = ["mode of p", ">mass of p"]
    for name in covers:
        columns += [f">mass of q, {name}", f"{name} fit"]
    rows: list[tuple[Cell, ...]] = []
    for modes in zip(*(c.modes for c in covers.values()), strict=True):
        row: list[Cell] = [modes[0].name, percent(modes[0].mass_p)]
        for m in modes:
            row += [percent(m.mass_q), Badge(m.verdict, _COVER[m.verdict])]
        rows.append(tuple(row))
    ends = [
        f"The {name} fit puts {percent(c.spilled)} of q where p has almost no mass, and drops "
        f"{percent(c.dropped)} of p."
        for name, c in covers.items()
    ]
    return Table(title, heads(*columns), tuple(rows), " ".join(ends))


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
    columns = heads("fit", f">KL(p||q), {unit}", f">KL(q||p), {unit}")
    return Table("Each fit measured in both directions", columns, tuple(rows))


def _values(demo: Demo) -> dict[str, object]:
    sides = {
        "forward": (demo.forward, demo.forward_cover, demo.forward_parts),
        "reverse": (demo.reverse, demo.reverse_cover, demo.reverse_parts),
    }
    both = {
        name: {
            **to_json(fit, format_distribution),
            "coverage": to_json(cover),
            "contributions": to_json(parts),
        }
        for name, (fit, cover, parts) in sides.items()
    }
    rest = {"price": to_json(demo.price), "claims": to_json(demo.claims), "seconds": demo.seconds}
    return {"target": format_distribution(demo.target), **both, **rest}


# Published numbers, recomputed.


def verification_document(
    verification: Verification, *, key: object = None, seconds: float = 0.0
) -> Document:
    """Returns the findings on a source.

    Args:
        verification: the findings.
        key: randomness.
        seconds: CPU seconds it took.
    """
    total = len(verification.findings)
    facts = tuple(
        Fact(
            "", stamp, str(n), f"of {total} published numbers", f"{n} {stamp}", tone, repeated=True
        )
        for stamp, tone in _STAMPS.items()
        if (n := sum(f.stamp == stamp for f in verification.findings))
    )
    title = verification.title
    source = f" ({verification.source})" if verification.source else ""
    return Document(
        title, lambda: to_json(verification), (f"{title}{source}", stamps(verification)), facts,
        (Section("", "", (claims_table(verification),)),), _remarks(verification),
        provenance(key=key, seconds=seconds, clock="CPU"),
    )  # fmt: skip


def density_document(name: str, found: DensityReport) -> Document:
    """Returns whether a density is one.

    Args:
        name: of the density.
        found: the verdict.
    """
    return Document(name, lambda: {"density": name, **to_json(found)}, (f"{name} {found}",))


def claims_table(verification: Verification) -> Table:
    """Returns the claims of a source with what they should be, and their stamps."""
    findings = verification.findings
    ways = sorted({method_of(f.found) for f in findings if f.found is not None})
    by = f" Methods: {'; '.join(ways)}." if ways else ""
    columns = heads("claim", ">claimed", "recomputed", "quantity", ">difference", "verdict")
    caption = (
        "Confirmed: equal to the recomputed number, to the digits published; refuted: not equal; cannot tell: claim "
        f"or computation leave room.{by}"
    )
    return Table("", columns, tuple(_claim(f) for f in findings), caption)


def stamps(verification: Verification) -> str:
    """Returns "7 confirmed, 7 refuted, 0 cannot tell"."""
    return ", ".join(f"{sum(f.stamp == s for f in verification.findings)} {s}" for s in _STAMPS)


def _claim(f: ClaimFinding) -> tuple[Cell, ...]:
    of = "" if f.found is None else f.found.direction
    return (
        f.claim + (f" (read: {f.reading})" if f.reading else ""),
        "" if f.claimed is None else number(f.claimed, 8),
        "not computed" if f.found is None else _recomputed(f.found),
        "" if f.claim.endswith(of) else of,
        "" if f.found is None or f.claimed is None else _difference(f.claimed, f.found),
        Badge(f.stamp, _STAMPS[f.stamp]),
    )


def _recomputed(e: Estimate) -> str:
    """Returns the number with its error; its kind too, where it is not the usual one."""
    usual = e.kind in ("numeric", "exact")
    if e.kind == "unresolved":
        return e.kind
    return f"{with_error(e)} {e.unit}".rstrip() if usual else Lines.of((with_error(e), kind_of(e)))


def _difference(claimed: float, e: Estimate) -> str:
    gap = claimed - e.value
    return "" if not math.isfinite(gap) or e.kind == "unresolved" else f"{gap:+#.3g}"


def _remarks(verification: Verification) -> tuple[str, ...]:
    """What else there is to say, once each, with the claims it is about."""
    remarks: dict[str, list[str]] = {}
    for finding in verification.findings:
        if finding.remark:
            remarks.setdefault(finding.remark, []).append(finding.claim)
    return tuple(f"{', '.join(dict.fromkeys(of))}: {remark}" for remark, of in remarks.items())


# `kullback doctor`: is this installation right?


def checks_document(checks: tuple[Check, ...], versions: dict[str, str | None]) -> Document:
    """Returns the versions, and exact values recomputed.

    Args:
        checks: the values.
        versions: of the packages; None for those that are not installed.
    """
    passed = sum(c.passed for c in checks)
    columns = heads("", "value", "expected", "computed", "method")
    table = Table("", columns, tuple(_check(c) for c in checks))
    listed = ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items())

    def values() -> dict[str, object]:
        return {"versions": versions, "passes": passed == len(checks), "checks": to_json(checks)}

    right = f"{passed} of {len(checks)} values are right"
    return Document(
        "Is this installation right?", values, (listed, right), (), (Section("", "", (table,)),)
    )


def _check(check: Check) -> tuple[Cell, ...]:
    stamp = Badge("ok", "good") if check.passed else Badge("WRONG", "bad")
    found = "none" if check.found is None else f"{check.found.value:.10g}"
    return stamp, check.name, f"{check.expected:.10g}", found, check.detail
