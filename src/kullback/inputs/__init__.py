"""What the user gave, read once: files, frames and objects to nouns. Polars is loaded only for files."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kullback.inputs.samples import dataset, read_samples
    from kullback.inputs.stream import scan

__all__ = ["dataset", "read_samples", "scan"]

_HOME_OF = {"dataset": "inputs.samples", "read_samples": "inputs.samples", "scan": "inputs.stream"}


def __getattr__(name: str) -> object:
    """Returns a public name, importing its module only now (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'kullback.inputs' has no attribute {name!r}")
    return getattr(import_module(f"kullback.{_HOME_OF[name]}"), name)
