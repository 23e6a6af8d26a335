"""Layer 12: the command `kullback`. Edges only: parse, call `api`, print; no maths.

`commands` has the command line as it is typed and is light; `densities`, `fit`, `tables` ... do what it says.
"""

from kullback.cli.app import main

__all__ = ["main"]
