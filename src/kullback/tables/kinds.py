"""What the values of a column are: decided here, once, or declared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, final, get_args

import numpy as np
from jaxtyping import Float, Integer

from kullback.core.errors import InputError

#: What the values of a column are.
Kind = Literal[
    "continuous", "integer", "count", "category", "code", "date", "identifier", "constant", "empty"
]
#: What comparing them takes: an order, or names.
Scale = Literal["numbers", "levels", "dates"]
#: What a density makes of a kind.
Likelihood = Literal["continuous", "count", "category"]
Labels = tuple[tuple[str, ...], ...]
#: Where a row is found, in words.
Place = Callable[[int], str]
#: Kinds that can be declared; the others are what a column turns out to be.
DECLARED = ("continuous", "integer", "count", "category", "code", "identifier")
#: More labels than this are no categories. Up to the second, and up to this share of the rows, labels name no rows.
MOST_LABELS, _ALWAYS, _SHARE = 1000, 20, 0.5
#: Whole numbers with at most so many values, each in so many rows or more on average, are a lattice.
_LATTICE, _REPEATED = 12, 5
#: From here on float64 leaves out whole numbers.
BIG = 2**53


@final
@dataclass(frozen=True, eq=False)
class Column:
    """The values of one column.

    Attributes:
        scale: numbers and dates have an order, levels have names.
        values: numbers, microseconds since 1970 of dates, codes of levels; NaN where one is missing.
        labels: of the codes.
        whole: the same as integers, where some are too big for float64; 0 where one is missing.
        declared: the kind that was said; None to decide by the values.
        type: what the source calls the type of the column, for messages.
    """

    scale: Scale
    values: Float[np.ndarray, " n"]
    labels: tuple[str, ...] = ()
    whole: Integer[np.ndarray, " n"] | None = None
    declared: Kind | None = None
    type: str = "numbers"

    @cached_property
    def kind(self) -> Kind:
        """What the values are."""
        if self.declared is not None:
            return self.declared
        if self.scale == "levels" and names_rows(len(self.labels), len(self.values)):
            return "identifier"
        found = kind_of(self.values)
        if self.scale == "numbers" or found == "empty":
            return found
        return (
            "date" if self.scale == "dates" else "constant" if found == "constant" else "category"
        )

    def take(self, rows: np.ndarray) -> "Column":
        """Returns the values in some rows."""
        whole = None if self.whole is None else self.whole[rows]
        return replace(self, values=self.values[rows], whole=whole)


def kind_of(values: Float[np.ndarray, " n"]) -> Kind:
    """Returns the kind of numbers, of which nothing else is known; NaN is missing.

    Example:
        >>> kind_of(np.array([1.0, 2.0, np.nan])), kind_of(np.array([0.5, 1.0]))
        ('integer', 'continuous')
    """
    some = values[:1000]
    if (some != np.floor(some)).any() and not np.isnan(some).any():
        return "continuous"
    known = values[~np.isnan(values)]
    if not len(known):
        return "empty"
    if (known == known[0]).all():
        return "constant"
    return "integer" if (known == np.floor(known)).all() else "continuous"


def likelihoods(kinds: Sequence[Kind]) -> tuple[Likelihood, ...]:
    """Returns what a density makes of columns: whole numbers lie on a continuous scale unless they are counts."""
    return tuple(
        "count" if kind == "count" else "category" if kind in ("category", "code") else "continuous"
        for kind in kinds
    )


def is_lattice(values: Float[np.ndarray, " n"]) -> bool:
    """Whether numbers are whole and so few that a density would be spikes at them: ratings, and the like."""
    known = values[~np.isnan(values)]
    if len(known) < 2 * _REPEATED or (known != np.floor(known)).any():
        return False
    distinct = len(np.unique(known))
    return 1 < distinct <= _LATTICE and len(known) >= _REPEATED * distinct


def names_rows(labels: int, rows: int) -> bool:
    """Whether so many different labels in so many rows name rows rather than categories."""
    return labels > max(_ALWAYS, _SHARE * rows)


def resolve(kinds: Sequence[Kind] | Mapping[str, Kind], names: Sequence[str]) -> dict[str, Kind]:
    """Returns the kinds that were declared, by name of the column.

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
        if kind not in get_args(Kind):
            raise InputError(f"kinds: {name!r} is {kind!r}; choose from {', '.join(DECLARED)}")
    return said


def declare(column: Column, kind: Kind, name: str, source: str, place: Place) -> Column:
    """Returns a column as what it was said to be.

    Args:
        column: as it was read.
        kind: what it is.
        name, source, place: for messages.

    Raises:
        InputError: its values are not of that kind.
    """
    if kind not in DECLARED:
        if kind == column.kind:
            return column
        raise InputError(
            f"{source}: column {name!r} is {column.kind}, which is not declared {kind!r}; choose from "
            f"{', '.join(DECLARED)}"
        )
    if kind == "identifier":
        return replace(column, declared=kind)
    if kind in ("category", "code"):
        if column.scale == "dates":
            raise InputError(f"{source}: column {name!r} holds dates, so it cannot be {kind!r}")
        if column.scale == "numbers":
            values, labels = coded(column.values)
            return Column("levels", values, labels, declared=kind)
        return replace(column, declared=kind)
    numbers = _numbers(column)
    if numbers is None:
        raise InputError(f"{source}: column {name!r} is {column.type}, so it cannot be {kind!r}")
    if kind == "count":
        check_values(numbers.values[:, None], (name,), (kind,), ((),), source, place)
    elif kind == "integer" and kind_of(numbers.values) == "continuous":
        bad = numbers.values != np.floor(numbers.values)
        where = int(np.argmax(bad & ~np.isnan(numbers.values)))
        raise InputError(
            f"{source}: column {name!r} is said to be of kind 'integer', but {numbers.values[where]:g} on "
            f"{place(where)} is not a whole number"
        )
    return replace(numbers, declared=kind)


def _numbers(column: Column) -> Column | None:
    """Returns a column as numbers, of labels those that are written; None if they are none."""
    if column.scale != "levels":
        return column if column.scale == "numbers" else None
    try:
        written = np.array([float(label) for label in column.labels], dtype=np.float64)
    except ValueError:
        return None
    missing = np.isnan(column.values)
    if not np.isfinite(written).all() or not len(written):
        return None
    codes = np.where(missing, 0.0, column.values).astype(np.int64)
    return Column("numbers", np.where(missing, np.nan, written[codes]))


def coded(
    values: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], tuple[str, ...]]:
    """Returns the codes 0, 1, ... of numbers that name categories, NaN where one is missing, and their labels."""
    known = np.isfinite(values)
    found, codes = np.unique(values[known], return_inverse=True)
    made = np.full(len(values), np.nan)
    made[known] = codes
    return made, labels_of(found)


def labels_of(numbers: Float[np.ndarray, " k"]) -> tuple[str, ...]:
    """Returns numbers as the labels of categories; -0 is 0."""
    return tuple(f"{v:.0f}" if v == np.floor(v) else repr(float(v)) for v in numbers + 0.0)


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
    if not said and names_rows(labels, rows):
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
        if kind not in ("count", "category", "code"):
            continue
        column = values[:, i]
        with np.errstate(invalid="ignore"):
            bad = (column < 0.0) | (column != np.floor(column))
            if kind != "count":
                bad |= column >= len(labels[i])
        bad &= ~np.isnan(column)
        if bad.any():
            row = int(np.argmax(bad))
            what = "a count, a whole number from 0 on" if kind == "count" else "the code of a label"
            raise InputError(
                f"{source}: column {names[i]!r} is said to be of kind {kind!r}, but {column[row]:g} on "
                f"{place(row)} is not {what}"
            )


def check_whole(values: Float[np.ndarray, "n d"], names: Sequence[str], why: str) -> None:
    """Raises InputError where a value is missing; `why` says who does not take it."""
    lost = np.isnan(values).sum(axis=0)
    if lost.any():
        at = int(np.argmax(lost))
        raise InputError(
            f"column {names[at]} has {lost[at]} missing value(s), {why}: drop or fill these rows"
        )


def leave_out(name: str) -> str:
    """Returns what to do about a column that cannot be used."""
    return f"leave {name!r} out: columns=(...) with the others"


def listed(names: Sequence[str]) -> str:
    """Returns the first few names."""
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more
