"""Distributions written down: "0.3*normal(-2, sd=0.3) + 0.7*normal(1, var=4)".

The text is parsed and walked; what is not on the list below is refused, and nothing is evaluated
as code: numbers, + - * / ** of numbers, pi, e, inf, lists, calls of the families by name, and
sums of numbers times distributions, which are mixtures.
"""

import ast
import difflib
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, final

import numpy as np

from kullback.core.errors import ExpressionError, InputError
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture, Product, Truncated
from kullback.distributions.family import RULES, Family, Parameter, Spelling
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.registry import COMPOUNDS, FAMILIES, SYNONYMS
from kullback.distributions.vector import Categorical, MultivariateNormal
from kullback.expressions.source import (
    OPERATORS,
    Given,
    Source,
    Unnamed,
    arithmetic,
    constant,
    options,
    question,
    shorten,
    shown,
)

_MAX_DEPTH = 40
_SUM_TOLERANCE = 1e-9
#: What families are called elsewhere, where no name here is like it.
_ELSEWHERE = {
    "mvn": "mvnormal",
    "multivariate_normal": "mvnormal",
    "multivariatenormal": "mvnormal",
    "gaussian": "normal",
    "norm": "normal",
    "n": "normal",
    "t": "student_t",
    "nbinom": "negative_binomial",
    "nb": "negative_binomial",
    "expon": "exponential",
    "binom": "binomial",
    "bern": "bernoulli",
    "geom": "geometric",
    "pois": "poisson",
    "unif": "uniform",
    "lognorm": "lognormal",
    "dir": "dirichlet",
}
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}


def parse(text: str) -> Distribution:
    """Returns the distribution that an expression names.

    Args:
        text: such as "normal(0, sd=2)"; `families()` lists what can be written.

    Raises:
        ExpressionError: it cannot be read, or can be read in two ways; what to type instead.

    Example:
        >>> parse("normal(0, sd=2)")
        Normal(loc=0.0, scale=2.0)
    """
    return _Reader(Source(text), {}).read()


def readings(text: str) -> list[tuple[str, Distribution]]:
    """Returns every possible reading of an expression with the choice that it makes.

    One choice is made throughout: "0.5*normal(0, 2) + 0.5*normal(1, 3)" has two readings.
    An unambiguous expression has one, "as written".

    Raises:
        ExpressionError: it cannot be read at all.

    Example:
        >>> [choice for choice, _ in readings("normal(0, 2)")]
        ['sd = 2', 'var = 2']
    """
    source = Source(text)
    found: list[tuple[str, Distribution]] = []
    errors: list[ExpressionError] = []
    pending: list[dict[_Key, int]] = [{}]
    while pending:
        choices = pending.pop()
        reader = _Reader(source, choices)
        try:
            distribution = reader.read()
        except ExpressionError as error:
            if reader.open_choice is None:
                errors.append(error)
                continue
            key, count = reader.open_choice
            pending.extend({**choices, key: i} for i in reversed(range(count)))
        else:
            found.append((reader.label(), distribution))
    if not found:
        raise errors[0]
    return found


@final
@dataclass(frozen=True)
class _Blend:
    """A sum of weights times distributions, on its way to be a mixture."""

    terms: tuple[tuple[float, Distribution], ...]


_Result = float | tuple | _Blend
#: A family and the names that the choice is between.
_Key = tuple[str, tuple[tuple[str, ...], ...]]


@final
class _Reader:
    """Walks the tree of one expression."""

    def __init__(self, source: Source, choices: dict[_Key, int]) -> None:
        self.source = source
        self.choices = choices
        self.chosen: dict[_Key, list[Given]] = {}
        #: The choice that was missing, where reading stopped for one, and its number of options.
        self.open_choice: tuple[_Key, int] | None = None

    def read(self) -> Distribution:
        return self._distribution(self.source.tree, 0)

    def label(self) -> str:
        """The choices that were made, such as "sd = 2"."""
        parts = []
        for occurrences in self.chosen.values():
            for name in occurrences[0]:
                values = [shown(self.source, given[name]) for given in occurrences]
                parts.append(f"{name} = {', '.join(dict.fromkeys(values))}")
        return "; ".join(parts) or "as written"

    def _distribution(self, node: ast.expr, depth: int) -> Distribution:
        value = self._evaluate(node, depth)
        if not isinstance(value, _Blend):
            what = "a number" if isinstance(value, float) else "a list"
            self.source.fail(
                node, f"this is {what}, not a distribution; write for example normal(0, sd=2)"
            )
        weights = [w for w, _ in value.terms]
        hint = "write w1*d1 + w2*d2 with weights that sum to 1"
        if len(weights) == 1:
            hint = "a number in front of a distribution is its weight in a mixture"
        self._check_sum(node, weights, "the weights", hint)
        return self._mix(node, weights, [d for _, d in value.terms])

    def _evaluate(self, node: ast.expr, depth: int) -> _Result:
        if depth > _MAX_DEPTH:
            self.source.fail(node, f"this is nested deeper than {_MAX_DEPTH} levels")
        match node:
            case ast.Constant():
                return constant(self.source, node)
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
                return self._signed(node, depth)
            case ast.BinOp(op=ast.Add()):
                return self._sum(node, depth)
            case ast.BinOp() if type(node.op) in OPERATORS:
                left = self._evaluate(node.left, depth + 1)
                return self._binary(node, left, self._evaluate(node.right, depth + 1))
            case ast.Call():
                return _Blend(((1.0, self._call(node, depth)),))
            case ast.List() | ast.Tuple():
                return tuple(self._element(e, depth + 1) for e in node.elts)
            case _:
                self.source.fail(
                    node,
                    f"{type(node).__name__} has no place in an expression: numbers, + - * / **, "
                    "lists and families such as normal(0, sd=2) have",
                )

    def _name(self, node: ast.expr, name: str) -> float:
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in FAMILIES or name in COMPOUNDS:
            self.source.fail(node, f"the parameters are missing; write {_usage(name)}")
        self._unknown(node, name)

    def _element(self, node: ast.expr, depth: int) -> float | tuple:
        value = self._evaluate(node, depth)
        if isinstance(value, _Blend):
            self.source.fail(node, "a list holds numbers; distributions stand outside of it")
        return value

    def _signed(self, node: ast.UnaryOp, depth: int) -> float:
        value = self._evaluate(node.operand, depth + 1)
        if not isinstance(value, float):
            self.source.fail(node, "a sign goes before a number; a mixture has no negative weights")
        return -value if isinstance(node.op, ast.USub) else value

    def _sum(self, node: ast.BinOp, depth: int) -> _Result:
        """A chain of +, flat, so that a long mixture is not a deep one."""
        chain: list[ast.expr] = []
        rest: ast.expr = node
        while isinstance(rest, ast.BinOp) and isinstance(rest.op, ast.Add):
            chain.append(rest.right)
            rest = rest.left
        values = [self._evaluate(part, depth + 1) for part in reversed([*chain, rest])]
        blends = [v for v in values if isinstance(v, _Blend)]
        if len(blends) == len(values):
            return _Blend(tuple(term for blend in blends for term in blend.terms))
        total = values[0]
        for value in values[1:]:
            total = self._binary(node, total, value)
        return total

    def _binary(self, node: ast.BinOp, left: _Result, right: _Result) -> _Result:
        match node.op, left, right:
            case _, float(), float():
                return arithmetic(self.source, node, left, right)
            case ast.Mult(), float(weight), _Blend(terms):
                pass
            case ast.Mult(), _Blend(terms), float(weight):
                pass
            case ast.Div(), _Blend(terms), float(divisor):
                weight = arithmetic(self.source, node, 1.0, divisor)
            case _:
                self.source.fail(
                    node,
                    "there is no such arithmetic; a mixture is written w1*d1 + w2*d2, "
                    "and + - * / ** stand between numbers",
                )
        if not 0.0 <= weight < math.inf:
            self.source.fail(node, f"a weight must be finite, 0 or more, got {weight:g}")
        return _Blend(tuple((weight * w, d) for w, d in terms))

    def _call(self, node: ast.Call, depth: int) -> Distribution:
        if not isinstance(node.func, ast.Name):
            self.source.fail(node, "only a family can be called, by its name: normal(0, sd=2)")
        match node.func.id:
            case "mixture":
                return self._mixture(node, depth)
            case "product":
                return self._product(node, depth)
            case "truncated":
                return self._truncated(node, depth)
            case name if name in FAMILIES:
                return self._family(node, FAMILIES[name], depth)
            case name:
                self._unknown(node, name)

    def _mixture(self, node: ast.Call, depth: int) -> Distribution:
        given = self._keywords(node, ("w", "normalize"))
        rest = list(node.args)
        weights = given["w"] if "w" in given else rest.pop(0) if rest else None
        if not isinstance(weights, ast.List | ast.Tuple) or not rest:
            self.source.fail(
                node, f"a list of weights and then distributions; write {COMPOUNDS['mixture']}"
            )
        values = self._checked(node, "w", "probabilities", weights, depth)
        if len(values) != len(rest):
            self.source.fail(node, f"{len(values)} weights but {len(rest)} distributions")
        parts = [self._distribution(a, depth + 1) for a in rest]
        return self._mix(node, self._shares(node, given, values, "the weights"), parts)

    def _mix(
        self, node: ast.expr, weights: tuple[float, ...] | list[float], parts: list[Distribution]
    ) -> Distribution:
        try:
            return mix(list(zip(weights, parts, strict=True)))
        except InputError as error:
            self.source.fail(node, str(error))

    def _product(self, node: ast.Call, depth: int) -> Distribution:
        self._keywords(node, ())
        parts = tuple(self._distribution(a, depth + 1) for a in node.args)
        if not parts:
            self.source.fail(node, f"the blocks are missing; write {COMPOUNDS['product']}")
        return Product(parts)

    def _truncated(self, node: ast.Call, depth: int) -> Distribution:
        given = self._keywords(node, ("low", "high"))
        twice = [n for n in ("low", "high")[: len(node.args) - 1] if n in given]
        given.update(zip(("low", "high"), node.args[1:], strict=False))
        if not 1 <= len(node.args) <= 3 or twice or not given:
            self.source.fail(
                node, f"a distribution and low, high or both; write {COMPOUNDS['truncated']}"
            )
        base = self._distribution(node.args[0], depth + 1)
        if base.support.kind != "interval":
            self.source.fail(node, "only a continuous distribution of one number is truncated")
        ends = {k: self._checked(node, k, "end", v, depth) for k, v in given.items()}
        low, high = ends.get("low", -math.inf), ends.get("high", math.inf)
        if isinstance(base, Truncated):
            base, low, high = base.base, max(low, base.low), min(high, base.high)
        try:
            return Truncated(base, low, high)
        except InputError as error:
            self.source.fail(node, str(error))

    def _family(self, node: ast.Call, family: Family, depth: int) -> Distribution:
        given, unnamed = self._arguments(node, family)
        found = options(family, given, unnamed, fits=partial(self._fits, depth=depth))
        if found:
            key = (family.name, tuple(tuple(option) for option in found))
            if key not in self.choices:
                self.open_choice = (key, len(found))
                self.source.fail(node, question(self.source, node, family, unnamed, found))
            option = found[self.choices[key]]
            self.chosen.setdefault(key, []).append(option)
            given = {**given, **option}
        values = [self._parameter(node, family, p, given, depth) for p in family.parameters]
        try:
            return family.make(*values)
        except InputError as error:
            self.source.fail(node, str(error))

    def _arguments(self, node: ast.Call, family: Family) -> tuple[Given, list[Unnamed]]:
        """Returns what was given by name or needs none, and what lacks its name."""
        flags = ("normalize",) if family.has_probabilities else ()
        given = self._keywords(node, (*family.spellings, *flags), family)
        unnamed: list[Unnamed] = []
        if len(node.args) > len(family.parameters):
            self.source.fail(node, f"too many parameters; write {family.usage}")
        for parameter, value in zip(family.parameters, node.args, strict=False):
            twice = [s.name for s in parameter.spellings if s.name in given]
            if twice:
                what = f"{self.source.segment(value)} and {twice[0]}="
                self.source.fail(node, f"{what} are one too many; write {family.usage}", at=value)
            if parameter.named:
                unnamed.append((parameter, value))
            else:
                given[parameter.spellings[0].name] = value
        return given, unnamed

    def _fits(self, spelling: Spelling, node: ast.expr, *, depth: int) -> bool:
        value = self._evaluate(node, depth + 1)
        return not isinstance(value, _Blend) and RULES[spelling.rule][0](value)

    def _parameter(
        self, node: ast.Call, family: Family, parameter: Parameter, given: Given, depth: int
    ) -> object:
        found = [s for s in parameter.spellings if s.name in given]
        if len(found) > 1:
            names = " or ".join(f"{s.name}=" for s in found)
            self.source.fail(node, f"give {names}, not both; write {family.usage}")
        if not found:
            if parameter.default is not None:
                return parameter.default
            self.source.fail(node, f"{parameter.usage} is missing; write {family.usage}")
        (spelling,) = found
        value = self._checked(node, spelling.name, spelling.rule, given[spelling.name], depth)
        if spelling.rule == "probabilities":
            value = self._shares(node, given, value, "the probabilities")
        return spelling.convert(value)

    def _keywords(
        self, node: ast.Call, allowed: tuple[str, ...], family: Family | None = None
    ) -> Given:
        given: Given = {}
        for keyword in node.keywords:
            name = keyword.arg
            if name is None:
                self.source.fail(node, "** has no place here; write the parameters by name")
            if name in given:
                self.source.fail(node, f"{name}= is given twice", at=keyword.value)
            if name not in allowed:
                wanted = [s for s in SYNONYMS.get(name, ()) if s in allowed]
                wanted += difflib.get_close_matches(name, allowed, n=1)
                usage = family.usage if family else _usage(self.source.segment(node.func))
                hint = f"did you mean {wanted[0]}=? Write" if wanted else "write"
                self.source.fail(node, f"there is no {name}=; {hint} {usage}", at=keyword.value)
            given[name] = keyword.value
        return given

    def _checked(
        self, node: ast.Call, name: str, rule: str, given: ast.expr | float, depth: int
    ) -> Any:
        """Returns a value that its rule allows."""
        if not isinstance(given, ast.expr):
            return given
        value = self._evaluate(given, depth + 1)
        holds, message = RULES[rule]
        if isinstance(value, _Blend) or not holds(value):
            text = self.source.segment(given)
            self.source.fail(node, f"{name} {message}, got {text}", at=given)
        return value

    def _shares(
        self, node: ast.Call, given: Given, values: tuple[float, ...], what: str
    ) -> tuple[float, ...]:
        """Returns values that sum to 1."""
        flag = given.get("normalize")
        if isinstance(flag, ast.expr) and not isinstance(getattr(flag, "value", None), bool):
            self.source.fail(node, "normalize= is True or False", at=flag)
        total = math.fsum(values)
        if isinstance(flag, ast.Constant) and flag.value is True and 0.0 < total < math.inf:
            return tuple(v / total for v in values)
        self._check_sum(node, values, what, "divide them by it, or add normalize=True")
        return values if total == 1.0 else tuple(v / total for v in values)

    def _check_sum(
        self, node: ast.expr, values: tuple[float, ...] | list[float], what: str, hint: str
    ) -> None:
        total = math.fsum(values)
        if abs(total - 1.0) > _SUM_TOLERANCE:
            self.source.fail(node, f"{what} sum to {total:.10g}, not 1; {hint}")

    def _unknown(self, node: ast.expr, name: str) -> NoReturn:
        known = [*FAMILIES, *COMPOUNDS]
        if isinstance(node, ast.Name):
            known += _CONSTANTS
        near = difflib.get_close_matches(name.lower(), known, n=2)
        near = [_ELSEWHERE[name.lower()]] if name.lower() in _ELSEWHERE else near
        near = near[:1] if near[:1] == [name.lower()] else near
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        self.source.fail(node, f"there is no {shorten(name)!r}{hint} Known: {', '.join(known)}")


def _usage(name: str) -> str:
    return FAMILIES[name].usage if name in FAMILIES else COMPOUNDS[name]


# Weights and distributions to one distribution.

Terms = list[tuple[float, Distribution]]


def mix(terms: Terms) -> Distribution:
    """Returns sum_k weight_k distribution_k.

    Mixtures of mixtures are made flat, components without weight dropped, and Gaussian vectors
    become a GaussianMixture, tables of equal length a table.

    Raises:
        InputError: the distributions are of different dimensions or kinds.
    """
    flat = [term for weight, d in terms for term in _flat(weight, d) if term[0] > 0.0]
    total = math.fsum(w for w, _ in flat)
    weights = np.array([w / total for w, _ in flat])
    parts = [d for _, d in flat]
    if len(parts) == 1:
        return parts[0]
    gaussians = [d for d in parts if isinstance(d, MultivariateNormal)]
    same_size = len({d.support.dimension for d in parts}) == 1
    if len(gaussians) == len(parts) and same_size:
        means = np.stack([g.loc for g in gaussians])
        return GaussianMixture(weights, means, np.stack([g.scale_tril for g in gaussians]))
    tables = [d for d in parts if isinstance(d, Categorical)]
    if len(tables) == len(parts) and len({len(d.probabilities) for d in tables}) == 1:
        return Categorical.from_probabilities(weights @ np.stack([d.probabilities for d in tables]))
    return Mixture(weights, tuple(parts))


def _flat(weight: float, d: Distribution) -> Terms:
    if isinstance(d, Mixture):
        pairs = zip(d.weights, d.components, strict=True)
        return [term for w, c in pairs for term in _flat(weight * float(w), c)]
    if isinstance(d, GaussianMixture):
        parts = zip(d.weights, d.means, d.scale_trils, strict=True)
        return [(weight * float(w), MultivariateNormal(m, s)) for w, m, s in parts]
    return [(weight, d)]
