"""Runs the code of two pages and writes below each block what it prints, and the pictures: scripts/gallery."""

import io
import os
import re
import tempfile
from contextlib import chdir, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl

HERE = Path(__file__).parent
PAGE = HERE.parent / "gallery.md"
OTHERS = HERE.parent / "guides" / "what-others-print.md"
#: A block of code, and what it printed in the last run.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL)
#: Points of one cloud, which matplotlib writes as one element each, with the same style.
CLOUD = re.compile(
    r'(?:\s*<use xlink:href="#\w+" x="[\d.]+" y="[\d.]+" style="fill: #\w+; fill-opacity: [\d.]+"/>){9,}'
)
POINT = re.compile(r'x="([\d.]+)" y="([\d.]+)"')
#: Coordinates; words keep their digits.
NUMBERS = re.compile(r'(?<= )(?:d|x|y|width|height|transform|viewBox)="[^"]*"')
#: A curve.
CURVE = re.compile(r"(?:\s*L -?[\d.]+ -?[\d.]+){3,}")
#: A reader of dark pages is given the picture with its lightness turned round and its hues kept.
DARK = "<style>@media(prefers-color-scheme:dark){svg{filter:invert(.9) hue-rotate(180deg)}}</style>"


def sections(page: str) -> list[str]:
    """Returns the parts of a page, each from its heading on."""
    return re.split(r"(?=^#+ )", page, flags=re.MULTILINE)[1:]


def title(section: str) -> str:
    """Returns the heading of a part."""
    return section.partition("\n")[0].lstrip("# ")


def rerun(section: str, names: dict[str, Any]) -> str:
    """Returns a part with what its code prints now; pictures are left in the working directory."""

    def ran(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(block[1], title(section), "exec"), names)  # noqa: S102 - the page's own code
        code, text = f"```python\n{block[1]}```\n", printed.getvalue().rstrip()
        return f"{code}\n```text\n{text}\n```\n" if text else code

    return BLOCK.sub(ran, section)


def settle() -> None:
    """Lets matplotlib write text as text, and the same bits in each run."""
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    mpl.use("Agg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kullback"})


def small(picture: str) -> str:
    """Returns a picture of matplotlib without its date, with tenths of a point and no point without need."""
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", picture, flags=re.DOTALL)
    text = CURVE.sub(_curve, CLOUD.sub(_cloud, text))
    text = NUMBERS.sub(_tenths, text)
    return re.sub(r"(<svg [^>]*>)", rf"\1{DARK}", text, count=1)


def _tenths(numbers: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{2,}", lambda one: f"{float(one[0]):.1f}", numbers[0])


def _cloud(points: re.Match[str]) -> str:
    look = re.search(r"fill: (#\w+); fill-opacity: ([\d.]+)", points[0])
    assert look is not None
    way = "".join(f"M{x} {y}h0" for x, y in POINT.findall(points[0]))
    style = (
        f"stroke: {look[1]}; stroke-opacity: {look[2]}; stroke-width: 2.5; stroke-linecap: round"
    )
    return f'\n<path d="{way}" style="{style}"/>'


def _curve(points: re.Match[str]) -> str:
    """Leaves out points that lie within a twentieth of a point of the line between their neighbours."""
    way = [complex(*map(float, pair.split())) for pair in points[0].split("L")[1:]]
    kept = way[:1]
    for here, after in pairwise(way[1:]):
        ahead = after - kept[-1]
        off = abs((ahead.conjugate() * (here - kept[-1])).imag)
        if off > 0.05 * abs(ahead) or abs(here - kept[-1]) > abs(ahead) or abs(ahead) > 12.0:
            kept.append(here)
    return "".join(f" L {at.real:.1f} {at.imag:.1f}" for at in [*kept, way[-1]])


def written(page: Path) -> str:
    """Returns a page with what its code prints now; a part whose tools are not installed stays as it is."""
    names: dict[str, Any] = {"__name__": page.stem}
    done = []
    for section in sections(page.read_text(encoding="utf-8")):
        print(title(section), flush=True)
        try:
            done.append(rerun(section, names))
        except ModuleNotFoundError as error:
            print(f"  left as it is: {error}")
            done.append(section)
    return "".join(done)


def write() -> None:
    """Runs both pages, and writes them and the pictures anew."""
    settle()
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        pages = {page: written(page) for page in (PAGE, OTHERS)}
        pictures = {file.name: small(file.read_text()) for file in Path().glob("*.svg")}
    for old in HERE.glob("*.svg"):
        old.unlink()
    for name, picture in pictures.items():
        (HERE / name).write_text(picture)
    for page, text in pages.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
