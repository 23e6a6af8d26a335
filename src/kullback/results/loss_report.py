"""What a loss is: as a value and as a gradient, for every way its samples may be drawn."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, final

from kullback.results.estimate import Estimate
from kullback.results.serialise import HIDDEN, PAIRS, Shown, key
from kullback.results.status import Status

#: Who draws, in words; {q} and {p} are the names of the sides.
_DRAWN = {
    "": "",
    "q": "samples drawn from q (on-policy)",
    "p": "samples drawn from p",
    "other": "samples drawn from neither (off-policy)",
    "labels": "labels drawn from the data",
    "critic": "at the best critic",
    "path": "reparameterised draws of q, the gradient running through the draw",
}


@final
@dataclass(frozen=True, kw_only=True)
class LossFinding:
    """What the value or the gradient of a loss is, on all problems at once.

    Attributes:
        of: "value" or "gradient".
        name: "forward" for KL(p||q), "reverse" for KL(q||p), "jeffreys", "jensen_shannon",
            "generalized_jensen_shannon", "alpha", "renyi", "total_variation", "skew_forward",
            "skew_reverse", "mixture", "zero", "none" (none of these); for values also
            "cross_entropy", "entropy" and the like; "descends" gives it with its sign.
        label: the same as a formula, with its numbers; of "none" the nearest.
        scale: the number in front of it.
        scale_words: the scale as it arises, such as "1/V" or "0.5"; "" for 1.
        powers: exponents of the sizes that go with the number, such as ("V", -1).
        cosine: of the loss's gradients (values) and the label's, over all problems.
        relative_error: of the loss against scale times label, over all problems.
        parameters: numbers that were found with it, such as a temperature.
        offset: what a value has besides, in words; "" for nothing.
        bias_forward, bias_reverse: of a value as an estimate of KL(p||q) and KL(q||p): mean over problems of
            value / KL - 1; NaN for gradients.
        deviation: standard deviation of the value of one batch over the KL(q||p), mean over problems; 0 where
            nothing is drawn, NaN for gradients.
    """

    of: str = field(metadata=HIDDEN)
    name: str
    label: str
    scale: float = 0.0
    scale_words: str = ""
    powers: tuple[tuple[str, int], ...] = field(default=(), metadata=PAIRS)
    cosine: float = 0.0
    relative_error: float = 0.0
    parameters: tuple[tuple[str, float], ...] = field(default=(), metadata=PAIRS)
    offset: str = ""
    bias_forward: float = field(default=float("nan"), metadata=key("bias_as_forward"))
    bias_reverse: float = field(default=float("nan"), metadata=key("bias_as_reverse"))
    deviation: float = field(default=float("nan"), metadata=key("standard_deviation"))

    @property
    def named(self) -> bool:
        """Whether it is one of the quantities known here."""
        return self.name != "none"

    @property
    def words(self) -> str:
        """What it is, in one line, without the errors."""
        factor = {"": "", "-1": "-"}.get(self.scale_words, f"{self.scale_words} × ")
        if self.name == "none" and self.relative_error < 1e-4:
            return f"none of these divergences: it is {factor}{self.label}"
        if self.name == "none":
            return f"none of these; nearest {self.label}"
        text = "zero" if self.name == "zero" else f"{factor}{self.label}"
        return text + (f" + {self.offset}" if self.offset else "")

    def __str__(self) -> str:
        if self.name == "zero":
            return "zero"
        return f"{self.words} (cosine {self.cosine:.6f}, relative error {self.relative_error:.1e})"


@final
@dataclass(frozen=True)
class Gate:
    """One thing that was expected of a loss.

    Attributes:
        of: "gradient", "sign", "scale", "value", "detachment" or "mask".
        expected, found: in words.
        passes: whether the two agree.
    """

    of: str
    expected: str
    found: str
    passes: bool

    def __str__(self) -> str:
        verdict = "" if self.passes else "FAILS: "
        return f"{verdict}{self.of}: expected {self.expected}, found {self.found}"


@final
@dataclass(frozen=True)
class LossUnder:
    """Value and gradient under one way of drawing.

    Attributes:
        drawn: "" where nothing is drawn, "q" (on-policy), "p", "other" (off-policy), "labels", or "path"
            (reparameterised).
        value, gradient: what they are.
    """

    drawn: str
    value: LossFinding
    gradient: LossFinding

    @property
    def words(self) -> str:
        """Who draws, in words."""
        return _DRAWN[self.drawn]

    @property
    def quality(self) -> str:
        """Bias and noise of the value as an estimate of KL(q||p), in words; "" where nothing is drawn."""
        if self.drawn not in ("q", "p", "other"):
            return ""
        bias = self.value.bias_reverse
        if math.isnan(bias):
            return ""
        words = "unbiased" if abs(bias) < 1e-6 else f"bias {bias:+.0%}"
        return f"; for KL(q||p): {words}, sd of a batch {self.value.deviation:.2g} KL"


@final
@dataclass(frozen=True, kw_only=True)
class LossReport(Shown):
    """What a loss estimates and descends.

    Attributes:
        loss: its name.
        library: "jax", "torch" or "numpy" (differences).
        arguments: the name of each argument and what it was taken for.
        under: one entry for each way of drawing; the first is that of the headline.
        detached: "none", "partly" or "wholly": whether the loss hides a part of its dependence on q from
            the gradient.
        gradient_reaches_p: whether p gets a gradient too.
        notes: what a careful reader should know.
        fixes: lines that mend it.
        expected: the name that was asked for; None if none was.
        on: what the gates ask of: "tokens", "full", "path", "off_policy" or "critic".
        gates: what was expected, one by one; empty if nothing was.
        problems: on how many problems.
        seconds: of the check.

    Example:
        >>> import kullback as kb
        >>> report = kb.check_loss(lambda logp, ref_logp: (logp - ref_logp).mean())
        >>> report.value.label
        'KL(q||p)'
    """

    derived: ClassVar[dict[str, str]] = {"name": "name", "passes": "passes", "status": "status"}

    loss: str
    library: str
    arguments: tuple[tuple[str, str], ...] = field(metadata=PAIRS)
    under: tuple[LossUnder, ...]
    detached: str
    gradient_reaches_p: bool
    notes: tuple[str, ...]
    fixes: tuple[str, ...]
    expected: str | None
    problems: int
    seconds: float
    on: str = ""
    gates: tuple[Gate, ...] = ()

    @property
    def value(self) -> LossFinding:
        """What the value is, drawn as in the headline."""
        return self.under[0].value

    @property
    def gradient(self) -> LossFinding:
        """What the gradient is, drawn as in the headline."""
        return self.under[0].gradient

    @property
    def name(self) -> str:
        """What the loss descends: the name of its gradient."""
        return self.gradient.name

    @property
    def on_policy(self) -> LossUnder | None:
        """Drawn from q; None where that makes no sense."""
        return self._drawn("q")

    @property
    def off_policy(self) -> LossUnder | None:
        """Drawn from another policy; None where that makes no sense."""
        return self._drawn("other")

    @property
    def passes(self) -> bool:
        """Whether all is as expected; True if nothing was."""
        return all(gate.passes for gate in self.gates)

    @property
    def status(self) -> Status:
        """Failed where a gate fails."""
        return Status.DONE if self.passes else Status.FAILED

    def __str__(self) -> str:
        lines = [f"{self.loss} ({self.library})"]
        lines += [f"  {name}: {taken}" for name, taken in self.arguments]
        for u in self.under:
            lines += [u.words] if u.words else []
            lines += [f"  value     {u.value}{u.quality}", f"  gradient  {u.gradient}"]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"fix: {fix}" for fix in self.fixes]
        lines += [f"gate: {gate}" for gate in self.gates]
        return "\n".join(lines)

    def _drawn(self, who: str) -> LossUnder | None:
        return next((u for u in self.under if u.drawn == who), None)


# What the estimators of the ELBO's gradient do on a target: bias, variance and cost.


@final
@dataclass(frozen=True)
class GradientRow:
    """An estimator at a q. Gradients are in q's own coordinates, where one sd is 1.

    Attributes:
        place: which q, in words.
        estimator: its name.
        about: what it is, in a few words.
        needs: "gradient" or "value": what a draw costs, in evaluations of log p.
        bias: how far its mean is from the gradient, along the direction in which other draws of it were
            furthest away; within its error of 0 if there is none.
        variance: the sum of the variances of all parameters, of one draw.
        ratio: how many draws it needs for one of the best unbiased estimator there.
    """

    derived: ClassVar[dict[str, str]] = {"biased": "biased"}

    place: str
    estimator: str
    about: str
    needs: str
    bias: Estimate
    variance: Estimate
    ratio: Estimate

    @property
    def biased(self) -> bool:
        """Whether the bias is beyond chance: more than four of its errors, and more than rounding."""
        return abs(self.bias.value) > 4.0 * self.bias.standard_error + 1e-9


@final
@dataclass(frozen=True)
class Gradients(Shown):
    """The estimators compared, at the optimum and away from it.

    Attributes:
        family: of q, in words.
        parameters: how many a gradient has.
        rows: one per place and estimator.
        norms: of the gradient itself, by place.
        evaluations: of log p and its gradient, the fit included.
    """

    family: str
    parameters: int
    rows: tuple[GradientRow, ...]
    norms: tuple[tuple[str, Estimate], ...] = field(metadata=PAIRS)
    evaluations: int

    def __str__(self) -> str:
        lines = [f"gradients of the ELBO of {self.family}, {self.parameters} parameters"]
        for place, norm in self.norms:
            lines += ["", f"{place}: {norm}"]
            lines += [
                f"{r.estimator:>32}  bias {r.bias.value:+9.3g} ± {r.bias.standard_error:.1g}"
                f"  variance {r.variance.value:9.3g} ± {r.variance.standard_error:.1g}"
                f"  ×{r.ratio.value:.3g}  1 {r.needs} a draw"
                for r in self.rows
                if r.place == place
            ]
        return "\n".join(lines)
