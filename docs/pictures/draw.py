"""Draws the pictures of the README and the guides, each from a fit made here: scripts/pictures."""

from pathlib import Path

import kullback as kb
from kullback.expressions.parse import parse
from kullback.render.document import Figure
from kullback.render.html import HATCH, SHEET
from kullback.render.svg import draw
from kullback.views.lines import Curve, densities, of_density

HERE = Path(__file__).parent
TARGET = "0.6*normal(-2, sd=0.7) + 0.4*normal(2, sd=0.5)"


def two_modes() -> Figure:
    """Both fits of one normal to two modes."""
    p = parse(TARGET)
    curves, values = [], []
    for role in ("forward", "reverse"):
        fit = kb.fit(TARGET, kb.FullRank(), direction=role)
        curves.append(Curve(f"{role} fit", role, fit.q))
        values.append(f"{role} {fit.divergence.value:.3f} nats")
    caption = "p has two modes. " + ", ".join(values)
    return densities(
        "One normal, fitted in both directions",
        caption,
        of_density(p, [c.of for c in curves]),
        curves,
    )


def standalone(figure: Figure, name: str) -> str:
    """A figure as a file of its own, with the colours of the reports."""
    hatch = HATCH[HATCH.index("<defs") : HATCH.index("</defs>") + 7] if "<defs" in HATCH else ""
    ground = "<style>svg{background:var(--ground);font-family:system-ui,sans-serif}</style>"
    head, _, rest = draw(figure, name).partition(">")
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style>{SHEET}</style>{ground}{hatch}{rest}\n"


if __name__ == "__main__":
    (HERE / "two-modes.svg").write_text(standalone(two_modes(), "two-modes"))
