"""The text of an expression: its tree, its errors, its numbers, and what to ask where it has two meanings."""

import ast
import itertools
import math
import operator
import re
import warnings
from collections.abc import Callable
from typing import NoReturn, final

from kullback.core.errors import ExpressionError
from kullback.distributions.family import Family, Parameter, Spelling

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


# The arithmetic of expressions, in floats: nothing in it can grow without bound.

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def constant(source: Source, node: ast.Constant) -> float:
    """Returns a number that is written out."""
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        source.fail(node, f"a {type(value).__name__} has no place here; write a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    mantissa = source.segment(node).lower().partition("e")[0]
    if math.isinf(number) or (number == 0.0 and mantissa.strip("0._xob")):
        size = "large" if number else "small"
        source.fail(node, f"too {size} for a float64; write inf or 0 if you mean that")
    return number


def arithmetic(source: Source, node: ast.BinOp, left: float, right: float) -> float:
    """Returns left op right, if that is a finite real number."""
    try:
        value = OPERATORS[type(node.op)](left, right)
    except ZeroDivisionError:
        source.fail(node, "this divides by 0")
    except OverflowError:
        value = math.inf
    if not isinstance(value, float) or not math.isfinite(value):
        source.fail(node, "this is not a finite real number")
    return value


# Calls that can be read in two ways: what the options are, and the question to ask.

#: What each keyword of a family was given.
Given = dict[str, ast.expr | float]
#: A parameter whose value came without the name it needs.
Unnamed = tuple[Parameter, ast.expr]
#: Whether a value can be what a spelling asks for.
Fits = Callable[[Spelling, ast.expr], bool]


def options(family: Family, given: Given, unnamed: list[Unnamed], *, fits: Fits) -> list[Given]:
    """Returns what a call may mean, as what each missing name is given; none if it is clear."""
    if unnamed:
        return _named(unnamed, fits)
    return [
        {p.spellings[0].name: value}
        for p in family.parameters
        if p.spellings[0].name not in given
        for value, _ in p.choices
    ]


def question(
    source: Source, node: ast.Call, family: Family, unnamed: list[Unnamed], found: list[Given]
) -> str:
    """Returns what to ask about a call, and what to type instead."""
    remedy = " or ".join(rewritten(source, node, len(unnamed), option) for option in found)
    names = {name for option in found for name in option}
    return f"{_asked(source, family, unnamed, names)}? Write {remedy}"


def rewritten(source: Source, node: ast.Call, unnamed: int, option: Given) -> str:
    """Returns the call with the names that it lacks."""
    clear = node.args[: len(node.args) - unnamed]
    parts = [source.segment(a) for a in clear]
    parts += [f"{name}={shown(source, value)}" for name, value in option.items()]
    parts += [f"{k.arg}={source.segment(k.value)}" for k in node.keywords]
    return f"{source.segment(node.func)}({', '.join(parts)})"


def shown(source: Source, value: ast.expr | float) -> str:
    """Returns a value as it was written."""
    return source.segment(value) if isinstance(value, ast.expr) else f"{value:g}"


def _named(unnamed: list[Unnamed], fits: Fits) -> list[Given]:
    single = all(len(p.spellings) == 1 for p, _ in unnamed)
    if single and len(unnamed) > 1:
        names = [p.spellings[0].name for p, _ in unnamed]
        values = [v for _, v in unnamed]
        orders = itertools.permutations(values)
        return [dict(zip(names, order, strict=True)) for order in orders]
    (parameter, value), *_ = unnamed
    asked = parameter.spellings[: parameter.asked]
    return [{s.name: value} for s in [s for s in asked if fits(s, value)] or asked]


def _asked(source: Source, family: Family, unnamed: list[Unnamed], names: set[str]) -> str:
    if not unnamed:
        (parameter,) = [p for p in family.parameters if p.choices]
        return f"does it count {' or '.join(text for _, text in parameter.choices)}"
    nouns = [s.noun or s.name for p, _ in unnamed for s in p.spellings if s.name in names]
    if len(unnamed) > 1:
        return "which is " + " and which ".join(nouns)
    return f"is {shown(source, unnamed[0][1])} {' or '.join(nouns)}"
