"""Trying the readings of a loss until one has an answer."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.check_loss.critics import judge_critic
from kullback.check_loss.judging import Judged, far_notes, judge, truncation_notes
from kullback.check_loss.problems import Experiment, gaussians, outputs, pairs, paths, sampled
from kullback.check_loss.readings import Reading
from kullback.check_loss.report import report_of
from kullback.check_loss.roles import roles_of, side_of, words_of
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
#: Seconds of computing after which no further reading is tried.
_PATIENCE = 12.0
#: Outcomes, at most, where gradients are differences.
_DIFFERENCED = 24
#: Readings whose costs differ by less are of one rank.
_SAME_RANK = 0.06


@final
@dataclass(frozen=True)
class Trial:
    """A reading that runs: its arguments' layout, the loss in its library, and problems of a key."""

    reading: Reading
    layout: str
    call: LossCall
    experiments: tuple[Experiment, ...]
    key: int


def best_report(
    fn: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    readings: Sequence[Reading],
    expected: str,
    key: int,
) -> LossReport:
    """Returns the report on the likeliest reading that has an answer."""
    attempts = _Attempts(fn, parameters, key)
    judged = _judged(attempts, readings)
    if not judged:
        raise InputError(_uncallable(readings[0], attempts.failure))
    trial, best = _chosen(judged)
    _ask_if_torn(trial, judged)
    # Densities at reparameterised draws have no mask; a gate asks of tokens.
    tokens = bool(expected) or any(
        role.kind in ("mask", "tokens") for name in parameters for role in roles_of(name)
    )
    best = _old_first(trial, _with_paths(trial, best, key, tokens=tokens))
    return report_of(fn, parameters, (trial, _with_notes(trial, best)), expected)


@final
class _Attempts:
    """Readings that can be called, found one after another, all in the first library that takes one."""

    def __init__(
        self, fn: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], key: int
    ) -> None:
        self._fn, self._parameters, self._key = fn, parameters, key
        self._libraries = libraries(fn)
        self.failure = ""

    def trial(self, reading: Reading, layout: str) -> Trial | None:
        """Returns a reading as one that runs; None if it does not."""
        for library in self._libraries:
            call = loss_call(library, self._fn, self._positional(reading))
            problems = _problems(reading, layout, self._key)
            experiments, fault = _usable(call, reading, problems)
            if experiments:
                self._libraries = [library]
                return Trial(reading, layout, call, experiments, self._key)
            self.failure = self.failure or f"{library}: {fault}"
        return None

    def _positional(self, reading: Reading) -> list[str]:
        """Arguments passed by position: as many as come first."""
        names = []
        for name, parameter in self._parameters.items():
            if name not in reading.roles or parameter.kind is parameter.KEYWORD_ONLY:
                break
            names.append(name)
        return names or [n for n in reading.roles if n not in self._parameters]


def _problems(
    reading: Reading, layout: str, key: int, spreads: Sequence[float] = (0.6, 1.0, 1.4)
) -> list[Experiment]:
    """Problems of a reading; of categoricals with logits of these sds."""
    match reading.family:
        case "pair":
            return pairs(reading.roles, layout, key, spreads)
        case "sampled":
            return sampled(reading.roles, layout, key, spreads)
        case "critic":
            return outputs(reading.roles, layout)
        case _:
            return gaussians(reading.roles, layout, key)


def _usable(
    call: LossCall, reading: Reading, experiments: Sequence[Experiment]
) -> tuple[tuple[Experiment, ...], str]:
    """The problems of the smallest size that runs and of those above, and what goes wrong with the others."""
    fault = ""
    if call.name == "numpy":  # differences take a call for every outcome
        experiments = [e for e in experiments if e.sizes.get("V", 0) <= _DIFFERENCED]
    for i, experiment in enumerate(experiments):
        if i and experiment.sizes == experiments[i - 1].sizes:
            continue
        found = _fault(call, reading, experiment)
        if not found:
            return tuple(experiments[i:]), fault
        fault = fault or found
        if "range" not in fault and "k" not in fault.split():  # more outcomes would not help
            break
    return (), fault


def _fault(call: LossCall, reading: Reading, experiment: Experiment) -> str:
    """What goes wrong on a first problem; "" if nothing does."""
    draws = experiment.at(experiment.theta)
    try:
        with np.errstate(all="ignore"):
            wanted = [*reading.names("q"), *reading.names("p")]
            values, slopes, _ = call.many(draws, wanted, experiment.weigh)
    except Exception as error:  # noqa: BLE001 - a reading that fails is not the right one
        text, kind = raised(error)
        return f"{kind}: {text}".splitlines()[0][:200]
    found = [values, *(slopes or {}).values()]
    return "" if all(np.isfinite(v).all() for v in found) else "its value or gradient is not finite"


def _judged(attempts: _Attempts, readings: Sequence[Reading]) -> list[tuple[Trial, Judged]]:
    """The closest look at the likeliest, until one rank has an answer."""
    found: list[tuple[Trial, Judged]] = []
    began = time.thread_time()
    for reading in readings:
        named = [t for t, j in found if j.named]
        if named and reading.cost > named[0].reading.cost + _SAME_RANK:
            break
        if found and reading.last_resort > found[0][0].reading.last_resort:
            break
        if found and time.thread_time() - began > _PATIENCE:
            break
        for layout in _LAYOUTS[reading.family]:
            trial = attempts.trial(reading, layout)
            if trial is None:
                continue
            found.append((trial, _look(trial, deep=False)))
            if found[-1][1].named or reading.family == "critic":
                break
    if any(j.named or t.reading.family == "critic" for t, j in found):
        return found
    order = sorted(found, key=lambda pair: (pair[0].reading.cost, round(pair[1].error, 2)))
    deep: list[tuple[Trial, Judged]] = []
    for trial, _ in order[:_CLOSE]:
        deep.append((trial, _look(trial, deep=True)))
        if deep[-1][1].named and not trial.reading.guessed_side:
            break
    return [*deep, *order[len(deep) :]]


def _look(trial: Trial, *, deep: bool) -> Judged:
    reading = trial.reading
    if reading.family == "critic":
        return judge_critic(trial.call, trial.experiments[0], reading.roles, trial.key)
    names = reading.names("q"), reading.names("p")
    return judge(trial.call, trial.experiments, *names, deep=deep)


def _with_paths(trial: Trial, judged: Judged, key: int, *, tokens: bool) -> Judged:
    """What a loss of two log densities is for reparameterised draws, besides.

    It comes first only for names of densities, where fixed draws leave nothing to descend, and never where the
    question is one of tokens, as a gate's is: there the gradient with the draws fixed is what training follows.
    """
    roles = trial.reading.roles
    sampled_ones = {n: r.side for n, r in roles.items() if r.kind == "sampled"}
    if trial.reading.family != "sampled" or sorted(sampled_ones.values()) != ["p", "q"]:
        return judged
    experiments = paths(roles, key)
    if _fault(trial.call, trial.reading, experiments[0]):
        return judged
    found = judge(trial.call, experiments, list(sampled_ones), [], deep=False)
    ends = ("logq", "logqz", "logqx", "logguide")
    named = any("".join(words_of(n)).endswith(ends) for n in sampled_ones)
    path = found.headline
    reverse = path.gradient_named and path.gradient_label == "KL(q||p)"
    first = named and not tokens and reverse and judged.headline.gradient is None
    under = (*found.under, *judged.under) if first else (*judged.under, *found.under)
    return replace(judged, under=under)


def _old_first(trial: Trial, judged: Judged) -> Judged:
    """Where p is an older policy, it is the one that drew the tokens."""
    if not any(r.side == "p" and side_of(n) == "old" for n, r in trial.reading.roles.items()):
        return judged
    return replace(judged, under=tuple(sorted(judged.under, key=lambda u: u.drawn != "p")))


def _with_notes(trial: Trial, judged: Judged) -> Judged:
    """What a closer look at distributions and tokens shows."""
    reading, notes = trial.reading, list(judged.notes)
    zeros = [n for n, r in reading.roles.items() if r.kind == "other" and r.value == "zero"]
    if zeros:
        notes.append(f"{', '.join(zeros)} were 0: what they multiply is not checked")
    names = {side: reading.names(side) for side in ("p", "q")}
    if reading.family in ("pair", "sampled"):
        sizes = [e.sizes for e in trial.experiments]
        far = _problems(reading, trial.layout, trial.key, (9.0,))
        far = [e for e in far if e.sizes in sizes]
        notes += far_notes(trial.call, far, names["q"], judged)
    if reading.family == "pair" and not judged.headline.gradient_named and judged.bits > 16:
        notes += truncation_notes(trial.call, trial.experiments, names, judged)
    return replace(judged, notes=tuple(notes))


def _chosen(judged: Sequence[tuple[Trial, Judged]]) -> tuple[Trial, Judged]:
    """The best named one; of those that agree, the one with most logits, which asks least of its input."""

    def rank(pair: tuple[Trial, Judged]) -> tuple[float, ...]:
        trial, found = pair
        logits = sum(role.kind == "logits" for role in trial.reading.roles.values())
        cost = trial.reading.cost
        return (0.0, found.rank, -logits, cost) if found.named else (1.0, cost, found.error)

    return min(judged, key=rank)


def _ask_if_torn(best: Trial, judged: Sequence[tuple[Trial, Judged]]) -> None:
    if not best.reading.guessed_side:
        return
    answers = {}
    for other, result in judged:
        if other.reading.guessed_side and result.named:
            answers.setdefault(other.reading.names("q")[0], result.headline.gradient_label)
    if len(answers) < 2 or len(set(answers.values())) == 1:
        return
    said = "; ".join(
        f"check_loss(loss, student={name!r}): {answer}, p the other"
        for name, answer in answers.items()
    )
    raise InputError(
        f"which of {' and '.join(answers)} is trained? The names do not say it. {said}"
    )


def _uncallable(reading: Reading, failure: str) -> str:
    taken = ", ".join(f"{n}: {r}" for n, r in reading.roles.items())
    return (
        f"the loss cannot be called on small float64 arrays: {failure}. It was given {taken}; if that is wrong, "
        'say roles={"name": "q logits"}, and numbers in fixed={"name": 0.1}; if it makes its own random '
        "numbers, needs a model or a tokenizer, wrap the part that makes the number"
    )
