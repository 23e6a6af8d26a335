"""From what was judged to the report."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kullback.diagnostics.losses import _advice, _wording
from kullback.diagnostics.losses._judging import Judged, Under
from kullback.diagnostics.losses._matching import Match
from kullback.diagnostics.losses._readings import Candidate
from kullback.results._loss_report import LossFinding, LossReport, LossUnder

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
    """Returns the report on a reading.

    Args:
        fn: the loss.
        parameters: its signature.
        best: the trial, and what was judged.
        expected: the name asked for, or "".
    """
    trial, judged = best
    constants = _constants(parameters, trial.candidate)
    under = tuple(
        LossUnder(u.drawn, _value(u, constants), _gradient(u, constants)) for u in judged.under
    )
    report = LossReport(
        loss=_name(fn),
        library=trial.call.name,
        arguments=tuple((n, str(r)) for n, r in trial.candidate.roles.items()),
        under=under,
        detached=judged.detached,
        gradient_reaches_p=judged.reaches_p,
        notes=(),
        fixes=(),
        expected=expected,
        problems=len(trial.experiments),
        seconds=0.0,
    )
    names = {
        r.side: n
        for n, r in trial.candidate.roles.items()
        if r.side and r.kind not in ("constant", "mask", "other")
    }
    return _advice.advised(report, names, judged.notes)


def _name(fn: Callable[..., Any]) -> str:
    inner = getattr(fn, "func", fn)
    return getattr(inner, "__name__", type(inner).__name__)


def _constants(
    parameters: Mapping[str, inspect.Parameter], candidate: Candidate
) -> dict[str, float]:
    """The loss's own numbers, by name: defaults, and what was passed."""
    found = {n: p.default for n, p in parameters.items()}
    found |= {n: r.value for n, r in candidate.roles.items() if r.kind == "constant"}
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
    name = "mixture" if match.terms else match.quantity.name
    if of == "gradient":
        named = named and name not in _NO_DIVERGENCE
        name = _gradient_name(name)
    return LossFinding(
        of=of,
        name=name if named else "none",
        label=_wording.label(match),
        scale=scale,
        scale_words=_wording.scale_words(scale, match.powers, constants),
        cosine=match.cosine,
        relative_error=match.error,
        parameters=() if match.terms else match.quantity.parameters,
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
        scale_words=_wording.scale_words(scale, match.powers, constants),
        cosine=match.cosine,
        relative_error=match.error,
        parameters=(("label_smoothing", share),),
    )


def _gradient_name(name: str) -> str:
    """The cross-entropies and the divergences they belong to have one gradient."""
    return {"cross_entropy": "forward", "uniform": "forward_uniform", "labels": "forward"}.get(
        name, name
    )
