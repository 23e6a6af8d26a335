"""A Stan program as a density over the whole space, through pystan 3 or BridgeStan."""

import contextlib
import io
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from kullback.core.errors import DensityError, InputError
from kullback.core.optional import need
from kullback.interop.bridgestan import Bridged, is_bridged
from kullback.interop.parameters import in_order, nan_words
from kullback.targets import Unconstrained

Array = np.ndarray
_NOTHING = "the Stan program has no parameters: there is nothing to fit"
_WRONG_SIZE = "number of parameters does not match"


def stan_program(program: Any, data: Mapping[str, object] | None = None) -> Unconstrained:
    """Returns a Stan program with its data as a density over the whole space.

    The density is Stan's own of the unconstrained parameters, its Jacobian included. Statements
    such as `y ~ normal(mu, 1)` leave constants out, as everywhere in Stan: for a log evidence that
    compares with other models write `target += normal_lpdf(y | mu, 1)`. Where the program rejects a
    point, the density is zero there. `constrain` also returns transformed parameters; generated
    quantities are left out. A value and gradient is a request of some milliseconds with pystan, a
    call of microseconds with BridgeStan, whose densities have all constants.

    Args:
        program: the text of a program, compiled here (half a minute, once), what `stan.build`
            returned, or a model of BridgeStan.
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
    if is_bridged(model):
        model = Bridged(model)
    elif not hasattr(model, "grad_log_prob"):
        raise InputError(
            "stan_program takes the text of a program, what stan.build returned, or a model of BridgeStan, "
            f"got {type(model).__name__}"
        )
    found = _Program(model, np.zeros(_dimension(model)))
    _check_start(model, found.start)
    return Unconstrained(
        dimension=len(found.start),
        evaluate=found.evaluate,
        constrain=found.constrain,
        log_jacobian=found.log_jacobian,
        unconstrain=found.unconstrain,
        start=found.start,
        coordinates=found.coordinates,
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
    def end(self) -> int:
        return self.offset + math.prod(self.shape)

    def of(self, table: Array) -> Array:
        """Returns its values in n rows of flat values, (n, *shape)."""
        back = table[:, self.offset : self.end].reshape(len(table), *reversed(self.shape))
        return back.transpose(0, *range(len(self.shape), 0, -1))


@final
@dataclass(frozen=True, eq=False)
class _Program:
    """What pystan built, and the point 0."""

    model: Any
    start: Array

    def _flat(self, u: Array, *, transformed: bool) -> list[float]:
        """The values at a point, one after another."""
        return self.model.constrain_pars(u.tolist(), include_tparams=transformed, include_gqs=False)

    @cached_property
    def _parameters(self) -> list[Block]:
        return self._blocks(transformed=False)

    @cached_property
    def _variables(self) -> list[Block]:
        """The parameters and the transformed ones."""
        return self._blocks(transformed=True)

    def _blocks(self, *, transformed: bool) -> list[Block]:
        count = len(self._flat(self.start, transformed=transformed))
        blocks: list[Block] = []
        for name, dims in zip(self.model.param_names, self.model.dims, strict=True):
            blocks.append(Block(name, tuple(dims), blocks[-1].end if blocks else 0))
        return [b for b in blocks if b.end <= count]

    def evaluate(self, u: Array) -> tuple[Array, Array]:
        values, slopes = np.full(len(u), -math.inf), np.full(u.shape, np.nan)
        for i, point in enumerate(np.asarray(u, dtype=np.float64).tolist()):
            # A point that the program rejects has no mass.
            with contextlib.suppress(RuntimeError):
                values[i], slopes[i] = _both(self.model, point)
        return values, slopes

    def constrain(self, u: Array) -> dict[str, Array]:
        rows = [self._flat(row, transformed=True) for row in u]
        table = np.array(rows, dtype=np.float64).reshape(len(u), self._variables[-1].end)
        return {b.name: b.of(table) for b in self._variables}

    def log_jacobian(self, u: Array) -> Array:
        log_prob = self.model.log_prob
        return np.array([log_prob(x) - log_prob(x, adjust_transform=False) for x in u.tolist()])

    def unconstrain(self, values: Mapping[str, Array]) -> Array:
        names = [b.name for b in self._parameters]
        listed = in_order(values, names)
        out = np.empty((len(listed[0]), len(self.start)))
        for i, event in enumerate(zip(*listed, strict=True)):
            try:
                out[i] = self.model.unconstrain_pars(
                    {n: x.tolist() for n, x in zip(names, event, strict=True)}
                )
            except RuntimeError as error:
                raise InputError(f"row {i} is not in the support: {_text(error)}") from error
        return out

    @property
    def coordinates(self) -> tuple[str, ...]:
        """A name for each coordinate: that of the first parameter that it moves."""
        base, owners = np.array(self._flat(self.start, transformed=False)), []
        for step in 0.25 * np.eye(len(self.start)):
            moved = np.flatnonzero(self._flat(self.start + step, transformed=False) != base)
            first = int(moved[0]) if len(moved) else 0
            owners.append(next(b for b in self._parameters if b.offset <= first < b.end))
        return tuple(_names(owners))


def _built(code: str, data: Mapping[str, object] | None) -> Any:
    stan = need("stan", "a Stan program", "kullback[stan]")
    given = dict(data or {})
    for name, value in given.items():
        bad = nan_words(value)
        if bad:
            raise InputError(
                f"data {name}: there are {bad}; Stan has no missing values: drop them, or make them "
                "parameters"
            )
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return stan.build(code, data=given)
    except Exception as error:
        text = said.getvalue().replace("Building...", "").strip()
        raise InputError(f"the Stan program was not built: {error}\n{text}") from error


def _both(model: Any, point: list[float]) -> tuple[float, Any]:
    """The log density and its gradient."""
    if isinstance(model, Bridged):
        return model.both(point)
    return model.log_prob(point), model.grad_log_prob(point)


def _dimension(model: Any) -> int:
    """Returns d, which pystan does not tell: the length of a vector that Stan does not refuse."""
    if isinstance(model, Bridged):
        if not model.dimension:
            raise InputError(_NOTHING)
        return model.dimension
    sizes = [math.prod(d) for d in model.dims]
    for d in dict.fromkeys([*itertools.accumulate(sizes), *range(1, sum(sizes) + 1)]):
        try:
            model.log_prob([0.0] * d)
        except RuntimeError as error:
            if _WRONG_SIZE in str(error):
                continue
        return d
    raise InputError(_NOTHING)


def _text(error: Exception) -> str:
    """Returns Stan's own words in an error of httpstan's."""
    text = error.args[0] if error.args else ""
    message = text.get("message", "") if isinstance(text, dict) else str(error)
    return message.split(": `", 1)[-1].rstrip("`").removeprefix("Exception: ")


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


def _names(owners: list[Block]) -> Iterator[str]:
    for block, own in itertools.groupby(owners):
        count = len(list(own))
        if not block.shape:
            yield block.name
        elif count == math.prod(block.shape):
            # As Stan counts: from 1, the first index fastest.
            for index in np.ndindex(*reversed(block.shape)):
                yield f"{block.name}[{','.join(str(i + 1) for i in reversed(index))}]"
        else:
            yield from (f"{block.name}[{i + 1}]" for i in range(count))
