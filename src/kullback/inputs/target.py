"""What is known of p, read once: every verb that takes a target takes what this reads."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.distributions.base import Distribution
from kullback.inputs.given import distribution
from kullback.targets import FRAMES, Counts, Grid, LogDensity, Samples, Stream, Unconstrained

Known = Literal["samples", "counts", "log density", "discrete log density", "density"]
#: Values and gradients at n points, from some of the rows of data.
Minibatch = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]

_FILES = (".csv", ".tsv", ".parquet", ".npy")
_BARE = (
    "the target is a function: say what it is, LogDensity(fn, example) if it is a log density, perhaps "
    "unnormalised, Known(log_prob=fn, sample=...) if it is normalised, "
    "kullback.interop.models.numpyro_model(fn, *args) if it is a NumPyro model"
)


@final
class BareFunctionError(InputError):
    """A function was given, and nothing says what it is."""


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
    known: Known
    dimension: int

    @property
    def subsampled(self) -> bool:
        """Whether a step of a fit sees some of the rows of data only."""
        return isinstance(self.given, LogDensity) and self.given.subsample is not None

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
            from kullback.interop.log_density import unconstrained  # noqa: PLC0415

            if given.subsample is None:
                return unconstrained(given), None
            few = given.subsample
            subsampled = need(
                "kullback.interop.subsampled", "Subsample", "kullback[jax]"
            ).subsampled
            return subsampled(given, few.log_likelihood, few.rows, few.size)
        return _differentiated(self.density), None


def read(thing: object) -> Target:
    """Returns what the user gave as a target.

    Args:
        thing: `Samples`, `Counts`, an array (n, d), a data frame or series, an ArviZ tree with a
            posterior, the path of a table, an expression, a `LogDensity`, a `Known`, a distribution
            of NumPyro, SciPy or torch, a model of PyMC, Stan or NumPyro.

    Raises:
        InputError: it is none of these, or cannot be used; the message says what to say instead.

    Example:
        >>> read(np.zeros((5, 2))).known, read("normal(0, sd=1)").known
        ('samples', 'density')
    """
    if isinstance(thing, Target):
        return thing
    found = rows_in(thing) or by_its_log_density(thing)
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


def rows_in(thing: object) -> Samples | Stream | Counts | None:
    """Returns rows, or counts of them, in whatever they came; None for what holds no rows."""
    if isinstance(thing, (Samples, Stream, Counts)):
        return thing
    if isinstance(thing, (str, os.PathLike)) and is_table(thing):
        from kullback.inputs.stream import read_rows  # noqa: PLC0415 - expressions load no polars

        table = read_rows(Path(thing))
        return table if isinstance(table, Stream) else table.samples
    module = type(thing).__module__.partition(".")[0].lstrip("_")
    if module in FRAMES:
        return Samples(_collected(thing, module))
    if hasattr(thing, "children") and hasattr(thing, "posterior"):
        return _of_tree(thing)
    array = thing if isinstance(thing, np.ndarray) else None
    if array is None and module in ("jax", "jaxlib", "torch") and hasattr(thing, "__array__"):
        array = np.asarray(thing)
    return Samples(array) if array is not None and array.ndim >= 1 else None


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a text or a path means a table: there is such a file, or it is named like one."""
    text = os.fspath(path)
    if text.lower().endswith(_FILES):
        return True
    try:
        return isinstance(path, os.PathLike) or Path(text).exists()
    except (OSError, ValueError):
        return False


def _collected(frame: Any, module: str) -> object:
    """A relation of DuckDB as a data frame; any other frame as it is."""
    if module != "duckdb" or not hasattr(frame, "fetchall"):
        return frame
    import polars as pl  # noqa: PLC0415 - expressions load no polars

    return pl.DataFrame(
        frame.fetchall(), schema=frame.columns, orient="row", infer_schema_length=None
    )


def _of_tree(tree: Any) -> Samples:
    """The posterior of an ArviZ tree, its chains one after another, a column for each coordinate."""
    columns: dict[str, np.ndarray] = {}
    group = getattr(tree.posterior, "dataset", tree.posterior)
    for name in group.data_vars:
        values = np.asarray(group[name].values, dtype=np.float64)
        flat = values.reshape(values.shape[0] * values.shape[1], -1)
        shape = values.shape[2:]
        for i in range(flat.shape[1]):
            at = ",".join(str(k) for k in np.unravel_index(i, shape)) if shape else ""
            columns[f"{name}[{at}]" if at else str(name)] = flat[:, i]
    if not columns:
        raise InputError("the tree has no variables under its posterior")
    return Samples(np.column_stack(list(columns.values())), columns=tuple(columns))


def by_its_log_density(thing: object) -> LogDensity | Unconstrained | None:
    """Returns a log density, a model of PyMC, Stan or NumPyro; None for what is none.

    Raises:
        BareFunctionError: a function of which nothing says what it is.
    """
    if isinstance(thing, (LogDensity, Unconstrained)):
        return thing
    if isinstance(thing, (str, Grid, Distribution)):
        return None
    if _is_bare(thing):
        return _bare(thing)
    if not any(m in sys.modules for m in ("pymc", "stan")):
        return None
    from kullback.interop.models import recognise  # noqa: PLC0415 - a light path needs none of it

    return recognise(thing)


def _is_bare(thing: object) -> bool:
    plain = callable(thing) and not isinstance(thing, type)
    return plain and type(thing).__module__ in ("builtins", "functools")


def _bare(thing: Any) -> Unconstrained:
    """A function without arguments that samples by NumPyro is a model; of any other, one must say what it is."""
    if "numpyro" in sys.modules and not _needs_arguments(thing):
        from kullback.interop.numpyro_model import has_sites, numpyro_model  # noqa: PLC0415

        if has_sites(thing):
            return numpyro_model(thing)
    raise BareFunctionError(_BARE)


def _needs_arguments(fn: Callable[..., object]) -> bool:
    import inspect  # noqa: PLC0415 - rarely needed

    try:
        inspect.signature(fn).bind()
    except (TypeError, ValueError):
        return True
    return False


def _is_discrete(p: LogDensity) -> bool:
    """Whether the example holds integers and the support says of how many values."""
    if (
        not isinstance(p.example, (np.ndarray, list))
        or np.asarray(p.example).dtype.kind not in "iub"
    ):
        return False
    from kullback.interop.numpy_function import categories  # noqa: PLC0415 - a light path needs none of it

    return categories(p) is not None


def _size(example: object) -> int:
    """Returns the numbers in an example, which may be nested."""
    if isinstance(example, Mapping):
        return sum(_size(v) for v in example.values())
    if isinstance(example, Sequence) and not isinstance(example, (str, bytes)):
        return sum(_size(v) for v in example)
    return int(np.size(example))  # pyright: ignore[reportArgumentType]


def _differentiated(p: Distribution) -> Unconstrained:
    """A distribution's log density over the whole space, its gradient by differences."""
    from kullback.interop.numpy_function import numpy_function  # noqa: PLC0415 - a light path needs none of it

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
