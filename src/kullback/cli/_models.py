"""MODEL.PY:NAME: a log density in a Python file of the user's, which is executed."""

import difflib
import importlib.util
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from kullback._core.errors import InputError
from kullback._core.user_code import raised, user_code
from kullback.targets import LogDensity, Unconstrained

_NAMED = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)", re.DOTALL)
_EXAMPLE = (
    "{name} is a function, and {file} does not say what it is called with: write a point of its "
    "parameters there, such as example = numpy.zeros(3) or example = {{'mu': 0.0, 'tau': 1.0}}, and "
    "support = {{'tau': 'positive'}} for those that may not be any number"
)
_UNUSABLE = (
    "{name} in {file} is of type {kind}: it must be a function log_posterior(x), a kullback.LogDensity or a "
    "PyMC model"
)


def is_model(text: str) -> bool:
    """Whether an argument means a Python file, with a name in it or without."""
    return text.endswith(".py") or _NAMED.fullmatch(text) is not None


def source_of(text: str) -> str:
    """Returns the Python file of an argument that means one, else the argument."""
    found = _NAMED.fullmatch(text)
    return text if found is None else found["file"]


@contextmanager
def model(text: str) -> Iterator[LogDensity | Unconstrained]:
    """Executes a file and yields the log density that a name in it stands for.

    What the user's code prints, now and while it is fitted, goes to stderr, and it may import from
    the directory of the file as a script may.

    Args:
        text: such as "model.py:log_posterior".

    Raises:
        InputError: there is no such file or name, the file raises an exception, or the name stands
            for no log density.
    """
    found = _NAMED.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text}: say which name in the file is the log density, such as {text}:log_posterior"
        )
    path, name = Path(found["file"]), found["name"]
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    place = str(path.resolve().parent)
    sys.path.insert(0, place)
    try:
        with redirect_stdout(sys.stderr):
            yield _target(executed(path), name, path)
    finally:
        if place in sys.path:
            sys.path.remove(place)


def executed(path: Path) -> ModuleType:
    """Executes a Python file and returns it as a module.

    Raises:
        InputError: there is no such file, or it raises an exception.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"kullback_model_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        del sys.modules[spec.name]
        raise
    except BaseException as error:  # sys.exit too: a file that ends is no file that passes
        del sys.modules[spec.name]
        raise InputError(_told(error, path)) from error
    return module


def _told(error: BaseException, path: Path) -> str:
    """Returns the user's own words, then where in the file and what it was."""
    said, kind = raised(error)
    if isinstance(error, SyntaxError) and error.filename is not None:
        line, code = error.lineno, (error.text or "").strip()
        file, text = Path(error.filename).name, error.msg
    else:
        own = [f for f in traceback.extract_tb(error.__traceback__) if _same(f.filename, str(path))]
        line = own[-1].lineno if own else None
        code = linecache.getline(str(path), line).strip() if line else ""
        file, text = path.name, said or kind
    at = f"{file}:{line}: `{code}`" if line else file
    return f"{text} ({kind} while {path.name} was executed, at {at})"


def _same(file: str, path: str) -> bool:
    return Path(file).resolve() == Path(path).resolve()


def _target(module: ModuleType, name: str, path: Path) -> LogDensity | Unconstrained:
    with user_code(path.name):
        thing = getattr(module, name, None)
    if thing is None:
        raise InputError(f"{path} has no name {name!r}{instead(module, name)}")
    if isinstance(thing, LogDensity | Unconstrained):
        return thing
    # Here and not above: fits of tables never load JAX.
    from kullback.api._reverse import log_density  # noqa: PLC0415

    known = log_density(thing)
    if known is not None:
        return known
    if not callable(thing) or isinstance(thing, type):
        kind = type(thing).__name__
        raise InputError(_UNUSABLE.format(name=name, file=path, kind=kind))
    if not hasattr(module, "example"):
        raise InputError(_EXAMPLE.format(name=name, file=path))
    return LogDensity(thing, module.example, getattr(module, "support", None))


def instead(module: ModuleType, name: str) -> str:
    """Returns, for a message, which names are close or are defined there at all."""
    names = [
        n
        for n, v in vars(module).items()
        if not n.startswith("_")
        and (isinstance(v, LogDensity) or getattr(v, "__module__", "") == module.__name__)
    ]
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; it has {', '.join(names[:8])}" if names else ""
