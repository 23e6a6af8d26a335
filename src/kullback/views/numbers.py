"""Numbers as a reader wants them: to the digits that the error leaves, with error and kind."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from kullback.results.estimate import Estimate

_SIGNS = {"lower_bound": "≥", "upper_bound": "≤"}
_KINDS = {"lower_bound": "lower bound", "upper_bound": "upper bound"}
_SWAP = str.maketrans("pq", "qp")
_NAMES = re.compile(r"(?<![A-Za-z])[pq](?![A-Za-z])")
#: Below this share of the value an error says nothing about the digits shown.
_SMALL = 1e-6


def number(x: float, digits: int = 6) -> str:
    """Returns a number to so many significant digits; "∞" and "not known" where it is neither.

    Example:
        >>> number(0.27020065), number(-0.0), number(math.inf), number(math.nan)
        ('0.270201', '0', '∞', 'not known')
    """
    if math.isnan(x):
        return "not known"
    if math.isinf(x):
        return "∞" if x > 0.0 else "-∞"
    return f"{x + 0.0:.{digits}g}"


def full(x: float, digits: int = 6) -> str:
    """Returns a number to so many significant digits, zeros at its end too.

    Example:
        >>> full(0.5033), full(0.0), full(1234567.0)
        ('0.503300', '0', '1.23457e+06')
    """
    return f"{x:#.{digits}g}".rstrip(".") if math.isfinite(x) and x != 0.0 else number(x)


def aligned(values: Sequence[float], digits: int = 5) -> list[str]:
    """Returns numbers to the decimals that show so many digits of the largest.

    Each gets its own decimals where the smallest would vanish.

    Example:
        >>> aligned([-0.0100436, 2.001004, 0.0])
        ['-0.0100', '2.0010', '0.0000']
        >>> aligned([0.001, 250.0])
        ['0.001', '250']
    """
    largest = max((abs(v) for v in values), default=0.0)
    sizes = [abs(v) for v in values if abs(v) > _SMALL * largest]
    if not sizes or not math.isfinite(largest):
        return [number(v, digits) for v in values]
    places = max(0, digits - 1 - math.floor(math.log10(largest)))
    if places > 9 or largest >= 1e7 or min(sizes) < 10.0 ** (1 - places):
        return [number(v, digits) for v in values]
    return [f"{round(v, places) + 0.0:.{places}f}" for v in values]


def percent(share: float) -> str:
    """Returns a share in percent.

    Example:
        >>> percent(0.30060), percent(0.0000021), percent(1.0)
        ('30.06 %', '0.00021 %', '100 %')
    """
    if math.isnan(share):
        return number(share)
    value = 100.0 * share
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    return f"{value:.2f} %" if abs(value) >= 0.01 else f"{value:.2g} %"


def value_of(e: Estimate) -> str:
    """Returns the value alone, to the digits that its error leaves, six at most; a bound says so.

    Example:
        >>> from kullback.results.quantity import REVERSE_KL
        >>> value_of(Estimate.numeric(0.3524138103, 1e-4, REVERSE_KL, method="m"))
        '0.35241'
    """
    if e.kind == "unresolved":
        return "unresolved"
    error = e.standard_error
    sign = f"{_SIGNS[e.kind]} " if e.kind in _SIGNS else ""
    coarse = math.isfinite(error) and error > _SMALL * abs(e.value)
    if not coarse or not 1e-5 < error < 1e6 or not math.isfinite(e.value):
        return sign + full(e.value)
    return sign + f"{e.value:.{_decimals(error)}f}"


def error_of(e: Estimate) -> str:
    """Returns "± error", two digits of it; "" for exact, infinite and unresolved values."""
    error = e.standard_error
    is_limit = e.kind == "lower_bound" and e.value == e.interval[0]
    if is_limit or e.kind in ("exact", "infinite", "unresolved") or not math.isfinite(error):
        return ""
    if error > _SMALL * abs(e.value) and 1e-5 < error < 1e6:
        return f"± {error:.{_decimals(error)}f}"
    return f"± {error:.1e}"


def with_error(e: Estimate) -> str:
    """Returns value and error, without unit: for a column of a table.

    Example:
        >>> from kullback.results.quantity import REVERSE_KL
        >>> with_error(Estimate.numeric(0.35241, 2e-9, REVERSE_KL, method="m"))
        '0.352410 ± 2.0e-09'
    """
    return " ".join(part for part in (value_of(e), error_of(e)) if part)


def kind_of(e: Estimate) -> str:
    """Returns how the number came about: "numeric: quadrature, n = 1950", or why there is none."""
    count = "" if e.n is None else f", n\u00a0=\u00a0{e.n}"
    kind = _KINDS.get(e.kind, e.kind)
    return f"{kind}: {e.reason or e.method + count}"


def sentence(e: Estimate) -> str:
    """Returns "KL(p||q) = 0.270201 ± 9.8e-15 nats (numeric)"; the reason where there is no number.

    Example:
        >>> from kullback.results.quantity import FORWARD_KL
        >>> sentence(Estimate.infinite("support", FORWARD_KL, method="m"))
        'KL(p||q) is infinite (support)'
    """
    if e.kind in ("infinite", "unresolved"):
        return f"{e.direction} is {e.kind} ({e.reason})"
    sign = "" if e.kind in _SIGNS else "= "
    unit = f" {e.unit}" if e.unit else ""
    return f"{e.direction} {sign}{with_error(e)}{unit} ({_KINDS.get(e.kind, e.kind)})"


def interval_of(e: Estimate) -> str:
    """Returns the 95 % interval of an estimate, "" for other kinds."""
    if e.kind != "estimate" or not all(math.isfinite(end) for end in e.interval):
        return ""
    digits = _decimals(e.standard_error) if 1e-5 < e.standard_error < 1e6 else None
    low, high = (number(v) if digits is None else f"{v:.{digits}f}" for v in e.interval)
    return f"95 % interval {low} to {high}"


def exchanged(e: Estimate) -> Estimate:
    """Returns the estimate with p and q exchanged in its words: what was asked of (q, p).

    Example:
        >>> from kullback.results.quantity import FORWARD_KL
        >>> exchanged(Estimate.exact(1.0, FORWARD_KL, method="m")).direction
        'KL(q||p)'
    """
    return replace(e.called(swapped(e.direction)), notes=tuple(swapped(n) for n in e.notes))


def swapped(text: str) -> str:
    """Returns a text with p and q exchanged.

    Example:
        >>> swapped("q is 0 where p has mass 0.3")
        'p is 0 where q has mass 0.3'
    """
    return _NAMES.sub(lambda found: found[0].translate(_SWAP), text)


def method_of(e: Estimate) -> str:
    """Returns how the number came about, without the count of draws."""
    return kind_of(e).split(", n\u00a0=")[0]


def _decimals(error: float) -> int:
    return max(0, 1 - math.floor(math.log10(error)))


def near(value: float, scale: float) -> str:
    """Returns a number with three decimals, or as many as show a hundredth of a small scale."""
    if math.isinf(scale):
        return f"{value:.4g}"
    decimals = 3 if scale >= 0.1 or scale <= 0.0 else 2 - math.floor(math.log10(scale))
    return f"{round(value, decimals) + 0.0:.{min(decimals, 15)}f}"
