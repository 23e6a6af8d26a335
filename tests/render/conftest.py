"""One browser for the tests of a module."""

import pytest

from tests.render.browser import CHROMIUM, Browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for the tests of a module."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is found here")
    chromium = Browser(tmp_path_factory.mktemp("browser"))
    yield chromium
    chromium.close()
