"""Fits, judgements, calibrations and profiles written to files and read again."""

from pathlib import Path
from typing import Any

import numpy as np

from kullback.distributions.transported import Approximation
from kullback.files.archive import read_fit, read_result, write_fit, write_judgement, write_watch
from kullback.files.profiles import is_profile, read_profile, write_profile
from kullback.results.calibration import Calibration
from kullback.results.fit import Fit
from kullback.results.judgement import Judgement
from kullback.results.profile import Profile
from kullback.results.watch import Watch


def save(result: Fit | Judgement | Calibration | Profile | Watch, path: str | Path) -> None:
    """Writes a result to a file, whole or not at all: plain arrays and JSON.

    Args:
        result: any fit of Gaussians, a judgement, a calibration, a profile of a table, or a watch on one.
        path: of the file, such as "posterior.kullback".

    Raises:
        InputError: it cannot be written, or q is of a kind that has no file form.

    Example:
        >>> import tempfile
        >>> import kullback as kb
        >>> fit = kb.fit(kb.Samples([[0.0], [1.0], [2.0]]), kb.FullRank(), direction="forward")
        >>> place = Path(tempfile.mkdtemp()) / "fit.kb"
        >>> kb.save(fit, place)
        >>> kb.load(place).q.loc == fit.q.loc
        True
    """
    if isinstance(result, Profile):
        write_profile(path, result)
    elif isinstance(result, (Judgement, Calibration)):
        write_judgement(result, path)
    elif isinstance(result, Watch):
        write_watch(result, path)
    else:
        write_fit(result, path)


def load(path: str | Path) -> Fit | Judgement | Calibration | Profile | Watch:
    """Returns what is in a file: a fit, a judgement, a calibration, a profile or a watch. Nothing in it is executed.

    Args:
        path: as of `save`.

    Raises:
        InputError: there is no such file, it is damaged, or it is something else.

    Example:
        >>> load("none.kb")
        Traceback (most recent call last):
        kullback.core.errors.InputError: none.kb...
    """
    return read_profile(path) if is_profile(path) else read_result(path, _rebuild)


def load_fit(path: str | Path) -> Fit:
    """Returns the fit in a file. Raises InputError if it is anything else."""
    return read_fit(path, _rebuild)


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
    from kullback.interop.parameters import from_spec  # noqa: PLC0415 - JAX is loaded for supports only

    parts = from_spec(layout)
    return Approximation(
        base, parts.constrain, parts.log_jacobian, parts.unconstrain, coordinates, bare, layout
    )


def _as_coordinates(u: np.ndarray) -> dict[str, np.ndarray]:
    return {"x": u}


def _no_jacobian(u: np.ndarray) -> np.ndarray:
    return np.zeros(len(u))


def _no_way_back(values: Any) -> np.ndarray:
    return values["x"]
