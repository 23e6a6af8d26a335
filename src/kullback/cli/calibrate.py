"""`kullback calibrate`: fits, or a sampler, over data that a model makes."""

from pathlib import Path

from kullback.api.calibrate import calibrate as calibrate_with
from kullback.cli.answer import answer, progress, report_file
from kullback.cli.inputs import check_place, source_of
from kullback.cli.losses import names_beside
from kullback.cli.options import Direction, Output
from kullback.core.user_code import user_code
from kullback.views.calibration import calibration_document


def calibrate(
    make_target: str, prior: str, n: int, family: str | None, direction: Direction | None, sampler: str | None,
    report: Path | None, *, key: int, output: Output,
) -> int:  # fmt: skip
    """Prints what the ranks show and returns the exit code: 3 if fits are not right."""
    check_place(report, inputs=(source_of(make_target),))
    with names_beside(make_target, "model.py:make_target") as name_of:
        make, draws = name_of(None), name_of(prior)
        chosen = None if sampler is None else name_of(sampler)
        with progress("calibrating", output) as watch, user_code(make_target):
            found = calibrate_with(
                make, draws, n, family=family, direction=direction, sampler=chosen, key=key, progress=watch
            )  # fmt: skip
    document = calibration_document(found, key=key)
    return answer("calibrate", document, output, files=(report_file(report),), status=found.status)
