"""`kullback explain`."""

from kullback.api.explain import explain
from kullback.cli.answer import answer
from kullback.cli.inputs import given
from kullback.cli.options import Output
from kullback.cli.run_gradients import run as run_gradients
from kullback.results.units import Unit, of_contributions
from kullback.views.measure import contributions_document


def run(p: str, q: str, *, normalize: bool, unit: Unit, output: Output) -> int:
    """Prints the regions and their total, and returns the exit code; or goes on to `gradients`."""
    if p == "gradients":
        return run_gradients(q, output)
    left, right = given(p, "p"), given(q, "q")
    found = explain(left.value, right.value, normalize=normalize)
    shown = of_contributions(found, unit)
    answer("explain", contributions_document((left.words, right.words), shown), output)
    return 3 if found.total.kind == "unresolved" else 0
