"""`kullback check-loss MODULE:FUNCTION`: which divergence a loss estimates and descends."""

import math
import re
from collections.abc import Iterator

from rich.table import Table

from kullback.render.terminal import line, print_table
from kullback.results.estimate import Estimate
from kullback.results.loss_report import Gradients, LossFinding, LossReport
from kullback.views.numbers import figure

_NAMED = re.compile(r"(?P<module>[\w.]+|.+\.py):(?P<name>[\w.]+)", re.DOTALL)


def _page(found: LossReport) -> Iterator[str | Table]:
    yield f"{found.loss} ({found.library})"
    yield print_table(("argument", "taken for"), found.arguments)
    for under in found.under:
        yield ""
        if under.words:
            yield under.words
        rows = [("value", *_cells(under.value)), ("gradient", *_cells(under.gradient))]
        yield print_table(("as", "is", "cosine", "relative error"), rows, right=(2, 3))
        if under.quality:
            yield under.quality.removeprefix("; ")
    if found.notes or found.fixes:
        yield ""
    for note in found.notes:
        yield line(f"note: {note}", indent="  ")
    for fix in found.fixes:
        yield line(f"fix: {fix}", indent="  ")
    if found.expected:
        verdict = "as expected" if found.passes else "NOT as expected"
        words = found.under[0].words
        drawn = f", with {words}" if words else ""
        yield f"{verdict}: {found.expected} was asked for, the gradient is {found.name}{drawn}"


def _cells(finding: LossFinding) -> tuple[str, str, str]:
    if finding.name == "zero":
        return "zero", "", ""
    return finding.words, f"{finding.cosine:.6f}", f"{finding.relative_error:.1e}"


# `kullback explain gradients P`: bias, variance and cost of the estimators of the ELBO's gradient.


def _gradients_page(found: Gradients) -> Iterator[str | Table]:
    yield (
        f"q: {found.family}, {found.parameters} parameters, in its own coordinates; "
        f"{found.evaluations} evaluations"
    )
    headers = ("estimator", "asks for", "bias", "variance of a draw", "draws for one of the best")
    for place, norm in found.norms:
        rows = [
            [
                r.estimator.replace("_", " "),
                f"1 {r.needs}",
                _pair(r.bias) + (" !" if r.biased else ""),
                _pair(r.variance),
                "many" if math.isinf(r.ratio.value) else _ratio(r.ratio),
            ]
            for r in found.rows
            if r.place == place
        ]
        yield ""
        yield f"{place}: {figure(norm)} is the length of the gradient"
        yield print_table(headers, rows, right=(2, 3, 4))
    yield ""
    yield line(
        "A bias within a few of its errors is none; ! marks those beyond four. kullback explain gradients, "
        "without a density, says what the estimators are."
    )


def _ratio(ratio: Estimate) -> str:
    return "1" if ratio.standard_error == 0.0 else _pair(ratio)


def _pair(estimate: Estimate) -> str:
    """A value to the digits that its error leaves; 0 for what is rounding."""
    if abs(estimate.value) < 1e-9 and estimate.standard_error < 1e-9:
        return "0"
    if abs(estimate.value) >= 1e4:
        return f"{estimate.value:.2g} ± {estimate.standard_error:.1g}"
    return figure(estimate, unit=False).lstrip("≥≤ ")
