"""A command enters the modules that docs/design lists, and no others."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "design" / "0018-calls.md").read_text(encoding="utf-8")
KL = ("kl", "normal(0, sd=2)", "normal(0, sd=3)")
FIT = (
    "fit",
    "0.5*normal(-2, sd=1) + 0.5*normal(2, sd=1)",
    "--family",
    "full_rank",
    "--direction",
    "reverse",
)


@pytest.mark.parametrize(
    ("command", "more"),
    [
        pytest.param(KL, (), id="kl"),
        pytest.param(FIT, ("--no-report",), id="fit", marks=pytest.mark.slow),
    ],
)
def test_a_command_enters_the_modules_of_the_list(command, more):
    typed = " ".join(f'"{a}"' if " " in a else a for a in ("kullback", *command))
    count, names = re.search(rf"`{re.escape(typed)}`: (\d+)\n\n(.*?)\n\n", PAGE, re.DOTALL).groups()
    listed = set(re.findall(r"`([\w/]+)`", names))
    assert len(listed) == int(count)
    ran = subprocess.run(
        [sys.executable, str(HERE / "calls.py"), *command, *more],
        capture_output=True,
        text=True,
        check=True,
    )
    entered = set(ran.stdout.split())
    assert len(entered) > 20
    assert entered <= listed
