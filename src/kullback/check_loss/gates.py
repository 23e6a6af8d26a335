"""What is expected of a loss, and whether it is so: gradient, sign, scale, value and detachment apart."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

from kullback.check_loss.masks import MaskFault
from kullback.core.errors import InputError
from kullback.results.loss_report import Gate, LossFinding, LossReport

#: Names that may be expected of a gradient, and of a value.
GRADIENTS = (
    "forward", "reverse", "jeffreys", "jensen_shannon", "generalized_jensen_shannon", "alpha", "renyi",
    "total_variation", "skew_forward", "skew_reverse", "mixture", "zero", "entropy", "reverse_uniform",
    "forward_uniform", "reverse_cross_entropy", "le_cam", "focal", "top_k_bucket", "top_k_renormalised",
    "expected_advantage", "dpo", "ipo", "kto", "hinge", "simpo", "orpo", "bradley_terry", "infonce",
    "donsker_varadhan", "nwj", "free_bits", "huber", "quantile", "expectile", "log_cosh",
)  # fmt: skip
VALUES = (*GRADIENTS, "cross_entropy", "half_squared_ratio")
#: What a gate may ask of, and the ways of drawing that are meant, the likeliest first.
_DRAWN = {
    "tokens": ("q", "p", "other"),
    "full": ("", "labels"),
    "path": ("path",),
    "off_policy": ("other",),
    "critic": ("critic",),
}
ON = tuple(_DRAWN)
DETACHED = ("none", "partly", "wholly")
#: Names of what is raised: the factor in front is negative where all is well.
_RAISED = ("expected_advantage",)
#: Relative difference up to which two scales are one: that of `scale_words`.
_SAME = 1e-4


@final
@dataclass(frozen=True)
class Expected:
    """What is expected; "" and None for what is not.

    Attributes:
        gradient, value: names of divergences.
        on: one of ON.
        scale: the factor in front of the gradient's divergence.
        detached: one of DETACHED.
    """

    gradient: str = ""
    value: str = ""
    on: str = ""
    scale: float | None = None
    detached: str = ""

    def __post_init__(self) -> None:
        """Refuses what is not known."""
        for option, known in (
            ("gradient", GRADIENTS), ("value", VALUES), ("on", ON), ("detached", DETACHED),
        ):  # fmt: skip
            asked = getattr(self, option)
            if asked and asked not in known:
                name = {"gradient": "expect", "value": "expect_value"}.get(option, option)
                raise InputError(f'{name}="{asked}" is not known; choose from {", ".join(known)}')
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale != 0.0):
            raise InputError(
                f"scale={self.scale}: a scale is a number that is not 0, such as scale=1"
            )
        if self.scale is not None and not self.gradient:
            raise InputError('scale=... is that of a gradient: say which, such as expect="reverse"')

    def __bool__(self) -> bool:
        return bool(self.gradient or self.value or self.detached)


def gated(
    report: LossReport, expectation: Expected, mask_faults: Sequence[MaskFault] = ()
) -> LossReport:
    """Returns a report with what was expected of it, the way of drawing that is asked about first.

    Args:
        report: the report.
        expectation: what is expected.
        mask_faults: what is wrong with its masks.

    Raises:
        InputError: the loss has no such way of drawing.
    """
    report = _asked_of(report, expectation.on)
    if not expectation:
        return report
    wrong = ("loss",) if expectation.scale is None else ("loss", "scale")
    masks = [
        Gate("mask", "masked tokens without a trace", fault.text, passes=False)
        for fault in mask_faults
        if fault.wrong in wrong
    ]
    return replace(report, gates=(*_gates(report, expectation), *masks))


def _asked_of(report: LossReport, on: str) -> LossReport:
    known = {
        u.drawn: name
        for name, drawn in reversed(_DRAWN.items())
        for u in report.under
        if u.drawn in drawn
    }
    if not on:
        return replace(report, on=known[report.under[0].drawn])
    first = [u for u in report.under if u.drawn in _DRAWN[on]]
    if not first:
        has = ", ".join(dict.fromkeys(known.values()))
        raise InputError(
            f'on="{on}": {report.loss} was looked at on {has} alone, as its arguments are '
            f'{"; ".join(f"{n}: {r}" for n, r in report.arguments)}. Say on="{has.partition(",")[0]}", or roles={{...}}'
        )
    rest = [u for u in report.under if u is not first[0]]
    return replace(report, under=(first[0], *rest), on=on)


def _gates(report: LossReport, expectation: Expected) -> Iterator[Gate]:
    gradient, value = report.gradient, report.value
    if expectation.gradient:
        passes = gradient.name == expectation.gradient
        yield Gate("gradient", expectation.gradient, gradient.words, passes)
        if passes and gradient.name != "zero":
            wanted = "-" if gradient.name in _RAISED else "+"
            found = "+" if gradient.scale > 0.0 else "-"
            yield Gate("sign", wanted, found, wanted == found)
    if expectation.scale is not None:
        yield Gate("scale", f"{expectation.scale:g}", *_scale(gradient, expectation.scale))
    if expectation.value:
        passes = value.name == expectation.value and (value.scale > 0.0 or value.name == "zero")
        yield Gate("value", expectation.value, value.words, passes)
    if expectation.detached:
        passes = report.detached == expectation.detached
        yield Gate("detachment", expectation.detached, report.detached, passes)


def _scale(gradient: LossFinding, expected: float) -> tuple[str, bool]:
    """The scale in words, and whether it is as expected. At temperature T it is that of T² times the divergence."""
    if not gradient.named or gradient.name == "zero":
        return "none", False
    temperature = dict(gradient.parameters).get("temperature", 1.0)
    scale = gradient.scale / temperature**2
    words = gradient.scale_words or "1"
    if temperature != 1.0:
        words = f"{scale:.4g} × T² × KL at temperature T = {temperature:.4g}"
    if gradient.name in _RAISED:  # its sign is gated apart, and may be said or not
        scale, expected = abs(scale), abs(expected)
    return words, not gradient.powers and math.isclose(scale, expected, rel_tol=_SAME)
