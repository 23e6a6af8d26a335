"""Layer 10: files and expressions to nouns, and back."""

from kullback.io._data import dataset, find_table
from kullback.io._expressions import parse, readings
from kullback.io._families import families
from kullback.io._files import read_table
from kullback.io._formatting import format_distribution
from kullback.io._table import Table
from kullback.io._writing import write_atomic

__all__ = [
    "Table",
    "dataset",
    "families",
    "find_table",
    "format_distribution",
    "parse",
    "read_table",
    "readings",
    "write_atomic",
]
