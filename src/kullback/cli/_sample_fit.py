"""What a fit to samples says of itself, in lines: errors of parameters, the search, goodness of fit."""

import math
from collections.abc import Iterator

from rich.table import Table

from kullback.cli import _output
from kullback.reports._parameters import given
from kullback.results._fit import Fit
from kullback.results._likelihood import Goodness, Likelihood

#: Below this a p-value times the number of columns speaks against q.
_RARE = 0.05
#: Columns named in a line.
_NAMED = 3


def parameters(found: Fit) -> Table | None:
    """Returns weights, means and sds with their standard errors; None where they are not known."""
    errors = () if found.likelihood is None else found.likelihood.errors
    if not errors:
        return None
    by = {(e.component, e.name, e.column): given(e.value, e.standard_error) for e in errors}
    columns = list(dict.fromkeys(e.column for e in errors if e.column))
    rows = []
    for i in sorted({e.component for e in errors}):
        for at, name in enumerate(columns):
            first = (str(i), by.get((i, "weight", ""), "")) if at == 0 else ("", "")
            rows.append([*first, name, by.get((i, "mean", name), ""), by.get((i, "sd", name), "")])
    return _output.table(("component", "weight", "column", "mean", "sd"), rows, right=(0, 1, 3, 4))


def lines(found: Fit) -> Iterator[str]:
    """Yields how the optimum was found, and whether rows look like draws of q."""
    likelihood = found.likelihood
    if likelihood is None:
        return
    yield _reached(likelihood)
    if likelihood.goodness:
        yield _output.line(f"goodness of fit:  {_fits(likelihood.goodness)}", indent="   ")
    if likelihood.gap is not None:
        yield f"0 if q is p:  {likelihood.gap}"


def _reached(found: Likelihood) -> str:
    best = f"{100.0 * found.reached:.3g} %"
    left = "?" if math.isnan(found.remaining) else f"{found.remaining:.4f}"
    return (
        f"best optimum:  reached by {best} of the climbs ({found.starts} starts), {left} nats left to gain over "
        f"{found.rows:,} rows"
    )


def _fits(goodness: tuple[Goodness, ...]) -> str:
    count = len(goodness)
    bad = sorted((g for g in goodness if count * g.p_value < _RARE), key=lambda g: g.p_value)
    least = min(goodness, key=lambda g: g.p_value)
    of = f" times {count} columns" if count > 1 else ""
    said = f"smallest p-value {least.p_value:.2g} ({least.column}){of}"
    if not bad:
        return f"no column says that it is not drawn from q; {said}"
    names = ", ".join(g.column for g in bad[:_NAMED]) + (" ..." if len(bad) > _NAMED else "")
    return f"{len(bad)} of {count} column(s) are not drawn from q: {names}; {said}"
