"""How many random cases a law is tried on: all of them by `scripts/test --all`, a part of them every day."""

import os

from hypothesis import settings

_PART = 1 if os.environ.get("KULLBACK_TESTS") == "all" else 4


def tried(n: int) -> settings:
    """Settings of a law that is to be tried on n cases."""
    return settings(max_examples=max(n // _PART, 10), deadline=None)
