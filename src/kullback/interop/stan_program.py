"""A Stan program as a density over the whole space, through pystan 3."""

import contextlib
import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.optional import need
from kullback.targets import Unconstrained

Array = np.ndarray
_WRONG_SIZE = "number of parameters does not match"


def stan_program(program: Any, data: Mapping[str, object] | None = None) -> Unconstrained:
    """Returns a Stan program with its data as a density over the whole space.

    The density is Stan's own of the unconstrained parameters, its Jacobian included. Statements
    such as `y ~ normal(mu, 1)` leave constants out, as everywhere in Stan: for a log evidence that
    compares with other models write `target += normal_lpdf(y | mu, 1)`. Where the program rejects a
    point, the density is zero there. `constrain` also returns transformed parameters; generated
    quantities are left out. Each value and gradient is a request of some milliseconds.

    Args:
        program: the text of a program, compiled here (half a minute, once), or what `stan.build`
            returned.
        data: for a text, its data by name.

    Raises:
        MissingDependencyError: pystan is not installed.
        InputError: the text does not compile, or the data have NaN.
        DensityError: there is no density at the points tried.

    Example:
        >>> stan_program("parameters { real x; } model { x ~ normal(0, 1); }").dimension
        1
    """
    model = _built(program, data) if isinstance(program, str) else program
    if not hasattr(model, "grad_log_prob"):
        raise InputError(
            f"stan_program takes the text of a program or what stan.build returned, got "
            f"{type(model).__name__}"
        )
    start = np.zeros(_dimension(model))
    shapes = _shapes(model, start)
    evaluate = _evaluator(model)
    _check_start(model, start)
    parameters = _parameters(model, start, shapes)
    return Unconstrained(
        dimension=len(start),
        evaluate=evaluate,
        constrain=lambda u: _constrained(model, u, shapes),
        log_jacobian=lambda u: _log_jacobian(model, u),
        unconstrain=lambda values: _unconstrained(model, values, parameters, len(start)),
        start=start,
        coordinates=_coordinates(model, start, parameters),
        origin="Stan program",
    )


@final
@dataclass(frozen=True)
class Block:
    """A variable of the program among the flat values that Stan gives: column-major, from `offset`."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


def _built(code: str, data: Mapping[str, object] | None) -> Any:
    stan = need("stan", "a Stan program", "kullback[stan]")
    given = dict(data or {})
    for name, value in given.items():
        _check_data(name, value)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return stan.build(code, data=given)
    except Exception as error:
        text = said.getvalue().replace("Building...", "").strip()
        raise InputError(f"the Stan program was not built: {error}\n{text}") from error


def _check_data(name: str, value: object) -> None:
    array = np.asarray(value)
    if array.dtype.kind == "f" and np.isnan(array).any():
        bad = np.argwhere(np.isnan(array))
        first = ", ".join(map(str, bad[0])) or "()"
        raise InputError(
            f"data {name}: there are {len(bad)} NaN, first at index {first}; Stan has no missing "
            "values: drop them, or make them parameters"
        )


def _dimension(model: Any) -> int:
    """Returns d, which pystan does not tell: the length of a vector that Stan does not refuse."""
    sizes = [math.prod(d) for d in model.dims]
    most = sum(sizes)
    likely = itertools.accumulate(sizes)
    for d in dict.fromkeys(itertools.chain(likely, range(1, most + 1))):
        try:
            model.log_prob([0.0] * d)
        except RuntimeError as error:
            if _WRONG_SIZE in str(error):
                continue
        return d
    raise InputError("the Stan program has no parameters: there is nothing to fit")


def _text(error: Exception) -> str:
    """Returns Stan's own words in an error of httpstan's."""
    text = error.args[0] if error.args else ""
    message = text.get("message", "") if isinstance(text, dict) else str(error)
    return message.split(": `", 1)[-1].rstrip("`").removeprefix("Exception: ")


def _shapes(model: Any, start: Array) -> list[Block]:
    """Returns the parameters and transformed parameters."""
    count = len(model.constrain_pars(start.tolist(), include_tparams=True, include_gqs=False))
    blocks, offset = [], 0
    for name, dims in zip(model.param_names, model.dims, strict=True):
        block = Block(name, tuple(dims), offset)
        offset += block.size
        if offset <= count:
            blocks.append(block)
    return blocks


def _parameters(model: Any, start: Array, shapes: list[Block]) -> list[Block]:
    """Returns the parameters alone."""
    count = len(model.constrain_pars(start.tolist(), include_tparams=False, include_gqs=False))
    return [b for b in shapes if b.offset + b.size <= count]


def _evaluator(model: Any) -> Callable[[Array], tuple[Array, Array]]:
    def one(u: Array) -> tuple[float, Array]:
        point = u.tolist()
        try:
            return model.log_prob(point), np.array(model.grad_log_prob(point))
        except RuntimeError:
            # A point that the program rejects has no mass.
            return -math.inf, np.full(len(u), np.nan)

    def evaluate(u: Array) -> tuple[Array, Array]:
        rows = [one(row) for row in np.asarray(u, dtype=np.float64)]
        values = np.array([value for value, _ in rows])
        return values, np.array([slope for _, slope in rows]).reshape(u.shape)

    return evaluate


def _check_start(model: Any, start: Array) -> None:
    """Raises DensityError, with Stan's own words, if no point near 0 has a density."""
    rng, said = np.random.default_rng(0), ""
    for scale in (0.0, 0.5, 1.0, 2.0, 2.0):
        try:
            model.log_prob((start + scale * rng.uniform(-1.0, 1.0, len(start))).tolist())
        except RuntimeError as error:
            said = said or _text(error)
        else:
            return
    raise DensityError(f"{said} (the Stan program rejects all of 5 points within 2 of 0)")


def _constrained(model: Any, u: Array, shapes: list[Block]) -> dict[str, Array]:
    rows = [model.constrain_pars(r.tolist(), include_tparams=True, include_gqs=False) for r in u]
    table = np.array(rows, dtype=np.float64).reshape(len(u), -1 if len(u) else _end(shapes))
    return {b.name: _folded(table[:, b.offset : b.offset + b.size], b.shape) for b in shapes}


def _end(shapes: list[Block]) -> int:
    return sum(b.size for b in shapes)


def _folded(flat: Array, shape: tuple[int, ...]) -> Array:
    """Returns n rows of column-major values as n arrays of a shape."""
    back = flat.reshape(len(flat), *reversed(shape))
    return back.transpose(0, *range(len(shape), 0, -1))


def _log_jacobian(model: Any, u: Array) -> Array:
    points = [row.tolist() for row in u]
    return np.array([model.log_prob(p) - model.log_prob(p, adjust_transform=False) for p in points])


def _unconstrained(
    model: Any, values: Mapping[str, Array], parameters: list[Block], d: int
) -> Array:
    missing = [b.name for b in parameters if b.name not in values]
    if missing:
        raise InputError(f"no values of {', '.join(missing)}; there are {', '.join(values)}")
    n = len(next(iter(values.values())))
    out = np.empty((n, d))
    for i in range(n):
        event = {b.name: np.asarray(values[b.name][i]).tolist() for b in parameters}
        try:
            out[i] = model.unconstrain_pars(event)
        except RuntimeError as error:
            raise InputError(f"row {i} is not in the support: {_text(error)}") from error
    return out


def _coordinates(model: Any, start: Array, parameters: list[Block]) -> tuple[str, ...]:
    """Returns a name for each coordinate: that of the first parameter that it moves."""

    def values(u: Array) -> Array:
        return np.array(model.constrain_pars(u.tolist(), include_tparams=False, include_gqs=False))

    base, owners = values(start), []
    for i in range(len(start)):
        moved = np.flatnonzero(values(start + 0.25 * np.eye(len(start))[i]) != base)
        first = int(moved[0]) if len(moved) else 0
        owners.append(next(b for b in parameters if b.offset <= first < b.offset + b.size))
    return tuple(_names(owners))


def _names(owners: list[Block]) -> Iterator[str]:
    for block, own in itertools.groupby(owners):
        count = len(list(own))
        if not block.shape:
            yield block.name
        elif count == block.size:
            # As Stan counts: from 1, the first index fastest.
            for index in np.ndindex(*reversed(block.shape)):
                yield f"{block.name}[{','.join(str(i + 1) for i in reversed(index))}]"
        else:
            yield from (f"{block.name}[{i + 1}]" for i in range(count))
