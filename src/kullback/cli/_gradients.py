"""`kullback explain gradients P`: bias, variance and cost of the estimators of the ELBO's gradient."""

import math
from collections.abc import Iterator
from contextlib import nullcontext

from rich.table import Table

from kullback.api._gradients import explain_gradients
from kullback.cli import _output
from kullback.cli._arguments import given
from kullback.cli._models import is_model, model
from kullback.cli._numbers import figure
from kullback.cli._options import Output
from kullback.results._estimate import Estimate
from kullback.results._gradients import Gradients


def run(p: str, output: Output) -> int:
    """Prints the comparison and returns the exit code."""
    with model(p) if is_model(p) else nullcontext(given(p, "p").value) as target:
        found = explain_gradients(target)
    if output.json:
        _output.show_json("explain", {"topic": "gradients", "p": p, **found.as_dict()})
    else:
        _output.show([f"p = {p}", *_page(found)])
    return 0


def _page(found: Gradients) -> Iterator[str | Table]:
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
        yield _output.table(headers, rows, right=(2, 3, 4))
    yield ""
    yield _output.line(
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
