"""`kullback explain gradients P`."""

from contextlib import nullcontext

from kullback.api.explain import explain_gradients
from kullback.cli.answer import answer
from kullback.cli.inputs import given, is_model, model
from kullback.cli.options import Output
from kullback.views.losses import gradients_document


def run(p: str, output: Output) -> int:
    """Prints the comparison and returns the exit code."""
    with model(p) if is_model(p) else nullcontext(given(p, "p").value) as target:
        found = explain_gradients(target)
    answer("explain", gradients_document(p, found), output)
    return 0
