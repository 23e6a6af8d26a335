"""`kullback fit`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from kullback.api.extremes import extremes_told
from kullback.api.fit import fit
from kullback.cli.answer import File, answer
from kullback.cli.inputs import (
    check_place,
    expression,
    is_model,
    is_rows,
    keep,
    kinds_of,
    model,
    names_of,
    source_of,
)
from kullback.cli.inputs import checkpoint as inputs_checkpoint
from kullback.cli.options import EXIT_CODES, Fitting, Output, check_starts, typed
from kullback.cli.progress import descents
from kullback.core.errors import InputError
from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.families import FullRank, LowRank, MeanField, parse_family
from kullback.inputs.given import distribution
from kullback.inputs.stream import read_rows, some_rows
from kullback.render.document import Document
from kullback.render.html import render
from kullback.results.fit import Fit
from kullback.results.posterior import Diagnosis
from kullback.results.quantity import Sentence
from kullback.results.units import Unit
from kullback.targets import LogDensity, Samples, Stream, Unconstrained
from kullback.views.fit import fit_document

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
        keep(found, asked.keeping, checkpoint)
        shown = astyped(unit.of(found))
        document = _document(asked, target, shown, drawn=report is not None)
        page = None if report is None else render(document)
    values = document.values
    document = replace(
        document, values=lambda: {"data": asked.data, **values(), "dropped": target.dropped}
    )
    files = (File("report", "report", report), File("out", "fit", asked.keeping.out))
    answer("fit", document, output, files=files, page=page)
    return EXIT_CODES[found.status]


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

    def source(self, data: str) -> str:
        """Returns it in words."""
        match self.given:
            case Stream(columns=columns):
                return f"p: rows of {', '.join(columns)} ({data}, in pieces)"
            case Samples(values=values, columns=columns):
                less = f"; {self.dropped:,} with missing cells left out" if self.dropped else ""
                return f"p: {len(values)} rows of {', '.join(columns)} ({data}{less})"
            case Distribution():
                return f"p = {format_distribution(self.given)}"
            case _:
                return f"p: {data}"


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
            kinds={
                **dict.fromkeys(names_of(asked.counts), "count"),
                **kinds_of(asked.reading.kind),
            },
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


def _document(asked: Fitting, target: _Target, found: Fit, *, drawn: bool) -> Document:
    """Returns what is said of a fit; with what pictures of p need, if they are drawn."""
    p, source = target.given, target.source(asked.data)
    if isinstance(p, (Samples, Stream)):
        values, weights = _shown_rows(p) if drawn else (None, None)
        if values is not None and not len(values):
            values = None
        return fit_document(
            found, None, values, p.columns, weights=weights, source=source, key=asked.key
        )
    if isinstance(p, LogDensity) and found.posterior is None and drawn:
        p = distribution(p, "p")
    known = p if isinstance(p, Distribution) else None
    return fit_document(found, known, source=source, key=asked.key)


def _shown_rows(p: Samples | Stream) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the rows that are drawn: those without missing cells, of a stream not all."""
    if isinstance(p, Stream):
        values, weights = some_rows(p, _DRAWN, np.random.default_rng(0))
    else:
        values, weights = p.values, p.weights
    whole = ~np.isnan(values).any(axis=1)
    return values[whole], None if weights is None else weights[whole]


def astyped(fit: Fit) -> Fit:
    """Returns a fit whose remedies are spelled as they are typed here."""
    fit = replace(fit, notes=tuple(n if isinstance(n, Sentence) else typed(n) for n in fit.notes))
    if fit.posterior is None:
        return fit
    told = fit.posterior.diagnosis
    findings = tuple(replace(f, remedy=typed(f.remedy)) for f in told.findings)
    made = Diagnosis(findings, typed(told.unseen))
    return replace(fit, posterior=replace(fit.posterior, diagnosis=made))
