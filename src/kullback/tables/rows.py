"""What a row of a table stands for: the one account that every error bar of every verb comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, final

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import InputError

#: Weights are kept to so many bits, so that what they are multiplied by does not matter.
_BITS = 40
#: Rows that frequencies are written out to, at most: 400 MB a column.
_MOST = 50_000_000


@final
@dataclass(frozen=True)
class RowColumns:
    """The columns of a table that say what its rows stand for; they are no data."""

    weights: str | None = None
    frequencies: str | None = None
    cluster: str | None = None
    order: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are named, each once."""
        named = (self.weights, self.frequencies, self.cluster, self.order)
        return tuple(dict.fromkeys(name for name in named if name is not None))


#: All columns are data.
ALL_DATA = RowColumns()


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """What each row stands for.

    Attributes:
        weights: of a survey, or importance weights: only their ratios matter; None where all are equal.
        frequencies: how many equal, independent rows each is written for; None for one.
        cluster: the number of the group that each belongs to; rows of a group may depend on each other.
        order: the place of each in time: rows may depend on those before, with a cluster on those of
            theirs, as in the chains of a sampler. False where the order is said to mean nothing, None
            where nothing is said.
    """

    weights: Float[np.ndarray, " n"] | None = None
    frequencies: Float[np.ndarray, " n"] | None = None
    cluster: Int[np.ndarray, " n"] | None = None
    order: Int[np.ndarray, " n"] | Literal[False] | None = None

    @cached_property
    def counts(self) -> Float[np.ndarray, " n"] | None:
        """How many independent rows each counts for; None where each counts for one.

        Frequencies as they are; weights so that they sum to Kish's number, (sum f w)^2 / sum f w^2.

        Source: Kish (1965), Survey sampling, section 11.7.
        """
        if self.weights is None or not self.weighted:
            return self.frequencies
        copies = np.ones(len(self.weights)) if self.frequencies is None else self.frequencies
        return rounded(copies * self.weights * unit_of(self.weights, copies))

    @cached_property
    def weighted(self) -> bool:
        """Whether weights tell rows apart."""
        return self.weights is not None and bool(np.ptp(self.weights) > 0.0)

    @property
    def dependent(self) -> bool:
        """Whether rows are said to depend on each other."""
        return self.cluster is not None or isinstance(self.order, np.ndarray)

    @property
    def plain(self) -> bool:
        """Whether each row is one, and independent of the others as far as is said."""
        return not self.weighted and self.frequencies is None and not self.dependent

    def take(self, index: np.ndarray) -> "Rows":
        """Returns the account of some of the rows."""
        if self.weights is None and self.plain:
            return self
        parts = (self.weights, self.frequencies, self.cluster, self.order)
        return Rows(*(x[index] if isinstance(x, np.ndarray) else x for x in parts))  # pyright: ignore[reportArgumentType]

    def written_out(self, source: str) -> np.ndarray | None:
        """Returns the numbers of the rows, each as often as it stands for; None where each stands for one.

        Raises:
            InputError: they are too many.
        """
        if self.frequencies is None:
            return None
        total = float(self.frequencies.sum())
        if total > _MOST:
            raise InputError(
                f"{source}: frequencies sum to {total:,.0f}, and at most {_MOST:,} rows are written out: give a sample "
                "of the rows, or Counts of levels"
            )
        return np.repeat(np.arange(len(self.frequencies)), self.frequencies.astype(np.int64))

    def joined(self, other: "Rows", source: str) -> "Rows":
        """Returns both together. Raises InputError where both say the same."""
        made = self
        for role in ("weights", "frequencies", "cluster", "order"):
            value = getattr(other, role)
            if value is None:
                continue
            if getattr(self, role) is not None:
                raise InputError(f"{source}: {role}= is said twice: the rows have {role} already")
            made = replace(made, **{role: value})
        return made


#: Each row is one, and nothing is said of how they go together.
PLAIN = Rows()


def unit_of(weights: Float[np.ndarray, " n"], copies: Float[np.ndarray, " n"] | float) -> float:
    """Returns what weights are multiplied by so that they sum to the number of rows they are worth."""
    counted = copies * weights
    return float(np.sum(counted)) / float(counted @ weights)


def rounded(counts: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns numbers with 40 bits each: what weights were multiplied by leaves no trace."""
    fraction, exponent = np.frexp(counts)
    return np.ldexp(np.rint(fraction * 2.0**_BITS), exponent - _BITS)


def account(
    rows: int, *, weights: object = None, frequencies: object = None, cluster: object = None,
    order: object = None, what: str = "samples",
) -> Rows:  # fmt: skip
    """Returns the account of so many rows, checked.

    Args:
        rows: how many there are.
        weights, frequencies: numbers for the rows.
        cluster: what marks rows that belong together: numbers or texts.
        order: times or numbers; True where the rows are in the order of time, False where in none.
        what: whose rows, for messages.

    Raises:
        InputError: not one for each row, or none that can be meant.

    Example:
        >>> account(3, frequencies=[1, 2, 4]).counts.tolist(), account(3, weights=[5, 5, 5]).counts
        ([1.0, 2.0, 4.0], None)
    """
    return Rows(
        _weights(weights, rows), _frequencies(frequencies, rows, what), _cluster(cluster, rows, what),
        _order(order, rows, what),
    )  # fmt: skip


def _numbers(values: object, rows: int, name: str, what: str) -> Float[np.ndarray, " n"]:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} must be numbers, not {array.dtype}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers: {error}") from None
    if array.shape != (rows,):
        raise InputError(f"{name} have shape {array.shape}, but there are {rows} {what}")
    return array


def _weights(values: object, rows: int) -> Float[np.ndarray, " n"] | None:
    if values is None:
        return None
    made = _numbers(values, rows, "weights", "samples")
    if not np.isfinite(made).all() or (made < 0.0).any() or made.sum() <= 0.0:
        raise InputError("weights must be finite, non-negative and not all zero")
    return made


def _frequencies(values: object, rows: int, what: str) -> Float[np.ndarray, " n"] | None:
    if values is None:
        return None
    made = _numbers(values, rows, "frequencies", what)
    whole = np.isfinite(made) & (made >= 0.0) & (made == np.floor(made))
    if not whole.all():
        at = int(np.argmin(whole))
        raise InputError(
            f"frequencies are whole numbers of rows, and that of row {at} is {made[at]:g}: give weights of a "
            "survey as weights="
        )
    if not made.any():
        raise InputError("frequencies are all 0: there are no rows")
    return None if (made == 1.0).all() else made


def _places(values: object, rows: int, name: str, what: str) -> Int[np.ndarray, " n"]:
    """Returns the place of each value among those that differ."""
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        values = np.asarray(values)
    array = np.asarray(values)
    if array.shape != (rows,):
        raise InputError(f"{name} has shape {array.shape}, but there are {rows} {what}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        at = int(np.argmax(np.isnan(array)))
        raise InputError(f"{name} is NaN at row {at}: every row has one, or leave such rows out")
    return np.unique(array, return_inverse=True)[1].reshape(-1)


def _cluster(values: object, rows: int, what: str) -> Int[np.ndarray, " n"] | None:
    if values is None:
        return None
    return _places(values, rows, "cluster", what)


def _order(values: object, rows: int, what: str) -> Int[np.ndarray, " n"] | Literal[False] | None:
    if values is None or values is False:
        return values
    return np.arange(rows) if values is True else _places(values, rows, "order", what)
