"""`kullback explain`."""

from kullback.api.explain import explain
from kullback.cli.inputs import given
from kullback.cli.options import EXIT_CODES, Output
from kullback.cli.run_gradients import run as run_gradients_run
from kullback.render.terminal import show, show_json
from kullback.results.serialise import to_json
from kullback.results.units import Unit
from kullback.views.measure import _explain_page


def run(p: str, q: str, *, normalize: bool, unit: Unit, output: Output) -> int:
    """Prints the regions and their total, and returns the exit code; or goes on to `gradients`."""
    if p == "gradients":
        return run_gradients_run(q, output)
    left, right = given(p, "p"), given(q, "q")
    found = explain(left.value, right.value, normalize=normalize)
    shown = unit.of(found)
    if output.json:
        show_json("explain", {"p": left.words, "q": right.words, **to_json(shown)})
    else:
        heads = [f"p = {left.words}", f"q = {right.words}", ""]
        show([*heads, *_explain_page(shown)])
    return EXIT_CODES[found.status]
