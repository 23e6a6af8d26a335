"""The reference is what the docstrings say, and they say enough."""

import importlib
import importlib.util
import inspect
from pathlib import Path

import pytest

PLACE = Path(__file__).parent.parent / "docs" / "reference.py"
_spec = importlib.util.spec_from_file_location("reference", PLACE)
assert _spec is not None
assert _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

pytest.importorskip("jax", reason="the reference lists what needs it")
NAMES = [(m, n) for m in reference.MODULES for n in reference.public(m)]


def test_the_page_is_what_the_docstrings_say():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run scripts/reference"


@pytest.mark.parametrize(("module", "name"), NAMES, ids=[n for _, n in NAMES])
def test_a_public_name_has_an_example_and_says_what_it_raises(module, name):
    thing = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(thing) or ""
    if reference.is_error(thing) or not callable(thing):
        return
    assert ">>>" in text
    if inspect.isfunction(thing):
        assert "Args:" in text
        assert (
            "Raises:" in text or module == "kullback.losses"
        )  # formulas, some of which raise nothing
