"""The same rows as the lazy frames of other engines, where these are installed."""

import functools
import os
import shutil
import signal
import sys
import warnings

import polars as pl
import pytest

#: What these libraries say of each other's versions.
quiet = pytest.mark.filterwarnings(
    "ignore:PySpark does not yet fully support",
    "ignore:Dask support is moving out of Narwhals:FutureWarning",
    "ignore:The inplace keyword:DeprecationWarning",
    "ignore:fetch_arrow_table:DeprecationWarning",
    "ignore:fetch_record_batch:DeprecationWarning",
)
LAZY = ("polars", "duckdb", "ibis", "dask", "spark")


@functools.cache
def session():
    """Spark on this machine; skipped where it, or Java, is not there."""
    pytest.importorskip("pyarrow")
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark runs on Java, which is not found")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else workers run python3 of the PATH
    answers = signal.getsignal(signal.SIGINT)  # Spark puts its own in its place
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = (
            sql.SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .getOrCreate()
        )
        made.sparkContext.setLogLevel("OFF")
    signal.signal(signal.SIGINT, answers)
    return made


def lazily(frame, engine, place, parts=3):
    """Returns a data frame of Polars as a lazy one, of Parquet files in a directory."""
    size = -(-len(frame) // parts)
    place.mkdir(exist_ok=True)
    for i in range(parts):
        frame[i * size : (i + 1) * size].write_parquet(place / f"{i}.parquet")
    files = f"{place}/*.parquet"
    if engine == "polars":
        return pl.scan_parquet(files)
    if engine == "dask":
        dd = pytest.importorskip("dask.dataframe")
        pytest.importorskip("pyarrow")
        return dd.read_parquet(files)
    if engine == "spark":
        return session().read.parquet(str(place))
    library = pytest.importorskip(engine)
    return library.read_parquet(files)
