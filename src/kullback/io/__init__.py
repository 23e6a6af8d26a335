"""Layer 10: files and expressions to nouns, and back. Polars is loaded only for files."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kullback.io._data import dataset, find_table
    from kullback.io._expressions import parse, readings
    from kullback.io._families import families
    from kullback.io._files import read_table
    from kullback.io._formatting import format_distribution
    from kullback.io._samples import read_samples
    from kullback.io._scan import scan
    from kullback.io._table import Table
    from kullback.io._writing import write_atomic

__all__ = [
    "Table",
    "dataset",
    "families",
    "find_table",
    "format_distribution",
    "parse",
    "read_samples",
    "read_table",
    "readings",
    "scan",
    "write_atomic",
]

_HOME_OF = {
    "Table": "_table",
    "dataset": "_data",
    "families": "_families",
    "find_table": "_data",
    "format_distribution": "_formatting",
    "parse": "_expressions",
    "read_samples": "_samples",
    "read_table": "_files",
    "readings": "_expressions",
    "scan": "_scan",
    "write_atomic": "_writing",
}


def __getattr__(name: str) -> object:
    """Returns a public name, importing its module only now (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kullback.io' has no attribute {name!r}")
    return getattr(import_module(f"kullback.io.{_HOME_OF[name]}"), name)
