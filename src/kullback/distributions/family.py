"""What a family is called and how it is parameterised, here and elsewhere: the columns of the registry.

A parameter that people write in two ways (a spread as a standard deviation or a variance) must be
given by name; it holds the ways and the question to ask.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, final

from kullback.core.errors import InputError
from kullback.distributions.base import Distribution
from kullback.distributions.counting import Chance
from kullback.distributions.scalar import Best, Domain, ScalarFamily

#: A number, a list of numbers or a list of lists of numbers.
Value = float | tuple["Value", ...]


@final
@dataclass(frozen=True)
class Spelling:
    """One way to give a parameter.

    Attributes:
        name: the keyword.
        rule: a row of `RULES`: what the value must be.
        convert: maps the value to what the constructor takes.
        noun: what the value is, in a question.
    """

    name: str
    rule: str
    convert: Callable[..., object] = lambda value: value
    noun: str = ""


@final
@dataclass(frozen=True)
class Parameter:
    """A parameter of a family: exactly one of its spellings must be given.

    Attributes:
        spellings: the ways to give it.
        named: whether the name must be written, because the value alone would be ambiguous.
        asked: how many of the spellings are offered when the name is missing.
        default: the value when it is not given; None if it must be.
        choices: the values it can take, when the question is which; it then has no default.
    """

    spellings: tuple[Spelling, ...]
    named: bool = False
    asked: int = 2
    default: float | None = None
    choices: tuple[tuple[float, str], ...] = ()

    def spelled(self, value: Any) -> tuple[Spelling, Any]:
        """Returns a value with its spelling: that of a pair, rate= for a scale that is a fraction, or the first."""
        by_name = {s.name: s for s in self.spellings}
        if isinstance(value, tuple):
            return by_name[value[0]], value[1]
        if isinstance(value, Fraction) and "rate" in by_name:
            return by_name["rate"], 1 / value
        return next(s for s in self.spellings if s.rule != "divisor"), value

    @property
    def usage(self) -> str:
        names = " | ".join(f"{s.name}=" if self.named else s.name for s in self.spellings)
        if self.default is None:
            return names
        return f"{names.removesuffix('=')}={self.default:g}"


#: Smaller families, each with the map of their parameters, in their first spellings, to those of the larger one;
#: its first argument stands for infinity, where the smaller one is a limit.
Contains = Mapping[str, Callable[..., dict[str, float]]]

#: What a parameter is where another library's class has none: by the spelling that is then meant.
STANDARD = {
    "loc": 0.0,
    "sd": 1.0,
    "scale": 1.0,
    "low": 0.0,
    "high": 1.0,
    "shape": 1.0,
    "start": 0.0,
}


@final
@dataclass(frozen=True)
class Fitter:
    """How a family is fitted to rows.

    Attributes:
        domain: the rows it takes.
        best: maps rows and weights (and a member to start from, if `near`) to the member of greatest likelihood.
        near: whether it can start from a member.
        moving_ends: whether the ends of its support are fitted.
    """

    domain: Domain
    best: Callable[..., Best]
    near: bool = False
    moving_ends: bool = False


@final
@dataclass(frozen=True)
class Family:
    """A row: all that is known of a family besides its mathematics, which its class has.

    Names elsewhere are a class and its parameters, each with our spelling after a colon where that
    differs: "concentration:shape rate".

    Attributes:
        name: in an expression.
        cls: the class of its members, which it may share with other families.
        parameters: in an expression, in this order.
        build: makes a member of them; the class if None.
        read: maps a member of the class to the parameters, each a value or the name of a spelling and a value;
            to None if it is not of this family. The fields of the class if None.
        aliases: other names.
        numpyro: classes of NumPyro and torch.
        scipy: classes of SciPy, those of the old kind by the names of their types; what they lack (a loc, a
            scale) has its standard value.
        fit: how it is fitted to rows; None if it is not.
        contains: families within it, where a search may begin.
        constants: members that are a distribution of their own, such as the uniform one.
    """

    name: str
    cls: type[Distribution]
    parameters: tuple[Parameter, ...]
    build: Callable[..., Distribution] | None = None
    read: Callable[[Any], tuple[Any, ...] | None] | None = None
    aliases: tuple[str, ...] = ()
    numpyro: Mapping[str, str] = field(default_factory=dict)
    scipy: Mapping[str, str] = field(default_factory=dict)
    fit: Fitter | None = None
    contains: Contains = field(default_factory=dict)
    constants: tuple[dict[str, float], ...] = ()

    @property
    def usage(self) -> str:
        """How it is written, such as "normal(loc, sd= | var= | precision=)"."""
        return f"{self.name}({', '.join(p.usage for p in self.parameters)})"

    @property
    def has_probabilities(self) -> bool:
        """Whether `normalize=True` may be said."""
        return any(s.rule == "probabilities" for p in self.parameters for s in p.spellings)

    @property
    def spellings(self) -> dict[str, Parameter]:
        """The parameter that each keyword belongs to."""
        return {s.name: p for p in self.parameters for s in p.spellings}

    @property
    def fitted(self) -> ScalarFamily:
        """What maximum likelihood needs of it."""
        fit = self.fit
        assert fit is not None
        best = fit.best if fit.near else lambda x, weights, near=None: fit.best(x, weights)
        free = sum(not p.choices for p in self.parameters)
        return ScalarFamily(self.name, free, fit.domain, best, fit.moving_ends)

    def make(self, *values: Any) -> Distribution:
        """Returns the member with these parameters, as `Spelling.convert` gives them."""
        return (self.build or self.cls)(*values)

    def member(self, values: Mapping[str, Any]) -> Distribution:
        """Returns the member with these parameters by their spellings; those left out are standard.

        A value that is a `Chance` already is taken as it is.
        """
        found = []
        for parameter in self.parameters:
            spelled = {s.name: s for s in parameter.spellings}
            name = next((n for n in spelled if n in values), None)
            if name is None:
                name = next(n for n in STANDARD if n in spelled)
            value = values.get(name, STANDARD.get(name))
            found.append(value if isinstance(value, Chance) else spelled[name].convert(value))
        return self.make(*found)

    def values(self, member: Distribution) -> list[tuple[Spelling, Any]] | None:
        """Returns the parameters of a distribution of its class, each with a spelling; None if it is no member."""
        found = self.read(member) if self.read else _field_values(member)
        if found is None:
            return None
        pairs = zip(self.parameters, found, strict=True)
        return [parameter.spelled(value) for parameter, value in pairs]


def spelled(names: str) -> list[tuple[str, str]]:
    """Returns the parameters of a class of another library, each with our spelling.

    Example:
        >>> spelled("concentration:shape rate")
        [('concentration', 'shape'), ('rate', 'rate')]
    """
    return [
        (theirs, ours or theirs) for theirs, _, ours in (w.partition(":") for w in names.split())
    ]


def _field_values(member: Any) -> tuple[Any, ...]:
    return tuple(getattr(member, f.name) for f in fields(member))


def _finite(value: Value) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _vector(value: Value) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(_finite(v) for v in value)


def _matrix(value: Value) -> bool:
    if not isinstance(value, tuple) or not value:
        return False
    return all(isinstance(v, tuple) and _vector(v) and len(v) == len(value) for v in value)


RULES: dict[str, tuple[Callable[..., bool], str]] = {
    "finite": (_finite, "must be a finite number"),
    "positive": (lambda v: _finite(v) and v > 0, "must be a positive, finite number"),
    "nonnegative": (lambda v: _finite(v) and v >= 0, "must be a finite number, 0 or more"),
    "divisor": (
        lambda v: _finite(v) and v > 0 and math.isfinite(1.0 / v),
        "must be a positive, finite number whose inverse is finite",
    ),
    "probability": (lambda v: _finite(v) and 0 <= v <= 1, "must be a number between 0 and 1"),
    "count": (
        lambda v: _finite(v) and 0 <= v < 2**53 and v == int(v),
        "must be a whole number, 0 or more",
    ),
    "start": (lambda v: v in (0.0, 1.0), "must be 0 or 1"),
    "end": (lambda v: isinstance(v, float) and not math.isnan(v), "must be a number or inf"),
    "vector": (_vector, "must be a list of finite numbers, such as [1, 2]"),
    "positive_vector": (
        lambda v: _vector(v) and min(v) > 0,
        "must be a list of positive, finite numbers, such as [1, 2]",
    ),
    "probabilities": (
        lambda v: _vector(v) and min(v) >= 0,
        "must be a list of finite numbers, 0 or more, such as [0.2, 0.8]",
    ),
    "matrix": (_matrix, "must be a square matrix of finite numbers, such as [[2, 1], [1, 2]]"),
}


def one(name: str, rule: str = "positive") -> Parameter:
    """Returns a parameter with one spelling."""
    return Parameter((Spelling(name, rule),))


def named(name: str, rule: str = "positive", noun: str = "") -> Parameter:
    """Returns one that must be given by name."""
    return Parameter((Spelling(name, rule, noun=noun),), named=True)


def optional(parameter: Parameter, default: float) -> Parameter:
    """Returns a parameter that has a default."""
    return replace(parameter, default=default)


def _inverse(value: float) -> Fraction:
    if not 0.0 < value < math.inf:
        raise InputError(f"a rate must be positive and finite, got {value}")
    return 1 / Fraction(value)


def _complement(value: float) -> Chance:
    if not 0.0 <= value <= 1.0:
        raise InputError(f"a probability must be between 0 and 1, got {value}")
    return Chance(1 - Fraction(value))


LOC = one("loc", "finite")
SHAPE = one("shape", "positive")
SCALE = named("scale", noun="the scale")
CHANCE = Parameter((Spelling("p", "probability", Chance),))
SPREAD = Parameter(
    (
        Spelling("sd", "positive", noun="a standard deviation"),
        Spelling("var", "positive", math.sqrt, noun="a variance"),
        Spelling("precision", "divisor", lambda v: math.sqrt(1.0 / v), noun="a precision"),
    ),
    named=True,
)
RATE_OR_SCALE = Parameter(
    (
        Spelling("rate", "divisor", _inverse, noun="a rate"),
        Spelling("scale", "positive", noun="a scale (1/rate)"),
    ),
    named=True,
)
RATE_OR_MEAN = Parameter(
    (
        *RATE_OR_SCALE.spellings,
        Spelling("mean", "positive", noun="a mean"),
    ),
    named=True,
)
START = Parameter(
    (Spelling("start", "start"),),
    named=True,
    choices=(
        (0.0, "the failures before the first success (start=0)"),
        (1.0, "the trials up to it (start=1)"),
    ),
)
WHICH_CHANCE = Parameter(
    (
        Spelling(
            "success",
            "probability",
            _complement,
            noun="the probability of a success (as in SciPy)",
        ),
        Spelling(
            "failure",
            "probability",
            Chance,
            noun="that of a failure, which is what is counted (as in torch and NumPyro)",
        ),
    ),
    named=True,
)
SPREADS = Parameter(
    (
        Spelling("cov", "matrix", noun="a covariance matrix"),
        Spelling("sd", "positive_vector", noun="a list of standard deviations"),
    ),
    named=True,
)
