"""`kullback kl`: both directions, side by side."""

import time
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from kullback._core.errors import InputError, UnsupportedError
from kullback.api._coerce import distribution
from kullback.api._explain import explain
from kullback.cli import _output, _saving
from kullback.cli._arguments import Given, given
from kullback.cli._numbers import figure
from kullback.cli._options import Measuring, Output, Unit
from kullback.cli._sides import Side, Sides, both
from kullback.cli._units import of_contributions
from kullback.distributions._base import Distribution
from kullback.reports import kl_report
from kullback.results._contributions import Contributions
from kullback.results._estimate import Estimate

_MEAN = {"forward": "under p", "reverse": "under q"}
_PUNISHES = {"forward": "q for missing what p has", "reverse": "q for having what p lacks"}


def run(
    p: str,
    q: str,
    how: Measuring,
    *,
    max_kl: float | None,
    report: Path | None,
    unit: Unit,
    output: Output,
) -> int:
    """Prints both directions and returns the exit code."""
    _check(how, max_kl, report)
    _saving.check_place(report, inputs=(p, q))
    left, right = given(p, "p"), given(q, "q")
    sides = both(left.value, right.value, how, unit)
    gate = _gate(sides.forward.value, max_kl)
    where = None if report is None else _reported(report, left, right, sides, how, unit)
    if output.json:
        _output.show_json("kl", _as_dict(left, right, sides, max_kl, gate, report))
    else:
        page = [*_page(left, right, sides), *_verdict(sides.forward.value, max_kl, gate)]
        _output.show([*page, *([where] if where else [])])
    return gate if gate is not None else _trust(sides)


def _check(how: Measuring, max_kl: float | None, report: Path | None) -> None:
    if max_kl is not None and not max_kl >= 0.0:
        raise InputError(f"--max-kl {max_kl:g}: the largest KL allowed is 0 or more")
    if max_kl is not None and how.kind is not None:
        raise InputError("--max-kl is about KL(p||q): leave out --kind")
    if report is not None and (how.kind is not None or how.dx is not None):
        raise InputError("--report is about KL between distributions: leave out --kind and --dx")


def _gate(value: Estimate, max_kl: float | None) -> int | None:
    """The exit code of the gate; None without one."""
    if max_kl is None:
        return None
    if value.kind == "unresolved":
        return 3
    return int(value.interval[1] > max_kl)


def _trust(sides: Sides) -> int:
    return 3 if any(s.value.kind == "unresolved" for s in sides.known) else 0


def _page(left: Given, right: Given, sides: Sides) -> Iterator[str | Table]:
    yield f"p = {left.words}"
    yield f"q = {right.words}"
    yield ""
    of_kl = sides.forward.value.quantity.startswith("kl")
    for side in sides.known:
        yield f"{side.name:<9} {side.value}" if of_kl else str(side.value)
    if sides.missing:
        yield _output.line(f"reverse   not computed: {sides.missing}", indent="          ")
    if of_kl:
        yield ""
        yield _output.table(("", *(s.name for s in sides.known)), _rows(sides.known))
    notes = _notes(sides.known)
    if notes:
        yield ""
        yield from notes


def _rows(sides: tuple[Side, ...]) -> list[list[str]]:
    values = [s.value for s in sides]
    rows = [
        ["", *(v.direction for v in values)],
        ["in nats", *(figure(v.nats, unit=False) for v in values)],
        ["in bits", *(figure(v.bits, unit=False) for v in values)],
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
    return [_output.line(f"note: {text}", indent="  ") for text in texts]


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
        **{s.name: s.as_dict() for s in sides.known},
        **({"reverse": None, "reverse_reason": sides.missing} if sides.missing else {}),
        "gate": None if gate is None else {"max_kl": max_kl, "passes": gate == 0},
        "report": None if report is None else str(report),
    }


def _reported(
    path: Path, left: Given, right: Given, sides: Sides, how: Measuring, unit: Unit
) -> str:
    if sides.reverse is None:
        raise InputError(f"--report: it needs both directions, but {sides.missing}")
    p = distribution(left.value, "p", normalize=how.normalize)
    q = distribution(right.value, "q", normalize=how.normalize)
    forward, reverse = _parts(p, q, sides.forward, unit), _parts(q, p, sides.reverse, unit)
    seconds = time.process_time()
    return _saving.save(path, kl_report(p, q, forward, reverse, key=how.key, seconds=seconds))


def _parts(p: Distribution, q: Distribution, side: Side, unit: Unit) -> Contributions | Estimate:
    """The regions where there are any, else the divergence as it was printed."""
    try:
        return of_contributions(explain(p, q), unit)
    except UnsupportedError:
        return side.value
