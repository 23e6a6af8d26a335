"""Running the command in this process."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from kullback.cli.app import main

# Workers of pytest-xdist are told of a terminal of 80 columns that nobody sits in front of.
os.environ.pop("COLUMNS", None)

SHARP, WIDE = "normal(0, sd=2)", "normal(0, sd=3)"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch, tmp_path) -> Callable[..., Ran]:
    """Runs `kullback ARGS` in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def ran(*args: str) -> Ran:
        capsys.readouterr()
        code = main(args)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return ran


@pytest.fixture
def write(tmp_path) -> Callable[[str, str], str]:
    """Writes a file and returns its name."""

    def written(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return name

    return written
