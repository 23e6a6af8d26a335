"""Two tables as they are looked at: what rows count for, which belong together, which are drawn."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float, Int, Integer

from kullback.core.errors import IdentifierError, InputError, KullbackError, UnsupportedError
from kullback.core.run import named
from kullback.diff.column import WeightedColumn, alike, coded_like
from kullback.diff.joint import JointRows, joint_diff
from kullback.inputs.target import table_in
from kullback.measure.samples.classifiers import varies
from kullback.measure.samples.dependence import (
    copies,
    counts_of,
    groups_of,
    independent,
    lasting,
)
from kullback.measure.samples.joint import FEWEST_ROWS
from kullback.results.diff import ColumnDiff, JointDiff
from kullback.tables.kinds import BIG, Column, Kind, listed
from kullback.tables.rows import RowColumns, Rows
from kullback.tables.table import Table, account_of

Values = Float[np.ndarray, "_n"]
Groups = Int[np.ndarray, "_n"]
#: Rows of each table that are looked at with all columns together.
JOINT_ROWS = 10_000
_KEPT = 5


@final
@dataclass(frozen=True)
class Options:
    """What was asked for; as in `diff`."""

    columns: tuple[str, ...]
    apart: RowColumns
    max_kl: float | None
    ignore_below: float
    joint: bool
    like: str | None
    key: int
    progress: Callable[[str], None] | None

    @property
    def set_apart(self) -> tuple[str, ...]:
        """Columns that are not data."""
        return self.apart.names


@final
@dataclass(frozen=True, eq=False)
class Some:
    """A column in some rows of both tables; labels of codes, None where it has an order."""

    reference: Values
    current: Values
    labels: tuple[str, ...] | None


@final
@dataclass(frozen=True)
class Seen:
    """What looking at a column says of it, and of how the rows of each table depend on those before."""

    types: tuple[str, ...]
    said: str
    lengths: tuple[float, ...]
    depend: tuple[bool, ...]


@final
class DrawnTables:
    """Tables as they are looked at: what rows count for, which belong together, which are drawn.

    Attributes:
        types: of the columns read so far, in each table.
        said: what is to be said of a column.
        notes: what is to be said of all.
        depend: whether rows of each table look as if they depended on those before, and nothing was said.
    """

    def __init__(self, given: tuple[Table, ...], options: Options) -> None:
        self._rows = tuple(_account(table, options.apart) for table in given)
        written = [r.written_out(t.source) for t, r in zip(given, self._rows, strict=True)]
        self._tables = tuple(
            t if w is None else t.part(w, t.source) for t, w in zip(given, written, strict=True)
        )
        self._rows = tuple(
            r if w is None else replace(r, frequencies=None).take(w)
            for r, w in zip(self._rows, written, strict=True)
        )
        self._lengths = [1.0, 1.0]
        # Weights and clusters leave fewer of these: more are kept to draw from.
        plain = all(r.weights is r.cluster is None for r in self._rows)
        kept = JOINT_ROWS if plain else _KEPT * JOINT_ROWS
        self._index = tuple(
            np.sort(named(options.key, "rows", i).choice(t.rows, kept, replace=False))
            if t.rows > kept else np.arange(t.rows)
            for i, t in enumerate(self._tables)
        )  # fmt: skip
        self.depend = [False, False]
        self.types: dict[str, tuple[str, ...]] = {}
        self.said: dict[str, str] = {}
        self.notes = _notes(options, self._tables, self._rows)

    def sides(self, name: str) -> tuple[WeightedColumn, ...]:
        """Returns a column of the tables, codes of the same labels, with what its rows count for."""
        found, self.types[name], said = read_columns(self._tables, name)
        if said:
            self.said[name] = said
        cells = checked(found)
        copied = (1.0,) * len(cells)
        if len(cells) == 2:
            if changed(self.types[name]):
                raise UnsupportedError(changed(self.types[name]))
            cells = alike(*cells)
            if cells[0].scale == "numbers":
                copied = copies(*(c.values[np.isfinite(c.values)] for c in cells))
        return tuple(WeightedColumn(c, self._worth(i, c, copied[i])) for i, c in enumerate(cells))

    def _worth(self, i: int, cells: Column, copied: float) -> Values | None:
        """Returns what each row counts for: its weight, less what it shares with others."""
        levels, rows = cells.scale == "levels", self._rows[i]
        length, seen = lasting([cells.values], [levels], rows)
        if seen:
            self.depend[i] = True
            length = 1.0
        self._lengths[i] = max(self._lengths[i], length)
        return counts_of(cells.values, rows, length * copied, levels=levels)

    def seen(self, name: str) -> Seen:
        """Returns what looking at a column has told so far."""
        lengths, depend = tuple(self._lengths), tuple(self.depend)
        return Seen(self.types.get(name, ()), self.said.get(name, ""), lengths, depend)

    def take(self, name: str, seen: Seen) -> None:
        """Notes what looking at a column, perhaps elsewhere, has told."""
        self.types[name] = seen.types
        if seen.said:
            self.said[name] = seen.said
        self._lengths = [max(a, b) for a, b in zip(self._lengths, seen.lengths, strict=True)]
        self.depend = [a or b for a, b in zip(self.depend, seen.depend, strict=True)]

    def some(self, sides: tuple[WeightedColumn, ...]) -> Some:
        """Returns the cells of a column in the rows that are looked at with all columns together."""
        cells = [side.cells for side in sides]
        values = [c.values[index] for c, index in zip(cells, self._index, strict=True)]
        return Some(values[0], values[-1], cells[0].labels if cells[0].scale == "levels" else None)

    def joint(
        self, found: Sequence[ColumnDiff], kept: Sequence[Some], options: Options
    ) -> JointDiff | None:
        """Returns how all columns together differ; None for one column, or too few rows."""
        if not options.joint or len(found) < 2:
            return None
        names, kept = self._varying(found, kept)
        if len(names) < 2:
            return None
        tables = (
            np.column_stack([s.reference for s in kept]),
            np.column_stack([s.current for s in kept]),
        )
        drawn = independent(
            tables, (self._some_of(0), self._some_of(1)), (self._together(0), self._together(1)),
            named(options.key, "independent"), JOINT_ROWS,
        )  # fmt: skip
        whole = tuple(min(len(index), JOINT_ROWS) for index in self._index)
        if tuple(len(rows) for rows in drawn) != whole:
            of = " and ".join(f"{len(rows):,}" for rows in drawn)
            self.notes = (*self.notes, f"together {of} rows are looked at that are independent")
        if min(len(rows) for rows in drawn) < FEWEST_ROWS:
            few = f"together not compared: it takes {FEWEST_ROWS} independent rows of each"
            self.notes = (*self.notes, few)
            return None
        if options.progress is not None:
            options.progress("all columns together")
        reference, current = (
            JointRows(values[rows], index[rows])
            for values, index, rows in zip(tables, self._index, drawn, strict=True)
        )
        labels = tuple(s.labels for s in kept)
        return joint_diff(
            reference, current, names, labels, tuple(found), named(options.key, "joint")
        )

    def _varying(
        self, found: Sequence[ColumnDiff], kept: Sequence[Some]
    ) -> tuple[tuple[str, ...], list[Some]]:
        """Returns the columns that are not the same in all rows: nothing goes together with the others."""
        pairs = [(c.name, s) for c, s in zip(found, kept, strict=True)]
        varying = [p for p in pairs if varies(np.concatenate([p[1].reference, p[1].current]))]
        if len(varying) < 2:
            self.notes = (*self.notes, "together not compared: fewer than two columns vary")
        return tuple(name for name, _ in varying), [some for _, some in varying]

    def _some_of(self, i: int) -> Rows:
        return self._rows[i].take(self._index[i])

    def _together(self, i: int) -> Groups | None:
        found = groups_of(self._rows[i], self._tables[i].rows, self._lengths[i])
        return None if found is None else found[self._index[i]]


def _account(table: Table, apart: RowColumns) -> Rows:
    """Returns what the rows of a table stand for. Raises InputError for columns that say nothing of the kind."""
    for role in ("weights", "frequencies"):
        name = getattr(apart, role)
        cells = None if name is None else table.read(name)
        if cells is None:
            continue
        with np.errstate(invalid="ignore"):
            bad = ~((cells.values >= 0.0) & np.isfinite(cells.values))
        if role == "frequencies":
            bad |= cells.values != np.floor(cells.values)
        numeric = cells.scale == "numbers"
        if not numeric or bad.any() or not cells.values.sum() > 0.0:
            where = f", see {table.place(int(np.argmax(bad)))}" if numeric and bad.any() else ""
            what = "numbers" if role == "weights" else "whole numbers"
            raise InputError(
                f"{table.source}: column {name!r} holds no {role}: they are {what}, finite, not "
                f"negative and not all 0{where}"
            )
    return table.account.joined(account_of(table, apart), table.source)


def _notes(options: Options, both: tuple[Table, ...], rows: tuple[Rows, ...]) -> tuple[str, ...]:
    notes, apart = [], options.apart
    if options.joint and len(both) == 2 and max(t.rows for t in both) > JOINT_ROWS:
        notes.append(f"all columns together are compared on {JOINT_ROWS:,} rows drawn at random")
    if any(r.weighted for r in rows):
        notes.append(f"rows count in proportion to {_called(apart.weights, 'weights')}")
        weights = [r.weights for r in rows if r.weights is not None and r.weighted]
        if all((w == np.floor(w)).all() for w in weights):
            notes.append(
                "weights are whole numbers: say frequencies= if they are numbers of equal rows"
            )
    if apart.frequencies is not None:
        notes.append(f"rows stand for as many as {apart.frequencies!r} says")
    if any(r.cluster is not None for r in rows):
        notes.append(
            f"rows with the same {_called(apart.cluster, 'cluster')} are not taken for independent"
        )
    if any(isinstance(r.order, np.ndarray) for r in rows):
        notes.append(
            f"rows are ordered by {_called(apart.order, 'order')}; errors allow for what lasts"
        )
    return tuple(notes)


def _called(name: str | None, role: str) -> str:
    return role if name is None else repr(name)


# Columns that are read side by side: of what type they are, and integers that float64 cannot hold.

Whole = Integer[np.ndarray, " n"]
Found = Column | KullbackError
#: Types beside the kinds of cells: no value at all, text that names rows, and what cannot be compared.
EMPTY, ROW_NAMES, NOTHING, BAD = "empty", "row names", "nothing", "bad cells"
_TEXT = ("levels", ROW_NAMES)
_WORDS = {"levels": "names", ROW_NAMES: "text", NOTHING: "values that cannot be compared"}
MISSING = "missing in current"
_RANKED = "whole numbers beyond 2^53 are compared by rank: medians and regions are ranks, too"
_ROUNDED = (
    "whole numbers beyond 2^53 in one table, floats in the other: they are rounded to float64"
)
ROUNDED_IN_PROFILES = "whole numbers beyond 2^53 are rounded to float64 against a profile"


def read_columns(tables: Sequence[Table], name: str) -> tuple[list[Found], tuple[str, ...], str]:
    """Returns a column of one table or of two side by side, its types, and what is to be said of it.

    Integers that float64 cannot hold become ranks among those of both tables: order is all that counts.
    """
    found: list[Found] = [_tried(table, name) for table in tables]
    if len(found) == 2 and isinstance(found[0], Column) and isinstance(found[1], Column):
        found[:] = coded_like(found[0], found[1]), coded_like(found[1], found[0])
    types = tuple(type_of(f) for f in found)
    columns = [f for f in found if isinstance(f, Column)]
    if len(columns) < 2 or all(c.whole is None for c in columns) or types[0] != types[1]:
        return found, types, ""
    whole = [_integers(c) for c in columns]
    x, y = whole
    if x is None or y is None:
        return found, types, f"{name}: {_ROUNDED}"
    ranks = np.unique(np.concatenate(_of_one_type(x, y)), return_inverse=True)[1].astype(np.float64)
    ranks = ranks.reshape(-1)
    ranks[np.isnan(np.concatenate([c.values for c in columns]))] = np.nan
    made: list[Found] = [Column("numbers", part) for part in np.split(ranks, [len(x)])]
    return made, types, f"{name}: {_RANKED}"


def checked(found: Sequence[Found]) -> tuple[Column, ...]:
    """Returns the columns. Raises what was raised where one could not be read."""
    for column in found:
        if not isinstance(column, Column):
            raise column
    return tuple(c for c in found if isinstance(c, Column))


def type_of(found: Found) -> str:
    """Returns the type of a column, as far as two tables must agree on it."""
    if not isinstance(found, Column):
        if isinstance(found, InputError):
            return BAD
        return ROW_NAMES if isinstance(found, IdentifierError) else NOTHING
    if found.kind == "empty":
        return EMPTY
    return ROW_NAMES if found.kind == "identifier" else found.scale


def changed(types: tuple[str, ...]) -> str:
    """Returns how the type of a column changed from reference to current, "" if it did not."""
    before, now = types
    if before == now or EMPTY in types or BAD in types or (before in _TEXT and now in _TEXT):
        return ""
    return f"{_WORDS.get(before, before)} in reference, {_WORDS.get(now, now)} in current"


def lost(types: tuple[str, ...], reason: str) -> str:
    """Returns why a gate cannot be passed for a column of the reference, "" if it can.

    Args:
        types: of the column in reference and current.
        reason: why it was not compared, "" if it was.
    """
    before, now = types
    if now == EMPTY:
        return "" if before in (EMPTY, NOTHING) else "no value in current"
    if reason and (BAD in types or (before, now) == ("levels", ROW_NAMES)):
        return reason
    return changed(types)


def _tried(table: Table, name: str) -> Found:
    if name not in table.names:
        return UnsupportedError(f"{table.source}: there is no column {name!r}")
    try:
        return table.read(name)
    except (UnsupportedError, InputError) as error:
        return error


def _integers(cells: Column) -> Whole | None:
    """Returns the cells as integers, 0 where one is missing; None if they are no integers, or not for certain."""
    if cells.whole is not None:
        return cells.whole
    values = np.where(np.isnan(cells.values), 0.0, cells.values)
    if (np.abs(values) > BIG).any() or (values != np.floor(values)).any():
        return None
    return values.astype(np.int64)


def _of_one_type(x: Whole, y: Whole) -> tuple[np.ndarray, np.ndarray]:
    """Returns arrays that NumPy does not make floats of when it joins them."""
    if x.dtype == y.dtype:
        return x, y
    return x.astype(object), y.astype(object)


# What was given and asked, checked before anything is compared.


def read_table(
    given: object, name: str, verb: str, kinds: Mapping[str, Kind] | None = None
) -> Table:
    """Returns what was given as a table. Raises InputError for what is none, and for kinds that are wrong."""
    known = by_name(kinds)
    table = table_in(given, name, verb)
    said: dict[str, Kind] = {name: kind for name, kind in known.items() if name in table.names}
    found = table.declared(said)
    for column in said:
        found.read(column)  # a mistake in what was declared is no column to leave out
    return found


def by_name(kinds: Mapping[str, Kind] | None) -> Mapping[str, Kind]:
    """Returns the kinds that were said. Raises InputError for what is none."""
    if kinds is not None and not isinstance(kinds, Mapping):
        raise InputError(f'kinds={kinds!r}: give a dict, such as {{"zip": "category"}}')
    return kinds or {}


def check_kinds(kinds: Mapping[str, Kind] | None, *names: Sequence[str]) -> None:
    """Raises InputError for a kind of a column that is in none of the tables, which have these names."""
    for name in kinds or {}:
        if not any(name in table for table in names):
            raise InputError(f"kinds: there is no column {name!r}; there is {listed(names[0])}")


_LIKE = (None, "evidently")


def options(
    columns: object, *, weights: object, frequencies: object, cluster: object, order: object,
    by: object, max_kl: object, ignore_below: object, joint: object, like: object, key: object, progress: object,
) -> Options:  # fmt: skip
    """Returns what was asked. Raises InputError for what is no such option."""
    if like not in _LIKE:
        raise InputError(f'like={like!r}: there is "evidently"')
    if max_kl is not None and not _is_limit(max_kl):
        raise InputError(
            f"max_kl={max_kl!r}: the largest KL allowed is a number of nats, 0 or more"
        )
    if not _is_limit(ignore_below):
        raise InputError(f"ignore_below={ignore_below!r}: give a number of nats, 0 or more")
    if not isinstance(joint, bool):
        raise InputError(f"joint={joint!r}: say True or False")
    if progress is not None and not callable(progress):
        raise InputError(f"progress={progress!r}: give a function that is called with a text")
    said = {
        "weights": weights, "frequencies": frequencies, "cluster": cluster, "order": order, "by": by
    }  # fmt: skip
    for option, name in said.items():
        if name is not None and not isinstance(name, str):
            raise InputError(f"{option}={name!r}: give the name of a column, a text")
    named(key, "options")  # says what a key is, if this is none
    return Options(
        names(columns), RowColumns(weights, frequencies, cluster, order),  # pyright: ignore[reportArgumentType]
        max_kl, ignore_below, joint, like, key, progress,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def names(columns: object) -> tuple[str, ...]:
    """Returns names of columns, each once; of one text the column of that name."""
    if isinstance(columns, str):
        return (columns,)
    found = []
    for name in columns if isinstance(columns, Iterable) else (columns,):
        if not isinstance(name, str):
            raise InputError(
                f'columns={columns!r}: give names of columns, texts, such as columns=["age", "city"]'
            )
        found.append(name)
    return tuple(dict.fromkeys(found))


def _is_limit(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return bool(value >= 0.0)
