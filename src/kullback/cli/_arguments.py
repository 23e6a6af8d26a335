"""P, Q and DATA: a file or an expression."""

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import ExpressionError, InputError
from kullback.api._extremes import extremes_told
from kullback.distributions._base import Distribution
from kullback.io import find_table, format_distribution, parse

_SUFFIXES = (".csv", ".tsv", ".parquet", ".npy")
#: What ends like the name of a file, whatever the format: a dot and letters.
_FILE_NAME = re.compile(r"[^()]*\.[A-Za-z]\w*")
_DIFF = "To compare two tables of rows, of text too: kullback diff REFERENCE CURRENT"


@final
@dataclass(frozen=True, eq=False)
class Given:
    """What an argument stands for.

    Attributes:
        value: a distribution, or the one column of a file.
        words: how it is printed.
    """

    value: Distribution | Float[np.ndarray, " n"]
    words: str


def given(text: str, name: str) -> Given:
    """Returns P or Q: the distribution of an expression or the numbers of a file.

    Args:
        text: as typed.
        name: "p" or "q", for messages.

    Raises:
        InputError: it cannot be read, or the file has more than one column.
    """
    if not is_rows(text):
        with extremes_told(**{name: text}):
            made = expression(text)
            return Given(made, format_distribution(made))
    _check_one_file(text)
    try:
        table = find_table(text)
    except InputError as error:
        raise InputError(f"{error}. {_DIFF}" if Path(text).is_file() else str(error)) from None
    rows, columns = table.values.shape
    if columns != 1:
        raise InputError(
            f"{name} = {table.source} has {columns} columns ({_listed(table.columns)}) and {rows} "
            "rows: a file must hold one column, of probabilities or (with --dx) of a density on a "
            f"grid. For data, compare two data sets: kullback diff REFERENCE CURRENT; or fit a density: "
            f"kullback fit {text} --direction forward"
        )
    return Given(table.values[:, 0], f"{table.source} ({rows} values)")


def expression(text: str) -> Distribution:
    """Returns the distribution of an expression.

    Raises:
        ExpressionError: it cannot be read; where it may have been meant as a file, that there is none.
    """
    try:
        return parse(text)
    except ExpressionError as error:
        if "(" in text:
            raise
        raise ExpressionError(f"{error}; nor is there a file of this name") from None


def _check_one_file(text: str) -> None:
    """Raises InputError for a pattern, which has no place here, and a directory: they mean rows."""
    path = Path(text)
    if path.is_dir():
        raise InputError(f"{text}: this is a directory; give a file of one column. {_DIFF}")
    if not path.exists() and glob.has_magic(text):
        matches = len(glob.glob(text, recursive=True))  # noqa: PTH207 - may be absolute
        found = f"it matches {matches} of them" if matches else "no file has a name like this"
        raise InputError(f"{text}: this is a pattern of files, and {found}; give one file. {_DIFF}")


def is_file(text: str) -> bool:
    """Whether an argument means a file: there is one, or it ends or is spelled like one."""
    if text.lower().endswith(_SUFFIXES) or _FILE_NAME.fullmatch(text):
        return True
    try:
        return Path(text).is_file() or (os.sep in text and "(" not in text)
    except (OSError, ValueError):
        return False


def is_rows(text: str) -> bool:
    """Whether an argument means rows: a file, a directory of files, or a pattern of names."""
    try:
        return is_file(text) or Path(text).is_dir()
    except (OSError, ValueError):
        return False


def names_of(text: str | None) -> tuple[str, ...]:
    """Returns names that are separated by commas, such as "eruptions,waiting"; none for None.

    Raises:
        InputError: a name is empty.
    """
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        what = "there is no name in it" if not any(names) else "a name is empty"
        raise InputError(f"{text!r}: {what}; give names of columns, separated by commas")
    return names


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
