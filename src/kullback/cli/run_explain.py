"""`kullback explain P Q` and `explain gradients P`."""

from contextlib import nullcontext

from kullback.api.explain import explain
from kullback.api.gradients import explain_gradients
from kullback.cli.answer import answer
from kullback.cli.inputs import given, is_model, model
from kullback.cli.options import EXIT_CODES, Output
from kullback.results.units import Unit
from kullback.views.losses import gradients_document
from kullback.views.measure import contributions_document


def run(p: str, q: str, *, normalize: bool, unit: Unit, output: Output) -> int:
    """Prints the regions and their total, or how estimators compare, and returns the exit code."""
    if p == "gradients":
        with model(q) if is_model(q) else nullcontext(given(q, "p").value) as target:
            compared = explain_gradients(target)
        answer("explain", gradients_document(q, compared), output)
        return 0
    left, right = given(p, "p"), given(q, "q")
    found = explain(left.value, right.value, normalize=normalize)
    shown = unit.of(found)
    answer("explain", contributions_document((left.words, right.words), shown), output)
    return EXIT_CODES[found.status]
