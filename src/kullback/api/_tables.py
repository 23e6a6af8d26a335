"""What the user gave, as a table that is read a column at a time."""

from pathlib import Path

import numpy as np

from kullback._core import tables
from kullback._core.errors import InputError
from kullback._core.tables import Table
from kullback.io._tables import open_table
from kullback.targets import Samples


def table_of(given: object, source: str) -> Table:
    """Returns what was given as a table. Raises InputError for what is none."""
    match given:
        case Table():
            return given
        case str() | Path():
            return open_table(given)
        case Samples():
            if given.weights is not None:
                raise InputError(
                    f"{source}: Samples have weights of their own; give a data frame and weights="
                )
            return tables.of_values(given.values, given.columns, given.labels, source)
        case np.ndarray() | list() | tuple():
            array = Samples(given, missing=True)
            values = array.values
            if isinstance(given, np.ndarray) and given.dtype.kind in "iu":
                values = given.reshape(values.shape)
            return tables.of_values(values, array.columns, (), source)
        case _:
            return tables.of_frame(given, source)
