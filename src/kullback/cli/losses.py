"""`kullback check-loss` and `check-density`."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kullback.api.check_loss import check_loss
from kullback.api.density import check_density
from kullback.cli.answer import answer
from kullback.cli.inputs import executed, importing_from, instead, pairs_of
from kullback.cli.options import Checking, Output
from kullback.core.errors import InputError
from kullback.core.user_code import raised, user_code
from kullback.views.claims import density_document
from kullback.views.losses import loss_document

_NAMED = re.compile(r"(?P<module>[\w.]+|.+\.py):(?P<name>[\w.]+)", re.DOTALL)


def check(loss: str, how: Checking, output: Output) -> int:
    """Prints the report and returns the exit code: 1 if it is not what was expected."""
    with named(loss) as fn, _as_typed():
        report = check_loss(
            fn,
            expect=how.expect,
            on=how.on and how.on.replace("-", "_"),
            scale=how.scale,
            expect_value=how.expect_value,
            detached=how.detached,
            student=how.student,
            roles=pairs_of(how.role, "--role", "x=q logits"),
            fixed={n: _literal(v) for n, v in pairs_of(how.fixed, "--fixed", "tau=0.5").items()},
            signature=how.signature,
            key=how.key,
        )
    return answer("check-loss", loss_document(report), output, status=report.status)


@contextmanager
def _as_typed() -> Iterator[None]:
    """Says in messages how roles and numbers are typed here."""
    try:
        yield
    except InputError as error:
        if "roles={" not in str(error):
            raise
        raise InputError(
            f'{error}. On the command line: --role NAME="q logits", --fixed NAME=0.1'
        ) from None


def density(name: str, draws: int, key: int, output: Output) -> int:
    """Prints the verdict on a density and returns the exit code: 1 if it is none."""
    with named(name, "model.py:q") as thing:
        report = check_density(thing, draws=draws, key=key)
    return answer("check-density", density_document(name, report), output, status=report.status)


@contextmanager
def named(text: str, example: str = "torch.nn.functional:kl_div") -> Iterator[Any]:
    """Imports a module, or executes a file, and yields what a name in it stands for.

    Args:
        text: "module:name" or "FILE.py:name".
        example: one of these, for messages.

    Raises:
        InputError: there is no such module, file or name, or importing raises.
    """
    with names_beside(text, example) as name_of:
        yield name_of(None)


@contextmanager
def names_beside(text: str, example: str) -> Iterator[Callable[[str | None], Any]]:
    """Yields what returns the thing of a name beside one in a module or a file, that one for None.

    Arguments and exceptions as of `named`.
    """
    parts = _NAMED.fullmatch(text)
    if parts is None:
        raise InputError(f"{text}: say module:function or FILE.py:function, such as {example}")
    where = parts["module"]
    is_file = where.endswith(".py")
    with importing_from(Path(where).resolve().parent if is_file else Path.cwd()):
        module = executed(Path(where)) if is_file else _imported(where)

        def name_of(name: str | None) -> Any:
            thing: Any = module
            wanted: str = name or parts["name"]
            for part in wanted.split("."):
                with user_code(where):
                    thing = getattr(thing, part, None)
                if thing is None:
                    raise InputError(f"{where} has no name {wanted!r}{instead(module, wanted)}")
            return thing

        yield name_of


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


def _literal(text: str) -> Any:
    """A number, a list and the like as Python writes it; else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
