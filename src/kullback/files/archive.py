"""Fits and watches as files: a zip of plain arrays and one JSON text. Nothing in it is ever executed or unpickled."""

import dataclasses
import io
import json
import math
import pkgutil
import re
import struct
import tokenize
import types
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from kullback import distributions, families
from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import Checkpoint
from kullback.distributions.base import Distribution, Foreign, Stratum
from kullback.distributions.transported import Approximation
from kullback.files.atomic import write_atomic
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components
from kullback.fitting.natural_gradient import Ascent, Slope
from kullback.measure.samples.bets import is_start
from kullback.results.calibration import Calibration
from kullback.results.fit import Fit
from kullback.results.judgement import Judgement
from kullback.results.quantity import Sentence
from kullback.results.watch import Watch, WatchedGroups
from kullback.solvers.tempering import Points, Tempered


def resumed(path: str | Path | None, mark: dict[str, Any]) -> Checkpoint:
    """Returns what an earlier run left in a file, and where this one leaves its results.

    Args:
        path: of the file, which need not exist; None to keep nothing.
        mark: plain values that tell this fit from others.

    Raises:
        InputError: the file is of another fit.
    """
    if path is None:
        return Checkpoint()
    stored = read_stages(path) if Path(path).exists() else {}
    if stored and stored.pop("of", None) != mark:
        raise InputError(
            f"{path}: this checkpoint is of other data, or another density, family or key; remove it, or "
            "name another file"
        )
    return Checkpoint(stored, lambda stages: write_stages({**stages, "of": mark}, path))


_FORMAT = 3
#: Of a sentence: places for parts, as `Sentence` has them, and nothing that reaches into one.
_TEMPLATE = re.compile(r"(?:[^{}]|\{\{|\}\}|\{unit\}|\{(?::\+?(?:\.\d\d?)?[efg])?\})*")
#: Stages of fits, which may be in a checkpoint.
_STAGES = (Climbs, Components, Slope, Ascent, Tempered, Points)
#: Distributions that hold functions, which no file does.
_NOT_WRITTEN = (Approximation, Foreign, Stratum)


def _of_distributions() -> Iterator[type]:
    """Yields all dataclasses of the package `distributions`: a new one needs no line here."""
    for module in pkgutil.iter_modules(distributions.__path__, "kullback.distributions."):
        if module.name.endswith((".family", ".registry")):  # a table, whose rows nothing holds
            continue
        for thing in vars(import_module(module.name)).values():
            if isinstance(thing, type) and thing.__module__ == module.name:
                known = dataclasses.is_dataclass(thing) and thing not in _NOT_WRITTEN
                yield from (thing,) if known else ()


# Whether a value from a file is what a field is said to hold.


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def reachable(cls: type) -> Iterator[type]:
    """Yields a dataclass and those that its fields may hold, at any depth."""
    seen: set[type] = set()
    ahead: list[Any] = [cls]
    while ahead:
        hint = ahead.pop()
        ahead.extend(get_args(hint))
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in seen:
            seen.add(hint)
            ahead.extend(_hints(hint).values())
            yield hint


def _name(cls: type) -> str:
    """The name of a class in files; recipes have names that distributions have too."""
    return f"families.{cls.__name__}" if cls.__module__ == families.__name__ else cls.__name__


#: What may be in a file, by name; anything else is refused, in both directions.
_CLASSES: dict[str, type] = {
    _name(known): known
    for known in (
        *_of_distributions(),
        *(
            part
            for whole in (Fit, Judgement, Calibration, Watch, *_STAGES)
            for part in reachable(whole)
        ),
    )
}
_LARGEST = 2**31
#: What reading a file that is not what it should be may raise.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    NotImplementedError, RuntimeError, ArithmeticError, AssertionError, LookupError, MemoryError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
Rebuild = Callable[[Any, dict[str, Any] | None, tuple[str, ...], bool], Approximation]


def write_fit(fit: Fit, path: str | Path) -> None:
    """Writes a fit; raises InputError if it holds what cannot be written. A p of functions is left out."""
    try:
        _encode(fit.target, {})
    except InputError:
        fit = dataclasses.replace(fit, target=None)
    _write({"fit": fit}, path)


def write_judgement(result: Judgement | Calibration, path: str | Path) -> None:
    """Writes a judgement or a calibration; raises InputError if the file cannot be written."""
    _write({"judgement": result}, path)


def read_fit(path: str | Path, rebuild: Rebuild) -> Fit:
    """Reads a fit.

    Args:
        path: of a file that `write_fit` wrote.
        rebuild: makes an approximation of its base, the description of its parameters, its coordinates
            and whether it is bare.

    Raises:
        InputError: there is no such file, it is damaged, or it is something else.
    """
    return _fit(path, _read(path, rebuild).get("fit"))


def read_result(path: str | Path, rebuild: Rebuild) -> Fit | Judgement | Calibration | Watch:
    """Returns what is in a file, but for profiles; arguments and exceptions as of `read_fit`."""
    content = _read(path, rebuild)
    if "watch" in content:
        return _watch(path, content["watch"])
    judgement = content.get("judgement")
    known = isinstance(judgement, (Judgement, Calibration))
    return judgement if known else _fit(path, content.get("fit"))


def _fit(path: str | Path, fit: object) -> Fit:
    if not isinstance(fit, Fit):
        raise InputError(f"{path}: there is no fit in it; it may be a checkpoint")
    try:
        with np.errstate(all="ignore"):
            _check_usable(fit.q)
    except _DAMAGE as error:
        raise InputError(_damaged(path, error)) from None
    return fit


def write_watch(watched: Watch, path: str | Path) -> None:
    """Writes a watch: no row of a table is in it."""
    _write({"watch": watched}, path)


def read_watch(path: str | Path) -> Watch:
    """Returns the watch in a file. Raises InputError if it is damaged, or anything else."""
    return _watch(path, _read(path, _never).get("watch"))


def _watch(path: str | Path, watched: object) -> Watch:
    if not isinstance(watched, Watch):
        raise InputError(f"{path}: there is no watch in it, but another result")
    days = len(watched.days)
    starts = sum(map(is_start, range(days)))
    if not watched.columns or not all(
        _is_watched(c.groups, starts) and c.history.shape == (days,) for c in watched.columns
    ):
        raise InputError(_damaged(path, ValueError("its counts are none")))
    return watched


def _is_watched(groups: WatchedGroups, starts: int) -> bool:
    """Whether groups are what a watch can go on from."""
    size = len(groups.gaps)
    sizes = (len(groups.names), len(groups.first), len(groups.ends) + 1, groups.counts.shape[1])
    alike = set(sizes) == {size} and groups.counts.shape[0] == starts
    return (
        alike and 0 <= groups.values < size and bool((groups.gaps >= 1.0).all() and (groups.counts >= 0).all())
        and all(bool((np.diff(x) >= 0.0).all()) for x in (groups.edges, groups.ends))
        and bool(np.isfinite(groups.gaps).all() and np.isfinite(groups.edges).all())
    )  # fmt: skip


def write_stages(stages: dict[str, Any], path: str | Path) -> None:
    """Writes the results of the stages of a fit."""
    _write({"stages": stages}, path)


def read_stages(path: str | Path) -> dict[str, Any]:
    """Reads the results of stages. Raises InputError if the file is damaged or something else."""
    stages = _read(path, _never).get("stages")
    if not isinstance(stages, dict):
        raise InputError(f"{path}: this is not a checkpoint; name another file")
    return stages


def _never(*given: Any) -> Approximation:
    raise ValueError(f"no approximation belongs here: {given}")


def _write(content: dict[str, Any], path: str | Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    tree = {"format": _FORMAT, "content": _encode(content, arrays)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("content.json", json.dumps(tree))
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", part.getvalue())
    write_atomic(path, buffer.getvalue())


def _read(path: str | Path, rebuild: Rebuild) -> dict[str, Any]:
    if Path(path).is_dir():
        raise InputError(f"{path}: this is a directory; give a file in it")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise InputError(f"{path}: it unpacks to more than {_LARGEST} bytes; not read")
            tree = json.loads(archive.read("content.json"))
            arrays = {
                entry.filename.removesuffix(".npy"): _array(archive.read(entry))
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
        if tree["format"] != _FORMAT:
            raise InputError(
                f"{path}: written by another version of kullback (format {tree['format']}, this one reads "
                f"{_FORMAT}): fit again"
            )
        return dict(_decode(tree["content"], arrays, rebuild))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except InputError as error:
        told = str(error).startswith(str(path))
        raise InputError(str(error) if told else _damaged(path, error)) from None
    except _DAMAGE as error:
        raise InputError(_damaged(path, error)) from None


def _damaged(path: str | Path, error: BaseException) -> str:
    return (
        f"{path}: this is not a file of kullback's, or it is damaged "
        f"({type(error).__name__}: {error})"
    )


def _array(data: bytes) -> np.ndarray:
    """Returns an array of numbers, if its header says of it what is there."""
    part = io.BytesIO(data)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, fortran, dtype = headers[np.lib.format.read_magic(part)](part)
    start = part.tell()
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"an array of {dtype} and shape {shape} in {len(data) - start} bytes")
    flat = np.frombuffer(data, dtype, offset=start)
    return np.array(flat.reshape(shape, order="F" if fortran else "C"), order="K")


def _check_usable(q: Distribution) -> None:
    """Raises one of _DAMAGE if q cannot do what a distribution does."""
    if isinstance(q, Approximation):  # its maps would load JAX; what it is made of was checked
        return
    try:
        drawn = q.sample(np.random.default_rng(0), 2)
    except UnsupportedError:
        return
    if not q.support.dimension == (0 if drawn.ndim == 1 else drawn[0].size):
        raise ValueError(f"draws of {q.support.dimension} coordinates have shape {drawn.shape}")
    q.log_prob(drawn)


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, Sentence):
        parts = [_encode(part, arrays) for part in value.parts]
        return {"sentence": value.template, "parts": parts, "unit": value.unit}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (tuple, list)):
        return {"tuple": [_encode(v, arrays) for v in value]}
    if isinstance(value, dict):
        return {"dict": {k: _encode(v, arrays) for k, v in value.items()}}
    if isinstance(value, Approximation):
        return {
            "approximation": _encode(value.base, arrays),
            "layout": value.layout,
            "coordinates": list(value.coordinates),
            "bare": value.bare,
        }
    name = _name(type(value))
    if _CLASSES.get(name) is not type(value):
        raise InputError(
            f"a fit with a {type(value).__name__} in it cannot be saved; save its draws instead"
        )
    fields = {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    return {"class": name, "fields": fields}


def _decode(tree: Any, arrays: dict[str, np.ndarray], rebuild: Rebuild) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "fraction" in tree:
        return Fraction(*(int(v) for v in tree["fraction"]))
    if "tuple" in tree:
        return tuple(_decode(v, arrays, rebuild) for v in tree["tuple"])
    if "dict" in tree:
        return {k: _decode(v, arrays, rebuild) for k, v in tree["dict"].items()}
    if "sentence" in tree:
        if not _TEMPLATE.fullmatch(tree["sentence"]):
            raise ValueError(f"{tree['sentence']!r} is no sentence")
        parts = [_decode(part, arrays, rebuild) for part in tree["parts"]]
        return Sentence(tree["sentence"], *parts, unit=str(tree["unit"]))
    if "approximation" in tree:
        base = _decode(tree["approximation"], arrays, rebuild)
        return rebuild(base, tree["layout"], tuple(tree["coordinates"]), bool(tree["bare"]))
    fields = {k: _decode(v, arrays, rebuild) for k, v in tree["fields"].items()}
    made = _CLASSES[tree["class"]]
    check_fields(made, fields)
    return made(**fields)


def check_fields(cls: type, fields: dict[str, Any]) -> None:
    """Raises TypeError unless all values are of the types that a dataclass gives its fields."""
    for name, value in fields.items():
        hint = _hints(cls).get(name)
        if hint is None:
            raise TypeError(f"{cls.__name__} has no {name}")
        if not _is(value, hint):
            raise TypeError(f"{cls.__name__}.{name} is a {type(value).__name__}")


def _is(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is(value, h) for h in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and _is_tuple(value, arguments)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_is(v, arguments[1]) for v in value.values())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or (origin is None and isinstance(value, hint or type(None)))


def _is_tuple(value: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is ...:
        return all(_is(v, hints[0]) for v in value)
    return len(value) == len(hints) and all(_is(v, h) for v, h in zip(value, hints, strict=True))
