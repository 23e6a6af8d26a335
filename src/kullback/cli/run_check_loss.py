"""`kullback check-loss`."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from kullback.api.check_loss import check_loss
from kullback.cli.answer import answer
from kullback.cli.inputs import executed, instead
from kullback.cli.options import EXIT_CODES, Checking, Output
from kullback.core.errors import InputError
from kullback.core.user_code import raised, user_code
from kullback.views.losses import loss_document

_NAMED = re.compile(r"(?P<module>[\w.]+|.+\.py):(?P<name>[\w.]+)", re.DOTALL)


def run(loss: str, how: Checking, output: Output) -> int:
    """Prints the report and returns the exit code: 1 if it is not what was expected."""
    with named(loss) as fn:
        found = check_loss(
            fn,
            expect=how.expect,
            student=how.student,
            roles=_pairs(how.role, "--role"),
            fixed={n: _literal(v) for n, v in _pairs(how.fixed, "--fixed").items()},
            key=how.key,
        )
    answer("check-loss", loss_document(found), output)
    return EXIT_CODES[found.status]


@contextmanager
def named(text: str, example: str = "torch.nn.functional:kl_div") -> Iterator[Any]:
    """Imports a module, or executes a file, and yields what a name in it stands for.

    Args:
        text: "module:name" or "FILE.py:name".
        example: one of these, for messages.

    Raises:
        InputError: there is no such module, file or name, or importing raises.
    """
    found = _NAMED.fullmatch(text)
    if found is None:
        raise InputError(f"{text}: say module:function or FILE.py:function, such as {example}")
    where, name = found["module"], found["name"]
    place = str(Path(where).resolve().parent) if where.endswith(".py") else str(Path.cwd())
    sys.path.insert(0, place)
    try:
        with redirect_stdout(sys.stderr):
            module = executed(Path(where)) if where.endswith(".py") else _imported(where)
            thing: Any = module
            for part in name.split("."):
                with user_code(where):
                    thing = getattr(thing, part, None)
                if thing is None:
                    raise InputError(f"{where} has no name {name!r}{instead(module, name)}")
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
