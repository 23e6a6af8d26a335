"""What the numbers of a column are, and whether they are that."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError

#: What the numbers of a column are: reals, numbers of events, or codes of categories.
Kind = Literal["continuous", "count", "category"]
Labels = tuple[tuple[str, ...], ...]
#: Where a row is found, in words.
Place = Callable[[int], str]
_KINDS = ("continuous", "count", "category")
#: More labels than this are no categories; up to the second, even if every row has its own.
MOST_LABELS = 1000
_ALWAYS = 20


def resolve(kinds: Sequence[Kind] | Mapping[str, Kind], names: Sequence[str]) -> dict[str, Kind]:
    """Returns the kinds that were said, by name of the column.

    Args:
        kinds: one for each column, or those of some columns by name.
        names: of all columns.

    Raises:
        InputError: a kind or a column that there is not, or too few kinds.
    """
    if isinstance(kinds, Mapping):
        said = dict(kinds)
    elif kinds and len(kinds) != len(names):
        raise InputError(f"there are {len(kinds)} kinds, but {len(names)} columns")
    else:
        said = dict(zip(names, kinds, strict=False))
    for name, kind in said.items():
        if name not in names:
            raise InputError(f"kinds: there is no column {name!r}; there is {listed(names)}")
        if kind not in _KINDS:
            raise InputError(f"kinds: {name!r} is {kind!r}; choose from {', '.join(_KINDS)}")
    return said


def coded(
    values: Float[np.ndarray, " n"], name: str, source: str
) -> tuple[Float[np.ndarray, " n"], tuple[str, ...]]:
    """Returns the codes 0, 1, ... of numbers that name categories, and the labels of the codes.

    Args:
        values: NaN where one is missing.
        name: of the column, for messages.
        source: for messages.

    Raises:
        InputError: there are too many.
    """
    known = np.isfinite(values)
    found, codes = np.unique(values[known], return_inverse=True)
    made = np.full(len(values), np.nan)
    made[known] = codes
    check_labels(len(found), int(known.sum()), name, source, said=True)
    return made, tuple(f"{v:.0f}" if v == np.floor(v) else repr(float(v)) for v in found)


def check_labels(labels: int, rows: int, name: str, source: str, *, said: bool = False) -> None:
    """Raises InputError for a column of text whose cells are no categories.

    Args:
        labels: how many different ones there are.
        rows: how many cells.
        name: of the column.
        source: for messages.
        said: the column was said to be one of categories.
    """
    if labels > MOST_LABELS:
        raise InputError(
            f"{source}: column {name!r} has {labels:,} different labels, more than {MOST_LABELS:,}: "
            f"these are no categories; {leave_out(name)}"
        )
    if not said and labels > _ALWAYS and 2 * labels > rows:
        raise InputError(
            f"{source}: column {name!r} is not numeric, and its {rows:,} cells have {labels:,} "
            f"different values, so they are no categories; {leave_out(name)}"
        )


def check_values(
    values: Float[np.ndarray, "n d"],
    names: Sequence[str],
    kinds: Sequence[Kind],
    labels: Labels,
    source: str,
    place: Place = "row {}".format,
) -> None:
    """Raises InputError for counts that are none and codes without a label; NaN is missing.

    Args:
        values: the table.
        names, kinds, labels: of its columns.
        source: for messages.
        place: where a row is found, for messages.
    """
    for i, kind in enumerate(kinds):
        if kind == "continuous":
            continue
        column = values[:, i]
        with np.errstate(invalid="ignore"):
            bad = (column < 0.0) | (column != np.floor(column))
            if kind == "category":
                bad |= column >= len(labels[i])
        bad &= ~np.isnan(column)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(_not_of_kind(source, names[i], kind, float(column[row]), place(row)))


def _not_of_kind(source: str, name: str, kind: Kind, value: float, where: str) -> str:
    what = "a count, a whole number from 0 on" if kind == "count" else "the code of a label"
    return (
        f"{source}: column {name!r} is said to be of kind {kind!r}, but {value:g} on {where} "
        f"is not {what}"
    )


def leave_out(name: str) -> str:
    """Returns what to do about a column that cannot be used."""
    return f"leave {name!r} out: columns=(...) with the others"


def listed(names: Sequence[str]) -> str:
    """Returns the first few names."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
