"""`kullback fit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from kullback.api.extremes import extremes_told
from kullback.api.fit import fit
from kullback.cli.inputs import (
    check_place,
    expression,
    is_model,
    is_rows,
    keep,
    model,
    names_of,
    save,
    source_of,
)
from kullback.cli.inputs import checkpoint as inputs_checkpoint
from kullback.cli.options import EXIT_CODES, Fitting, Output, check_starts
from kullback.cli.progress import descents
from kullback.core.errors import InputError
from kullback.families import FullRank, LowRank, MeanField, parse_family
from kullback.inputs.stream import read_rows, some_rows
from kullback.render.terminal import show, show_json
from kullback.results.fit import Fit
from kullback.results.units import Unit
from kullback.targets import Samples, Stream
from kullback.views.fit import _as_dict, _page, _Target, fit_report
from kullback.views.posterior import as_typed

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


def run(asked: Fitting, report: Path | None, *, unit: Unit, output: Output) -> int:
    """Prints the fit and returns the exit code."""
    if asked.direction is None:
        raise InputError(_NO_DIRECTION)
    check_starts(asked.starts)
    if asked.family is None and not (is_model(asked.data) and asked.direction == "reverse"):
        raise InputError(_NO_FAMILY)
    check_place(report, inputs=(source_of(asked.data),))
    checkpoint = inputs_checkpoint(asked.keeping, source_of(asked.data))
    with _opened(asked) as target:
        found = _named(_fitted(target, asked, checkpoint, output), target.given)
        kept = keep(found, asked.keeping, checkpoint)
        shown = as_typed(unit.of(found))
        page = None if output.json else list(_page(asked.data, target, shown))
        html = None if report is None else _html(shown, target, asked.key)
    where = None if report is None or html is None else save(report, html)
    if page is None:
        body = {"data": asked.data, **_as_dict(shown)}
        files = {"report": report, "out": asked.keeping.out}
        names = {k: None if v is None else str(v) for k, v in files.items()}
        show_json("fit", {**body, "dropped": target.dropped, **names})
    else:
        show([*page, *(line for line in (where, kept) if line)])
    return EXIT_CODES[found.status]


def _fitted(target: _Target, asked: Fitting, checkpoint: Path | None, output: Output) -> Fit:
    assert asked.direction is not None
    with descents("fitting", quiet=output.quiet or output.json) as watch:
        return fit(
            target.given,
            asked.family or "auto",
            direction=asked.direction,
            starts=asked.starts,
            key=asked.key,
            progress=watch,
            checkpoint=checkpoint,
            solver=asked.solver,
        )


def _named(found: Fit, given: object) -> Fit:
    """Returns a fit that knows the columns it was fitted to."""
    if not isinstance(given, (Samples, Stream)):
        return found
    labels = given.labels if any(given.labels) else ()
    return replace(found, columns=found.columns or given.columns, labels=found.labels or labels)


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
