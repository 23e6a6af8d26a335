"""`kullback explain --gradients`."""

from contextlib import nullcontext

from kullback.api.explain import explain_gradients
from kullback.cli.inputs import given, is_model, model
from kullback.cli.options import Output
from kullback.render.terminal import show, show_json
from kullback.results.serialise import to_json
from kullback.views.losses import _gradients_page


def run(p: str, output: Output) -> int:
    """Prints the comparison and returns the exit code."""
    with model(p) if is_model(p) else nullcontext(given(p, "p").value) as target:
        found = explain_gradients(target)
    if output.json:
        show_json("explain", {"topic": "gradients", "p": p, **to_json(found)})
    else:
        show([f"p = {p}", *_gradients_page(found)])
    return 0
