"""Results as a small Markdown table, with the commit and the machine's shape."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def write(name: str, title: str, columns: list[str], rows: list[list[str]], *notes: str) -> None:
    """Writes benchmarks/results/<name>.md and prints it."""
    head = [f"# {title}", "", _machine(), ""]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    text = "\n".join([*head, *lines, *([""] if notes else []), *notes, ""])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def _machine() -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ", ".join(f"{p} {version(p)}" for p in ("numpy", "scipy", "jax", "numpyro"))
    return f"Commit {commit}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {packages}."
