"""Layer 12: the command `kullback`. Edges only: parse, call `api`, print; no maths.

`_commands` has the command line as it is typed and is light; `_kl`, `_fit` ... do what it says.
"""

from kullback.cli.app import main

__all__ = ["main"]
