"""Where an axis has its marks, and what stands at them."""

import itertools
import math

#: Marks stand at 1, 2 or 5 times a power of ten.
_STEPS = (1.0, 2.0, 5.0, 10.0)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS = str.maketrans("-", "−")


def ticks(low: float, high: float, most: int) -> list[float]:
    """Returns at most so many round numbers in [low, high], a step of 1, 2 or 5 apart.

    Example:
        >>> ticks(-3.1, 3.2, 8)
        [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    """
    step = _step(low, high, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, places) for i in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Returns powers of ten in [low, high], every so many of them; with 2 and 5 if they are few.

    Example:
        >>> log_ticks(1e-3, 1.0, 5)
        [0.001, 0.01, 0.1, 1.0]
    """
    first = math.ceil(math.log10(low) - 1e-9)
    last = math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        decades = range(first - 1, last + 2)
        found = [float(f"{m}e{d}") for d in decades for m in (1, 2, 5)]
        return [v for v in found if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
    every = max(1, math.ceil((last - first + 1) / most))
    return [float(f"1e{d}") for d in range(first, last + 1) if d % every == 0]


def labels(values: list[float], *, log: bool = False) -> list[str]:
    """Returns what stands at the marks, all to the same number of decimals.

    Example:
        >>> labels([0.0, 0.5, 1.0]), labels([-2e6, 0.0]), labels([0.001, 1.0], log=True)
        (['0.0', '0.5', '1.0'], ['−2·10⁶', '0'], ['0.001', '1'])
    """
    if log:
        plain = all(1e-4 < v < 1e4 for v in values)
        return [f"{v:g}" if plain else _power(v) for v in values]
    if not values:
        return []
    largest = max(abs(v) for v in values)
    step = min((b - a for a, b in itertools.pairwise(values)), default=largest)
    if largest >= 1e6 or 0.0 < largest < 1e-3:
        digits = max(0, math.ceil(math.log10(largest / step) - 1e-9)) if step else 0
        return [_scientific(v, min(digits, 12)) for v in values]
    places = next((n for n in range(13) if all(_fits(v, n) for v in values)), 12)
    return [f"{v:.{places}f}".translate(_MINUS) for v in values]


def _step(low: float, high: float, most: int) -> float:
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(s * power for s in _STEPS if s * power >= rough * (1.0 - 1e-9))


def _fits(value: float, places: int) -> bool:
    return abs(round(value, places) - value) <= 1e-9 * max(abs(value), 10.0**-places)


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = value / 10.0**exponent
    raised = f"10{str(exponent).translate(_RAISED)}"
    return raised if abs(factor - 1.0) < 1e-6 else f"{factor:g}·{raised}"


def _scientific(value: float, digits: int) -> str:
    if value == 0.0:
        return "0"
    factor, exponent = f"{value:.{digits}e}".split("e")
    short = factor.rstrip("0").rstrip(".") if "." in factor else factor
    power = f"10{str(int(exponent)).translate(_RAISED)}"
    return {"1": power, "-1": f"−{power}"}.get(short, f"{short}·{power}").translate(_MINUS)
