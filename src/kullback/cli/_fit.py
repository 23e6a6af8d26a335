"""`kullback fit`: the closest member of a family, in a direction that must be said."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.table import Table
from rich.text import Text

from kullback._core.errors import InputError
from kullback.api import _fit as api
from kullback.api._coerce import distribution
from kullback.cli import _optima, _output, _posterior, _progress, _saving, _units
from kullback.cli._arguments import columns_of, is_file
from kullback.cli._components import components
from kullback.cli._models import is_model, model
from kullback.cli._numbers import near
from kullback.cli._options import Fitting, Output, Unit
from kullback.distributions._base import Distribution
from kullback.io import find_table, format_distribution, parse
from kullback.reports import fit_report
from kullback.results._fit import Fit
from kullback.targets import LogDensity, Samples, Unconstrained

_NO_DIRECTION = (
    "--direction is missing, and there is no default. Say --direction forward to minimise "
    "KL(p||q): q covers all of p (maximum likelihood; data need it). Say --direction reverse to "
    "minimise KL(q||p): q seeks a part of p that it can match (p must be an expression or a log "
    "density in a Python file)"
)
_NO_FAMILY = (
    "--family is missing: say --family mixture:2 for two Gaussians, full_rank for one, "
    "mean_field for one with independent columns, or the name of a family such as gamma"
)


@final
@dataclass(frozen=True, eq=False)
class _Target:
    """What is fitted."""

    given: Samples | Distribution | LogDensity | Unconstrained

    def known(self) -> Samples | Distribution | None:
        """Returns it for pages that compute with it; None if there is no such thing."""
        if isinstance(self.given, LogDensity):
            return distribution(self.given, "p")
        return None if isinstance(self.given, Unconstrained) else self.given


def run(asked: Fitting, report: Path | None, *, unit: Unit, output: Output) -> int:
    """Prints the fit and returns the exit code."""
    if asked.direction is None:
        raise InputError(_NO_DIRECTION)
    if asked.family is None and not (is_model(asked.data) and asked.direction == "reverse"):
        raise InputError(_NO_FAMILY)
    _saving.check_place(report)
    with _opened(asked) as target:
        found = _fitted(target, asked, output)
        shown = _posterior.as_typed(_units.of_fit(found, unit))
        page = None if output.json else list(_page(asked.data, target, shown))
        html = None if report is None else _html(shown, target, asked.key)
    where = None if report is None or html is None else _saving.save(report, html)
    if page is None:
        body = {"data": asked.data, **_as_dict(shown)}
        _output.show_json("fit", {**body, "report": None if report is None else str(report)})
    else:
        _output.show([*page, *([where] if where else [])])
    return _code(found)


def _fitted(target: _Target, asked: Fitting, output: Output) -> Fit:
    assert asked.direction is not None
    with _progress.descents("fitting", quiet=output.quiet or output.json) as watch:
        return api.fit(
            target.given,
            asked.family or "auto",
            direction=asked.direction,
            starts=asked.starts,
            key=asked.key,
            watch=watch,
        )


def _code(found: Fit) -> int:
    if found.interrupted:
        return 130
    if found.posterior is not None:
        return 3 if found.posterior.diagnosis.verdict == "do not use" else 0
    return 3 if found.divergence.kind == "unresolved" else 0


@contextmanager
def _opened(asked: Fitting) -> Iterator[_Target]:
    data, columns = asked.data, asked.columns
    if is_model(data):
        if columns is not None:
            raise InputError(f"--columns {columns}: {data} is a log density, not a file of rows")
        with model(data) as given:
            yield _Target(given)
    elif is_file(data):
        table = columns_of(find_table(data), columns)
        yield _Target(Samples(table.values, columns=table.columns))
    elif columns is not None:
        raise InputError(f"--columns {columns}: {data} is an expression, not a file with columns")
    else:
        yield _Target(parse(data))


def _html(found: Fit, target: _Target, key: int) -> str:
    p = None if found.posterior is not None else target.known()
    if isinstance(p, Samples):
        return fit_report(found, None, p.values, p.columns, weights=p.weights, key=key)
    return fit_report(found, p, key=key)


def _as_dict(found: Fit) -> dict[str, object]:
    if found.posterior is not None:
        return _posterior.as_dict(found)
    return found.as_dict(format_distribution)


def _page(data: str, given: _Target, found: Fit) -> Iterator[str | Text | Table]:
    if found.posterior is not None:
        yield from _posterior.page(data, found)
        return
    target = given.known()
    names = target.columns if isinstance(target, Samples) else _names(found)
    if isinstance(target, Samples):
        yield _output.line(
            f"p: {len(target.values)} rows of {', '.join(names)} ({data})", indent="   "
        )
    else:
        p = data if target is None or is_model(data) else format_distribution(target)
        yield _output.clean(f"p = {p}")
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
