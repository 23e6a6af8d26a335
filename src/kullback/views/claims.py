"""The report on the demonstration: one target, both directions, everything that differs."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from kullback.expressions.format import format_distribution
from kullback.render.document import Band, Block, Fact, Figure, Gallery, Page, Section, Tone
from kullback.render.html import render
from kullback.render.terminal import line, print_table
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.others import Check, Coverage, Demo, Finding, Verification
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.components import covers, describe, fact, family, made, print_components
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
from kullback.views.measure import (
    claims_table,
    coverage_table,
    directions_table,
    regions_table,
    stamps,
)
from kullback.views.numbers import figure, sentence, share, short
from kullback.views.optima import PARAMETERS, optima_gallery, optima_rows, parameters, print_optima


def demo_report(demo: Demo, *, key: object = None) -> str:
    """Returns the demonstration as one HTML page that needs nothing else.

    Args:
        demo: what to show.
        key: the randomness it was made with, for the foot of the page.
    """
    backdrop = of_density(demo.target, [demo.forward.q, demo.reverse.q])
    sections = (
        _fits(demo, backdrop),
        _paid(demo, backdrop),
        _optima(demo),
        _descents(demo),
        Section(
            "Published numbers, recomputed", f"{demo.claims.title}: {stamps(demo.claims)}.",
            (claims_table(demo.claims),),
        ),
    )  # fmt: skip
    facts = (
        fact(demo.forward.divergence, "forward", "Forward fit: KL(p||q)"),
        fact(demo.reverse.divergence, "reverse", "Reverse fit: KL(q||p)"),
        fact(demo.price, "neutral", _price_label(demo)),
    )
    fits = (demo.forward, demo.reverse)
    foot = made(key=key, seconds=demo.seconds, clock="CPU", fits=fits)
    title = f"What each direction of KL does with {len(demo.forward_cover.modes)} modes"
    return render(Page(title, _summary(demo), facts, sections, foot))


def _summary(demo: Demo) -> str:
    p = describe(demo.target)
    price = ""
    if demo.reverse_cover.dropped > 0.0:
        price = f" Leaving out that mode, and nothing else, costs {sentence(demo.price)}."
    return (
        f"The target p = {p} has {len(demo.forward_cover.modes)} modes, and q is {family(demo.forward)}. "
        f"Minimising the forward divergence, q {covers(demo.forward_cover)}: "
        f"{sentence(demo.forward.divergence)}. "
        f"Minimising the reverse divergence, q {covers(demo.reverse_cover)}: "
        f"{sentence(demo.reverse.divergence)}.{price}"
    )


def _price_label(demo: Demo) -> str:
    return demo.price.direction if demo.reverse_cover.dropped > 0.0 else "No mode dropped"


def _fits(demo: Demo, backdrop: Backdrop) -> Section:
    curves = [
        Curve("forward fit, min KL(p||q)", "forward", demo.forward.q),
        Curve("reverse fit, min KL(q||p)", "reverse", demo.reverse.q, dashed=True),
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
    caption = f"Forward: {describe(demo.forward.q)}. Reverse: {describe(demo.reverse.q)}."
    figure = densities("The target and both fits", caption, backdrop, curves, bands=bands)
    table = coverage_table(
        {"forward": demo.forward_cover, "reverse": demo.reverse_cover}, "The modes of p"
    )
    both = directions_table({"forward": demo.forward, "reverse": demo.reverse})
    blocks: tuple[Block, ...] = (figure, table)
    lead = "KL(p||q) punishes a q that is small where p is not; KL(q||p) punishes a q that is where p is not."
    return Section("Two directions, two fits", lead, blocks if both is None else (*blocks, both))


def _paid(demo: Demo, backdrop: Backdrop) -> Section:
    forward = integrand(
        demo.target, demo.forward.q, "forward", backdrop.line,
        total=demo.forward.divergence, regions=demo.forward_parts.regions,
        title="Forward fit: p log(p/q)",
    )  # fmt: skip
    reverse = integrand(
        demo.target, demo.reverse.q, "reverse", backdrop.line,
        total=demo.reverse.divergence, regions=demo.reverse_parts.regions,
        title="Reverse fit: q log(q/p)",
    )  # fmt: skip
    tables = (
        regions_table(demo.forward_parts, "forward", "Forward fit, region by region"),
        regions_table(demo.reverse_parts, "reverse", "Reverse fit, region by region"),
    )
    return Section(
        "Where each divergence is paid",
        "The divergence is the integral of what is drawn here. It may be negative in places, never in total.",
        (Gallery("", (forward, reverse)), *tables),
    )


def _optima(demo: Demo) -> Section:
    blocks: list[Block] = []
    for name, fit in (("Forward", demo.forward), ("Reverse", demo.reverse)):
        blocks.append(
            optima_rows(fit, describe, f"{name} fit: optima of {fit.divergence.direction}")
        )
        behind = of_density(demo.target, [o.q for o in fit.optima], points=200)
        gallery = optima_gallery(fit, behind, "")
        blocks += [] if gallery is None else [gallery]
    return Section(
        "All optima that were found",
        "Where a descent ends depends on where it starts; a fit from one start may be any of these.",
        tuple(blocks),
    )


def _descents(demo: Demo) -> Section:
    gaps = {
        f"{name} fit, {fit.divergence.direction}": (fit, gaps_to_density(demo.target, fit))
        for name, fit in (("forward", demo.forward), ("reverse", demo.reverse))
    }
    figure = descent(
        "How far each descent still had to go",
        "The best descent in each direction; of a long one, steps at equal distances. "
        "Sums over a grid, for drawing only.",
        gaps,
    )
    items = tuple(
        _path(demo, name, fit)
        for name, fit in (("Forward", demo.forward), ("Reverse", demo.reverse))
    )
    gallery = Gallery("", items)
    blocks: tuple[Block, ...] = (gallery,) if figure is None else (figure, gallery)
    return Section("The way there", "", blocks)


def _path(demo: Demo, name: str, fit: Fit) -> Figure:
    behind = of_density(demo.target, [fit.path[0], fit.q], points=240)
    return snapshots(
        f"{name} fit: q along its descent",
        "From the start, faint and dashed, to the end.",
        behind,
        fit,
    )


# `kullback demo`: three modes, two components, both directions.


def _page(found: Demo, unit: Unit) -> Iterator[str | Table]:
    found = unit.of(found)
    forward, reverse = found.forward, found.reverse
    yield f"target p = {format_distribution(found.target)}"
    yield "model  q = two Gaussians"
    yield ""
    yield _bests(forward, reverse, unit)
    yield f"forward {_does(found.forward_cover)}; reverse {_does(found.reverse_cover)}"
    yield ""
    yield from _others(forward, reverse)
    yield from _covers(found)
    yield ""
    yield line(
        "The two values are not on one scale: each direction weighs the same errors differently. "
        f"The forward fit has KL(q||p) = {_value(forward.reverse_kl)}, the reverse fit has "
        f"KL(p||q) = {_value(reverse.forward_kl)}: each wins in its own direction only."
    )
    yield ""
    yield "the article's numbers, recomputed:"
    yield from page(found.claims)
    yield ""
    yield f"{found.seconds:.1f} s of CPU time"


def _bests(forward: Fit, reverse: Fit, unit: Unit) -> Table:
    rows = [
        [
            f"{fit.direction} {fit.divergence.direction}",
            figure(fit.divergence, unit=False),
            *parameters(print_components(fit.q)),
        ]
        for fit in (forward, reverse)
    ]
    headers = ("direction", f"best, {unit.units}", *PARAMETERS)
    return print_table(headers, rows)


def _does(cover: Coverage) -> str:
    if not cover.dropped:
        return "covers all modes"
    lost = ", ".join(m.name for m in cover.modes if m.verdict == "dropped")
    return f"drops the {lost} ({share(cover.dropped)} of p)"


def _others(forward: Fit, reverse: Fit) -> Iterator[str | Table]:
    yield f"all local optima, and how many of the {forward.starts} starts reached each:"
    for fit in (forward, reverse):
        yield print_optima(fit, twin="mirror image")
        yield ""


def _covers(found: Demo) -> Iterator[str | Table]:
    pairs = zip(found.forward_cover.modes, found.reverse_cover.modes, strict=True)
    yield "how much of each mode's region the fits hold:"
    yield print_table(
        ("", "p", "forward q", "", "reverse q", ""),
        [
            [f.name, share(f.mass_p), share(f.mass_q), f.verdict, share(r.mass_q), r.verdict]
            for f, r in pairs
        ]
        + [
            [
                "spilled where p has next to nothing",
                "",
                share(found.forward_cover.spilled),
                "",
                share(found.reverse_cover.spilled),
                "",
            ]
        ],
        right=(1, 2, 4),
    )
    yield ""
    yield line(f"price of the dropped mode: {found.price}", indent="  ")


def _value(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    return f"{short(estimate.value)} ± {estimate.standard_error:.1e}"


def _as_dict(found: Demo, unit: Unit) -> dict[str, object]:
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


# The report on published numbers, recomputed.

_TONES: dict[str, Tone] = {"confirmed": "good", "refuted": "bad", "cannot tell": "unsure"}


def verification_report(
    verification: Verification, *, key: object = None, seconds: float = 0.0
) -> str:
    """Returns the findings on a source as one HTML page that needs nothing else.

    Args:
        verification: what was found.
        key: the randomness it was made with, for the foot of the page.
        seconds: CPU seconds it took.
    """
    total = len(verification.findings)
    facts = tuple(
        Fact(stamp, str(n), f"of {total} published numbers", tone)
        for stamp, tone in _TONES.items()
        if (n := sum(f.stamp == stamp for f in verification.findings))
    )
    source = f" Source: {verification.source}." if verification.source else ""
    summary = f"{total} published numbers were recomputed, each with its error: {stamps(verification)}.{source}"
    section = Section(
        "The claims",
        "A claim is confirmed if it is what was found, to the digits it was published with; refuted if it "
        "is not; where the claim or the computation leaves room, the verdict is that one cannot tell.",
        (claims_table(verification),),
    )
    foot = made(key=key, seconds=seconds, clock="CPU")
    return render(Page(verification.title, summary, facts, (section,), foot))


# Published numbers and what they should be, as a table.

_STYLES = {"confirmed": "green", "refuted": "bold red", "cannot tell": "yellow"}


def page(found: Verification) -> Iterator[str | Table]:
    """Yields the table of findings, what there is to say about them, and the count of stamps."""
    yield print_table(
        ("claim", "claimed", "recomputed", "quantity", "verdict"),
        [_row(f) for f in found.findings],
        right=(1,),
    )
    remarks: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.remark:
            remarks.setdefault(finding.remark, []).append(finding.claim)
    if remarks:
        yield ""
    for remark, claims in remarks.items():
        names = ", ".join(dict.fromkeys(claims))
        yield line(f"{names}: {remark}", indent="  ")
    yield ""
    yield count(found)


def count(found: Verification) -> str:
    """Returns how many findings have each stamp, in words."""
    stamps = [f.stamp for f in found.findings]
    return ", ".join(f"{stamps.count(stamp)} {stamp}" for stamp in _STYLES)


def _row(finding: Finding) -> list[str | Text]:
    claim = finding.claim + (f" (read: {finding.reading})" if finding.reading else "")
    of = "" if finding.found is None else finding.found.direction
    return [
        claim,
        "" if finding.claimed is None else f"{finding.claimed:g}",
        "not computed" if finding.found is None else figure(finding.found),
        "" if finding.claim.endswith(of) else of,
        Text(finding.stamp, style=_STYLES[finding.stamp]),
    ]


# `kullback doctor`: is this installation right?

_PACKAGES = ("numpy", "scipy", "polars", "jax", "numpyro", "torch")


def _check_row(check: Check) -> list[str | Text]:
    stamp = Text("ok", style="green") if check.passed else Text("WRONG", style="bold red")
    found = "none" if check.found is None else f"{check.found.value:.10g}"
    return [stamp, check.name, f"{check.expected:.10g}", found, check.detail]
