"""Whether rows are what a family takes: checked once, with the value, its row and what to do."""

import math

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError
from kullback.fitting._scalar_family import ScalarFamily, Values
from kullback.targets import Samples, Stream


def in_memory(p: Samples | Stream) -> Samples:
    """Returns rows as an array: families that are no mixtures look at all of them at once."""
    if isinstance(p, Samples):
        return p
    pieces = list(p.read())
    weights = [np.ones(len(x)) if w is None else w for x, w in pieces]
    return Samples(
        np.concatenate([x for x, _ in pieces]),
        np.concatenate(weights),
        columns=p.columns,
        kinds=p.kinds,
        labels=p.labels,
        missing=p.missing,
    )


def rows(p: Samples) -> tuple[Float[np.ndarray, "n d"], Values]:
    """Returns the rows that have a weight, and the weights.

    Raises:
        InputError: a value is missing.
    """
    weights = np.ones(len(p.values)) if p.weights is None else p.weights
    lost = np.isnan(p.values).sum(axis=0)
    if lost.any():
        at = int(np.argmax(lost))
        raise InputError(
            f"column {p.columns[at]} has {lost[at]} missing value(s), which this family does not take: drop or "
            "fill these rows"
        )
    return p.values[weights > 0.0], weights[weights > 0.0]


def check_numbers(p: Samples | Stream, why: str, *, remedy: str) -> None:
    """Raises InputError naming a column of categories or counts, which a Gaussian has no place for."""
    for name, kind in zip(p.columns, p.kinds, strict=True):
        if kind != "continuous":
            what = "categories" if kind == "category" else "counts"
            raise InputError(
                f"column {name} holds {what}, and {why} numbers on a continuous scale: {remedy}, or leave "
                f"{name} out"
            )


def check_rows(p: Samples, family: ScalarFamily) -> None:
    """Raises InputError where a family of scalars cannot have the rows, naming the first."""
    x, name = p.values[:, 0], p.columns[0]
    used = np.ones(len(x), dtype=bool) if p.weights is None else p.weights > 0.0
    bad = family.domain.outside(x) & used
    if bad.any():
        at = int(np.argmax(bad))
        more = int(bad.sum()) - 1
        others = f" (and {more} more)" if more else ""
        raise InputError(
            f"column {name}: the value {x[at]:g} at row {at}{others} is outside the support of {family.name}, "
            f"{family.domain}: {_remedy(family, x)}"
        )
    if not family.domain.integers and family.parameters > 1:
        check_spread(p, x[used, None])


def _remedy(family: ScalarFamily, x: Values) -> str:
    domain = family.domain
    if domain.integers and bool(np.any(x != np.floor(x))):
        return "round the values, or choose a family of real numbers, such as gamma or normal"
    if domain.high == 1.0:
        return "divide by the largest possible value, or choose gamma or normal"
    if domain.high < math.inf:
        return "give angles in radians, from -pi to pi"
    if x.min() == 0.0:
        return "drop or model zeros apart, or choose exponential or halfnormal, which take them"
    return "correct or drop such rows, or choose a family of the whole line, such as normal or student_t"


def check_spread(p: Samples, x: Float[np.ndarray, "n d"]) -> None:
    """Raises InputError naming a column that is constant."""
    constant = np.ptp(x, axis=0) == 0.0
    if constant.any():
        name = p.columns[int(np.argmax(constant))]
        raise InputError(
            f"column {name} is constant, so its density is infinite there; drop the column"
        )


def check_codes(x: Values, name: str) -> None:
    """Raises InputError unless values are codes of categories, naming the first that is not."""
    bad = (x < 0.0) | (x != np.floor(x))
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"column {name}: the value {x[at]:g} at row {at} is no code of a category: codes are 0, 1, 2, ...; "
            "give labels as a column of text, or choose a family of numbers"
        )
