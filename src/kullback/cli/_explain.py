"""`kullback explain P Q`: where a divergence is paid."""

import math
from collections.abc import Iterator

from rich.table import Table

from kullback.api import _explain as api
from kullback.cli import _gradients, _output, _units
from kullback.cli._arguments import given
from kullback.cli._numbers import figure, short
from kullback.cli._options import Output, Unit
from kullback.results._contributions import Contributions


def run(p: str, q: str, *, normalize: bool, unit: Unit, output: Output) -> int:
    """Prints the regions and their total, and returns the exit code; or goes on to `gradients`."""
    if p == "gradients":
        return _gradients.run(q, output)
    left, right = given(p, "p"), given(q, "q")
    found = api.explain(left.value, right.value, normalize=normalize)
    shown = _units.of_contributions(found, unit)
    if output.json:
        _output.show_json("explain", {"p": left.words, "q": right.words, **shown.as_dict()})
    else:
        heads = [f"p = {left.words}", f"q = {right.words}", ""]
        _output.show([*heads, *_page(shown)])
    return 3 if found.total.kind == "unresolved" else 0


def _page(found: Contributions) -> Iterator[str | Table]:
    total = found.total
    rows = [
        [r.name, _mass(r.mass_p), _mass(r.mass_q), figure(r.contribution, unit=False)]
        for r in found.regions
    ]
    headers = ("region", "mass of p", "mass of q", f"adds to {total.direction}, {total.unit}")
    yield _output.table(headers, rows, right=(1, 2, 3))
    yield ""
    yield f"total: {total}"
    yield f"  = cross-entropy {found.cross_entropy}"
    yield f"  - entropy {found.entropy}"
    least = min((r.contribution.value for r in found.regions if r.mass_q > r.mass_p), default=0.0)
    if least < 0.0:
        yield f"A region may add less than 0 (here {short(least)}): q has more there than p."
    for note in total.notes if total.reason is None else total.notes[1:]:
        yield _output.line(f"note: {note}", indent="  ")


def _mass(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.4f}"
