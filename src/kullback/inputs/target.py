"""What is known of p, read once: every verb that takes a target takes what this reads."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, final

import numpy as np

from kullback.core.errors import ExpressionError, InputError, UnsupportedError
from kullback.core.optional import need
from kullback.distributions.base import Distribution
from kullback.expressions.parse import parse
from kullback.inputs.given import by_its_log_density, distribution
from kullback.interop import as_distribution
from kullback.tables.frames import holds_rows, is_series, library, of_object
from kullback.tables.paths import is_elsewhere
from kullback.tables.table import Table, numbered, of_values
from kullback.targets import Counts, Grid, Known, LogDensity, Samples, Stream, Unconstrained

#: The rows of the table of routes.
KnownAs = Literal["samples", "counts", "log density", "discrete log density", "density"]
#: Values and gradients at n points, from some of the rows of data.
Minibatch = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]

_FILES = (".csv", ".tsv", ".parquet", ".npy")


@final
@dataclass(frozen=True, eq=False)
class Target:
    """What is known of p, with what can be asked of it.

    Attributes:
        given: `Samples`, `Stream`, `Counts`, `LogDensity`, `Unconstrained` or a distribution.
        known: the row of the table that it is in.
        dimension: coordinates of an event, 1 for a scalar; columns of samples.
    """

    given: Samples | Stream | Counts | LogDensity | Unconstrained | Distribution
    known: KnownAs
    dimension: int

    @property
    def subsampled(self) -> bool:
        """Whether a step of a fit sees some of the rows of data only."""
        return isinstance(self.given, LogDensity) and self.given.subsample is not None

    @property
    def by_values(self) -> bool:
        """Whether p is a function of a number, or of a vector anywhere, that holds all there is of it."""
        if not isinstance(self.given, LogDensity):
            return not isinstance(self.given, Unconstrained)
        example, support = self.given.example, self.given.support
        nested = isinstance(example, (Mapping, tuple, list)) and not _is_vector(example)
        if self.subsampled or nested or np.ndim(example) > 1:  # pyright: ignore[reportArgumentType]
            return False
        if np.ndim(example) == 1:  # pyright: ignore[reportArgumentType]
            return support is None or support == "real"
        return support is None or isinstance(support, (str, tuple))

    @cached_property
    def density(self) -> Distribution:
        """p by its values. Raises UnsupportedError where it is known by gradients or draws only."""
        if isinstance(self.given, Unconstrained):
            raise UnsupportedError(
                f"a {self.given.origin} is fitted by its gradients: say direction='reverse' and a family "
                'of Gaussians, such as "auto"'
            )
        return distribution(self.given, "target")

    @cached_property
    def unconstrained(self) -> Unconstrained:
        """p over all of R^d by values and gradients, over all rows of data."""
        return self._by_gradients[0]

    @property
    def minibatch(self) -> Minibatch | None:
        """Values and gradients from some rows of data; None without a `Subsample`."""
        return self._by_gradients[1]

    @cached_property
    def _by_gradients(self) -> tuple[Unconstrained, Minibatch | None]:
        # Here and not above: tables and expressions never load JAX.
        given = self.given
        if isinstance(given, Unconstrained):
            return given, None
        if isinstance(given, LogDensity):
            from kullback.interop.functions import unconstrained  # noqa: PLC0415

            if given.subsample is None:
                return unconstrained(given), None
            few = given.subsample
            jax_function = need("kullback.interop.jax_function", "Subsample", "kullback[jax]")
            whole, minibatch = jax_function.subsampled(
                given, few.log_likelihood, few.rows, few.size
            )
            return unconstrained(whole), minibatch
        return _differentiated(self.density), None


def read(thing: object, *, in_pieces: bool = False) -> Target:
    """Returns what the user gave as a target.

    Args:
        thing: `Samples`, `Counts`, an array (n, d), a data frame or series, an ArviZ tree with a
            posterior, the path of a table, an expression, a `LogDensity`, a `Known`, a distribution
            of NumPyro, SciPy or torch, a model of PyMC, Stan or NumPyro.
        in_pieces: whether a .parquet file is a stream however small it is.

    Raises:
        InputError: it is none of these, or cannot be used; the message says what to say instead.

    Example:
        >>> read(np.zeros((5, 2))).known, read("normal(0, sd=1)").known
        ('samples', 'density')
    """
    if isinstance(thing, Target):
        return thing
    found = rows_in(thing, in_pieces=in_pieces) or by_its_log_density(thing)
    if found is None:
        p = distribution(thing, "target")
        return Target(p, "density" if p.normalized else "log density", max(p.support.dimension, 1))
    if isinstance(found, (Samples, Stream)):
        return Target(found, "samples", len(found.columns))
    if isinstance(found, Counts):
        return Target(found, "counts", 1)
    if isinstance(found, Unconstrained):
        return Target(found, "log density", found.dimension)
    size = _size(found.example)
    return Target(found, "discrete log density" if _is_discrete(found) else "log density", size)


def rows_in(thing: object, *, in_pieces: bool = False) -> Samples | Stream | Counts | None:
    """Returns rows, or counts of them, in whatever they came; None for what holds no rows. Arguments as of `read`."""
    if isinstance(thing, (Samples, Stream, Counts)):
        return thing
    if isinstance(thing, (str, os.PathLike)) and is_table(thing):
        from kullback.inputs.stream import read_rows  # noqa: PLC0415 - expressions load no polars

        table = read_rows(os.fspath(thing), in_pieces=in_pieces)
        return table if isinstance(table, Stream) else table.samples
    array = _array(thing)
    if holds_rows(thing) or (array is not None and array.ndim >= 1):
        return Samples(thing if array is None else array)
    return None


def sampled(thing: object, name: str) -> object:
    """Returns rows of a data frame, a relation, a tree or files as samples, anything else as it is.

    For verbs to which an array, a list or a series is a vector of probabilities.

    Raises:
        InputError: rows in pieces, which these verbs cannot use.
    """
    is_path = isinstance(thing, (str, os.PathLike)) and is_table(thing)
    if is_path or (holds_rows(thing) and not is_series(thing)):
        thing = rows_in(thing)
    if isinstance(thing, Stream):
        raise InputError(
            f"{name} is a stream of rows, which is read in pieces, and this takes all at once: give some of "
            "its rows, read_samples(one_file)"
        )
    return thing


def table_in(thing: object, name: str, verb: str) -> Table:
    """Returns what holds rows as a table that is read a column at a time.

    Args:
        thing: a data frame, a relation, a tree, an array (n, d), `Samples`, or a path.
        name: what to call it, such as "reference".
        verb: what is done with it, for messages.

    Raises:
        InputError: it holds no rows, or cannot be read; the message says what it is and what to do.
    """
    if isinstance(thing, Table):
        return thing
    if isinstance(thing, Samples):
        d = len(thing.columns)
        made = of_values(
            thing.values, thing.columns, name, kinds=thing.kinds, labels=thing.labels,
            headed=thing.columns != numbered(d),
        )  # fmt: skip
        return replace(made, account=thing.rows)
    if holds_rows(thing):
        return of_object(thing, name)
    array = np.asarray(thing) if isinstance(thing, (list, tuple)) else _array(thing)
    if array is not None:
        values = Samples(array, missing=True).values
        whole = array.reshape(values.shape) if array.dtype.kind in "iu" else values
        return of_values(whole, numbered(values.shape[1]), name, headed=False)
    if isinstance(thing, (str, os.PathLike)) and (is_table(thing) or not _is_expression(thing)):
        from kullback.tables.files import open_table  # noqa: PLC0415 - expressions load no polars

        return open_table(os.fspath(thing))
    raise InputError(f"{name} is {_words(thing)}, and {verb} takes rows: {_ROWS}{_instead(thing)}")


_ROWS = "a data frame, an array (n, d), Samples, an ArviZ tree, or the path of a file"


def _words(thing: object) -> str:
    """Returns what was given, in words, where it holds no rows."""
    match thing:
        case Counts():
            return "counts of levels"
        case Stream():
            return "a stream, which is read in pieces"
        case Grid() | Known() | Distribution():
            return "a density"
        case str():
            return "an expression of a density"
        case LogDensity() | Unconstrained():
            return "a log density"
    if as_distribution(thing) is not None:
        return "a density"
    if callable(thing) and not isinstance(thing, type):
        return "a function"
    return f"a {type(thing).__name__}"


def _instead(thing: object) -> str:
    """Returns what to ask instead about something that holds no rows."""
    match thing:
        case Counts():
            return "; kl_divergence(p, q) compares counts"
        case Stream():
            return "; give the path of its files, which are read a column at a time"
        case Grid() | Known() | Distribution() | str():
            return "; kl_divergence(p, q) compares densities"
    return ""


def _is_expression(text: object) -> bool:
    try:
        return isinstance(text, str) and parse(text) is not None
    except ExpressionError:
        return False


def _array(thing: object) -> np.ndarray | None:
    """Returns an array of NumPy, JAX or torch as one of NumPy; None for anything else."""
    if isinstance(thing, np.ndarray):
        return thing
    is_array = library(thing) in ("jax", "jaxlib", "torch") and hasattr(thing, "__array__")
    return np.asarray(thing) if is_array else None


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a text or a path means a table: there is such a file, or it is named like one, or is elsewhere."""
    text = os.fspath(path)
    if text.lower().endswith(_FILES) or is_elsewhere(text):
        return True
    try:
        return isinstance(path, os.PathLike) or Path(text).exists()
    except (OSError, ValueError):
        return False


def _is_discrete(p: LogDensity) -> bool:
    """Whether the example holds integers and the support says of how many values."""
    if (
        not isinstance(p.example, (np.ndarray, list))
        or np.asarray(p.example).dtype.kind not in "iub"
    ):
        return False
    from kullback.interop.functions import categories  # noqa: PLC0415 - a light path needs none of it

    return categories(p) is not None


def _is_vector(example: object) -> bool:
    """Whether an example is a sequence of numbers."""
    return isinstance(example, Sequence) and all(isinstance(v, (int, float)) for v in example)


def _size(example: object) -> int:
    """Returns the numbers in an example, which may be nested."""
    if isinstance(example, Mapping):
        return sum(_size(v) for v in example.values())
    if isinstance(example, Sequence) and not isinstance(example, (str, bytes)):
        return sum(_size(v) for v in example)
    return int(np.size(example))  # pyright: ignore[reportArgumentType]


def _differentiated(p: Distribution) -> Unconstrained:
    """A distribution's log density over the whole space, its gradient by differences."""
    from kullback.interop.functions import numpy_function  # noqa: PLC0415 - a light path needs none of it

    support = p.support
    if support.kind not in ("interval", "real"):
        raise UnsupportedError(
            f"gradients need a density over the reals, but the target lives on {support}: say where it "
            "lives, LogDensity(fn, example, support=...)"
        )
    scalar = support.dimension == 0

    def log_prob(x: np.ndarray) -> np.ndarray:
        events = np.atleast_1d(x) if scalar else np.atleast_2d(x)
        values = p.log_prob(events)
        return values if np.ndim(x) == events.ndim else values[0]

    # A point amid the mass.
    example = np.median(p.sample(np.random.default_rng(0), 200), axis=0)
    bounded = scalar and np.isfinite([support.low, support.high]).any()
    ends = (support.low, support.high) if bounded else None
    return numpy_function(log_prob, example, support=ends)
