"""`kullback plan` and `explain`: how something would be measured or fitted, and what a divergence is made of."""

from contextlib import nullcontext

from kullback.api.explain import explain
from kullback.api.gradients import explain_gradients
from kullback.api.plan import plan as plan_of
from kullback.cli.answer import answer
from kullback.cli.fit import opened
from kullback.cli.inputs import given, is_model, model
from kullback.cli.options import Fitting, Output, ReadingOptions, Unit
from kullback.core.errors import InputError
from kullback.views.losses import gradients_document
from kullback.views.measure import contributions_document, plan_document


def plan(
    p: str, q: str | None, how: Fitting, reading: ReadingOptions, *, normalize: bool, output: Output
) -> int:
    """Prints how KL would be measured or a family fitted, and returns the exit code."""
    if (q is None) == (how.family is None):
        raise InputError(
            "give Q, for a plan to measure KL, or --family, for one to fit: one of them"
        )
    if q is None:
        with opened(p, how, reading) as target:
            routes = plan_of(target.given, family=how.family)
        words = target.words(p).removeprefix("p: ").removeprefix("p = ")
        document = plan_document((words, str(how.family)), routes)
        return answer("plan", document, output, status=routes.status)
    left, right = given(p, "p"), given(q, "q")
    methods = plan_of(left.value, right.value, normalize=normalize)
    document = plan_document((left.words, right.words), methods)
    return answer("plan", document, output)


def explain_pair(p: str, q: str, *, normalize: bool, unit: Unit, output: Output) -> int:
    """Prints the regions and their total, or how estimators compare, and returns the exit code."""
    if p == "gradients":
        with model(q) if is_model(q) else nullcontext(given(q, "p").value) as target:
            compared = explain_gradients(target)
        return answer("explain", gradients_document(q, compared), output)
    left, right = given(p, "p"), given(q, "q")
    parts = unit.of(explain(left.value, right.value, normalize=normalize))
    document = contributions_document((left.words, right.words), parts)
    return answer("explain", document, output, status=parts.status)
