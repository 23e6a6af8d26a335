"""`kullback demo`: three modes, two components, both directions."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from kullback.api import _demo as api
from kullback.cli import _findings, _optima, _output, _progress, _saving, _units
from kullback.cli._components import components
from kullback.cli._numbers import figure, share, short
from kullback.cli._options import Output, Unit, check_starts
from kullback.io import format_distribution
from kullback.reports import demo_report
from kullback.results._demo import Coverage, Demo
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit


def run(report: Path | None, *, starts: int, key: int, unit: Unit, output: Output) -> int:
    """Prints the experiment and returns the exit code."""
    check_starts(starts)
    _saving.check_place(report)
    with _progress.descents("fitting both directions", quiet=output.quiet or output.json) as watch:
        found = api.demo(starts=starts, key=key, watch=watch)
    where = None if report is None else _saving.save(report, demo_report(found, key=key))
    if output.json:
        body = {**_as_dict(found, unit), "report": None if report is None else str(report)}
        _output.show_json("demo", body)
    else:
        _output.show([*_page(found, unit), *([where] if where else [])])
    return 130 if found.forward.interrupted or found.reverse.interrupted else 0


def _page(found: Demo, unit: Unit) -> Iterator[str | Table]:
    forward, reverse = (_units.of_fit(f, unit) for f in (found.forward, found.reverse))
    yield f"target p = {format_distribution(found.target)}"
    yield "model  q = two Gaussians"
    yield ""
    yield _bests(forward, reverse, unit)
    yield f"forward {_does(found.forward_cover)}; reverse {_does(found.reverse_cover)}"
    yield ""
    yield from _others(forward, reverse)
    yield from _covers(found)
    yield ""
    yield _output.line(
        "The two values are not on one scale: each direction weighs the same errors differently. "
        f"The forward fit has KL(q||p) = {_value(forward.reverse_kl)}, the reverse fit has "
        f"KL(p||q) = {_value(reverse.forward_kl)}: each wins in its own direction only."
    )
    yield ""
    yield "the article's numbers, recomputed:"
    yield from _findings.page(found.claims)
    yield ""
    yield f"{found.seconds:.1f} s of CPU time"


def _bests(forward: Fit, reverse: Fit, unit: Unit) -> Table:
    rows = [
        [
            f"{fit.direction} {fit.divergence.direction}",
            figure(fit.divergence, unit=False),
            *_optima.parameters(components(fit.q)),
        ]
        for fit in (forward, reverse)
    ]
    headers = ("direction", f"best, {unit.units}", *_optima.PARAMETERS)
    return _output.table(headers, rows)


def _does(cover: Coverage) -> str:
    if not cover.dropped:
        return "covers all modes"
    lost = ", ".join(m.name for m in cover.modes if m.verdict == "dropped")
    return f"drops the {lost} ({share(cover.dropped)} of p)"


def _others(forward: Fit, reverse: Fit) -> Iterator[str | Table]:
    yield f"all local optima, and how many of the {forward.starts} starts reached each:"
    for fit in (forward, reverse):
        yield _optima.table(fit, twin="mirror image")
        yield ""


def _covers(found: Demo) -> Iterator[str | Table]:
    pairs = zip(found.forward_cover.modes, found.reverse_cover.modes, strict=True)
    yield "how much of each mode's region the fits hold:"
    yield _output.table(
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
    yield _output.line(f"price of the dropped mode: {found.price}", indent="  ")


def _value(estimate: Estimate | None) -> str:
    if estimate is None:
        return "unknown"
    return f"{short(estimate.value)} ± {estimate.standard_error:.1e}"


def _as_dict(found: Demo, unit: Unit) -> dict[str, object]:
    forward, reverse = (_units.of_fit(f, unit) for f in (found.forward, found.reverse))
    return {
        "target": format_distribution(found.target),
        "forward": {
            **forward.as_dict(format_distribution),
            "coverage": asdict(found.forward_cover),
            "contributions": _units.of_contributions(found.forward_parts, unit).as_dict(),
        },
        "reverse": {
            **reverse.as_dict(format_distribution),
            "coverage": asdict(found.reverse_cover),
            "contributions": _units.of_contributions(found.reverse_parts, unit).as_dict(),
        },
        "price": unit.of(found.price).as_dict(),
        "claims": found.claims.as_dict(),
        "seconds": found.seconds,
    }
