"""The report on the demonstration: one target, both directions, everything that differs."""

from kullback.reports._components import describe
from kullback.reports._densities import Backdrop, Curve, densities, of_density, snapshots
from kullback.reports._descents import descent, gaps_to_density
from kullback.reports._figures import Band, Block, Figure, Gallery, Page, Section
from kullback.reports._html import render
from kullback.reports._integrands import integrand
from kullback.reports._making import covers, fact, family, made
from kullback.reports._numbers import sentence
from kullback.reports._optima import optima_gallery, optima_table
from kullback.reports._tables import (
    claims_table,
    coverage_table,
    directions_table,
    regions_table,
    stamps,
)
from kullback.results._demo import Demo
from kullback.results._fit import Fit


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
            optima_table(fit, describe, f"{name} fit: optima of {fit.divergence.direction}")
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
