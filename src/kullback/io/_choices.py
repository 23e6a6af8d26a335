"""Calls that can be read in two ways: what the options are, and the question to ask."""

import ast
import itertools
from collections.abc import Callable

from kullback.io._families import Family, Parameter, Spelling
from kullback.io._syntax import Source

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
