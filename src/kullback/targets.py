"""Layer 4: what is known about p. Recipes; nothing is computed here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import InputError
from kullback.core.user_code import read_only
from kullback.tables.frames import holds_rows, of_object
from kullback.tables.kinds import (
    Kind,
    Labels,
    check_labels,
    check_values,
    coded,
    kind_of,
    leave_out,
    resolve,
)
from kullback.tables.rows import RowColumns, Rows, account
from kullback.tables.table import numbered, numbers

Array = np.ndarray
#: "positive", "unit", "simplex", (low, high), a NumPyro constraint, or None for the whole space; in
#: fits of log densities also a dict of these by parameter.
SupportWords = str | tuple[float, float] | object | None


@final
@dataclass(frozen=True, eq=False)
class Samples:
    """Draws of p: an array (n,) or (n, d), a data frame or an ArviZ tree, perhaps with weights.

    Of a data frame of pandas, polars or pyarrow, text, booleans and categories become codes with labels.
    Of a tree, the posterior: chains one after another, a column for each coordinate.

    Attributes:
        values: numbers; codes 0, 1, ... in columns of categories; NaN where a value is missing.
        weights: of a survey, or importance weights: only their ratios matter, and errors are those of Kish's
            number of rows.
        frequencies: how many equal draws a row stands for.
        cluster: what marks rows that may depend on each other, numbers or texts.
        order: times: rows may depend on those before, with a cluster on those of theirs (chains); True where
            rows are in the order of time, False where in none. Errors then allow for what lasts. Where nothing is
            said, what lasts is looked for. Each of the four may name a column; a tree knows its chains.
        columns: a name for each column; of a data frame those to take, all by default.
        kinds: of each column: "continuous", "integer", "count", "category" or "constant". May be declared by
            name, {"visits": "count", "zip": "category"}, for those that are not what they seem: numbers are
            continuous or, where all are whole, integer; text is a category.
        labels: the names of a category column's codes; () for other columns.
        missing: whether NaN means that a value is missing; otherwise NaN is refused.

    Raises:
        InputError: empty, NaN or infinite values, wrong shape, weights or counts that are none, columns that
            are neither numbers nor categories (dates, lists).

    Example:
        >>> Samples([1.0, 2.0, 4.0]).values.shape
        (3, 1)
        >>> import polars
        >>> cats = Samples(polars.DataFrame({"kg": [4.1, 3.6, 5.0], "colour": ["red", "grey", "red"]}))
        >>> cats.kinds, cats.labels
        (('continuous', 'category'), ((), ('grey', 'red')))
        >>> Samples([[0.5, 94040], [1.5, 10115]], kinds={"x1": "category"}).labels
        ((), ('10115', '94040'))
    """

    values: Float[np.ndarray, "n d"]
    weights: Float[np.ndarray, " n"] | None = None
    columns: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    labels: Labels = ()
    missing: bool = False
    frequencies: Float[np.ndarray, " n"] | None = None
    cluster: Int[np.ndarray, " n"] | None = None
    order: Int[np.ndarray, " n"] | Literal[False] | None = None

    def __init__(
        self,
        values: object,
        weights: object = None,
        *,
        frequencies: object = None,
        cluster: object = None,
        order: object = None,
        columns: Sequence[str] = (),
        kinds: Sequence[Kind] | Mapping[str, Kind] = (),
        labels: Labels = (),
        missing: bool = False,
    ) -> None:
        said = {"weights": weights, "frequencies": frequencies, "cluster": cluster, "order": order}
        named = {role: name for role, name in said.items() if isinstance(name, str)}
        own = Rows()
        if holds_rows(values):
            read = numbers(
                of_object(values, "samples"), names=columns, apart=RowColumns(**named), kinds=kinds
            )
            rows, names, known, labels, own = (
                read.values, read.names, read.kinds, read.labels, read.account
            )  # fmt: skip
        else:
            for role, name in named.items():
                raise InputError(f"{role}={name!r}: only a data frame has columns by name")
            rows, names, known, labels = _of_array(values, tuple(columns), kinds, labels)
        if rows.size == 0:
            raise InputError(f"samples are empty: shape {rows.shape}")
        _check_finite(rows, names, missing=missing)
        check_values(rows, names, known, labels, "samples")
        by_name = {role: getattr(own, role) for role in named}
        stands = account(len(rows), **{**said, **by_name})  # pyright: ignore[reportArgumentType]
        if order is not False:  # else the chains of a tree are no chains
            inherited = {r: getattr(own, r) for r in said if said[r] is None}
            stands = replace(stands, **inherited)
        object.__setattr__(self, "values", rows)
        for role in said:
            object.__setattr__(self, role, getattr(stands, role))
        object.__setattr__(self, "columns", names)
        object.__setattr__(self, "kinds", known)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "missing", missing)

    @cached_property
    def rows(self) -> Rows:
        """What the rows stand for."""
        return Rows(self.weights, self.frequencies, self.cluster, self.order)

    @property
    def written_out(self) -> "Samples":
        """The same with a row for each that frequencies stand for."""
        index = self.rows.written_out("samples")
        if index is None:
            return self
        rows = replace(self.rows, frequencies=None).take(index)
        return replace(
            self, values=self.values[index], frequencies=None, weights=rows.weights,
            cluster=rows.cluster, order=rows.order,
        )  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Counts:
    """Draws of p that were counted: how many at each level.

    Attributes:
        values: the counts, not negative; fractions where draws have weights.
        labels: a name for each level; two counts are compared level by level by these. By default
            "0", "1", ...

    Raises:
        InputError: empty, negative or infinite counts, a wrong shape, or labels that repeat.

    Example:
        >>> Counts({"red": 30, "blue": 70}).labels
        ('red', 'blue')
        >>> Counts([30, 70]).values.tolist()
        [30.0, 70.0]
    """

    values: Float[np.ndarray, " s"]
    labels: tuple[str, ...]

    def __init__(self, values: object, labels: Sequence[str] = ()) -> None:
        if isinstance(values, Mapping):
            if labels:
                raise InputError(
                    "counts: the labels are given twice, in the mapping and as labels="
                )
            labels = tuple(str(name) for name in values)
            values = list(values.values())
        counts = _floats(values, "counts")
        if counts.ndim != 1 or counts.size == 0:
            raise InputError(
                f"counts must be a vector with a number for each level, got {counts.shape}"
            )
        names = tuple(str(name) for name in labels) or tuple(str(i) for i in range(len(counts)))
        bad = ~np.isfinite(counts) | (counts < 0.0)
        if bad.any():
            at = int(np.argmax(bad))
            raise InputError(f"counts[{at}] is {counts[at]:g}: counts are finite and not negative")
        if not counts.sum() > 0.0:
            raise InputError("counts are all 0")
        if len(names) != len(counts) or len(set(names)) != len(names):
            what = f"{len(names)} labels" if len(names) != len(counts) else "labels that repeat"
            raise InputError(f"there are {len(counts)} counts, but {what}")
        object.__setattr__(self, "values", counts)
        object.__setattr__(self, "labels", names)


#: Starts a pass over rows, in pieces of any size.
Reader = Callable[[], Iterator[tuple[Array, Array | None]]]


@runtime_checkable
class Parts(Protocol):
    """How many rows there are, and what reads some of them and can be sent to another process."""

    def count(self) -> int: ...
    def part(self, first: int, last: int) -> Reader: ...


@final
@dataclass(frozen=True, eq=False)
class Stream:
    """Draws of p in files that may be bigger than memory, read anew at every pass.

    Attributes:
        read: starts a pass: yields rows (m, d) with their weights (m,), or None for weights of 1. Every
            pass yields the same rows in the same order; pieces may be of any size.
        columns, kinds, labels, missing: as of `Samples`.
        source: what is read, for messages.
        copies, weighted: whether weights are frequencies; whether there are any.
        parts: what workers read; None where reading begins at the first row.
    """

    read: Reader
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    labels: Labels
    missing: bool = False
    source: str = "rows"
    copies: bool = False
    weighted: bool = True
    parts: Parts | None = None


@final
@dataclass(frozen=True, eq=False)
class Subsample:
    """A sum over rows of data of which a step of a fit sees a few.

    Attributes:
        log_likelihood: maps an event and a row to a number; a JAX function.
        rows: an array (n, ...), or a pytree of these with the same n.
        size: how many rows a step sees.
    """

    log_likelihood: Callable[[object, object], object]
    rows: object
    size: int


@final
@dataclass(frozen=True, eq=False)
class LogDensity:
    """A log density known by calling it, unnormalised unless said.

    Attributes:
        fn: maps an event to a number; -inf where there is no mass. Vectorised NumPy functions,
            scalar functions and JAX functions all do; fits differentiate JAX functions.
        example: an event, for its shape, best near the mass: 0.0 for a scalar, zeros(d) for a vector;
            for fits any pytree, such as {"mu": 0.0, "theta": zeros(8)}.
        support: "positive", "unit", "simplex", (low, high), a NumPyro constraint, a dict of these by
            parameter, or None for the whole space.
        sample: maps (generator, n) to n draws, if p can be drawn from.
        normalized: whether exp(fn) integrates to 1.
        gradient: for fits of functions that JAX cannot trace: a function that returns the gradient at an
            event, or "differences" for central differences.
        subsample: for reverse fits: rows whose log likelihoods are added to fn, a few of them a step.
        data: handed to fn, and to gradient, after the event: arrays and numbers, in dicts, lists or tuples. A JAX
            function is compiled once for all data of the same shapes; it must depend on its arguments alone.

    Example:
        >>> LogDensity(lambda x: -0.5 * x**2, 0.0).normalized
        False
        >>> float(LogDensity(lambda x, y: -0.5 * (y - x) ** 2, 0.0, data=3.0).of_event(1.0))
        -2.0
    """

    fn: Callable[..., object]
    example: object = 0.0
    support: SupportWords = None
    sample: Callable[[np.random.Generator, int], Array] | None = None
    normalized: bool = False
    gradient: Callable[..., object] | Literal["differences"] | None = None
    subsample: Subsample | None = None
    data: object = None

    @property
    def of_event(self) -> Callable[[Any], object]:
        """fn of an event alone, at these data."""
        return self._at_data(self.fn)

    @property
    def gradient_of_event(self) -> Callable[[Any], object] | None:
        """The gradient of an event alone, at these data; None where no function gives it."""
        return self._at_data(self.gradient) if callable(self.gradient) else None

    def _at_data(self, fn: Callable[..., object]) -> Callable[[Any], object]:
        if self.data is None:
            return fn
        data = read_only(self.data)
        return lambda x: fn(x, data)


@final
@dataclass(frozen=True, eq=False)
class Unconstrained:
    """A log density over all of R^d by its values and gradients, and the way back to the user's names.

    What every target that is fitted by gradients becomes. All arrays are NumPy float64, all
    functions take n points at once.

    Attributes:
        dimension: d.
        evaluate: maps u of shape (n, d) to the log densities (n,) and their gradients (n, d). The
            density is that of u, its log Jacobian included. What the user's function returns is
            passed on, NaN too.
        constrain: maps u to the user's parameters, each of shape (n, *shape).
        log_jacobian: maps u to log |d constrain(u) / du|, (n,).
        unconstrain: the inverse of `constrain`; None if the way back is not known.
        start: a point to begin at, (d,).
        coordinates: names of the d coordinates of u, such as "beta[2]".
        bare: whether there is a single parameter without a name: events are then arrays, not dicts.
        gradient: where gradients come from.
        origin: what p was given as, in words, such as "PyMC model".
        layout: plain values from which `constrain` can be built again; None if it cannot.
        plain: "scalar" or "vector" where the single parameter is u itself, a number or d of them.
    """

    dimension: int
    evaluate: Callable[[Array], tuple[Array, Array]]
    constrain: Callable[[Array], dict[str, Array]]
    log_jacobian: Callable[[Array], Array]
    unconstrain: Callable[[Mapping[str, Array]], Array] | None
    start: Float[np.ndarray, " d"]
    coordinates: tuple[str, ...]
    bare: bool = False
    gradient: Literal["automatic", "given", "differences"] = "automatic"
    origin: str = "function"
    layout: dict[str, object] | None = None
    plain: Literal["scalar", "vector"] | None = None


@final
@dataclass(frozen=True, eq=False)
class Known:
    """A normalised distribution known by its log density and its sampler.

    Attributes:
        log_prob: as `fn` of LogDensity, normalised.
        sample: maps (generator, n) to n draws.
        example: an event, for its shape.
        support: as of LogDensity.

    Example:
        >>> import kullback as kb
        >>> from scipy import stats
        >>> p = kb.Known(stats.norm(1, 2).logpdf, lambda rng, n: rng.normal(1.0, 2.0, n))
        >>> print(kb.kl_divergence(p, "normal(1, sd=2)"))
        KL(p||q) = ...
    """

    log_prob: Callable[[Array], object]
    sample: Callable[[np.random.Generator, int], Array]
    example: object = 0.0
    support: SupportWords = None


@final
@dataclass(frozen=True, eq=False)
class Grid:
    """A density of the line by its values on a regular grid of spacing dx.

    Attributes:
        density: its values, at least 0.
        dx: the spacing, in the unit of x.

    Raises:
        InputError: dx is not positive.

    Example:
        >>> import kullback as kb
        >>> x = np.linspace(-8.0, 8.0, 161)
        >>> p, q = (kb.Grid(np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi), 0.1) for mean in (0, 1))
        >>> print(kb.kl_divergence(p, q))
        KL(p||q) = 0.5 ± ... nats (numeric, grid, n = 161)
    """

    density: Float[np.ndarray, " n"]
    dx: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.dx) and self.dx > 0.0):
            raise InputError(f"dx must be positive and finite, got {self.dx}")


def _of_array(
    values: object,
    columns: tuple[str, ...],
    kinds: Sequence[Kind] | Mapping[str, Kind],
    labels: Labels,
) -> tuple[Array, tuple[str, ...], tuple[Kind, ...], Labels]:
    """Returns the table, and the names, the kinds and the labels of its columns."""
    table = _floats(values, "samples")
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2:
        raise InputError(f"samples must be of shape (n,) or (n, d), got {table.shape}")
    d = table.shape[1]
    names = columns or numbered(d)
    if len(names) != d or (labels and len(labels) != d):
        what = f"{len(names)} names" if len(names) != d else f"labels for {len(labels)}"
        raise InputError(f"samples have {d} columns, but there are {what}")
    if len(set(names)) != d:
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"samples: two columns have the name {twice!r}; rename one")
    by_name = resolve(kinds, names)
    said: list[Kind] = [by_name.get(name) or kind_of(table[:, i]) for i, name in enumerate(names)]
    made = list(labels) or [()] * d
    for i, kind in enumerate(said):
        if kind in ("category", "code"):
            said[i] = "category"
            if not made[i]:
                table = table.copy() if table is values else table
                table[:, i], made[i] = coded(table[:, i])
                check_labels(len(made[i]), len(table), names[i], "samples", said=True)
        elif kind in ("date", "identifier"):
            raise InputError(
                f"samples: column {names[i]!r} is said to be of kind {kind!r}; {leave_out(names[i])}"
            )
    return table, names, tuple(said), tuple(made)


def _floats(values: object, what: str) -> Array:
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufOUS":
            raise InputError(f"{what} must be real numbers, not {array.dtype}")
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} must be numbers in a rectangular array: {error}") from None


def _check_finite(table: Array, names: tuple[str, ...], *, missing: bool) -> None:
    if not isinstance(missing, bool):
        raise InputError(f"missing={missing!r}: True keeps gaps; read_samples drops such rows")
    bad = np.isinf(table) if missing else ~np.isfinite(table)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        what, more = ("infinite", "") if missing else ("NaN or infinite", ", or say missing=True")
        raise InputError(
            f"samples: column {names[column]} has {int(bad[:, column].sum())} {what} "
            f"value(s), the first, {table[row, column]}, at row {row}; drop or fill them{more}"
        )
