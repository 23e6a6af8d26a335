"""What is kept of a fit: the fit itself, and on the way a checkpoint."""

from pathlib import Path

from kullback._core.errors import InputError
from kullback.api._store import save
from kullback.cli import _saving
from kullback.cli._options import Keeping
from kullback.results._fit import Fit


def checkpoint(keeping: Keeping, data: str) -> Path | None:
    """Returns where results on the way are kept; without --resume an old checkpoint is removed.

    Args:
        keeping: what is kept, and where.
        data: what is read, as typed.

    Raises:
        InputError: nothing could be written there, or there is nothing to go on from.
    """
    _saving.check_place(keeping.out, "--out", inputs=(data,))
    _saving.check_place(keeping.checkpoint, "--checkpoint", inputs=(data,))
    if keeping.checkpoint is not None:
        return keeping.checkpoint
    if keeping.out is None:
        if keeping.resume:
            raise InputError(
                "--resume: say --out FILE, beside which the checkpoint lies, or --checkpoint FILE"
            )
        return None
    beside = _beside(keeping.out)
    if not keeping.resume:
        beside.unlink(missing_ok=True)
    return beside


def keep(found: Fit, keeping: Keeping, used: Path | None) -> str | None:
    """Writes a fit if that was asked for, and returns the line that says where it is.

    The checkpoint beside it stays only if the fit was interrupted.
    """
    if keeping.out is None:
        return None
    save(found, keeping.out)
    own = used is not None and keeping.checkpoint is None
    if own and not found.interrupted:
        _beside(keeping.out).unlink(missing_ok=True)
    return _saving.where("fit", keeping.out)


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.checkpoint")
