"""`kullback calibrate`: fits, or a sampler, over data that a model makes."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

from kullback.api.calibrate import calibrate as calibrate_with
from kullback.cli import workers
from kullback.cli.answer import answer, progress, report_file
from kullback.cli.inputs import check_place, source_of
from kullback.cli.losses import names_beside
from kullback.cli.options import Direction, Output, Working
from kullback.core.user_code import user_code
from kullback.views.calibration import calibration_document


def calibrate(
    make_target: str, prior: str, n: int, family: str | None, direction: Direction | None, sampler: str | None,
    checkpoint: Path | None, working: Working, report: Path | None, *, key: int, output: Output,
) -> int:  # fmt: skip
    """Prints what the ranks show and returns the exit code: 3 if fits are not right."""
    check_place(report, inputs=(source_of(make_target),))
    check_place(checkpoint, "--checkpoint", inputs=(source_of(make_target),))
    with names_beside(make_target, "model.py:make_target") as name_of:
        make, draws = name_of(None), name_of(prior)
        chosen = None if sampler is None else name_of(sampler)
        if working.elsewhere:
            make, draws = _Named(make_target, None), _Named(make_target, prior)
            chosen = None if sampler is None else _Named(make_target, sampler)
        with (
            workers.opened(working.workers, working.scheduler) as executor,
            progress("calibrating", output) as watch, user_code(make_target),
        ):  # fmt: skip
            found = calibrate_with(
                make, draws, n, family=family, direction=direction, sampler=chosen, key=key, progress=watch,
                executor=executor, checkpoint=checkpoint,
            )  # fmt: skip
    document = calibration_document(found, key=key)
    return answer("calibrate", document, output, files=(report_file(report),), status=found.status)


@final
@dataclass(frozen=True)
class _Named:
    """A function beside one in a module or a file, which each worker reads for itself.

    Attributes:
        text: FILE.py:NAME or module:NAME.
        name: beside that one; None for that one.
    """

    text: str
    name: str | None

    def __call__(self, *given: Any) -> Any:
        return _read(self.text)(self.name)(*given)


@cache
def _read(text: str) -> Any:
    return names_beside(text, "model.py:make_target").__enter__()  # as long as the process lives
