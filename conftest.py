"""Modules that import an optional library are collected where it is installed."""

from importlib.util import find_spec

_TORCH = [
    "src/kullback/interop/torch.py",
    "src/kullback/losses/rows_torch.py",
    "tests/training_losses.py",
]
collect_ignore = [] if find_spec("torch") else _TORCH
