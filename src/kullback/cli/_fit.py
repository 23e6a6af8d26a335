"""`kullback fit`: the closest member of a family, in a direction that must be said."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from rich.table import Table
from rich.text import Text

from kullback._core.errors import InputError
from kullback.api import _fit as api
from kullback.api._coerce import distribution
from kullback.api._extremes import extremes_told
from kullback.cli import (
    _keeping,
    _optima,
    _output,
    _posterior,
    _progress,
    _sample_fit,
    _saving,
    _selection,
    _units,
)
from kullback.cli._arguments import expression, is_rows, names_of
from kullback.cli._models import is_model, model, source_of
from kullback.cli._numbers import near
from kullback.cli._options import Fitting, Output, Unit, check_starts
from kullback.cli._parts import parts
from kullback.distributions._base import Distribution
from kullback.families import FullRank, LowRank, MeanField, parse_family
from kullback.io import format_distribution
from kullback.io._peek import some_rows
from kullback.io._scan import read_rows
from kullback.reports import fit_report
from kullback.results._fit import Fit
from kullback.targets import LogDensity, Samples, Stream, Unconstrained

_NO_DIRECTION = (
    "--direction is missing, and there is no default. Say --direction forward to minimise "
    "KL(p||q): q covers all of p (maximum likelihood, if p is data). Say --direction reverse to "
    "minimise KL(q||p): q seeks a part of p that it can match (if p is data, by way of a mixture "
    "fitted to them, or of a critic with --solver adversarial)"
)
_NO_FAMILY = (
    "--family is missing: say --family mixture:2 for two Gaussians, full_rank for one, "
    "mean_field for one with independent columns, or the name of a family such as gamma"
)
#: Rows of a stream that are drawn in the report.
_DRAWN = 20_000


@final
@dataclass(frozen=True, eq=False)
class _Target:
    """What is fitted.

    Attributes:
        given: as `api.fit` takes it.
        dropped: rows that were left out because of missing cells.
    """

    given: Samples | Stream | Distribution | LogDensity | Unconstrained
    dropped: int = 0

    def known(self) -> Samples | Stream | Distribution | None:
        """Returns it for pages that compute with it; None if there is no such thing."""
        if isinstance(self.given, LogDensity):
            return distribution(self.given, "p")
        return None if isinstance(self.given, Unconstrained) else self.given


def run(asked: Fitting, report: Path | None, *, unit: Unit, output: Output) -> int:
    """Prints the fit and returns the exit code."""
    if asked.direction is None:
        raise InputError(_NO_DIRECTION)
    check_starts(asked.starts)
    if asked.family is None and not (is_model(asked.data) and asked.direction == "reverse"):
        raise InputError(_NO_FAMILY)
    _saving.check_place(report, inputs=(source_of(asked.data),))
    checkpoint = _keeping.checkpoint(asked.keeping, source_of(asked.data))
    with _opened(asked) as target:
        found = _named(_fitted(target, asked, checkpoint, output), target.given)
        kept = _keeping.keep(found, asked.keeping, checkpoint)
        shown = _posterior.as_typed(_units.of_fit(found, unit))
        page = None if output.json else list(_page(asked.data, target, shown))
        html = None if report is None else _html(shown, target, asked.key)
    where = None if report is None or html is None else _saving.save(report, html)
    if page is None:
        body = {"data": asked.data, **_as_dict(shown)}
        files = {"report": report, "out": asked.keeping.out}
        names = {k: None if v is None else str(v) for k, v in files.items()}
        _output.show_json("fit", {**body, "dropped": target.dropped, **names})
    else:
        _output.show([*page, *(line for line in (where, kept) if line)])
    return _code(found)


def _fitted(target: _Target, asked: Fitting, checkpoint: Path | None, output: Output) -> Fit:
    assert asked.direction is not None
    with _progress.descents("fitting", quiet=output.quiet or output.json) as watch:
        return api.fit(
            target.given,
            asked.family or "auto",
            direction=asked.direction,
            starts=asked.starts,
            key=asked.key,
            watch=watch,
            checkpoint=checkpoint,
            solver=asked.solver,
        )


def _named(found: Fit, given: object) -> Fit:
    """Returns a fit that knows the columns it was fitted to."""
    if not isinstance(given, (Samples, Stream)):
        return found
    labels = given.labels if any(given.labels) else ()
    return replace(found, columns=found.columns or given.columns, labels=found.labels or labels)


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
    elif is_rows(data):
        read = read_rows(
            data,
            columns=names_of(columns) or None,
            weights=asked.reading.weights,
            counts=names_of(asked.counts),
            missing=asked.reading.absent,
        )
        target = _Target(read) if isinstance(read, Stream) else _Target(read.samples, read.dropped)
        _refuse_categories(target.given, asked.family)
        yield target
    elif columns is not None:
        raise InputError(f"--columns {columns}: {data} is an expression, not a file with columns")
    else:
        with extremes_told(p=data):
            yield _Target(expression(data))


def _refuse_categories(given: object, family: str | None) -> None:
    """Raises InputError for a category where only numbers have a place: not in mixtures."""
    gaussian = isinstance(parse_family(family or ""), (MeanField, FullRank, LowRank))
    if not gaussian or not isinstance(given, (Samples, Stream)):
        return
    for name, labels in zip(given.columns, given.labels, strict=True):
        if labels:
            raise InputError(
                f"column {name!r} is not numeric ({', '.join(labels[:3])} ...), and {family} is a "
                f"family for numbers; say --family mixture:1, which treats it, or name the others "
                "with --columns"
            )


def _html(found: Fit, target: _Target, key: int) -> str:
    p = None if found.posterior is not None else target.known()
    if isinstance(p, (Samples, Stream)):
        values, weights = _shown_rows(p)
        if not len(values):
            return fit_report(found, columns=p.columns, key=key)
        return fit_report(found, None, values, p.columns, weights=weights, key=key)
    return fit_report(found, p, key=key)


def _shown_rows(p: Samples | Stream) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the rows that are drawn: those without missing cells, of a stream not all."""
    if isinstance(p, Stream):
        values, weights = some_rows(p, _DRAWN, np.random.default_rng(0))
    else:
        values, weights = p.values, p.weights
    whole = ~np.isnan(values).any(axis=1)
    return values[whole], None if weights is None else weights[whole]


def _as_dict(found: Fit) -> dict[str, object]:
    if found.posterior is not None:
        return _posterior.as_dict(found)
    return found.as_dict(format_distribution)


def _page(data: str, given: _Target, found: Fit) -> Iterator[str | Text | Table]:
    if found.posterior is not None:
        yield from _posterior.page(data, found)
        return
    target = given.known()
    names = target.columns if isinstance(target, (Samples, Stream)) else _names(found)
    if isinstance(target, Stream):
        yield _output.line(f"p: rows of {', '.join(names)} ({data}, in pieces)", indent="   ")
    elif isinstance(target, Samples):
        less = f"; {given.dropped:,} with missing cells left out" if given.dropped else ""
        yield _output.line(
            f"p: {len(target.values)} rows of {', '.join(names)} ({data}{less})", indent="   "
        )
    else:
        p = data if target is None or is_model(data) else format_distribution(target)
        yield f"p = {p}"
    yield f"{found.direction} fit of {found.family}, minimising {_minimised(found)}"
    yield ""
    yield f"q = {format_distribution(found.q)}"
    table = _sample_fit.parameters(found) or _components(found, names)
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
    yield from _sample_fit.lines(found)
    if found.selection is not None:
        yield ""
        yield from _selection.page(found.selection)
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
    return tuple(f"x{i}" for i in range(d)) if d else ("x",)


def _components(found: Fit, names: tuple[str, ...]) -> Table | None:
    shown = parts(found.q, names, found.labels)
    if not shown:
        return None
    heavy, labelled = any(p.df < math.inf for p in shown), any(p.labels for p in shown)
    rows = [
        [
            *((f"{p.component}", f"{p.weight:.4f}") if p.column == names[0] else ("", "")),
            p.column,
            "" if p.mean is None or p.sd is None else near(p.mean, p.sd),
            "" if p.sd is None else near(p.sd, p.sd),
            *([f"{p.df:.3g}" if p.column == names[0] else ""] if heavy else []),
            *([p.labels] if labelled else []),
        ]
        for p in shown
    ]
    more = (*(("df",) if heavy else ()), *(("labels",) if labelled else ()))
    right = (0, 1, 3, 4, 5) if heavy else (0, 1, 3, 4)
    return _output.table(("component", "weight", "column", "mean", "sd", *more), rows, right=right)
