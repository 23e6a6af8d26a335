"""MODEL.PY:NAME: a log density in a Python file of the user's, which is executed."""

import csv
import difflib
import glob
import importlib.util
import linecache
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.api.extremes import extremes_told
from kullback.cli.options import Keeping
from kullback.core.errors import ExpressionError, InputError, UnsupportedError
from kullback.core.user_code import raised, user_code
from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.expressions.parse import parse
from kullback.inputs.given import BareFunctionError, by_its_log_density
from kullback.results.fit import Fit
from kullback.tables.kinds import Kind, listed
from kullback.targets import LogDensity, Unconstrained

_NAMED = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*)", re.DOTALL)
_EXAMPLE = (
    "{name} is a function, and {file} does not say what it is called with: write a point of its "
    "parameters there, such as example = numpy.zeros(3) or example = {{'mu': 0.0, 'tau': 1.0}}, and "
    "support = {{'tau': 'positive'}} for those that may not be any number; for a NumPyro model with data, "
    "write target = kullback.interop.models.numpyro_model({name}, data) and say {file}:target"
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
    path = Path(found["file"])
    with importing_from(path.resolve().parent):
        yield _target(executed(path), found["name"], path)


@contextmanager
def importing_from(place: Path) -> Iterator[None]:
    """Lets a user's code import from a directory, as a script may; what it prints goes to stderr."""
    sys.path.insert(0, str(place))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if str(place) in sys.path:
            sys.path.remove(str(place))


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
    if callable(thing) and not isinstance(thing, type) and hasattr(module, "example"):
        return LogDensity(thing, module.example, getattr(module, "support", None))
    try:
        known = by_its_log_density(thing)
    except BareFunctionError:
        raise InputError(_EXAMPLE.format(name=name, file=path)) from None
    if known is None:
        kind = type(thing).__name__
        raise InputError(_UNUSABLE.format(name=name, file=path, kind=kind))
    return known


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


# P, Q and DATA: a file or an expression.

_SUFFIXES = (".csv", ".tsv", ".parquet", ".npy")
#: What ends like the name of a file, whatever the format: a dot and letters.
_FILE_NAME = re.compile(r"[^()]*\.[A-Za-z]\w*")
_DIFF = "To compare two tables of rows, of text too: kullback diff REFERENCE CURRENT"


@final
@dataclass(frozen=True, eq=False)
class Given:
    """What an argument stands for.

    Attributes:
        value: a distribution, or the one column of a file.
        words: how it is printed.
    """

    value: Distribution | Float[np.ndarray, " n"]
    words: str


def given(text: str, name: str) -> Given:
    """Returns P or Q: the distribution of an expression or the numbers of a file.

    Args:
        text: as typed.
        name: "p" or "q", for messages.

    Raises:
        InputError: it cannot be read, or the file has more than one column.
    """
    if not is_rows(text):
        with extremes_told(**{name: text}):
            made = expression(text)
            return Given(made, format_distribution(made))
    _check_one_file(text)
    from kullback.tables.files import open_table  # noqa: PLC0415 - expressions load no polars

    table = open_table(text)
    try:
        if len(table.names) != 1:
            raise InputError(
                f"{name} = {table.source} has {len(table.names)} columns ({listed(table.names)}) and "
                f"{table.rows} rows: a file must hold one column, of probabilities or (with --dx) of a "
                f"density on a grid. To fit a density: kullback fit {text} --direction forward. {_DIFF}"
            )
        column = table.read(table.names[0])
        where = f"{table.source}: column {table.names[0]!r}"
        if column.scale != "numbers":
            what = ", ".join(column.labels[:3]) or column.type
            raise InputError(
                f"{where} is not numeric ({what}), but p and q are probabilities or densities"
            )
        bare = ~np.isfinite(column.values)
        if bare.any():
            first = table.place(int(np.argmax(bare)))
            raise InputError(
                f"{where} has {int(bare.sum())} cell(s) without a finite number, the first on {first}"
            )
    except (InputError, UnsupportedError) as error:
        raise InputError(str(error) if _DIFF in str(error) else f"{error}. {_DIFF}") from None
    return Given(column.values, f"{table.source} ({table.rows} values)")


def expression(text: str) -> Distribution:
    """Returns the distribution of an expression.

    Raises:
        ExpressionError: it cannot be read; where it may have been meant as a file, that there is none.
    """
    try:
        return parse(text)
    except ExpressionError as error:
        if "(" in text:
            raise
        raise ExpressionError(f"{error}; nor is there a file of this name") from None


def _check_one_file(text: str) -> None:
    """Raises InputError for a pattern, which has no place here, and a directory: they mean rows."""
    path = Path(text)
    if path.is_dir():
        raise InputError(f"{text}: this is a directory; give a file of one column. {_DIFF}")
    if not path.exists() and glob.has_magic(text):
        matches = len(glob.glob(text, recursive=True))  # noqa: PTH207 - may be absolute
        found = f"it matches {matches} of them" if matches else "no file has a name like this"
        raise InputError(f"{text}: this is a pattern of files, and {found}; give one file. {_DIFF}")


def is_file(text: str) -> bool:
    """Whether an argument means a file: there is one, or it ends or is spelled like one."""
    if text.lower().endswith(_SUFFIXES) or _FILE_NAME.fullmatch(text):
        return True
    try:
        return Path(text).is_file() or (os.sep in text and "(" not in text)
    except (OSError, ValueError):
        return False


def is_rows(text: str) -> bool:
    """Whether an argument means rows: a file, a directory of files, or a pattern of names."""
    try:
        return is_file(text) or Path(text).is_dir()
    except (OSError, ValueError):
        return False


def names_of(text: str | None) -> tuple[str, ...]:
    """Returns names that are separated by commas, such as 'eruptions,"waiting, min"'; none for None.

    Raises:
        InputError: a name is empty.
    """
    if text is None:
        return ()
    try:
        given = next(csv.reader([text], skipinitialspace=True), [""])
    except csv.Error:  # a line break outside quotation marks, which a name may have
        given = text.split(",")
    names = tuple(name.strip() for name in given)
    if not names or not all(names):
        what = "there is no name in it" if not any(names) else "a name is empty"
        raise InputError(f"{text!r}: {what}; give names of columns, separated by commas")
    return names


def pairs_of(texts: Sequence[str], option: str, example: str) -> dict[str, str]:
    """Returns what was typed as NAME=VALUE, perhaps several times. Raises InputError for anything else."""
    parts = [text.partition("=") for text in texts]
    for name, sign, _ in parts:
        if not sign:
            raise InputError(f'{option} {name}: write NAME=VALUE, such as {option} "{example}"')
    return {name.strip(): value.strip() for name, _, value in parts}


def kinds_of(texts: Sequence[str]) -> dict[str, Kind]:
    """Returns the kinds of columns that were typed as NAME=KIND; which there are, the reader says."""
    return pairs_of(texts, "--kind", "zip=category")  # pyright: ignore[reportReturnType]


# Reports to files.


def check_place(
    path: Path | None, option: str = "--report", *, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Raises InputError if a file could not be written there: better now than after the work.

    Args:
        path: where to; None for nowhere.
        option: that said so.
        inputs: what is read, as typed: files, directories, patterns, or what is none of these.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path}: this is a directory; give the name of a file in it")
    if not path.parent.is_dir():
        raise InputError(
            f"{option} {path}: there is no directory {path.parent}; create it, or write elsewhere"
        )
    for given in inputs:
        if given is not None and _is_read(path, str(given)):
            raise InputError(
                f"{option} {path}: this would overwrite what is read from {given}; write elsewhere"
            )


def _is_read(path: Path, given: str) -> bool:
    """Whether a path is an input, or a file that belongs to one."""
    try:
        place = Path(given)
        if place.is_dir():
            return path.suffix.lower() == ".parquet" and path.resolve().is_relative_to(
                place.resolve()
            )
        if not path.exists():
            return False
        names = [given] if place.exists() else glob.glob(given, recursive=True)  # noqa: PTH207 - may be absolute
        return any(path.samefile(name) for name in names)
    except (OSError, ValueError):  # an expression, say
        return False


# What is kept of a fit: the fit itself, and on the way a checkpoint.


def checkpoint(keeping: Keeping, data: str) -> Path | None:
    """Returns where results on the way are kept; without --resume an old checkpoint is removed.

    Args:
        keeping: what is kept, and where.
        data: what is read, as typed.

    Raises:
        InputError: nothing could be written there, or there is nothing to go on from.
    """
    check_place(keeping.out, "--out", inputs=(data,))
    check_place(keeping.checkpoint, "--checkpoint", inputs=(data,))
    if keeping.checkpoint is not None:
        return keeping.checkpoint
    if keeping.out is None:
        if keeping.resume:
            raise InputError(
                "--resume: say --out FILE, beside which the checkpoint lies, or --checkpoint FILE"
            )
        return None
    beside = _beside(keeping.out)
    if not keeping.resume:
        beside.unlink(missing_ok=True)
    return beside


def keep(found: Fit, keeping: Keeping, used: Path | None) -> None:
    """Writes a fit if that was asked for.

    The checkpoint beside it stays only if the fit was interrupted.
    """
    if keeping.out is None:
        return
    # Here and not above: the archive knows every class there is, and takes a second to load.
    from kullback.api.store import save  # noqa: PLC0415

    save(found, keeping.out)
    own = used is not None and keeping.checkpoint is None
    if own and not found.interrupted:
        _beside(keeping.out).unlink(missing_ok=True)


def _beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.checkpoint")
