"""Fits as files: a zip of plain arrays and one JSON text. Nothing in it is ever executed or unpickled."""

import dataclasses
import io
import json
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kullback._core.errors import InputError
from kullback.distributions._approximation import Approximation
from kullback.distributions._compound import Mixture
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._real import Normal
from kullback.distributions._vector import MultivariateNormal
from kullback.fitting._natural_gradient import Ascent, Gaussians, Slope
from kullback.fitting._search import Search
from kullback.io._writing import write_atomic
from kullback.results._diagnosis import Diagnosis, Draws, Finding, Parameter, Posterior, Rung
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit, Optimum
from kullback.solvers._modes import Mode
from kullback.solvers._moves import Points
from kullback.solvers._tempering import Tempered

_FORMAT = 1
#: What may be in a file; anything else is refused, in both directions.
_CLASSES: dict[str, type] = {
    c.__name__: c
    for c in (
        Fit, Optimum, Estimate, Posterior, Diagnosis, Finding, Parameter, Rung, Draws,
        MultivariateNormal, GaussianMixture, Normal, Mixture,
        Search, Mode, Gaussians, Slope, Ascent, Tempered, Points,
    )
}  # fmt: skip
_LARGEST = 2**31
#: What reading a file that is not what it should be may raise.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    NotImplementedError, RuntimeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
Rebuild = Callable[[Any, dict[str, Any] | None, tuple[str, ...], bool], Approximation]


def write_fit(fit: Fit, path: str | Path) -> None:
    """Writes a fit; raises InputError if it holds what cannot be written."""
    _write({"fit": fit}, path)


def read_fit(path: str | Path, rebuild: Rebuild) -> Fit:
    """Reads a fit.

    Args:
        path: of a file that `write_fit` wrote.
        rebuild: makes an approximation of its base, the description of its parameters, its coordinates
            and whether it is bare.

    Raises:
        InputError: there is no such file, it is damaged, or it is something else.
    """
    fit = _read(path, rebuild).get("fit")
    if not isinstance(fit, Fit):
        raise InputError(f"{path}: there is no fit in it; it may be a checkpoint")
    return fit


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
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise InputError(f"{path}: it unpacks to more than {_LARGEST} bytes; not read")
            tree = json.loads(archive.read("content.json"))
            arrays = {
                entry.filename.removesuffix(".npy"): np.lib.format.read_array(
                    io.BytesIO(archive.read(entry)), allow_pickle=False
                )
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
        if tree["format"] != _FORMAT:
            raise InputError(f"{path}: format {tree['format']}; this version reads {_FORMAT}")
        return dict(_decode(tree["content"], arrays, rebuild))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"{path}: this is not a file of kullback's, or it is damaged "
            f"({type(error).__name__}: {error})"
        ) from None


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
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
    name = type(value).__name__
    if _CLASSES.get(name) is not type(value):
        raise InputError(f"a fit with a {name} in it cannot be saved; save its draws instead")
    fields = {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
    return {"class": name, "fields": fields}


def _decode(tree: Any, arrays: dict[str, np.ndarray], rebuild: Rebuild) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "tuple" in tree:
        return tuple(_decode(v, arrays, rebuild) for v in tree["tuple"])
    if "dict" in tree:
        return {k: _decode(v, arrays, rebuild) for k, v in tree["dict"].items()}
    if "approximation" in tree:
        base = _decode(tree["approximation"], arrays, rebuild)
        return rebuild(base, tree["layout"], tuple(tree["coordinates"]), bool(tree["bare"]))
    fields = {k: _decode(v, arrays, rebuild) for k, v in tree["fields"].items()}
    return _CLASSES[tree["class"]](**fields)
