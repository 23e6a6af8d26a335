"""`kullback explore`: the live page of two distributions."""

import webbrowser
from pathlib import Path

from kullback.api.explore import explore
from kullback.cli.answer import File, answer
from kullback.cli.inputs import check_place, given
from kullback.cli.options import Output, Unit
from kullback.render.document import Document


def explore_pair(
    p: str | None, q: str | None, out: Path, *, show: bool, unit: Unit, output: Output
) -> int:
    """Writes the live page and returns the exit code."""
    check_place(out, "--out", inputs=(p, q))
    page = explore(_explored(p, "p"), _explored(q, "q"), path=out, units=unit.units)
    words = (f"p = {page.p}", f"q = {page.q}")
    document = Document("A live page of p and q", lambda: {"p": page.p, "q": page.q}, words)
    if show:
        webbrowser.open(out.resolve().as_uri())
    return answer("explore", document, output, files=(File("page", "page", out),))


def _explored(text: str | None, name: str) -> object:
    """What an argument stands for: a distribution, or a fit from a file."""
    if text is None:
        return None
    if Path(text).is_file():
        # Here and not above: the archive knows every class there is, and takes a second to load.
        from kullback.api.store import load_fit  # noqa: PLC0415

        return load_fit(text)
    return given(text, name).value
