"""Parts of results as data frames: one row to an optimum, a column, a finding, a region, a parameter."""

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np

from kullback.core.errors import InputError
from kullback.core.optional import need
from kullback.distributions.base import Distribution
from kullback.distributions.registry import row_of
from kullback.expressions.format import format_distribution
from kullback.results.batch import EstimateArray
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.views.components import parts as components

Row = dict[str, Any]
#: Libraries of frames, and what pip calls them.
_LIBRARIES = ("polars", "pandas", "pyarrow")
#: The part that is meant where none is named, if there is one of this name.
_MAIN = ("parameters", "columns", "findings", "regions", "under", "rows", "quantities", "estimates")


def frame_of(result: Any, part: str | None, library: str) -> Any:
    """Returns a part of a result as a frame; arguments as of `to_frame`."""
    if library not in _LIBRARIES:
        raise InputError(f'to_frame(library="{library}"): it is one of {", ".join(_LIBRARIES)}')
    found = _parts(result)
    name = part or next((n for n in _MAIN if n in found), next(iter(found), ""))
    if name not in found:
        raise InputError(
            f"a {type(result).__name__} has no {part!r}; it has {', '.join(found) or 'no rows'}"
        )
    need(library, "to_frame", library)
    narwhals = need("narwhals", "to_frame", "narwhals")
    return narwhals.from_dict(_columns(found[name]), backend=library).to_native()


def _parts(result: Any) -> dict[str, list[Row]]:
    """All that has rows, by name; a result without any is one row itself."""
    if isinstance(result, EstimateArray):
        places = np.ndindex(result.shape)
        return {"estimates": [{"place": str(list(at)), **_row(result[at])} for at in places]}
    found: dict[str, list[Row]] = {}
    if isinstance(result, Fit):
        found["parameters"] = _parameters(result)
    if not isinstance(result, Estimate):
        found |= {n: [_row(r) for r in rows] for n, rows in _lists(result) if n != "errors"}
        found["estimates"] = [{"name": n, **_row(e)} for n, e in _estimates(result)]
    found = {name: rows for name, rows in found.items() if rows}
    return found or {"estimate" if isinstance(result, Estimate) else "result": [_row(result)]}


def _lists(result: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yields the tuples of dataclasses in a result, at any depth but in distributions and in one another."""
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, tuple) and value and all(map(_is_record, value)):
            yield field.name, value
        elif _is_record(value) and not isinstance(value, Estimate):
            yield from _lists(value)


def _estimates(result: Any) -> Iterator[tuple[str, Estimate]]:
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, Estimate):
            yield field.name, value


def _is_record(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, (type, Distribution))


def _row(value: Any) -> Row:
    """One dataclass as one row: what is in its parts has their names before it; lists are left out."""
    if isinstance(value, Estimate):
        low, high = value.interval
        head: Row = {"quantity": value.direction, "value": value.value}
        head |= {"standard_error": value.standard_error, "low": low, "high": high}
        return head | {"unit": value.unit, "kind": value.kind, "method": value.method, "n": value.n}
    row: Row = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        hidden = "json" in field.metadata and field.metadata["json"] is None
        if not (hidden and _is_record(part)):  # what is there to be drawn
            row |= _cells(field.name, part)
    return row


def _cells(name: str, value: Any) -> Row:
    match value:
        case Estimate():
            ends = {f"{name}_low": value.interval[0], f"{name}_high": value.interval[1]}
            error = {f"{name}_standard_error": value.standard_error, f"{name}_kind": value.kind}
            return {name: value.value} | error | ends
        case Distribution():
            return {name: format_distribution(value)}
        case Enum():
            return {name: value.value}
        case None | bool() | int() | float() | str():
            return {name: value}
        case np.generic():
            return {name: value.item()}
        case _ if isinstance(value, (tuple, list, Mapping)) or hasattr(value, "shape"):
            return {}
        case _ if _is_record(value) and type(value).__module__ == "kullback.families":
            return {name: str(value)}
        case _ if _is_record(value):
            return {f"{name}_{key}": cell for key, cell in _row(value).items()}
    return {name: str(value)}


def _parameters(fit: Fit) -> list[Row]:
    """Parameters with their standard errors where these are known, else those of q."""
    if fit.likelihood is not None and fit.likelihood.errors:
        return [_row(e) for e in fit.likelihood.errors]
    d = max(fit.q.support.dimension, 1)
    names = fit.columns or (("x",) if d == 1 else tuple(f"x{i}" for i in range(d)))
    by_component = components(fit.q, names, fit.labels)
    if by_component:
        return [_row(part) for part in by_component]
    known = row_of(fit.q)
    values = [] if known is None else [(s.name, v) for s, v in known[1]]
    return [{"name": n, "value": float(v)} for n, v in values if np.ndim(v) == 0]


def _columns(rows: list[Row]) -> dict[str, list[Any]]:
    """Rows as columns; a cell that a row lacks is missing. A column of numbers holds floats only."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return {name: _alike(values) for name, values in columns.items()}


def _alike(values: list[Any]) -> list[Any]:
    if any(isinstance(v, float) for v in values):
        return [float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]
    return values
