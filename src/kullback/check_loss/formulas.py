"""Losses that are a formula of a few numbers: preferences, regression, contrast, mutual information.

What they may be is a value each; slopes are imaginary parts at complex steps, so that a formula is written once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
from scipy import special

from kullback.check_loss.functionals import (
    Array,
    Catalogue,
    Functional,
    FunctionalFamily,
    FunctionalPlane,
)
from kullback.check_loss.problems import (
    Arguments,
    Experiment,
    Roles,
    constant,
    mask_of,
)
from kullback.check_loss.roles import ArgumentRole
from kullback.check_loss.textbook import TEXTBOOK, Value, Values


@final
@dataclass(frozen=True, eq=False)
class Inputs:
    """What the arguments are on one problem; those in `moving` are the parameters, in this order."""

    family: str
    values: Values
    moving: tuple[str, ...]

    @property
    def theta(self) -> Array:
        """The parameters, flat."""
        return np.concatenate([self.values[name].ravel() for name in self.moving])

    def at(self, theta: Array) -> Values:
        """Returns the arguments at other parameters."""
        parts, start, moved = [], 0, dict(self.values)
        for name in self.moving:
            parts = self.values[name]
            moved[name] = theta[start : start + parts.size].reshape(parts.shape)
            start += parts.size
        return moved


_SIZES = ((3, 2), (4, 3))
#: Sds of the numbers; log-probabilities of whole answers differ by so much that a hinge at 1/β is crossed.
_SPREADS = {"preference": (0.5, 2.0, 16.0)}
#: Layouts of every family: what the numbers look like.
LAYOUTS = {
    "preference": ("(B)",),
    "regression": ("(B,d)", "(B,d) in (0,1)", "(B,d) positive"),
    "contrastive": ("(B,d)",),
    "information": ("(B)", "(B,1)"),
}


def formulas(reading: Roles, family: str, layout: str, key: int) -> list[Experiment]:
    """Returns problems for a loss of a formula.

    Args:
        reading: what the arguments are.
        family: one of LAYOUTS.
        layout: one of the family's.
        key: of the random numbers.
    """
    rng = np.random.default_rng(key)
    return [
        _posed(reading, family, layout, rng, sizes, spread)
        for sizes in _SIZES
        for spread in _SPREADS.get(family, (0.5, 1.0, 2.0))
    ]


def slot(role: ArgumentRole) -> str:
    """What an argument is called in formulas."""
    sided = role.kind in ("chosen", "rejected", "embedding", "sampled")
    return f"{role.kind} {role.side or 'q'}" if sided else role.kind


def _posed(
    reading: Roles, family: str, layout: str, rng: np.random.Generator, sizes: tuple[int, int], spread: float
) -> Experiment:  # fmt: skip
    b, d = sizes
    flat = layout.startswith("(B)") or layout == "(B,1)"
    shape = (b, 1) if layout == "(B,1)" else (b,) if flat else (b, d)
    names = {name: slot(role) for name, role in reading.items() if not role.inert}
    values = {of: _numbers(of, layout, shape, spread, rng) for of in names.values()}
    moving = tuple(of for of in names.values() if of in _MOVING)
    inputs = Inputs(family, values, moving)
    size = {"B": b} if flat else {"B": b, "d": d}

    def at(theta: Array) -> list[Arguments]:
        moved = inputs.at(theta)
        return [{n: _argument(r, moved, names.get(n, ""), size, shape) for n, r in reading.items()}]

    def pull(gradients: dict[str, Array], w: Array) -> Array:
        found = {names[n]: (w @ g.reshape(1, -1)) for n, g in gradients.items()}
        none = {of: np.zeros(values[of].size) for of in moving}
        return np.concatenate([(none | found)[of] for of in moving])

    return Experiment(size, (b,), at, inputs.theta, {"": np.ones(1)}, pull, inputs)


_MOVING = (
    "chosen q", "rejected q", "location", "log_variance", "variance", "sd", "log_sd", "softplus_sd", "embedding q",
    "joint", "marginal",
)  # fmt: skip


def _argument(
    role: ArgumentRole, moved: Values, of: str, sizes: dict[str, int], shape: tuple[int, ...]
) -> Any:
    if of:
        return moved[of].copy()
    if role.kind == "constant":
        return constant(role.value, sizes)
    return mask_of(role, shape) if role.kind == "mask" else np.zeros(shape)


def _numbers(
    of: str, layout: str, shape: tuple[int, ...], spread: float, rng: np.random.Generator
) -> Array:
    x = spread * rng.standard_normal(shape)
    if of.startswith(("chosen", "rejected", "sampled")):
        return x - 4.0 * spread  # below 0, nearly always
    if of in ("variance", "sd"):
        return np.exp(0.5 * x)
    if layout.endswith("(0,1)") and of in ("location", "data"):
        return special.expit(x)
    if layout.endswith("positive") and of in ("location", "data"):
        return np.exp(0.5 * x)
    return x


def formula_catalogue(inputs: Sequence[Inputs]) -> Catalogue:
    """Returns all that a loss of these arguments may be."""
    plain, families, planes = [], [], []
    for name, label, parameters, value in TEXTBOOK[inputs[0].family](inputs[0].values):
        if not parameters:
            plain.append(_functional(name, label, value, inputs))
        elif len(parameters) == 1:
            ((parameter, grid),) = parameters.items()
            make = partial(_with_one, name, label, parameter, value, inputs)
            families.append(FunctionalFamily(parameter, grid, make))
            plain.append(make(1.0 if 1.0 in grid else grid[len(grid) // 2]))
        else:
            make = partial(_with_two, name, label, tuple(parameters), value, inputs)
            grids = tuple(parameters.values())
            planes.append(FunctionalPlane(tuple((a, b) for a in grids[0] for b in grids[1]), make))
    return Catalogue(tuple(plain), tuple(families), tuple(planes))


def _with_one(
    name: str, label: str, parameter: str, value: Any, inputs: Sequence[Inputs], at: float
) -> Functional:
    return _functional(name, label, lambda x: value(x, at), inputs, ((parameter, at),))


def _with_two(
    name: str, label: str, parameters: tuple[str, ...], value: Any, inputs: Sequence[Inputs], a: float, b: float
) -> Functional:  # fmt: skip
    found = tuple(zip(parameters, (a, b), strict=True))
    return _functional(name, label, lambda x: value(x, a, b), inputs, found)


def _functional(
    name: str,
    label: str,
    value: Value,
    inputs: Sequence[Inputs],
    parameters: tuple[tuple[str, float], ...] = (),
) -> Functional:
    with np.errstate(all="ignore"):
        values = np.array([float(np.real(value(x.values))) for x in inputs])
        slopes = tuple(_slopes(lambda theta, x=x: value(x.at(theta)), x.theta) for x in inputs)
    return Functional(name, label, values, slopes, parameters)


#: The imaginary step; slopes are wrong by its square.
_STEP = 1e-20


def _slopes(value: Callable[[Array], Any], at: Array) -> Array:
    """The gradient of a formula, by complex steps (Squire and Trapp, 1998)."""
    steps = 1j * _STEP * np.eye(len(at))
    return np.array([np.imag(value(at + step)) for step in steps]) / _STEP
