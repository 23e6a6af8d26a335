"""Doctests of modules that import an optional library are collected where it is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["src/kullback/interop/_torch.py"]
