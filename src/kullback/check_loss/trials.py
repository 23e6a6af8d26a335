"""Trying the readings of a loss until one has an answer."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.check_loss.critics import judge_critic, outputs
from kullback.check_loss.gates import Expectation
from kullback.check_loss.gaussians import gaussians, paths
from kullback.check_loss.judging import Judged, far_notes, judge, truncation
from kullback.check_loss.problems import Experiment, pairs, sampled
from kullback.check_loss.readings import Candidate
from kullback.check_loss.report import report_of
from kullback.check_loss.roles import roles_of, taken_apart
from kullback.core.errors import InputError
from kullback.core.user_code import raised
from kullback.interop.loss_calls import LossCall, libraries, loss_call
from kullback.results.loss_report import LossReport

_LAYOUTS = {
    "pair": ("(B,V)", "(B,T,V)", "(V)", "(B,T,V) shifted"),
    "sampled": ("(B,T)", "(B)"),
    "gaussian": ("(B,d)", "(d)"),
    "critic": ("logits (B)", "probs (B)", "logits (B,1)", "probs (B,1)"),
}
#: How many readings that run are looked at closely.
_CLOSE = 3
#: Seconds after which no further reading is tried.
_PATIENCE = 12.0
#: Outcomes, at most, where gradients are differences.
_DIFFERENCED = 24
#: Readings whose costs differ by less are of one rank.
_SAME_RANK = 0.06


@final
@dataclass(frozen=True)
class Trial:
    """A reading that runs.

    Attributes:
        candidate: the reading.
        layout: the shape of its arguments.
        call: the loss in its library.
        experiments: the problems.
        key: of their random numbers.
    """

    candidate: Candidate
    layout: str
    call: LossCall
    experiments: tuple[Experiment, ...]
    key: int


def best_report(
    fn: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    readings: Sequence[Candidate],
    expectation: Expectation,
    key: int,
) -> LossReport:
    """Returns the report on the likeliest reading that has an answer.

    Raises:
        InputError: two readings of one rank have different answers, or none can be called.
    """
    attempts = _Attempts(fn, parameters, readings, key)
    judged = _judged(attempts)
    if not judged:
        raise InputError(_uncallable(readings[0], attempts.failure))
    best = _chosen(judged)
    _ask_if_torn(best, judged)
    tokens = bool(expectation) or _speaks_of_tokens(parameters)
    judged_best = _old_first(best[0], _with_paths(*best, key, tokens=tokens))
    best = (best[0], _with_notes(best[0], judged_best))
    return report_of(fn, parameters, best, expectation)


def timed(report: LossReport, seconds: float) -> LossReport:
    """Returns a report with the time it took."""
    return replace(report, seconds=seconds)


@final
class _Attempts:
    """Readings that can be called, found one after another, all in the first library that takes one."""

    def __init__(
        self,
        fn: Callable[..., Any],
        parameters: Mapping[str, inspect.Parameter],
        readings: Sequence[Candidate],
        key: int,
    ) -> None:
        self._fn, self._parameters, self._key = fn, parameters, key
        self.readings = readings
        self.failure = ""
        self._libraries = libraries(fn)

    def trial(self, candidate: Candidate, layout: str) -> Trial | None:
        """Returns a reading as one that runs; None if it does not."""
        for library in self._libraries:
            call = loss_call(library, self._fn, _positional(self._parameters, candidate))
            problems = _problems(candidate, layout, self._key)
            experiments, fault = _usable(call, candidate, problems)
            if experiments:
                self._libraries = [library]
                return Trial(candidate, layout, call, experiments, self._key)
            self.failure = self.failure or f"{library}: {fault}"
        return None


def _positional(parameters: Mapping[str, inspect.Parameter], candidate: Candidate) -> list[str]:
    """Arguments passed by position: as many as come first."""
    names = []
    for name, parameter in parameters.items():
        if name not in candidate.roles or parameter.kind is parameter.KEYWORD_ONLY:
            break
        names.append(name)
    return names or [n for n in candidate.roles if n not in parameters]


def _problems(candidate: Candidate, layout: str, key: int) -> list[Experiment]:
    match candidate.family:
        case "pair":
            return pairs(candidate.roles, layout, key)
        case "sampled":
            return sampled(candidate.roles, layout, key)
        case "critic":
            return outputs(candidate.roles, layout)
        case _:
            return gaussians(candidate.roles, layout, key)


def _usable(
    call: LossCall, candidate: Candidate, experiments: Sequence[Experiment]
) -> tuple[tuple[Experiment, ...], str]:
    """The problems of the smallest size that runs and of those above, and what goes wrong with the others."""
    fault = ""
    if call.name == "numpy":  # differences take a call for every outcome
        experiments = [e for e in experiments if e.sizes.get("V", 0) <= _DIFFERENCED]
    for size in dict.fromkeys(tuple(e.sizes.items()) for e in experiments):
        these = [e for e in experiments if tuple(e.sizes.items()) == size]
        found = _fault(call, candidate, these[0])
        if not found:
            return tuple(experiments[experiments.index(these[0]) :]), fault
        fault = fault or found
        if "range" not in fault and "k" not in fault.split():  # more outcomes would not help
            break
    return (), fault


def _fault(call: LossCall, candidate: Candidate, experiment: Experiment) -> str:
    """What goes wrong on a first problem; "" if nothing does."""
    draws = experiment.at(experiment.theta)
    wanted = [*_names(candidate, "q"), *_names(candidate, "p")]
    try:
        with np.errstate(all="ignore"):
            values, slopes, _ = call.many(draws, wanted, experiment.weigh)
    except Exception as error:  # noqa: BLE001 - a reading that fails is not the right one
        text, kind = raised(error)
        return f"{kind}: {text}".splitlines()[0][:200]
    found = [values, *(slopes or {}).values()]
    return "" if all(np.isfinite(v).all() for v in found) else "its value or gradient is not finite"


def _names(candidate: Candidate, side: str) -> list[str]:
    ratios = ("log_ratio", "ratio")
    return [
        n
        for n, r in candidate.roles.items()
        if not r.inert and ("q" if r.kind in ratios else r.side) == side
    ]


def _judged(attempts: _Attempts) -> list[tuple[Trial, Judged]]:
    """The closest look at the likeliest, until one rank has an answer."""
    found: list[tuple[Trial, Judged]] = []
    began = time.perf_counter()
    for candidate in attempts.readings:
        named = [t for t, j in found if j.named]
        if named and candidate.cost > named[0].candidate.cost + _SAME_RANK:
            break
        if found and (candidate.last_resort > found[0][0].candidate.last_resort):
            break
        if found and time.perf_counter() - began > _PATIENCE:
            break
        for layout in _LAYOUTS[candidate.family]:
            trial = attempts.trial(candidate, layout)
            if trial is None:
                continue
            found.append((trial, _look(trial, deep=False)))
            if found[-1][1].named or candidate.family == "critic":
                break
    if any(j.named for _, j in found):
        return found
    if any(t.candidate.family == "critic" for t, _ in found):
        return found
    order = sorted(found, key=lambda pair: (pair[0].candidate.cost, round(pair[1].error, 2)))
    deep: list[tuple[Trial, Judged]] = []
    for trial, _ in order[:_CLOSE]:
        deep.append((trial, _look(trial, deep=True)))
        if deep[-1][1].named and not trial.candidate.guessed_side:
            break
    return [*deep, *order[len(deep) :]]


def _look(trial: Trial, *, deep: bool) -> Judged:
    if trial.candidate.family == "critic":
        return judge_critic(trial.call, trial.experiments[0], trial.candidate.roles, trial.key)
    names = _names(trial.candidate, "q"), _names(trial.candidate, "p")
    return judge(trial.call, trial.experiments, *names, deep=deep)


def _speaks_of_tokens(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether an argument, passed or not, is of tokens: densities at reparameterised draws have no mask."""
    return any(role.kind in ("mask", "tokens") for name in parameters for role in roles_of(name))


def _with_paths(trial: Trial, judged: Judged, key: int, *, tokens: bool) -> Judged:
    """What a loss of two log densities is for reparameterised draws, besides.

    It comes first only for names of densities, where fixed draws leave nothing to descend, and never where the
    question is one of tokens, as a gate's is: there the gradient with the draws fixed is what training follows.
    """
    roles = trial.candidate.roles
    sides = sorted(r.side for r in roles.values() if r.kind == "sampled")
    if trial.candidate.family != "sampled" or sides != ["p", "q"]:
        return judged
    experiments = paths(roles, key)
    if _fault(trial.call, trial.candidate, experiments[0]):
        return judged
    names = [n for n, r in roles.items() if r.kind == "sampled"]
    found = judge(trial.call, experiments, names, [], deep=False)
    densities = {"".join(taken_apart(n).words) for n in names}
    named = any(name.endswith(("logq", "logqz", "logqx", "logguide")) for name in densities)
    path = found.headline
    reverse = path.gradient_named and path.gradient_label == "KL(q||p)"
    first = named and not tokens and reverse and judged.headline.gradient is None
    under = (*found.under, *judged.under) if first else (*judged.under, *found.under)
    return replace(judged, under=under)


def _old_first(trial: Trial, judged: Judged) -> Judged:
    """Where p is an older policy, it is the one that drew the tokens."""
    names = [n for n, r in trial.candidate.roles.items() if r.side == "p"]
    if not any(taken_apart(n).side == "old" for n in names):
        return judged
    return replace(judged, under=tuple(sorted(judged.under, key=lambda u: u.drawn != "p")))


def _with_notes(trial: Trial, judged: Judged) -> Judged:
    """What a closer look at distributions and tokens shows."""
    roles, layout, notes = trial.candidate.roles, trial.layout, list(judged.notes)
    of_q = _names(trial.candidate, "q")
    zeros = [n for n, r in roles.items() if r.kind == "other" and r.value == "zero"]
    if zeros:
        notes.append(f"{', '.join(zeros)} were 0: what they multiply is not checked")
    if trial.candidate.family == "pair":
        far = pairs(roles, layout, trial.key, (9.0,))
        sizes = [e.sizes for e in trial.experiments]
        far = [e for e in far if e.sizes in sizes]
        notes += far_notes(trial.call, far, of_q, judged)
        top = judged.headline
        if not top.gradient_named and judged.bits > 16:
            names = {"p": _names(trial.candidate, "p"), "q": of_q}
            notes += _truncated(truncation(trial.call, trial.experiments, names), top.values)
    elif trial.candidate.family == "sampled":
        far = sampled(roles, layout, trial.key, (9.0,))
        notes += far_notes(trial.call, far, of_q, judged)
    return replace(judged, notes=tuple(notes))


def _truncated(found: tuple[str, int] | None, values: np.ndarray) -> list[str]:
    if found is None:
        return []
    side, k = found
    negative = " (here it is negative)" if (values < 0.0).any() else ""
    text = (
        f"only the {k} likeliest outcomes of {side} enter one by one: truncated at the top {k}. A truncated sum is "
        f"not a divergence and may be negative{negative}; with a bucket for the rest it is a lower bound: "
        f"losses.top_k_kl_lower_bound(p=..., q=..., k={k}, reduction=...)"
    )
    return [text]


def _chosen(judged: Sequence[tuple[Trial, Judged]]) -> tuple[Trial, Judged]:
    named = [pair for pair in judged if pair[1].named]
    if named:
        return min(
            named, key=lambda pair: (pair[1].rank, -_logits(pair[0]), pair[0].candidate.cost)
        )
    return min(judged, key=lambda pair: (pair[0].candidate.cost, pair[1].error))


def _logits(trial: Trial) -> int:
    """How many arguments are logits: of readings that agree, the one that asks least of its input."""
    return sum(role.kind == "logits" for role in trial.candidate.roles.values())


def _ask_if_torn(best: tuple[Trial, Judged], judged: Sequence[tuple[Trial, Judged]]) -> None:
    if not best[0].candidate.guessed_side:
        return
    answers = {}
    for other, result in judged:
        if other.candidate.guessed_side and result.named:
            trained = _names(other.candidate, "q")[0]
            answers.setdefault(trained, result.headline.gradient_label)
    if len(answers) < 2 or len(set(answers.values())) == 1:
        return
    said = "; ".join(
        f"check_loss(loss, student={name!r}): {answer}, p the other"
        for name, answer in answers.items()
    )
    raise InputError(
        f"which of {' and '.join(answers)} is trained? The names do not say it. {said}"
    )


def _uncallable(candidate: Candidate, failure: str) -> str:
    taken = ", ".join(f"{n}: {r}" for n, r in candidate.roles.items())
    return (
        f"the loss cannot be called on small float64 arrays: {failure}. It was given {taken}; if that is wrong, "
        'say roles={"name": "q logits"}, and numbers in fixed={"name": 0.1}; if it makes its own random '
        "numbers, needs a model or a tokenizer, wrap the part that makes the number"
    )
