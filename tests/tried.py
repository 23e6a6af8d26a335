"""How many cases a law, or a table of cases, is tried on: all of them by `scripts/test --all`, a part of them every day."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings

_PART = 1 if os.environ.get("KULLBACK_TESTS") == "all" else 4


def tried(n: int) -> settings:
    """Settings of a law that is to be tried on n cases."""
    return settings(max_examples=max(n // _PART, 10), deadline=None)


def some_of(rows: Sequence[Any], name: Callable[[int, Any], str], every: int = 3) -> list[Any]:
    """Returns the rows of a table as parameters of a test: one of so many every day, the others are slow."""
    return [
        pytest.param(row, id=name(i, row), marks=[pytest.mark.slow] if i % every else [])
        for i, row in enumerate(rows)
    ]
