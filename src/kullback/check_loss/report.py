"""From what was judged to the report."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kullback.check_loss.gates import Expected, gated
from kullback.check_loss.judging import NO_DIVERGENCE, Judged, Under
from kullback.check_loss.matching import Match, label, scale_words
from kullback.check_loss.readings import Reading
from kullback.results.loss_report import LossFinding, LossReport, LossUnder


def report_of(
    fn: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    best: tuple[Any, Judged],
    expectation: Expected,
) -> LossReport:
    """Returns the report on a reading.

    Args:
        fn: the loss.
        parameters: its signature.
        best: the trial, and what was judged.
        expectation: what is expected of it.
    """
    trial, judged = best
    constants = _constants(parameters, trial.reading)
    under = tuple(
        LossUnder(u.drawn, _value(u, constants), _gradient(u, constants)) for u in judged.under
    )
    report = LossReport(
        loss=_name(fn),
        library=trial.call.name,
        arguments=tuple((n, str(r)) for n, r in trial.reading.roles.items()),
        under=under,
        detached=judged.detached,
        gradient_reaches_p=judged.reaches_p,
        notes=(),
        fixes=(),
        expected=expectation.gradient or None,
        problems=len(trial.experiments),
        seconds=0.0,
    )
    names = {
        r.side: n
        for n, r in trial.reading.roles.items()
        if r.side and not r.inert and not r.is_ratio
    }
    notes = (*(fault.text for fault in judged.mask_faults), *judged.notes)
    return advised(gated(report, expectation, judged.mask_faults), names, notes)


def _name(fn: Callable[..., Any]) -> str:
    inner = getattr(fn, "func", fn)
    return getattr(inner, "__name__", type(inner).__name__)


def _constants(parameters: Mapping[str, inspect.Parameter], reading: Reading) -> dict[str, float]:
    """The loss's own numbers, by name: defaults, and what was passed."""
    found = {n: p.default for n, p in parameters.items()}
    found |= {n: r.value for n, r in reading.roles.items() if r.kind == "constant"}
    return {
        n: float(v)
        for n, v in found.items()
        if isinstance(v, int | float) and not isinstance(v, bool) and n != "eps"
    }


def _gradient(under: Under, constants: Mapping[str, float]) -> LossFinding:
    if under.gradient is None:
        return LossFinding(of="gradient", name="zero", label="zero")
    return _finding("gradient", under.gradient, constants, named=under.gradient_named)


def _value(under: Under, constants: Mapping[str, float]) -> LossFinding:
    found = LossFinding(of="value", name="zero", label="zero")
    if under.value is not None:
        found = _finding("value", under.value, constants, named=under.value_named)
    return replace(
        found,
        offset=under.offset if under.value_named else "",
        bias_forward=_bias(under.values, under.forward),
        bias_reverse=_bias(under.values, under.reverse),
        deviation=float(np.mean(under.deviations / under.reverse)),
    )


def _bias(values: np.ndarray, divergence: np.ndarray) -> float:
    return float(np.mean(values / divergence - 1.0))


def _finding(of: str, match: Match, constants: Mapping[str, float], *, named: bool) -> LossFinding:
    parts = {q.name: c for c, q in match.terms}
    if set(parts) == {"forward", "uniform"} and min(parts.values()) > 0.0:
        return _smoothed(of, match, parts, constants)
    scale = 1.0 if match.terms else match.scale
    name = "mixture" if match.terms else match.functional.name
    if of == "gradient":
        named = named and name not in NO_DIVERGENCE
        name = _gradient_name(name)
    return LossFinding(
        of=of,
        name=name if named else "none",
        label=label(match),
        scale=scale,
        scale_words=scale_words(scale, match.powers, constants),
        powers=match.powers,
        cosine=match.cosine,
        relative_error=match.error,
        parameters=() if match.terms else match.functional.parameters,
    )


def _smoothed(
    of: str, match: Match, parts: Mapping[str, float], constants: Mapping[str, float]
) -> LossFinding:
    """Label smoothing: KL to p with a share of the uniform distribution in it."""
    scale = sum(parts.values())
    share = parts["uniform"] / scale
    return LossFinding(
        of=of,
        name="forward",
        label=f"KL(p'||q), p' = {1.0 - share:.4g} p + {share:.4g}/V",
        scale=scale,
        scale_words=scale_words(scale, match.powers, constants),
        powers=match.powers,
        cosine=match.cosine,
        relative_error=match.error,
        parameters=(("label_smoothing", share),),
    )


def _gradient_name(name: str) -> str:
    """The cross-entropies and the divergences they belong to have one gradient."""
    return {"cross_entropy": "forward", "uniform": "forward_uniform", "labels": "forward"}.get(
        name, name
    )


# What a reader should know, and the line that mends a loss.

_OPPOSITE = {"forward": "reverse", "reverse": "forward"}
_SURROGATE = "losses.{}_kl_surrogate(log_p={}, log_q={})"


def advised(report: LossReport, names: Mapping[str, str], notes: tuple[str, ...]) -> LossReport:
    """Returns the report with its notes and fixes.

    Args:
        report: what was found.
        names: the argument of "q" and of "p", by side, as far as there is one.
        notes: what was noted on the way.
    """
    p, q = names.get("p", "log_p"), names.get("q", "log_q")
    found = [*notes, *_unused(report, q), *_notes(report)]
    fixes = [*_direction(report, p, q), *_scales(report), *_mistakes(report)]
    return replace(report, notes=tuple(found), fixes=tuple(dict.fromkeys(fixes)))


def _unused(report: LossReport, q: str) -> Iterator[str]:
    whole = ("logits of q", "probabilities of q", "log-probabilities of q", "mean of q")
    if not any(words in whole for _, words in report.arguments):
        return  # of sampled tokens, much is zero in the mean over draws
    if report.gradient.name == "zero" and report.detached == "none":
        yield f"`{q}` is not used, or by what has no slope, such as argmax: nothing is descended"


def _notes(report: LossReport) -> Iterator[str]:
    gradient, value = report.gradient, report.value
    found = dict(gradient.parameters)
    if report.detached == "wholly":
        yield "it is detached: q gets no gradient at all"
    elif report.detached == "partly":
        yield "parts of it are detached: its gradient is not the slope of its value"
    if report.gradient_reaches_p:
        yield "p gets a gradient too; if p is not trained, detach it (torch) or stop_gradient it (JAX)"
    if "epsilon" in found:
        yield f"an epsilon of about {found['epsilon']:.1g} is added inside the logarithms"
    if gradient.name == "generalized_jensen_shannon" and not 0.05 < found["beta"] < 0.95:
        side = "KL(p||q)" if found["beta"] < 0.5 else "KL(q||p)"
        yield (
            f"near this end it is about beta (1 - beta) {side}, and goes to 0 with it: losses."
            "generalized_jensen_shannon divides by that, and does not jump"
        )
    if "temperature" in found and gradient.name in ("forward", "reverse"):
        yield from _temperature(gradient, found["temperature"])
    if gradient.named and gradient.name != "zero" and value.named and _differ(gradient, value):
        yield (
            f"value and gradient are of different quantities: the value is {value.words}, what is descended is "
            f"{gradient.words}"
        )
    if gradient.name == "reverse_uniform":
        yield "descending it raises the entropy of q, as an entropy bonus does: p is the uniform distribution"
    if gradient.name == "entropy" and gradient.scale > 0.0:
        yield "descending it lowers the entropy of q; a bonus for entropy has a minus in front"
    yield from _other_draws(report)
    off = report.off_policy
    if (
        off is not None
        and report.under[0].drawn == "q"
        and gradient.named
        and not off.gradient.named
    ):
        yield "off-policy (samples of neither p nor q, without weights) it estimates and descends neither divergence"
    if not gradient.named and 1e-4 <= gradient.relative_error < 0.02:
        yield (
            f"it is close to {gradient.label}, but not that: a relative error of {gradient.relative_error:.1g} "
            "is no rounding; something is added, clipped or cut off"
        )


def _other_draws(report: LossReport) -> Iterator[str]:
    """Why a loss of samples is not as expected though other draws of it would be."""
    if not report.expected or report.passes:
        return
    for under in report.under[1:]:
        if under.gradient.name == report.expected and under.gradient.scale > 0.0:
            yield (
                f"for {under.words} the gradient is that of {under.gradient.words}; what was expected is looked for "
                f"in {report.under[0].words}"
            )
    if report.library == "numpy" and report.gradient.name == "zero":
        yield (
            "NumPy has no gradients: these are differences of the value, which see no stop_gradient; a surrogate "
            "shows its own gradient with JAX or torch"
        )


def _temperature(gradient: LossFinding, temperature: float) -> Iterator[str]:
    if abs(gradient.scale - 1.0) < 1e-3:
        yield (
            f"its gradient shrinks as 1/temperature²; multiply by {temperature:.4g}² to keep its size, as "
            "in distillation"
        )


def _differ(gradient: LossFinding, value: LossFinding) -> bool:
    of_value = {"cross_entropy": "forward", "labels": "forward"}.get(value.name, value.name)
    if of_value == "entropy" and gradient.name == "reverse_uniform":
        return False
    return of_value != gradient.name and value.name != "zero"


def _direction(report: LossReport, p: str, q: str) -> Iterator[str]:
    """Sampled estimators whose value and gradient are not one divergence; what was asked for."""
    top, wanted = report.under[0], report.expected
    said = (
        wanted != "forward"
        and top.drawn == "q"
        and _estimates_reverse(top)
        and top.gradient.name in ("zero", "forward")
    )
    if said:
        yield (
            f"to descend KL(q||p): {_SURROGATE.format('reverse', p, q)}, or 0.5 * ({q} - {p})**2 as the loss, or "
            f"{q} - {p} as a penalty in the reward, without a gradient"
        )
    if not said and wanted in _OPPOSITE and report.name in (_OPPOSITE[wanted], "zero"):
        if top.drawn == "":
            yield (
                f"to descend the {wanted} KL exchange the two distributions, or losses.categorical_kl(teacher=..., "
                f'student=..., direction="{wanted}", reduction="mean")'
            )
        elif top.drawn in ("q", "p", "other"):
            sampler = {"q": q, "p": p}.get(top.drawn, "...")
            own = {"reverse": "q", "forward": "p"}[wanted] == top.drawn
            call = _SURROGATE.format(wanted, p, q)
            call = call if own else f"{call[:-1]}, log_sampler={sampler})"
            yield f"to descend the {wanted} KL: {call}"
    off = report.off_policy
    if off is not None and not off.gradient.named and top.drawn == "q":
        yield (
            "for samples of an older policy give its log-probabilities: losses.reverse_kl_surrogate(..., "
            "log_sampler=...) weights by exp(log_q - log_sampler)"
        )


def _estimates_reverse(under: LossUnder) -> bool:
    return under.value.name in ("reverse", "half_squared_ratio")


#: Names whose least value, 0, is at q = p.
_DIVERGENCES = (
    "forward", "reverse", "jeffreys", "jensen_shannon", "generalized_jensen_shannon", "alpha", "renyi", "le_cam",
    "total_variation", "skew_forward", "skew_reverse",
)  # fmt: skip


def _held_to_p(report: LossReport) -> bool:
    """Whether an argument is of p, or the data are: without one a sign is a matter of what is wanted."""
    taken = " ".join(words for _, words in report.arguments)
    return (
        any(w in taken for w in (" of p", "labels", "data that are predicted", "mean of q"))
        or "- log p" in taken
    )


def _scales(report: LossReport) -> Iterator[str]:
    words = report.gradient.scale_words if report.gradient.named else ""
    top, _, below = words.partition("/")
    if report.gradient.scale < 0.0 and report.gradient.name in _DIVERGENCES and _held_to_p(report):
        yield (
            f"the sign is turned: descending it raises {report.gradient.label}; put a minus in front, unless it is a "
            "reward, which is maximised"
        )
    if "V" in below:
        yield (
            'a mean over the V outcomes where a sum belongs: .sum(-1).mean(), in torch reduction="batchmean" with '
            "rows flattened to (N, V)"
        )
    latent = any(words == "mean of q" for _, words in report.arguments)
    if latent and "d" in below.replace("(", "").replace(")", "").split():
        yield "a mean over the d latent dimensions is beta = 1/d: sum over the last axis, mean over the batch"
    if "B" in top.split():
        yield "it sums over the batch, so that the step grows with the batch: divide by the number of examples"
    if "B" in below.replace("(", "").replace(")", "").split():
        yield "it is averaged over the batch twice: multiply by the number of examples"


def _mistakes(report: LossReport) -> Iterator[str]:
    label = report.gradient.label
    if report.gradient.name == "reverse_cross_entropy":
        yield (
            "the entropy of q is missing: E_q[-log p] alone drives q into the mode of p; add E_q[log q] for KL(q||p)"
        )
    if report.gradient.name == "entropy" and _held_to_p(report):
        yield "only the entropy of q is left: nothing pulls q towards p"
    if "taken for the sd" in label and report.gradient.relative_error < 1e-4:
        yield "the log variance is used as log sd: exp(log_variance) is the variance, exp(0.5 * log_variance) the sd"
