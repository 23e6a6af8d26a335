"""The arithmetic of expressions, in floats: nothing in it can grow without bound."""

import ast
import math
import operator

from kullback.io._syntax import Source

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
