"""Fits written to files and read again."""

from pathlib import Path
from typing import Any

import numpy as np

from kullback._core.checkpoint import Checkpoint
from kullback._core.errors import InputError
from kullback.distributions._approximation import Approximation
from kullback.io._archive import read_fit, read_stages, write_fit, write_stages
from kullback.results._fit import Fit


def save(fit: Fit, path: str | Path) -> None:
    """Writes a fit to a file: a zip of plain arrays and JSON, written whole or not at all.

    Args:
        fit: any fit of Gaussians.
        path: of the file, such as "posterior.kullback".

    Raises:
        InputError: it cannot be written, or q is of a kind that has no file form.
    """
    write_fit(fit, path)


def load(path: str | Path) -> Fit:
    """Returns the fit in a file. Nothing in the file is executed: there is no pickle in it.

    Raises:
        InputError: there is no such file, it is damaged, or it is something else.
    """
    return read_fit(path, _rebuild)


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


def _rebuild(
    base: Any,
    layout: dict[str, Any] | None,
    coordinates: tuple[str, ...],
    bare: bool,  # noqa: FBT001
) -> Approximation:
    if layout is None:
        # The model's own way from coordinates to parameters is not in the file: q is over coordinates.
        return Approximation(
            base, _as_coordinates, _no_jacobian, _no_way_back, coordinates, bare=True
        )
    from kullback.interop._supports import from_spec  # noqa: PLC0415 - JAX is loaded for supports only

    parts = from_spec(layout)
    return Approximation(
        base,
        parts.constrain,
        parts.log_jacobian,
        parts.unconstrain,
        coordinates,
        bare,
        layout,
    )


def _as_coordinates(u: np.ndarray) -> dict[str, np.ndarray]:
    return {"x": u}


def _no_jacobian(u: np.ndarray) -> np.ndarray:
    return np.zeros(len(u))


def _no_way_back(values: Any) -> np.ndarray:
    return values["x"]
