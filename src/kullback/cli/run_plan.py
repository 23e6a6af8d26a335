"""`kullback plan`."""

from kullback.api.explain import plan
from kullback.cli.inputs import given
from kullback.cli.options import Output
from kullback.render.terminal import print_table, show, show_json
from kullback.results.serialise import to_json
from kullback.views.measure import _chosen, _sides


def run(p: str, q: str, *, normalize: bool, output: Output) -> int:
    """Prints the table and both directions, and returns the exit code."""
    left, right = given(p, "p"), given(q, "q")
    found = plan(left.value, right.value, normalize=normalize)
    if output.json:
        show_json("plan", {"p": left.words, "q": right.words, **to_json(found)})
        return 0
    show(
        [
            f"p = {left.words}",
            f"q = {right.words}",
            "",
            "the first method that applies is chosen:",
            print_table(
                ("", "method", "applies to", "may give"),
                [[_chosen(r), r.method, r.applies, r.gives] for r in found.rows],
            ),
            "",
            _sides(found),
        ]
    )
    return 0
