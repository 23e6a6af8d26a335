"""From what was judged to the report."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kullback.check_loss.judging import Judged, Under
from kullback.check_loss.matching import Match, label, scale_words
from kullback.results.loss_report import LossFinding, LossReport, LossUnder

#: Names that are no answer as to a gradient, beyond the nearest.
_NO_DIVERGENCE = (
    "squared_probabilities", "squared_logits", "sd_for_variance", "squared_mean", "half_squared_ratio",
)  # fmt: skip


def report_of(
    fn: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    best: tuple[Any, Judged],
    expected: str,
) -> LossReport:
    """Returns the report on a reading."""
    trial, judged = best
    # The loss's own numbers, by name: defaults, and what was passed.
    given = {n: p.default for n, p in parameters.items()}
    given |= {n: r.value for n, r in trial.reading.roles.items() if r.kind == "constant"}
    constants = {
        n: float(v)
        for n, v in given.items()
        if isinstance(v, int | float) and not isinstance(v, bool) and n != "eps"
    }
    inner = getattr(fn, "func", fn)
    report = LossReport(
        loss=getattr(inner, "__name__", type(inner).__name__),
        library=trial.call.name,
        arguments=tuple((n, str(r)) for n, r in trial.reading.roles.items()),
        under=tuple(_under(u, constants) for u in judged.under),
        detached=judged.detached,
        gradient_reaches_p=judged.reaches_p,
        notes=(),
        fixes=(),
        expected=expected or None,
        problems=len(trial.experiments),
        seconds=0.0,
    )
    names = {
        r.side: n
        for n, r in trial.reading.roles.items()
        if r.side and r.kind not in ("constant", "mask", "other")
    }
    p, q = names.get("p", "log_p"), names.get("q", "log_q")
    fixes = [*_direction(report, p, q), *_mistakes(report)]
    notes = (*judged.notes, *_notes(report))
    return replace(report, notes=notes, fixes=tuple(dict.fromkeys(fixes)))


def _under(under: Under, constants: Mapping[str, float]) -> LossUnder:
    def bias(divergence: np.ndarray) -> float:
        return float(np.mean(under.values / divergence - 1.0))

    value = replace(
        _finding("value", under.value, constants, named=under.value_named),
        offset=under.offset if under.value_named else "",
        bias_forward=bias(under.forward),
        bias_reverse=bias(under.reverse),
        deviation=float(np.mean(under.deviations / under.reverse)),
    )
    gradient = _finding("gradient", under.gradient, constants, named=under.gradient_named)
    return LossUnder(under.drawn, value, gradient)


def _finding(
    of: str, match: Match | None, constants: Mapping[str, float], *, named: bool
) -> LossFinding:
    if match is None:
        return LossFinding(of=of, name="zero", label="zero")
    match = _smoothed(match)
    scale = 1.0 if match.terms else match.scale
    name = "mixture" if match.terms else match.functional.name
    if of == "gradient":
        named = named and name not in _NO_DIVERGENCE
        # The cross-entropies and the divergences they belong to have one gradient.
        same = {"cross_entropy": "forward", "uniform": "forward_uniform", "labels": "forward"}
        name = same.get(name, name)
    return LossFinding(
        of=of,
        name=name if named else "none",
        label=label(match),
        scale=scale,
        scale_words=scale_words(scale, match.powers, constants),
        cosine=match.cosine,
        relative_error=match.error,
        parameters=() if match.terms else match.functional.parameters,
    )


def _smoothed(match: Match) -> Match:
    """Label smoothing: KL to p with a share of the uniform distribution in it."""
    parts = {q.name: c for c, q in match.terms}
    if set(parts) != {"forward", "uniform"} or min(parts.values()) <= 0.0:
        return match
    scale = sum(parts.values())
    found = (("label_smoothing", parts["uniform"] / scale),)
    forward = next(q for _, q in match.terms if q.name == "forward")
    return replace(match, functional=replace(forward, parameters=found), scale=scale, terms=())


# What a reader should know, and the line that mends a loss.

_OPPOSITE = {"forward": "reverse", "reverse": "forward"}
_SURROGATE = "losses.{}_kl_surrogate(log_p={}, log_q={})"


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
    shrinks = gradient.name in ("forward", "reverse") and abs(gradient.scale - 1.0) < 1e-3
    if "temperature" in found and shrinks:
        yield (
            f"its gradient shrinks as 1/temperature²; multiply by {found['temperature']:.4g}² to keep its size, as "
            "in distillation"
        )
    of_value = {"cross_entropy": "forward", "labels": "forward"}.get(value.name, value.name)
    differ = of_value != gradient.name and "zero" not in (of_value, gradient.name)
    if gradient.named and value.named and differ:
        yield (
            f"value and gradient are of different quantities: the value is {value.words}, what is descended is "
            f"{gradient.words}"
        )
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


def _direction(report: LossReport, p: str, q: str) -> Iterator[str]:
    """Sampled estimators whose value and gradient are not one divergence; what was asked for."""
    top, wanted = report.under[0], report.expected
    if (
        wanted != "forward"
        and top.drawn == "q"
        and top.value.name in ("reverse", "half_squared_ratio")
        and top.gradient.name in ("zero", "forward")
    ):
        yield (
            f"to descend KL(q||p): {_SURROGATE.format('reverse', p, q)}, or 0.5 * ({q} - {p})**2 as the loss, or "
            f"{q} - {p} as a penalty in the reward, without a gradient"
        )
    wrong = "zero" if wanted == "forward" else ""  # of the reverse, it is said above
    if wanted in _OPPOSITE and report.name in (_OPPOSITE[wanted], wrong):
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


def _mistakes(report: LossReport) -> Iterator[str]:
    """What a scale or a name shows to be wrong, with what mends it."""
    gradient = report.gradient
    words = gradient.scale_words if gradient.named else ""
    above, below = ({*part.strip("()").split()} for part in words.partition("/")[::2])
    if gradient.scale < 0.0 and gradient.named and gradient.name != "mixture":
        yield "the sign is turned: descending it increases the divergence; put a minus in front"
    if "V" in below:
        yield (
            'a mean over the V outcomes where a sum belongs: .sum(-1).mean(), in torch reduction="batchmean" with '
            "rows flattened to (N, V)"
        )
    if "d" in below:
        yield "a mean over the d latent dimensions is beta = 1/d: sum over the last axis, mean over the batch"
    if "B" in above:
        yield "it sums over the batch, so that the step grows with the batch: divide by the number of examples"
    if "B" in below:
        yield "it is averaged over the batch twice: multiply by the number of examples"
    if gradient.name == "reverse_cross_entropy":
        yield (
            "the entropy of q is missing: E_q[-log p] alone drives q into the mode of p; add E_q[log q] for KL(q||p)"
        )
    if gradient.name == "entropy":
        yield "only the entropy of q is left: nothing pulls q towards p"
    if "taken for the sd" in gradient.label and gradient.relative_error < 1e-4:
        yield "the log variance is used as log sd: exp(log_variance) is the variance, exp(0.5 * log_variance) the sd"
