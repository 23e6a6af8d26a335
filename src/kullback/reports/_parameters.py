"""The parameters of a fitted mixture with their standard errors, one row to a component."""

import math

from kullback.reports._figures import Column, Table
from kullback.reports._numbers import number
from kullback.reports._optima import component_table
from kullback.results._fit import Fit
from kullback.results._likelihood import ParameterError

#: Columns of the data written out.
_MOST = 12


def parameter_table(fit: Fit, columns: tuple[str, ...]) -> Table | None:
    """Returns weights, means and sds with their errors; without these where they are not known."""
    found = () if fit.likelihood is None else fit.likelihood.errors
    if found:
        return _table(found, columns)
    return component_table(fit, columns)


def given(value: float, error: float) -> str:
    """Returns a number to the digits that its error leaves.

    Example:
        >>> given(3.14159, 0.012), given(1.5e9, 2.0e6), given(2.0, math.nan)
        ('3.142 ± 0.012', '1.500e+09 ± 2.0e+06', '2')
    """
    if not (math.isfinite(error) and error > 0.0):
        return number(value, 5)
    if error < 1e-5 or error >= 1e6 or abs(value) >= 1e8:
        digits = max(math.floor(math.log10(max(abs(value), error) / error)) + 1, 1)
        return f"{value:.{digits}e} ± {error:.1e}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def _with_errors(
    found: tuple[ParameterError, ...], columns: tuple[str, ...]
) -> list[tuple[str, ...]]:
    by = {(e.component, e.name, e.column): given(e.value, e.standard_error) for e in found}
    shown = columns[:_MOST]
    rows = []
    for i in sorted({e.component for e in found}):
        cells = ["\n".join(by.get((i, name, c), "") for c in shown) for name in ("mean", "sd")]
        rows.append((str(i), by.get((i, "weight", ""), ""), "\n".join(shown), *cells))
    return rows


def _table(found: tuple[ParameterError, ...], columns: tuple[str, ...]) -> Table:
    head = (
        Column("component"),
        Column("weight", "right"),
        Column("variable"),
        Column("mean", "right"),
        Column("sd", "right"),
    )
    more = f"The first {_MOST} of {len(columns)} variables. " if len(columns) > _MOST else ""
    caption = f"{more}± is one standard error, right where p is in the family."
    return Table("The fitted q", head, tuple(_with_errors(found, columns)), caption)
