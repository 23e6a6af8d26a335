"""Local optima as a table: those of one value in one row."""

from dataclasses import dataclass
from typing import final

from rich.table import Table

from kullback.cli import _output
from kullback.cli._components import Component, components
from kullback.cli._numbers import figure, near
from kullback.io import format_distribution
from kullback.results._fit import Fit, Optimum

#: Values that differ by less are one value: descents stop about this close to an optimum.
_SAME = 1e-6


@final
@dataclass(frozen=True)
class Group:
    """Optima of one value, such as mirror images; the first stands for them."""

    first: Optimum
    share: float
    size: int


def groups(fit: Fit) -> list[Group]:
    """Returns the optima of a fit, best first, those of one value together."""
    found: list[list[Optimum]] = []
    for optimum in fit.optima:
        value = optimum.divergence.value
        if found and abs(value - found[-1][0].divergence.value) <= _SAME * max(1.0, abs(value)):
            found[-1].append(optimum)
        else:
            found.append([optimum])
    return [Group(g[0], sum(o.share for o in g), len(g)) for g in found]


def table(fit: Fit, *, twin: str = "other of this value") -> Table:
    """Returns the table of a fit's optima.

    Args:
        fit: in the unit that is printed.
        twin: what an optimum of the same value is, such as "mirror image".
    """
    found = groups(fit)
    divergence = fit.divergence
    scalar = all(len(c.means) == 1 for g in found for c in components(g.first.q)) and all(
        components(g.first.q) for g in found
    )
    headers = PARAMETERS if scalar else ("q",)
    rows = [
        [
            figure(g.first.divergence, unit=False),
            f"{round(g.share * fit.starts)} of {fit.starts}",
            *(parameters(components(g.first.q)) if scalar else [_expression(g.first)]),
            f"and {g.size - 1} {twin}" if g.size > 1 else "",
        ]
        for g in found
    ]
    names = (f"{divergence.direction}, {divergence.unit}", "reached by", *headers, "")
    return _output.table(names, rows, right=(1,))


#: What `parameters` returns.
PARAMETERS = ("means", "sds", "weights")


def parameters(parts: list[Component]) -> list[str]:
    """Returns the parameters of Gaussians of the line, as near as their sds call for."""
    scale = min(c.sds[0] for c in parts)
    return [
        " ".join(near(c.means[0], scale) for c in parts),
        " ".join(near(c.sds[0], scale) for c in parts),
        " ".join(f"{c.weight:.3f}" for c in parts),
    ]


def _expression(optimum: Optimum) -> str:
    return format_distribution(optimum.q, digits=4)
