"""Lazy frames that are too big to be held: counts of all their rows, and rows that are drawn."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kullback.core.errors import InputError, UnsupportedError
from kullback.diff.profile import counted, counted_in_pieces, drawn_from
from kullback.diff.tables import JOINT_ROWS, DrawnTables, Options, read_table
from kullback.results.diff import ColumnDiff, JointDiff
from kullback.results.profile import Profile
from kullback.tables import table as table_module
from kullback.tables.frames import holds_rows
from kullback.tables.kinds import Kind
from kullback.tables.lazy import LazyRows, lazy_rows
from kullback.tables.table import Table

Side = Table | Profile | LazyRows
_TOLD = (
    f"a lazy frame is too big to be held: columns are compared by counts of all rows, and together on {JOINT_ROWS:,} "
    "rows drawn at random"
)


def read_side(
    given: object, name: str, kinds: Mapping[str, Kind] | None, *, whole: bool
) -> Side:  # fmt: skip
    """Returns a table; a lazy frame as it is where it is too big to be held, unless it is taken as a whole."""
    if isinstance(given, Profile):
        return given
    lazy = lazy_rows(given, name) if holds_rows(given) else None
    if lazy is not None and not whole and lazy.rows * len(lazy.types) > table_module.MAX_CELLS:
        return lazy
    return read_table(given if lazy is None else lazy, name, "diff", kinds)


def names_of(side: Side) -> tuple[str, ...]:
    """Returns the names of the columns."""
    return tuple(side.types) if isinstance(side, LazyRows) else side.names


def in_pieces(
    left: Side, right: Side, options: Options, kinds: Mapping[str, Kind]
) -> tuple[Table | Profile, Table | Profile, tuple[Table, Table] | None]:
    """Returns lazy frames as their profiles, and rows of both sides; None where there is no lazy frame, or no row.

    The cells are those of a profile on the other side, else those of (rows that are drawn from) the reference.
    """
    if not (isinstance(left, LazyRows) or isinstance(right, LazyRows)):
        return left, right, None
    p, q = (_drawn(side, options, kinds, i) for i, side in enumerate((left, right)))
    like = p if isinstance(p, Profile) else q if isinstance(q, Profile) else counted(p)
    both = None if isinstance(p, Profile) or isinstance(q, Profile) else (p, q)
    return _profiled(left, p, like, kinds), _profiled(right, q, like, kinds), both


def _drawn(
    side: Side, options: Options, kinds: Mapping[str, Kind], i: int
) -> Table | Profile:  # fmt: skip
    if not isinstance(side, LazyRows):
        return side
    wanted = [name for name in options.columns if name in side.types]
    return drawn_from(side, wanted, kinds, (options.key, i))


def _profiled(
    side: Side, some: Table | Profile, like: Profile, kinds: Mapping[str, Kind]
) -> Table | Profile:
    if not isinstance(side, LazyRows):
        return side
    return counted_in_pieces(side, some.names, like, kinds)


def joint_of(
    some: tuple[Table, Table], columns: Sequence[ColumnDiff], options: Options
) -> tuple[JointDiff | None, tuple[str, ...]]:
    """Returns how all columns together differ in rows of both sides, and what is to be said."""
    drawn = DrawnTables(some, options)
    found, kept = [], []
    for column in columns:
        with suppress(UnsupportedError, InputError):
            kept.append(drawn.some(drawn.sides(column.name)))
            found.append(column)
    joint = drawn.joint(found, kept, options)
    if joint is None:
        return None, drawn.notes
    # The numbers of rows among those that are drawn are no numbers of rows of the tables.
    return replace(joint, unlike_reference=(), unlike_current=()), (*drawn.notes, _TOLD)
