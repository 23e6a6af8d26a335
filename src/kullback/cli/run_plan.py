"""`kullback plan`."""

from kullback.api.explain import plan
from kullback.cli.answer import answer
from kullback.cli.inputs import given
from kullback.cli.options import Output
from kullback.views.measure import plan_document


def run(p: str, q: str, *, normalize: bool, output: Output) -> int:
    """Prints the table and both directions, and returns the exit code."""
    left, right = given(p, "p"), given(q, "q")
    found = plan(left.value, right.value, normalize=normalize)
    answer("plan", plan_document((left.words, right.words), found), output)
    return 0
