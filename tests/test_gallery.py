"""The gallery is what its script makes of it: the code as it runs, the lines as they are printed, pictures of moderate size."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the script draws with it")

PLACE = Path(__file__).parent.parent / "docs" / "gallery" / "draw.py"
_spec = importlib.util.spec_from_file_location("gallery", PLACE)
assert _spec is not None
assert _spec.loader is not None
gallery = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gallery)

PAGE = gallery.PAGE.read_text(encoding="utf-8")
PARTS = {gallery.title(part): part for part in gallery.sections(PAGE)}
FIRST, *_others = gallery.sections(gallery.OTHERS.read_text(encoding="utf-8"))
OTHERS = {gallery.title(part): part for part in _others}
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*[a-z_])")
PICTURES = {file.name: file.stat().st_size for file in gallery.HERE.glob("*.svg")}


def test_each_exhibit_has_its_code_what_it_printed_and_its_picture():
    exhibits = [part for name, part in PARTS.items() if name != "Gallery"]
    assert len(exhibits) >= 14
    drawn = [re.findall(r'savefig\("(.+?)"\)', part) for part in exhibits]
    assert [re.findall(r"\]\(gallery/(.+?)\)", part) for part in exhibits] == drawn
    assert sorted(name for names in drawn for name in names) == sorted(PICTURES)
    for part in exhibits:
        question, *_ = part.partition("```")
        assert question.strip().splitlines()[-1]
        assert re.search(r"^```text\n.+?^```$", part, re.MULTILINE | re.DOTALL), gallery.title(part)


def test_pictures_are_of_moderate_size_and_fetch_nothing():
    assert max(PICTURES.values()) < 60_000
    assert sum(PICTURES.values()) < 600_000
    for name in PICTURES:
        text = (gallery.HERE / name).read_text(encoding="utf-8")
        assert "prefers-color-scheme" in text
        assert float(re.findall(r'<svg [^>]*width="([\d.]+)pt"', text)[0]) < 440  # read on a phone
        assert not re.search(r"""(?:href|src|url)\W+https?:""", text)


def _same(now: str, page: str) -> None:
    """The words are the same, and numbers are to a thousandth: last digits are the machine's."""
    assert NUMBER.sub("0", now) == NUMBER.sub("0", page)
    values, expected = ([float(v) for v in NUMBER.findall(text)] for text in (now, page))
    assert values == pytest.approx(expected, rel=1e-3, abs=1e-11)


@pytest.mark.parametrize("name", ["N(0, 2) and N(0, 3)", "Horse kicks: counts against a law"])
def test_the_script_writes_what_the_page_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    assert gallery.rerun(PARTS["Gallery"], names) == PARTS["Gallery"]
    _same(gallery.rerun(PARTS[name], names), PARTS[name])
    assert [file.name for file in tmp_path.iterdir()] == re.findall(
        r"\(gallery/(.+?)\)", PARTS[name]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the tools that lend the data
def test_the_whole_gallery_runs_in_its_order(tmp_path, monkeypatch):
    for name in ("jax", "polars", "pandas", "sklearn", "arviz_base"):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    names = {}
    for part in PARTS.values():
        now = gallery.rerun(part, names)
        assert NUMBER.sub("0", now) == NUMBER.sub("0", part)


@pytest.mark.filterwarnings("ignore")  # what other tools warn of is not what is asked here
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if i % 2 or "SVI" in n else [])
        for i, n in enumerate(OTHERS)
    ],
)
def test_what_others_print_and_what_is_true_is_still_so(name):
    part, names = OTHERS[name], {}
    for tool in re.findall(r"^(?:import|from) (\w+)", part, re.MULTILINE):
        pytest.importorskip(tool)
    gallery.rerun(FIRST, names)
    _same(gallery.rerun(part, names), part)


@pytest.mark.parametrize("row", re.findall(r"^\| \[.+$", FIRST, re.MULTILINE))
def test_a_number_of_the_table_is_one_that_was_printed(row):
    (anchor,) = re.findall(r"\(#(.+?)\)", row)
    (part,) = [part for name, part in OTHERS.items() if _slug(name) == anchor]
    printed = re.findall(r"^```text\n(.+?)^```$", part, re.MULTILINE | re.DOTALL)[0]
    cells = row.split("|")[2:-1]
    asked = [number for cell in cells for number in NUMBER.findall(cell)]
    assert asked or "infinite" in row
    found = [float(number) for number in NUMBER.findall(printed)]
    for number in asked:
        assert number in NUMBER.findall(printed) or float(number) in found, number


def _slug(name: str) -> str:
    return re.sub(r"\W+", "-", name.lower()).strip("-")


def test_a_line_that_is_no_longer_printed_is_rewritten():
    part = "## One\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n\nProse.\n"
    assert gallery.rerun(part, {}) == part.replace("2", "1")
    silent = part.replace("print(1)", "x = 1")
    assert gallery.rerun(silent, {}) == silent.replace("```text\n2\n```\n\n", "")


def test_a_thinned_picture_stays_within_a_tenth_of_a_point():
    way = [(0.5 * i, 100.0 / (1.0 + (0.5 * i - 50.0) ** 2 / 9.0)) for i in range(200)]
    drawn = "M 0 0 " + "\n".join(f"L {x:.6f} {y:.6f}" for x, y in way)
    thin = re.findall(r"L (\S+) (\S+)", gallery.small(drawn))
    xs, ys = [float(x) for x, _ in thin], [float(y) for _, y in thin]
    assert len(xs) < len(way)
    for x, y in way:
        i = next(k for k in range(1, len(xs)) if xs[k] >= x - 0.06)
        share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
        assert abs(ys[i - 1] + share * (ys[i] - ys[i - 1]) - y) < 0.8  # the slope is up to 22
