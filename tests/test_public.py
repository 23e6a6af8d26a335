"""The public face is what `__init__` says, and importing it costs nothing."""

import subprocess
import sys

import kullback as kb
from kullback import __all__


def test_every_public_name_is_there():
    for name in __all__:
        assert getattr(kb, name) is not None
    assert len(__all__) == len(set(__all__)) <= 46


def test_importing_is_lazy():
    code = "import sys, kullback; print([m for m in ('jax', 'numpy', 'scipy', 'polars', 'pathlib') if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "[]"


def test_measuring_expressions_loads_no_jax():
    code = "import sys, kullback as kb; kb.kl_divergence('normal(0, sd=2)', 'normal(0, sd=3)'); print('jax' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == "False"


def test_functions_are_not_hidden_by_the_folders_they_live_in():

    for _ in range(2):
        assert callable(kb.diff)
        assert callable(kb.check_loss)
