"""The Python in the README and the documentation runs."""

import re
from pathlib import Path

import pytest

from tests.engines import quiet, session

pytestmark = quiet
ROOT = Path(__file__).parent.parent
#: What runs, beside what is printed, in test_gallery.
WRITTEN = ("gallery", "what-others-print")
FILES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.stem not in WRITTEN),
]
SLOW = tuple(
    f"docs/guides/{name}.md"
    for name in (
        "a-log-density", "a-loss", "a-table", "more-machines", "reverse-from-samples", "scikit-learn", "two-distributions",
        "two-tables",
    )
)  # fmt: skip
#: Libraries without which a page does not run.
NEEDED = {
    "more-machines": ("duckdb",), "on-duckdb": ("duckdb",), "on-dask": ("dask.dataframe", "pyarrow")
}  # fmt: skip
BLOCK = re.compile(r"^```python[ ]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)


def _blocks(text: str) -> list[str]:
    """Returns the Python blocks, each preceded by as many empty lines as the file has before it."""
    found = BLOCK.finditer(text)
    return ["\n" * text.count("\n", 0, m.start(1)) + m[1] for m in found]


def _run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # What spawned processes must not run again is run here.
    name = "__main__" if 'if __name__ == "__main__"' in text else path.stem
    namespace: dict[str, object] = {"__name__": name}
    for block in _blocks(text):
        exec(compile(block, str(path), "exec"), namespace)


def _pages() -> list:
    names = [str(f.relative_to(ROOT)) for f in FILES]
    return [
        pytest.param(f, id=n, marks=[pytest.mark.slow] if n in SLOW else [])
        for f, n in zip(FILES, names, strict=True)
    ]


@pytest.mark.parametrize("path", _pages())
def test_the_code_of_a_page_runs(path, tmp_path, monkeypatch):
    if re.search(
        r"^(import|from) (jax|numpyro)",
        "\n".join(_blocks(path.read_text(encoding="utf-8"))),
        re.MULTILINE,
    ):
        pytest.importorskip("jax")
    if path.stem == "on-spark":
        session()
    for library in NEEDED.get(path.stem, ()):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    _run(path)


def test_the_blocks_of_a_page_share_their_names_and_keep_their_lines(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "text\n```python\nx = 1\n```\n```python no-run\nraise SystemExit\n```\n"
        "```sh\nfalse\n```\n```python\nassert x == 1\n\nx / 0\n```\n"
    )
    with pytest.raises(ZeroDivisionError) as caught:
        _run(page)
    assert caught.traceback[-1].lineno + 1 == 14
