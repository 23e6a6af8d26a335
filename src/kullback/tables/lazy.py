"""Lazy frames, of Polars, DuckDB, Ibis, Dask and Spark: counted where their rows are, never all of them at once."""

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial, reduce
from importlib import import_module
from typing import Any, TypeVar, final

import numpy as np

from kullback.core import errors
from kullback.core.errors import InputError, MissingDependencyError, UnsupportedError, WorkerError
from kullback.core.interrupts import deferred

#: Rows of a piece; a partition of Dask is one.
_ROWS = 2**17
#: So many sums are added by one task of Dask.
_TOGETHER = 16
_T = TypeVar("_T")
#: What is done with a piece of the rows, a data frame of narwhals.
Count = Callable[[Any], _T]
Add = Callable[[_T, _T], _T]


@final
@dataclass(frozen=True, eq=False)
class LazyRows:
    """Rows that an engine computes when they are asked for.

    Attributes:
        frame: a lazy frame of narwhals.
        source: what it is, for messages.
    """

    frame: Any
    source: str

    @cached_property
    def types(self) -> dict[str, Any]:
        """The columns with their types, as narwhals has them. Raises InputError for a name that repeats."""
        names = list(self.frame.columns)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{self.source}: two columns have the name {twice!r}; rename one")
        return dict(self.frame.collect_schema())

    @cached_property
    def rows(self) -> int:
        """How many there are, which the engine counts. Raises InputError where there are none."""
        import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

        rows = int(_collected(self.frame.select(nw.len())).item())
        if not rows:
            raise InputError(f"{self.source}: there are no rows in it")
        return rows

    def collected(self, names: Sequence[str]) -> Any:
        """Returns some columns as a data frame of narwhals, in memory. Raises InputError for more than Spark sends."""
        try:
            return _collected(self.frame.select(*names))
        except Exception as error:
            if "spark.driver.maxResultSize" not in str(error):
                raise
            raise InputError(
                f"{self.source}: {self.rows:,} rows of {len(names)} column(s) are more than "
                "spark.driver.maxResultSize: raise it, or write .parquet files and give their directory"
            ) from None

    def drawn(self, names: Sequence[str], most: int, key: tuple[int, ...]) -> Any:
        """Returns at most so many rows, each as likely as any other, as a data frame of narwhals.

        They are the same whenever the pieces are: a piece is drawn from by what is in it.
        """
        import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

        near = min(2.0 * most / self.rows, 1.0)
        keys, frame = self.summed(names, partial(_draw, near, key), partial(_nearest, most))
        return nw.from_native(frame[np.argsort(keys)[:most]], eager_only=True)

    def summed(self, names: Sequence[str], count: Count[_T], add: Add[_T]) -> _T:
        """Returns the sum of what is counted in pieces of all rows, none of which stays in memory.

        Pieces of Spark and Dask are counted on their workers, where this package must be installed, those of
        Polars, DuckDB and Ibis here, one at a time, as they come.

        Args:
            names: the columns that are read.
            count: of a piece; with what it returns it can be sent to other processes.
            add: adds two of them, in any order.

        Raises:
            InputError: there are no rows.
            UnsupportedError: the engine gives no pieces.
            WorkerError: workers cannot do it.
        """
        chosen = self.frame.select(*names)
        engine = chosen.implementation
        run = (
            _on_spark if engine.is_spark_like() else _on_dask if engine.is_dask()
            else _of_ibis if engine.is_ibis() else _here
        )  # fmt: skip
        total = run(chosen.to_native(), count, add)
        if total is None:
            raise InputError(f"{self.source}: there are no rows in it")
        return total


def lazy_rows(thing: Any, source: str) -> LazyRows | None:
    """Returns a lazy frame, or a relation of DuckDB; None for all others. Raises InputError for one without an end."""
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none
    from narwhals.exceptions import DuplicateError  # noqa: PLC0415

    if isinstance(thing, LazyRows):
        return thing
    try:
        frame = nw.from_native(thing, pass_through=True)
    except DuplicateError:  # a data frame whose names repeat; who reads it tells of it
        return None
    if not isinstance(frame, nw.LazyFrame):
        return None
    if getattr(frame.to_native(), "isStreaming", False):
        raise InputError(
            f"{source}: a streaming frame of Spark has no last row: in foreachBatch, give each batch "
            "(profile(batch, like=first)), and add the profiles"
        )
    return LazyRows(frame, source)


def _collected(frame: Any) -> Any:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    if not frame.implementation.is_duckdb():
        return frame.collect()
    import polars as pl  # noqa: PLC0415 - expressions load no polars

    with _querying():  # by Arrow, without pyarrow
        return nw.from_native(pl.DataFrame(frame.to_native()), eager_only=True)


_Drawn = tuple[np.ndarray, Any]


def _draw(near: float, key: tuple[int, ...], frame: Any) -> _Drawn:
    """Returns the rows of a piece for which a number below `near` is drawn, and these numbers."""
    rows = frame.to_polars()
    # Few bits of a hash of all cells tell pieces apart.
    content = int(rows.hash_rows(seed=0).sum()) if rows.width else 0
    keys = np.random.default_rng([*key, content]).random(len(rows))
    held = np.flatnonzero(keys < near)
    return keys[held], rows[held]


def _nearest(most: int, one: _Drawn, other: _Drawn) -> _Drawn:
    import polars as pl  # noqa: PLC0415 - expressions load no polars

    keys = np.concatenate([one[0], other[0]])
    rows = pl.concat([one[1], other[1]], how="vertical_relaxed")
    held = np.argsort(keys)[:most]
    return keys[held], rows[held]


@contextmanager
def _querying() -> Iterator[None]:
    """Raises KeyboardInterrupt for Ctrl-C, of which DuckDB tells by a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise


# Where the rows are.


def _here(native: Any, count: Count[_T], add: Add[_T]) -> _T | None:
    """What Polars and DuckDB compute comes to this process in batches."""
    import polars as pl  # noqa: PLC0415 - expressions load no polars

    frame = native if isinstance(native, pl.LazyFrame) else pl.scan_arrow_c_stream(native)
    return _total(_batches(frame), count, add)


def _batches(frame: Any) -> Iterator[Any]:
    with deferred():
        batches = iter(
            frame.collect_batches(chunk_size=_ROWS, maintain_order=True, engine="streaming")
        )
    while True:
        with deferred():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _of_ibis(native: Any, count: Count[_T], add: Add[_T]) -> _T | None:
    """What the engine behind Ibis computes comes to this process in batches."""
    import polars as pl  # noqa: PLC0415 - expressions load no polars

    backend = native.get_backend()
    if backend.name != "duckdb":
        return _total(map(pl.from_arrow, native.to_pyarrow_batches(chunk_size=_ROWS)), count, add)
    known = import_module("duckdb").Error, import_module("ibis.common.exceptions").IbisError
    try:  # Ibis 12.0 itself asks DuckDB 2.0 for batches by a method that is gone
        relation = backend.con.sql(native.compile())
    except known as error:  # tables in memory, of which it does not know yet
        raise UnsupportedError(f"DuckDB cannot give batches of this: {error}") from None
    return _here(relation, count, add)


def _on_dask(native: Any, count: Count[_T], add: Add[_T]) -> _T | None:
    """Partitions are counted, and the counts added, where Dask has them."""
    from dask.delayed import delayed  # noqa: PLC0415 - whose frame it is, has it

    sums = [delayed(_total)([part], count, add) for part in native.to_delayed()]
    while len(sums) > 1:
        groups = [sums[i : i + _TOGETHER] for i in range(0, len(sums), _TOGETHER)]
        sums = [delayed(_sum)(group, add) for group in groups]
    return sums[0].compute()


def _on_spark(native: Any, count: Count[_T], add: Add[_T]) -> _T | None:
    """Batches are counted where Spark has them, by mapInArrow; one worker adds the counts of all partitions."""
    try:
        counted = native.mapInArrow(partial(_counts, count, add), "total binary")
        added = counted.repartition(1).mapInArrow(partial(_added, add), "total binary")
        found = added.collect()
    except ImportError as error:
        raise MissingDependencyError(
            f"Spark hands rows to Python by pyarrow: pip install pyarrow ({error})"
        ) from None
    except Exception as error:
        tell(str(error))
        raise
    return pickle.loads(found[0][0]) if found else None  # noqa: S301 - written by _added


def tell(trace: str) -> None:
    """Raises what was raised on a worker of Spark, which tells of it by its trace; nothing for what is not ours."""
    ours = re.findall(r"^kullback\.core\.errors\.(\w+): (.*)$", trace, re.MULTILINE)
    if ours:
        raise getattr(errors, ours[-1][0])(ours[-1][1]) from None
    missing = re.findall(r"ModuleNotFoundError: (.*)$", trace, re.MULTILINE)
    if missing:
        raise WorkerError(
            f"Spark's workers cannot count: {missing[-1]}; install kullback and pyarrow for the Python that they "
            "run, which PYSPARK_PYTHON says, or write .parquet files and give their directory"
        ) from None


def _counts(count: Count[_T], add: Add[_T], batches: Iterable[Any]) -> Iterator[Any]:
    import polars as pl  # noqa: PLC0415 - expressions load no polars

    yield from _written(_total(map(pl.from_arrow, batches), count, add))


def _added(add: Add[_T], batches: Iterable[Any]) -> Iterator[Any]:
    cells = (cell.as_py() for batch in batches for cell in batch.column(0))
    yield from _written(_sum(map(pickle.loads, cells), add))


def _written(total: object) -> Iterator[Any]:
    if total is not None:
        yield import_module("pyarrow").RecordBatch.from_pydict({"total": [pickle.dumps(total)]})


def _total(pieces: Iterable[Any], count: Count[_T], add: Add[_T]) -> _T | None:
    import narwhals as nw  # noqa: PLC0415 - arrays and expressions need none

    frames = (nw.from_native(piece, eager_only=True) for piece in pieces)
    return _sum((count(frame) for frame in frames if len(frame)), add)


def _sum(counts: Iterable[_T | None], add: Add[_T]) -> _T | None:
    """Returns the sum of what is not None; None where nothing is."""
    known = (one for one in counts if one is not None)
    first = next(known, None)
    return None if first is None else reduce(add, known, first)
