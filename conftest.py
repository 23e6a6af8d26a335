"""Modules that import an optional library are collected where it is installed."""

from importlib.util import find_spec

_TORCH = [
    "src/kullback/interop/torch.py",
    "src/kullback/interop/functions.py",
    "src/kullback/losses/rows_torch.py",
    "tests/training_losses.py",
    "tests/library_losses.py",
]
_JAX = [
    "src/kullback/fitting/adversarial.py",
    "src/kullback/fitting/flow.py",
    "src/kullback/losses/rows_jax.py",
    "tests/training_losses.py",
    "tests/library_losses.py",
    *(
        f"src/kullback/interop/{name}.py"
        for name in ("constraints", "jax_function", "numpyro", "numpyro_family", "numpyro_model")
    ),
]
_OPTIONAL = {
    "anywidget": ["src/kullback/render/widget.py"],
    "flowjax": ["src/kullback/fitting/flow.py"],
    "torch": _TORCH,
    "jax": _JAX,
    "pymc": ["src/kullback/interop/pymc_model.py"],
    "stan": ["src/kullback/interop/stan_program.py"],
}
collect_ignore = [
    file for name, files in _OPTIONAL.items() if not find_spec(name) for file in files
]
