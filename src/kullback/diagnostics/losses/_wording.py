"""What was found, in words and formulas."""

import math
from collections.abc import Mapping, Sequence

from kullback.diagnostics.losses._matching import Match
from kullback.diagnostics.losses._quantities import Quantity

_NEAR = 1e-4


def scale_words(
    scale: float, powers: Sequence[tuple[str, int]], constants: Mapping[str, float]
) -> str:
    """Returns a scale as it arises: "" for 1, such as "1/V", "0.5 B", "temperature²".

    Args:
        scale: the number.
        powers: exponents of sizes.
        constants: the loss's own numbers by name, in which the scale may be recognised.
    """
    above = [n for n, e in powers if e > 0]
    below = [n for n, e in powers if e < 0]
    number = _number_words(scale, constants)
    front = " ".join([*([number] if number not in ("", "-") else []), *above])
    if below:
        front = (
            f"{front or '1'}/{' '.join(below)}"
            if len(below) == 1
            else f"{front or '1'}/({' '.join(below)})"
        )
    if number == "-":
        return f"-{front}" if front else "-1"
    return front


def _number_words(scale: float, constants: Mapping[str, float]) -> str:
    if math.isclose(scale, 1.0, rel_tol=_NEAR):
        return ""
    if math.isclose(scale, -1.0, rel_tol=_NEAR):
        return "-"
    sign = "-" if scale < 0.0 else ""
    for name, value in constants.items():
        for power, mark in ((1, ""), (2, "²"), (-1, "⁻¹")):
            if value not in (0.0, 1.0) and math.isclose(abs(scale), value**power, rel_tol=_NEAR):
                return f"{sign}{name}{mark}"
    if math.isclose(abs(scale), 1.0 / math.log(2.0), rel_tol=_NEAR):
        return f"{sign}(1/log 2)"
    return f"{scale:.6g}"


def label(match: Match) -> str:
    """Returns what was found as a formula."""
    if match.terms:
        parts = [f"{c:.4g} {of_quantity(q)}" for c, q in match.terms]
        parts = [p.removeprefix("1 ") if p.startswith("1 ") else p for p in parts]
        return " + ".join(parts).replace("+ -", "- ")
    return of_quantity(match.quantity)


def of_quantity(quantity: Quantity) -> str:
    """Returns a quantity with its parameters."""
    found = dict(quantity.parameters)
    text = quantity.label
    if "temperature" in found:
        return f"{text} at temperature {found['temperature']:.4g}"
    if "temperature_p" in found:
        return f"{text} at temperatures {found['temperature_p']:.4g} of p, {found['temperature_q']:.4g} of q"
    if "label_smoothing" in found:
        share = found["label_smoothing"]
        return f"KL(p'||q), p' = {1.0 - share:.4g} p + {share:.4g}/V"
    if "epsilon" in found:
        return f"{text} with {found['epsilon']:.2g} added inside the logarithms"
    return text + "".join(f", {n} = {v:.4g}" for n, v in quantity.parameters)
