"""Draws of the parameters of a log density, in whatever they came: by name, with their chains."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.inputs.target import is_table, rows_in
from kullback.results.posterior import columns
from kullback.tables.frames import holds_rows
from kullback.tables.kinds import listed
from kullback.tables.rows import Rows
from kullback.tables.table import numbered
from kullback.targets import Samples, Stream, Unconstrained

#: Fewer draws tell nothing of a density.
_FEWEST = 40
#: Files of ArviZ trees.
_TREES = (".nc", ".netcdf")


@final
@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws over the whole space and by parameter, and which of them follow each other.

    Attributes:
        u: unconstrained, (n, d).
        columns: of each parameter's coordinates, by name, (n,).
        rows: their chains and order, as far as said.
    """

    u: Float[np.ndarray, "n d"]
    columns: dict[str, Float[np.ndarray, " n"]]
    rows: Rows

    @property
    def n(self) -> int:
        """How many."""
        return len(self.u)


def holds_draws(thing: object) -> bool:
    """Whether something is draws: rows in any form, arrays by parameter, or the file of a tree."""
    if isinstance(thing, (Mapping, list, tuple, Samples, Stream)) or hasattr(thing, "__array__"):
        return True
    if isinstance(thing, (str, os.PathLike)):
        return is_tree_file(thing) or is_table(thing)
    return holds_rows(thing)


def is_tree_file(thing: object) -> bool:
    """Whether something names a file of an ArviZ tree."""
    return isinstance(thing, (str, os.PathLike)) and os.fspath(thing).lower().endswith(_TREES)


def read_draws(thing: object, target: Unconstrained) -> Drawn:
    """Returns draws of a density's parameters.

    Args:
        thing: arrays by parameter, (n, *shape) or (chains, n, *shape); an array (n, d) or (chains, n, d); a data
            frame, an ArviZ tree, `Samples`, or the path of one of these (.csv, .parquet, .npy, .nc).
        target: whose parameters.

    Raises:
        InputError: parameters are missing, of another shape or outside their support; or the draws have weights.
        UnsupportedError: the model does not give the way back from its parameters.
    """
    back, first = _way_back(target)
    shapes = {name: value.shape[1:] for name, value in first.items()}
    names = tuple(columns(first, bare=target.bare))
    thing = _opened(thing)
    if isinstance(thing, Mapping) and not holds_rows(thing):
        values, rows = _of_mapping(thing, shapes, target)
    else:
        flat, rows = _of_rows(thing, names, target)
        values = _by_parameter(flat, shapes)
    n = len(next(iter(values.values())))
    if n < _FEWEST:
        raise InputError(f"there are {n} draws: at least {_FEWEST} are needed to judge them")
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise InputError(
                f"draws of {name} are not finite: leave out what a sampler did not return"
            )
    u = back(values)
    return Drawn(u, columns(target.constrain(u), bare=target.bare), rows)


def read_parameters(thing: object, target: Unconstrained) -> Drawn:
    """Returns one value of all parameters of a density.

    Args:
        thing: values by parameter, as the example of a `LogDensity`; of one parameter, or as a vector of all
            coordinates, an array.
        target: whose parameters.

    Raises:
        InputError: parameters are missing, of another shape, not finite or outside their support.
        UnsupportedError: the model does not give the way back from its parameters.
    """
    back, first = _way_back(target)
    shapes = {name: value.shape[1:] for name, value in first.items()}
    if isinstance(thing, Mapping):
        missing = [name for name in shapes if name not in thing]
        if missing:
            raise InputError(
                f"there is no value of {listed(missing)}; there are {listed([str(k) for k in thing])}"
            )
        values = {name: np.asarray(thing[name], dtype=np.float64) for name in shapes}
    else:
        flat = np.asarray(thing, dtype=np.float64).reshape(1, -1)
        if flat.size != sum(math.prod(shape) for shape in shapes.values()):
            raise InputError(f"there are {flat.size} numbers; the parameters of p are {shapes}")
        values = {name: part[0] for name, part in _by_parameter(flat, shapes).items()}
    for name, shape in shapes.items():
        if values[name].shape != shape:
            raise InputError(f"{name} has shape {values[name].shape}; it must be {shape}")
        if not np.isfinite(values[name]).all():
            raise InputError(f"the value of {name} is not finite: {values[name]}")
    u = back({name: value[None] for name, value in values.items()})
    return Drawn(u, columns(target.constrain(u), bare=target.bare), Rows())


def _way_back(
    target: Unconstrained,
) -> tuple[Callable[[Mapping[str, np.ndarray]], np.ndarray], dict[str, np.ndarray]]:
    """The way from parameters to coordinates, and the parameters that it takes, at the start."""
    if target.unconstrain is None:
        raise UnsupportedError(
            f"a {target.origin} does not give the way back from its parameters to coordinates, in which draws are "
            "judged: give p as LogDensity(fn, example, support=...)"
        )
    first = target.constrain(target.start[None])
    return target.unconstrain, _latent(first, target.unconstrain, target.dimension)


def _latent(
    first: dict[str, np.ndarray], back: Callable[[Mapping[str, np.ndarray]], np.ndarray], d: int
) -> dict[str, np.ndarray]:
    """The parameters that coordinates are had from: a model's deterministic sites follow from the others."""
    if sum(value[0].size for value in first.values()) == d:
        return first
    needed = dict(first)
    for name in first:
        rest = {k: v for k, v in needed.items() if k != name}
        try:
            back(rest)
        except (InputError, KeyError):
            continue
        needed = rest
    return needed


def _opened(thing: object) -> object:
    """What is in a file that no table is: a tree, an array of chains."""
    if not isinstance(thing, (str, os.PathLike)):
        return thing
    path = Path(thing)
    if is_tree_file(path):
        if not path.exists():
            raise InputError(f"{path}: there is no such file")
        for module in ("h5netcdf", "h5py"):
            need(module, f"the file {path.name}", "kullback[arviz]")
        xarray = need("xarray", f"the file {path.name}", "kullback[arviz]")
        try:
            return xarray.load_datatree(path, engine="h5netcdf")
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: this is no netCDF file of draws ({error})") from None
    if path.suffix.lower() == ".npy" and path.exists():
        try:
            return np.load(path, allow_pickle=False)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    return thing


def _of_mapping(
    thing: Mapping[Any, Any], shapes: dict[str, tuple[int, ...]], target: Unconstrained
) -> tuple[dict[str, np.ndarray], Rows]:
    """Arrays by parameter, and the chains that a second leading axis counts."""
    if target.bare and len(thing) == 1:
        thing = dict.fromkeys(shapes, next(iter(thing.values())))
    missing = [name for name in shapes if name not in thing]
    if missing:
        raise InputError(
            f"there are no draws of {listed(missing)}; there are {listed([str(k) for k in thing])}"
        )
    found, leads = {}, set()
    for name, shape in shapes.items():
        value = np.asarray(thing[name], dtype=np.float64)
        lead = value.shape[: value.ndim - len(shape)]
        if value.shape[len(lead) :] != shape or len(lead) not in (1, 2):
            wanted = ", ".join(("n", *map(str, shape)))
            raise InputError(
                f"draws of {name} have shape {value.shape}; they must be ({wanted}), or (chains, {wanted})"
            )
        leads.add(lead)
        found[name] = value.reshape(-1, *shape)
    if len(leads) > 1:
        raise InputError(f"parameters have different numbers of draws: {sorted(leads)}")
    return found, _chains(leads.pop())


def _chains(lead: tuple[int, ...]) -> Rows:
    """The account of draws that stand chain after chain; of one axis nothing is said."""
    if len(lead) == 1:
        return Rows()
    chains, draws = lead
    return Rows(
        cluster=np.repeat(np.arange(chains), draws), order=np.tile(np.arange(draws), chains)
    )


def _of_rows(
    thing: object, names: tuple[str, ...], target: Unconstrained
) -> tuple[np.ndarray, Rows]:
    """The coordinates of parameters as columns in their order, and what the rows stand for."""
    if isinstance(thing, (list, tuple)) or (hasattr(thing, "__array__") and not holds_rows(thing)):
        array = np.asarray(thing)
        if array.ndim == 3:
            if array.shape[2] != len(names):
                raise InputError(_shape(array.shape, names))
            flat = np.asarray(array.reshape(-1, len(names)), dtype=np.float64)
            return flat, _chains((array.shape[0], array.shape[1]))
        thing = array
    samples = rows_in(thing)
    if isinstance(samples, Stream):
        raise InputError("draws in pieces are not judged: give one file, or an array")
    if not isinstance(samples, Samples):
        raise InputError(f"a {type(thing).__name__} holds no draws: give an array (n, d)")
    if samples.rows.weighted:
        raise InputError(
            "draws with weights are not judged: draw from them by their weights first, or judge the density"
        )
    samples = samples.written_out
    place = {name: i for i, name in enumerate(samples.columns)}
    if all(name in place for name in names):
        chosen = [place[name] for name in names]
    elif len(place) == len(names) and (target.bare or samples.columns == numbered(len(names))):
        chosen = list(range(len(names)))
    elif samples.columns == numbered(len(samples.columns)):
        raise InputError(_shape(samples.values.shape, names))
    else:
        missing = [name for name in names if name not in place]
        raise InputError(
            f"there are no columns {listed(missing)}, which are parameters of p; there are "
            f"{listed(list(samples.columns))}"
        )
    for i in chosen:
        if samples.labels[i : i + 1] and samples.labels[i]:
            raise InputError(
                f"column {samples.columns[i]!r} holds categories, and parameters are numbers"
            )
    return samples.values[:, chosen], Rows(cluster=samples.cluster, order=samples.order)


def _shape(shape: tuple[int, ...], names: tuple[str, ...]) -> str:
    return (
        f"draws have shape {shape}, and p has {len(names)} numbers ({listed(list(names))}): give (n, {len(names)}) or "
        f"(chains, n, {len(names)}), in this order"
    )


def _by_parameter(flat: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
    parts = np.split(flat, ends, axis=1)
    return {
        name: part.reshape(-1, *shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
