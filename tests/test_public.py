"""The public face is what `__init__` says, and importing it costs nothing."""

import subprocess
import sys

import kullback as kb
from kullback import __all__

#: Each by its kind: a name that is not of one of these has no place here.
VERBS = (
    "kl_divergence cross_entropy entropy divergence fit judge calibrate plan diff watch profile explore verify explain "
    "explain_gradients check_loss check_density score logits_kl save load"
)
KNOWN_OF_P = "Samples Counts LogDensity Known Grid"
FAMILIES = "Bernoulli Categorical Flow FullRank KernelDensity LowRank MeanField Mixture"
RESULTS = "Calibration Diff Estimate Fit Judgement LossReport Profile Watch"
ERRORS = "DensityError ExpressionError InputError KullbackError MissingDependencyError UnsupportedError WorkerError"


def test_every_public_name_is_there_and_of_a_kind():
    for name in __all__:
        assert getattr(kb, name) is not None
    kinds = f"{VERBS} {KNOWN_OF_P} {FAMILIES} {RESULTS} {ERRORS} __version__"
    assert sorted(__all__) == sorted(kinds.split())


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
