"""`kullback fit`: the closest member of a family, in a direction that must be said."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.table import Table

from kullback._core.errors import InputError
from kullback.api import _fit as api
from kullback.cli import _optima, _output, _progress, _saving, _units
from kullback.cli._arguments import columns_of, is_file
from kullback.cli._components import components
from kullback.cli._numbers import near
from kullback.cli._options import Output, Unit
from kullback.distributions._base import Distribution
from kullback.io import find_table, format_distribution, parse
from kullback.reports import fit_report
from kullback.results._fit import Direction, Fit
from kullback.targets import Samples

_NO_DIRECTION = (
    "--direction is missing, and there is no default. Say --direction forward to minimise "
    "KL(p||q): q covers all of p (maximum likelihood; data need it). Say --direction reverse to "
    "minimise KL(q||p): q seeks a part of p that it can match (p must be an expression)"
)
_NO_FAMILY = (
    "--family is missing: say --family mixture:2 for two Gaussians, full_rank for one, "
    "mean_field for one with independent columns, or the name of a family such as gamma"
)


@final
@dataclass(frozen=True)
class Asked:
    """The options of a fit, as typed."""

    family: str | None
    direction: Direction | None
    columns: str | None
    starts: int | None
    key: int


def run(data: str, asked: Asked, report: Path | None, *, unit: Unit, output: Output) -> int:
    """Prints the fit and returns the exit code."""
    if asked.direction is None:
        raise InputError(_NO_DIRECTION)
    if asked.family is None:
        raise InputError(_NO_FAMILY)
    _saving.check_place(report)
    target = _target(data, asked.columns)
    with _progress.descents("fitting", quiet=output.quiet or output.json) as watch:
        found = api.fit(
            target,
            asked.family,
            direction=asked.direction,
            starts=asked.starts,
            key=asked.key,
            watch=watch,
        )
    shown = _units.of_fit(found, unit)
    where = None if report is None else _saving.save(report, _html(shown, target, asked.key))
    if output.json:
        body = {"data": data, **shown.as_dict(format_distribution)}
        _output.show_json("fit", {**body, "report": None if report is None else str(report)})
    else:
        _output.show([*_page(data, target, shown), *([where] if where else [])])
    if found.interrupted:
        return 130
    return 3 if found.divergence.kind == "unresolved" else 0


def _target(data: str, columns: str | None) -> Samples | Distribution:
    if is_file(data):
        table = columns_of(find_table(data), columns)
        return Samples(table.values, columns=table.columns)
    if columns is not None:
        raise InputError(f"--columns {columns}: {data} is an expression, not a file with columns")
    return parse(data)


def _html(found: Fit, target: Samples | Distribution, key: int) -> str:
    if isinstance(target, Samples):
        return fit_report(
            found, None, target.values, target.columns, weights=target.weights, key=key
        )
    return fit_report(found, target, key=key)


def _page(data: str, target: Samples | Distribution, found: Fit) -> Iterator[str | Table]:
    names = target.columns if isinstance(target, Samples) else _names(found)
    if isinstance(target, Samples):
        yield _output.line(
            f"p: {len(target.values)} rows of {', '.join(names)} ({data})", indent="   "
        )
    else:
        yield _output.clean(f"p = {format_distribution(target)}")
    yield f"{found.direction} fit of {found.family}, minimising {_minimised(found)}"
    yield ""
    yield _output.clean(f"q = {format_distribution(found.q)}")
    table = _components(found, names)
    if table is not None:
        yield ""
        yield table
    yield ""
    yield f"minimised:  {found.divergence}"
    for other in (found.forward_kl, found.reverse_kl):
        if other is not None and other.direction != found.divergence.direction:
            yield f"the other:  {other}"
    if found.held_out is not None:
        yield f"held-out log-likelihood a row:  {found.held_out}"
    yield ""
    yield f"local optima, from {found.starts} start{'' if found.starts == 1 else 's'}"
    yield _optima.table(found)
    yield ""
    for note in (*found.notes, *found.divergence.notes):
        yield _output.line(f"note: {note}", indent="  ")


def _minimised(found: Fit) -> str:
    words = {
        "forward": "KL(p||q): q must cover all of p",
        "reverse": "KL(q||p): q seeks a part of p that it can match",
    }
    return words[found.direction]


def _names(found: Fit) -> tuple[str, ...]:
    d = found.q.support.dimension
    return tuple(f"x{i + 1}" for i in range(d)) if d else ("x",)


def _components(found: Fit, names: tuple[str, ...]) -> Table | None:
    parts = components(found.q)
    if not parts:
        return None
    rows = [
        [
            str(k + 1) if first else "",
            f"{c.weight:.4f}" if first else "",
            name,
            near(m, s),
            near(s, s),
        ]
        for k, c in enumerate(parts)
        for first, name, m, s in zip(
            (True, *[False] * (len(names) - 1)), names, c.means, c.sds, strict=True
        )
    ]
    return _output.table(("component", "weight", "column", "mean", "sd"), rows, right=(0, 1, 3, 4))
