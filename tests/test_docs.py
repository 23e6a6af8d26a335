"""The Python in the README and the documentation runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SLOW = tuple(
    f"docs/{name}.md"
    for name in (
        "gallery", "guides/a-log-density", "guides/a-loss", "guides/a-table", "guides/reverse-from-samples",
        "guides/scikit-learn", "guides/two-distributions", "guides/two-tables",
    )
)  # fmt: skip
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
    if path.stem == "more-machines":
        pytest.importorskip("duckdb")
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
