"""`kullback check-loss MODULE:FUNCTION`: which divergence a loss estimates and descends."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from rich.table import Table

from kullback._core.errors import InputError
from kullback._core.user_code import raised, user_code
from kullback.api._check_loss import check_loss
from kullback.cli import _models, _output
from kullback.cli._options import Checking, Output
from kullback.results._loss_report import LossFinding, LossReport

_NAMED = re.compile(r"(?P<module>[\w.]+|.+\.py):(?P<name>[\w.]+)", re.DOTALL)


def run(loss: str, how: Checking, output: Output) -> int:
    """Prints the report and returns the exit code: 1 if it is not what was expected."""
    with _loss(loss) as fn:
        found = check_loss(
            fn,
            expect=how.expect,
            student=how.student,
            roles=_pairs(how.role, "--role"),
            fixed={n: _literal(v) for n, v in _pairs(how.fixed, "--fixed").items()},
            key=how.key,
        )
    if output.json:
        _output.show_json("check-loss", found.as_dict())
    else:
        _output.show(_page(found))
    return 0 if found.passes else 1


@contextmanager
def _loss(text: str) -> Iterator[Any]:
    """Imports a module, or executes a file, and yields what a name in it stands for.

    Raises:
        InputError: there is no such module, file or name, or importing raises.
    """
    found = _NAMED.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text}: say module:function or FILE.py:function, such as torch.nn.functional:kl_div"
        )
    where, name = found["module"], found["name"]
    place = str(Path(where).resolve().parent) if where.endswith(".py") else str(Path.cwd())
    sys.path.insert(0, place)
    try:
        with redirect_stdout(sys.stderr):
            module = _models.executed(Path(where)) if where.endswith(".py") else _imported(where)
            thing: Any = module
            for part in name.split("."):
                with user_code(where):
                    thing = getattr(thing, part, None)
                if thing is None:
                    raise InputError(f"{where} has no name {name!r}{_models.instead(module, name)}")
            yield thing
    finally:
        if place in sys.path:
            sys.path.remove(place)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's module raises or calls while it is imported
        text, kind = raised(error)
        raise InputError(
            f"{name} cannot be imported: {text} ({kind}); for a file write {name}.py:..."
        ) from error


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    parts = [text.partition("=") for text in given]
    for name, sign, _ in parts:
        if not sign:
            raise InputError(f'{option} {name}: write NAME=VALUE, such as {option} "x=q logits"')
    return {name.strip(): value.strip() for name, _, value in parts}


def _literal(text: str) -> Any:
    """A number, a list and the like as Python writes it; else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _page(found: LossReport) -> Iterator[str | Table]:
    yield f"{found.loss} ({found.library})"
    yield _output.table(("argument", "taken for"), found.arguments)
    for under in found.under:
        yield ""
        if under.words:
            yield under.words
        rows = [("value", *_cells(under.value)), ("gradient", *_cells(under.gradient))]
        yield _output.table(("as", "is", "cosine", "relative error"), rows, right=(2, 3))
        if under.quality:
            yield under.quality.removeprefix("; ")
    if found.notes or found.fixes:
        yield ""
    for note in found.notes:
        yield _output.line(f"note: {note}", indent="  ")
    for fix in found.fixes:
        yield _output.line(f"fix: {fix}", indent="  ")
    if found.expected:
        verdict = "as expected" if found.passes else "NOT as expected"
        words = found.under[0].words
        drawn = f", with {words}" if words else ""
        yield f"{verdict}: {found.expected} was asked for, the gradient is {found.name}{drawn}"


def _cells(finding: LossFinding) -> tuple[str, str, str]:
    if finding.name == "zero":
        return "zero", "", ""
    return finding.words, f"{finding.cosine:.6f}", f"{finding.relative_error:.1e}"
