"""Runs a command and prints the modules of which it calls a function, one a line: python tests/cli/calls.py ARGUMENTS."""

import contextlib
import io
import sys

from kullback.cli.app import main

entered: set[str] = set()
importing = 0


def note(frame, event, argument):
    """Notes functions that are called, but for what importing a module runs."""
    global importing
    code = frame.f_code
    if code.co_name == "<module>":
        importing += {"call": 1, "return": -1}.get(event, 0)
    elif (
        event == "call"
        and not importing
        and code.co_flags & 1
        and "/src/kullback/" in code.co_filename
    ):
        entered.add(code.co_filename.rpartition("/src/kullback/")[2].removesuffix(".py"))


if __name__ == "__main__":  # modules of tests are imported for their examples
    sys.setprofile(note)
    with contextlib.redirect_stdout(io.StringIO()):
        main(sys.argv[1:])
    sys.setprofile(None)
    print(*sorted(entered), sep="\n")
