"""Profiles of tables as files: JSON, checked as it is read."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from kullback.core.errors import InputError
from kullback.files.atomic import write_atomic
from kullback.results.profile import MISSING, PROFILED, ColumnProfile, Profile

_FORMAT, _VERSION = "kullback profile", 1
#: A file longer than this is no profile.
_MOST_BYTES = 200_000_000
#: More rows than this are no number of rows.
_MOST_ROWS = 10**15
_BEGINS = b'{"format": "kullback profile"'


def write_profile(path: str | Path, made: Profile) -> None:
    """Writes a profile as JSON. Raises InputError if it cannot be written; nothing is left behind."""
    body = {
        "format": _FORMAT,
        "version": _VERSION,
        "source": made.source,
        "rows": made.rows,
        "columns": [
            {
                "name": c.name, "kind": c.kind, "levels": c.levels, "edges": c.edges.tolist(),
                "counts": c.counts.tolist(),
            }
            for c in made.columns
        ],
    }  # fmt: skip
    write_atomic(path, json.dumps(body, allow_nan=False) + "\n")


def is_profile(path: str | Path) -> bool:
    """Whether a file begins like a profile."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_BEGINS)) == _BEGINS
    except (OSError, ValueError):
        return False


def read_profile(path: str | Path) -> Profile:
    """Returns the profile in a file. Raises InputError if it is none, or damaged."""
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: it is too big for a profile")
        body = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: this cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: this is no profile, or a damaged one") from None
    try:
        return _checked(body, str(path))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: this profile is damaged: {reason}") from None


def _checked(body: dict[str, object], source: str) -> Profile:
    if body.get("format") != _FORMAT:
        raise InputError(f"{source}: this is no profile; kullback profile writes one")
    if body.get("version") != _VERSION:
        raise InputError(
            f"{source}: a profile of version {body.get('version')}, but this is kullback for version {_VERSION}"
        )
    rows = body["rows"]
    if not isinstance(rows, int) or isinstance(rows, bool) or not 1 <= rows <= _MOST_ROWS:
        raise InputError(f"{source}: this profile is damaged: it says that it is of {rows!r} rows")
    columns: list[ColumnProfile] = []
    for given in body["columns"]:  # pyright: ignore[reportGeneralTypeIssues]
        column, fault = _read_column(given, rows)
        if not fault and column.name in [c.name for c in columns]:
            fault = "it is there twice"
        if fault:
            raise InputError(
                f"{source}: this profile is damaged: column {given['name']!r}: {fault}"
            )
        columns.append(column)
    if not columns:
        raise InputError(f"{source}: this profile is damaged: there is no column in it")
    return Profile(str(body["source"]), rows, tuple(columns))


def _read_column(given: dict[str, Any], rows: int) -> tuple[ColumnProfile, str]:
    """Returns a column of a file, and what is wrong with it, "" if nothing is."""
    edges = np.array(given["edges"], dtype=np.float64)
    counts = np.array(given["counts"], dtype=np.float64)
    levels = {str(name): float(count) for name, count in given["levels"].items()}
    numbers = np.concatenate([counts.ravel(), list(levels.values())])
    column = ColumnProfile(str(given["name"]), str(given["kind"]), levels, edges, counts)
    if not isinstance(given["name"], str):
        return column, "its name is no text"
    if column.kind not in PROFILED:
        return column, f"there is no kind {column.kind!r}"
    if edges.shape != counts.shape or edges.ndim != 1:
        return column, "its edges and counts are not as many"
    if column.kind == "levels" and edges.size:
        return column, "it has names and edges"
    if not np.isfinite(edges).all() or (np.diff(edges) <= 0.0).any():
        return column, "its edges are not in order"
    if not np.isfinite(numbers).all() or (numbers < 0.0).any():
        return column, "its counts are no numbers of rows"
    if column.kind != "levels" and not all(_is_number(name) for name in levels):
        return column, f"its levels are not all numbers, but it is {PROFILED[column.kind]}"
    if not math.isclose(column.rows, rows, rel_tol=1e-6):
        return column, f"it counts {column.rows:,g} rows, and the table had {rows:,}"
    return column, ""


def _is_number(name: str) -> bool:
    try:
        return name == MISSING or not math.isnan(float(name))
    except ValueError:
        return False


def opened(given: str) -> object:
    """Returns the profile in a file that holds one, else the path as it is."""
    return read_profile(given) if is_profile(given) else given
