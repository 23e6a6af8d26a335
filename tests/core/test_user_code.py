"""Code of the user's: what it may not do."""

import numpy as np
import pytest

import kullback as kb
from kullback.core.errors import KullbackError
from kullback.core.user_code import read_only


def test_what_a_density_changes_in_place_is_refused() -> None:
    def shifts(x: np.ndarray) -> float:
        np.subtract(x, 1.0, out=x)
        return float(-0.5 * np.sum(x**2))

    with pytest.raises(
        KullbackError, match="read-only; it changes its argument: begin with a copy"
    ):
        kb.fit(kb.LogDensity(shifts, np.zeros(2)), kb.FullRank(), direction="reverse")
    with pytest.raises(KullbackError, match="it changes its argument"):
        kb.fit(
            kb.LogDensity(lambda p: shifts(p["a"]), {"a": np.zeros(2)}),
            kb.FullRank(),
            direction="reverse",
        )


def test_arrays_within_dicts_and_lists_are_read_only() -> None:
    inside = read_only({"a": [np.zeros(2)], "b": (np.ones(3), "word")})
    assert not inside["a"][0].flags.writeable
    assert not inside["b"][0].flags.writeable
    assert inside["b"][1] == "word"
