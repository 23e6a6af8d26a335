"""`kullback plan`: the table that chooses, printed before anything is computed."""

from rich.table import Table

from kullback.api import _plan as api
from kullback.cli import _output
from kullback.cli._arguments import given
from kullback.cli._options import Output
from kullback.results._plan import Plan, PlanRow


def run(p: str, q: str, *, normalize: bool, output: Output) -> int:
    """Prints the table and both directions, and returns the exit code."""
    left, right = given(p, "p"), given(q, "q")
    found = api.plan(left.value, right.value, normalize=normalize)
    if output.json:
        _output.show_json("plan", {"p": left.words, "q": right.words, **found.as_dict()})
        return 0
    _output.show(
        [
            f"p = {left.words}",
            f"q = {right.words}",
            "",
            "the first method that applies is chosen:",
            _output.table(
                ("", "method", "applies to", "may give"),
                [[_chosen(r), r.method, r.applies, r.gives] for r in found.rows],
            ),
            "",
            _sides(found),
        ]
    )
    return 0


def _chosen(row: PlanRow) -> str:
    both = {(True, True): "both", (True, False): "forward", (False, True): "reverse"}
    return f"{both[row.forward, row.reverse]} ->" if row.forward or row.reverse else ""


def _sides(found: Plan) -> Table:
    cells = (found.forward, found.reverse)
    rows = [
        ["", *(c.direction for c in cells)],
        ["method", *(c.method for c in cells)],
        ["mean", *(c.expectation for c in cells)],
        ["needs", *(c.needs for c in cells)],
        ["fitting it", *(c.does for c in cells)],
    ]
    return _output.table(("", "forward", "reverse"), rows)
