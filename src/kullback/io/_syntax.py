"""The text of an expression, its tree and its errors."""

import ast
import re
import warnings
from typing import NoReturn, final

from kullback._core.errors import ExpressionError

_MAX_CHARACTERS = 10_000
_SHOWN = 120
#: Python wants names last; weights come first.
_NAMED_WEIGHTS = re.compile(r"\b(mixture\s*\()\s*w\s*=")


@final
class Source:
    """An expression as text and as a tree, that can say where something is wrong."""

    def __init__(self, text: str) -> None:
        self.text = " ".join(text.split())
        if len(text) > _MAX_CHARACTERS:
            raise ExpressionError(
                f"{shorten(self.text)}: {len(text)} characters are too many; "
                f"the limit is {_MAX_CHARACTERS}"
            )
        if not self.text:
            raise ExpressionError("an expression is empty; write for example normal(0, sd=2)")
        if "#" in self.text:
            raise ExpressionError(f"{shorten(self.text)}: # has no place in an expression")
        self.tree = _tree(self.text)

    def segment(self, node: ast.expr) -> str:
        """Returns the text of a node."""
        return self.text.encode()[node.col_offset : node.end_col_offset].decode()

    def fail(self, node: ast.expr, message: str, *, at: ast.expr | None = None) -> NoReturn:
        """Raises ExpressionError about a node, saying where it is (or where `at` within it is)."""
        segment = self.segment(node)
        column = _column(self.text, (node if at is None else at).col_offset)
        if segment != self.text:
            message = f"{message} (column {column} of {shorten(self.text)!r})"
        elif column > 1:
            message = f"{message} (column {column})"
        raise ExpressionError(f"{shorten(segment)}: {message}")


def _tree(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(_NAMED_WEIGHTS.sub(_unnamed, text), mode="eval").body
    except SyntaxError as error:
        where = "" if error.offset is None else f", column {error.offset}"
        reason = f"{error.msg}{where}"
    except ValueError as error:
        reason = str(error)
    except (MemoryError, RecursionError):
        reason = "it is nested too deeply"
    raise ExpressionError(
        f"{shorten(text)}: this cannot be read: {reason}; write for example normal(0, sd=2)"
    )


def _unnamed(match: re.Match[str]) -> str:
    """mixture(w= to mixture(, of the same length, so that columns stay."""
    return match[1].ljust(len(match[0]))


def _column(text: str, offset: int) -> int:
    """Returns the column, from 1, of an offset in UTF-8 bytes."""
    return len(text.encode()[:offset].decode(errors="ignore")) + 1


def shorten(text: str) -> str:
    """Returns a text that fits in a message."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
