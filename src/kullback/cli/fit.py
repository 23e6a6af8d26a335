"""`kullback fit`, and the data that it is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from kullback.api.extremes import extremes_told
from kullback.api.fit import fit as fit_to
from kullback.cli import workers
from kullback.cli.answer import File, answer, progress, report_file, report_of
from kullback.cli.inputs import (
    check_place,
    checkpoint,
    expression,
    is_model,
    is_rows,
    keep,
    kinds_of,
    model,
    names_of,
    source_of,
)
from kullback.cli.options import (
    Fitting,
    Keeping,
    Output,
    ReadingOptions,
    Unit,
    Working,
    check_starts,
    typed,
)
from kullback.core.errors import InputError
from kullback.core.executor import Executor
from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.families import FullRank, LowRank, MeanField, parse_family, recipe_of
from kullback.inputs.given import distribution
from kullback.inputs.stream import read_rows, some_rows
from kullback.inputs.target import read
from kullback.render.document import Document
from kullback.results.fit import Fit
from kullback.results.posterior import Diagnosis
from kullback.results.quantity import Sentence
from kullback.routes.table import choose
from kullback.tables.rows import RowColumns
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


def fit(
    data: str, how: Fitting, reading: ReadingOptions, keeping: Keeping, working: Working, report: Path | None, *,
    unit: Unit, output: Output,
) -> int:  # fmt: skip
    """Prints the fit and returns the exit code."""
    if how.direction is None:
        raise InputError(_NO_DIRECTION)
    check_starts(how.starts)
    if how.family is None and not is_model(data):
        raise InputError(_NO_FAMILY)
    check_place(report, inputs=(source_of(data),))
    place = checkpoint(keeping, source_of(data))
    files = (report_file(report), File("out", "fit", keeping.out))
    with opened(data, how, reading, in_pieces=working.elsewhere) as target:
        place = _used(place, target, how, keeping)
        with workers.opened(working.workers, working.scheduler) as executor:
            fitted = _named(_fitted(target, how, place, output, executor), target.given)
        keep(fitted, keeping, place)
        shown = as_typed(unit.of(fitted))
        document = _document(
            target, shown, target.words(data), key=how.key, drawn=report is not None
        )
        page = None if report is None else report_of(document, files)
    values = document.values
    document = replace(
        document, values=lambda: {"data": data, **values(), "dropped": target.dropped}
    )
    return answer("fit", document, output, files=files, page=page, status=fitted.status)


@final
@dataclass(frozen=True, eq=False)
class FitInput:
    """What is fitted.

    Attributes:
        given: as `api.fit` takes it.
        dropped: rows that were left out because of missing cells.
    """

    given: Samples | Stream | Distribution | LogDensity | Unconstrained
    dropped: int = 0

    def words(self, data: str) -> str:
        """Returns it in words, of what was typed."""
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


def _fitted(
    target: FitInput, how: Fitting, place: Path | None, output: Output, executor: Executor | None
) -> Fit:
    assert how.direction is not None
    with progress("fitting", output) as watch:
        return fit_to(
            target.given, how.family or "auto", direction=how.direction, starts=how.starts, key=how.key,
            progress=watch, checkpoint=place, solver=how.solver, given=names_of(how.given),
            executor=executor,
        )  # fmt: skip


def _used(place: Path | None, target: FitInput, how: Fitting, keeping: Keeping) -> Path | None:
    """Returns where results on the way are kept: beside --out only where the route keeps any."""
    if place is None or keeping.checkpoint is not None or keeping.resume:
        return place
    assert how.direction is not None
    recipe, p = recipe_of(how.family or "auto"), read(target.given)
    route = choose(p, recipe, how.direction, how.solver, given=how.given is not None)
    return place if "checkpoint" in route.options else None


def _named(fitted: Fit, given: object) -> Fit:
    """Returns a fit that knows the columns it was fitted to."""
    if not isinstance(given, (Samples, Stream)):
        return fitted
    labels = given.labels if any(given.labels) else ()
    return replace(fitted, columns=fitted.columns or given.columns, labels=fitted.labels or labels)


@contextmanager
def opened(
    data: str, how: Fitting, reading: ReadingOptions, *, in_pieces: bool = False
) -> Iterator[FitInput]:
    """Yields what an argument stands for: a log density of a Python file, rows, or an expression."""
    columns = how.columns
    if is_model(data):
        if columns is not None:
            raise InputError(f"--columns {columns}: {data} is a log density, not a file of rows")
        with model(data) as given:
            yield FitInput(given)
    elif is_rows(data):
        read = read_rows(
            data,
            columns=names_of(columns) or None,
            apart=RowColumns(**reading.apart),
            kinds={**dict.fromkeys(names_of(how.counts), "count"), **kinds_of(reading.kind)},
            missing=reading.absent,
            in_pieces=in_pieces,
        )
        target = (
            FitInput(read) if isinstance(read, Stream) else FitInput(read.samples, read.dropped)
        )
        _refuse_categories(target.given, how.family)
        yield target
    elif columns is not None:
        raise InputError(f"--columns {columns}: {data} is an expression, not a file with columns")
    else:
        with extremes_told(p=data):
            yield FitInput(expression(data))


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


def _document(target: FitInput, shown: Fit, source: str, *, key: int, drawn: bool) -> Document:
    """Returns what is said of a fit; with what pictures of p need, if they are drawn."""
    p = target.given
    if isinstance(p, (Samples, Stream)):
        values, weights = _shown_rows(p) if drawn else (None, None)
        values = None if values is None or not len(values) else values
        return fit_document(shown, None, values, p.columns, weights=weights, source=source, key=key)
    if isinstance(p, LogDensity) and shown.posterior is None and drawn:
        p = distribution(p, "p")
    known = p if isinstance(p, Distribution) else None
    return fit_document(shown, known, source=source, key=key)


def _shown_rows(p: Samples | Stream) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the rows that are drawn: those without missing cells, of a stream not all."""
    if isinstance(p, Stream):
        values, weights = some_rows(p, _DRAWN, np.random.default_rng(0))
    else:
        values, weights = p.values, p.weights
    whole = ~np.isnan(values).any(axis=1)
    return values[whole], None if weights is None else weights[whole]


def as_typed(fit: Fit) -> Fit:
    """Returns a fit whose remedies are spelled as they are typed here."""
    fit = replace(fit, notes=tuple(n if isinstance(n, Sentence) else typed(n) for n in fit.notes))
    if fit.posterior is None:
        return fit
    diagnosis = typed_diagnosis(fit.posterior.diagnosis)
    return replace(fit, posterior=replace(fit.posterior, diagnosis=diagnosis))


def typed_diagnosis(told: Diagnosis) -> Diagnosis:
    """Returns findings whose remedies are spelled as they are typed here."""
    findings = tuple(replace(f, remedy=typed(f.remedy)) for f in told.findings)
    return Diagnosis(findings, typed(told.unseen))
