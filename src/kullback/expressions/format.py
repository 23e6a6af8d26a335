"""Distributions written as expressions: what `parse` reads back."""

import math
from collections.abc import Callable, Iterable
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution, Foreign
from kullback.distributions.compound import Mixture, Product, Truncated
from kullback.distributions.family import Family, Spelling
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.registry import row_of
from kullback.distributions.vector import MultivariateNormal

_SUM_TOLERANCE = 1e-9


def format_distribution(d: Distribution, *, digits: int = 6) -> str:
    """Returns a distribution as an expression, its numbers to so many significant digits.

    More digits are written where fewer would leave no distribution (weights that do not sum to
    1, the ends of a narrow interval). What expressions cannot say is shown by its name or fields.

    Example:
        >>> from kullback.distributions.real import Normal
        >>> format_distribution(Normal(0.0, 2.0))
        'normal(0, sd=2)'
    """
    writer = _COMPOUNDS.get(type(d))
    if writer is not None:
        return writer(d, digits)
    found = row_of(d)
    return str(d) if found is None else _call(*found, digits)


def _call(family: Family, values: list[tuple[Spelling, Any]], digits: int) -> str:
    """Writes a member of a family: its name, and its parameters with their names where they need them."""
    texts = [_VALUES.get(s.rule, _number)(value, digits) for s, value in values]
    if [s.name for s, _ in values] == ["low", "high"]:
        texts = list(_ends(values[0][1], values[1][1], digits))
    parts = [
        f"{s.name}={text}" if p.named else text
        for p, (s, _), text in zip(family.parameters, values, texts, strict=True)
    ]
    return f"{family.name}({', '.join(parts)})"


def _number(value: SupportsFloat, digits: int) -> str:
    return f"{float(value) + 0.0:.{digits}g}"


def _numbers(values: Iterable[float], digits: int) -> str:
    return f"[{', '.join(_number(float(v), digits) for v in values)}]"


def _shares(values: Float[np.ndarray, " k"], digits: int) -> list[str]:
    """Writes numbers that sum to 1 so that they do as they are written."""
    values = values / values.sum()
    written = [_number(float(v), digits) for v in values]
    if abs(math.fsum(float(w) for w in written) - 1.0) > 0.1 * _SUM_TOLERANCE:
        largest = int(np.argmax(values))
        others = math.fsum(float(w) for i, w in enumerate(written) if i != largest)
        written[largest] = f"{1.0 - others:.12g}"
    return written


def _chance(value: SupportsFloat, digits: int) -> str:
    """Writes a probability; one inside (0, 1) stays inside."""
    inside = 0.0 < float(value) < 1.0
    for more in range(digits, 18):
        text = _number(value, more)
        if not inside or 0.0 < float(text) < 1.0:
            return text
    return repr(float(value))


def _ends(low: float, high: float, digits: int) -> tuple[str, str]:
    """Writes the ends of an interval to a small part of its length."""
    allowed = 10.0 ** (2 - digits) * (high - low)
    return _near(low, allowed, digits), _near(high, allowed, digits)


def _near(value: float, allowed: float, digits: int) -> str:
    texts = [_number(value, more) for more in range(digits, 18)]
    return next((t for t in texts if abs(float(t) - value) <= allowed), texts[-1])


def _matrix(covariance: Float[np.ndarray, "d d"], digits: int) -> str:
    """Writes a covariance matrix so that it is one as it is written."""
    written = [[_numbers(row, more) for row in covariance] for more in range(digits, 18)]
    rows = next((r for r in written if _is_covariance(r)), written[-1])
    return f"[{', '.join(rows)}]"


def _is_covariance(rows: list[str]) -> bool:
    try:
        np.linalg.cholesky([[float(v) for v in row[1:-1].split(",")] for row in rows])
    except np.linalg.LinAlgError:
        return False
    return True


def _mixture(d: Mixture | GaussianMixture, digits: int) -> str:
    parts: tuple[Distribution, ...]
    if isinstance(d, GaussianMixture):
        pairs = zip(d.means, d.scale_trils, strict=True)
        parts = tuple(MultivariateNormal(m, s) for m, s in pairs)
    else:
        parts = d.components
    texts = [format_distribution(p, digits=digits) for p in parts]
    if len(texts) == 1:
        return texts[0]
    grouped = [f"({t})" if isinstance(p, Mixture) else t for p, t in zip(parts, texts, strict=True)]
    terms = zip(_shares(d.weights, digits), grouped, strict=True)
    return " + ".join(f"{w}*{t}" for w, t in terms)


def _product(d: Product, digits: int) -> str:
    return f"product({', '.join(format_distribution(p, digits=digits) for p in d.parts)})"


def _truncated(d: Truncated, digits: int) -> str:
    low, high = _ends(d.low, d.high, digits)
    return f"truncated({format_distribution(d.base, digits=digits)}, {low}, {high})"


#: How values are written, by the rule that they keep; others are numbers.
_VALUES: dict[str, Callable[[Any, int], str]] = {
    "probability": _chance,
    "count": lambda value, digits: f"{int(value)}",
    "start": lambda value, digits: f"{value:g}",
    "vector": _numbers,
    "positive_vector": _numbers,
    "probabilities": lambda value, digits: f"[{', '.join(_shares(value, digits))}]",
    "matrix": _matrix,
}

_COMPOUNDS: dict[type, Callable[[Any, int], str]] = {
    GaussianMixture: _mixture,
    Mixture: _mixture,
    Product: _product,
    Truncated: _truncated,
    Foreign: lambda d, n: d.name,
}
