"""Readings of a loss that can be called: in a library, with a layout, with masks and advantages as it takes them."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.check_loss.advantages import crosses_rows
from kullback.check_loss.critics import judge_critic, outputs
from kullback.check_loss.formulas import LAYOUTS as FORMULA_LAYOUTS
from kullback.check_loss.formulas import formulas
from kullback.check_loss.judging import Judged, judge
from kullback.check_loss.noise import draws_noise, judge_noisy
from kullback.check_loss.problems import Experiment, gaussians, pairs, sampled
from kullback.check_loss.readings import Reading
from kullback.core.user_code import raised
from kullback.interop.loss_calls import LossCall, libraries, loss_call

_LAYOUTS = {
    "pair": ("(B,V)", "(B,T,V)", "(B,T,V) shifted", "(V)", "[(B,V)]"),
    "sampled": ("(B,T)", "(B)"),
    "gaussian": ("(B,d)", "(d)"),
    "critic": ("logits (B)", "probs (B)", "logits (B,1)", "probs (B,1)"),
    **FORMULA_LAYOUTS,
}
#: Outcomes, at most, where gradients are differences.
_DIFFERENCED = 24


@final
@dataclass(frozen=True)
class Trial:
    """A reading that runs: its arguments' layout, the loss in its library, and problems of a key.

    It is noisy if the loss draws random numbers of its own.
    """

    reading: Reading
    layout: str
    call: LossCall
    experiments: tuple[Experiment, ...]
    key: int
    noisy: bool = False

    @property
    def calls(self) -> int:
        """How often a look at it calls the loss, about."""
        each = [max(len(w) for w in e.weights.values()) for e in self.experiments]
        steps = [4 * len(e.theta) if self.call.name == "numpy" else 1 for e in self.experiments]
        return sum(a * b for a, b in zip(each, steps, strict=True))


@final
class Attempts:
    """Readings that can be called, found one after another, all in the first library that takes one."""

    def __init__(
        self,
        fn: Callable[..., Any],
        parameters: Mapping[str, inspect.Parameter],
        key: int,
    ) -> None:
        self._fn, self._parameters, self._key = fn, parameters, key
        self.failure = ""
        self.stumbled = ""
        self._libraries = libraries(fn)
        self._lists = [n for n, p in parameters.items() if _is_list(p)]

    def layouts(self, reading: Reading) -> tuple[str, ...]:
        """The shapes that a reading's arguments may have; lists where the annotation says so."""
        if reading.family == "pair" and any(n in self._lists for n in reading.roles):
            return ("[(B,V)]",)
        return _LAYOUTS[reading.family]

    def looked_at(self, reading: Reading, layout: str) -> tuple[Trial | None, Judged | None]:
        """Returns a reading that runs and what it is, with masks and advantages as it takes them; None if it fails."""
        empty: tuple[Trial | None, Judged | None] = (None, None)
        for variant in _variants(reading, layout):
            trial = self._in_a_library(variant, layout)
            if trial is None:
                continue
            judged, fault = look(trial, deep=False)
            self.stumbled = self.stumbled or fault
            if judged is not None and not _nothing(trial) and not _crosses(trial):
                return trial, judged
            empty = (trial, judged) if empty[1] is None and judged is not None else empty
        return empty

    def _in_a_library(self, reading: Reading, layout: str) -> Trial | None:
        lists = [n for n, r in reading.roles.items() if not r.inert] if layout == "[(B,V)]" else []
        for library in self._libraries:
            call = loss_call(
                library, self._fn, _positional(self._parameters, reading), self._lists or lists
            )
            problems = problems_of(reading, layout, self._key)
            experiments, fault = _usable(call, reading, problems)
            if experiments:
                self._libraries = [library]
                noisy = draws_noise(call, experiments[0])
                return Trial(reading, layout, call, experiments, self._key, noisy)
            self.failure = self.failure or f"{library}: {fault}"
        return None


def _is_list(parameter: inspect.Parameter) -> bool:
    return bool(re.match(r"(typing\.)?(list|List|Sequence|tuple|Tuple)\[", _annotation(parameter)))


def _annotation(parameter: inspect.Parameter) -> str:
    found = parameter.annotation
    return found if isinstance(found, str) else str(found)


def _of_kind(reading: Reading, kind: str) -> list[str]:
    return [n for n, r in reading.roles.items() if r.kind == kind]


#: Types of a mask, and what keeps a token.
_MASKS = ((float, 1), (bool, 1), (float, 0), (bool, 0), (int, 1))


def _variants(reading: Reading, layout: str) -> Iterator[Reading]:
    """The reading with masks of every type, and advantages of tokens or of sequences."""
    masks = _MASKS if _of_kind(reading, "mask") else _MASKS[:1]
    per = (None, "sequence") if _of_kind(reading, "advantage") and layout == "(B,T)" else (None,)
    for mask, advantage in itertools.product(masks, per):
        values = {"mask": mask, "advantage": advantage}
        roles = {
            n: replace(r, value=values[r.kind]) if r.kind in values else r
            for n, r in reading.roles.items()
        }
        yield replace(reading, roles=roles)


def _nothing(trial: Trial) -> bool:
    """Whether a loss that takes masks is 0 with a mask that should keep all, whatever its advantages."""
    if not _of_kind(trial.reading, "mask"):
        return False
    experiment = trial.experiments[0]
    advantages = _of_kind(trial.reading, "advantage")
    draws = [
        draw | {n: np.ones_like(draw[n]) for n in advantages}
        for draw in experiment.at(experiment.theta)
    ]
    values, slopes, _ = trial.call.many(draws, trial.reading.names("q"), experiment.weigh)
    return not np.any(values) and not any(np.any(g) for g in (slopes or {}).values())


def _crosses(trial: Trial) -> bool:
    """Whether advantages of this shape reach other sequences than their own: another shape may be meant."""
    roles = trial.reading.roles
    if not _of_kind(trial.reading, "advantage") or trial.layout != "(B,T)":
        return False
    return crosses_rows(trial.call, roles, trial.experiments[0], trial.reading.names("q"))


def _positional(parameters: Mapping[str, inspect.Parameter], reading: Reading) -> list[str]:
    """Arguments passed by position: as many as come first."""
    names = []
    for name, parameter in parameters.items():
        if name not in reading.roles or parameter.kind is parameter.KEYWORD_ONLY:
            break
        names.append(name)
    return names or [n for n in reading.roles if n not in parameters]


def problems_of(
    reading: Reading, layout: str, key: int, spreads: Sequence[float] = (0.6, 1.0, 1.4)
) -> list[Experiment]:
    """Returns the problems of a reading; of categoricals with logits of these sds."""
    match reading.family:
        case "pair":
            return pairs(reading.roles, layout, key, spreads)
        case "sampled":
            return sampled(reading.roles, layout, key, spreads)
        case "critic":
            return outputs(reading.roles, layout)
        case "gaussian":
            return gaussians(reading.roles, layout, key)
        case family:
            return formulas(reading.roles, family, layout, key)


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
        found = fault_of(call, reading, experiment)
        if not found:
            return tuple(experiments[i:]), fault
        fault = fault or found
        if "range" not in fault and "k" not in fault.split():  # more outcomes would not help
            break
    return (), fault


def fault_of(call: LossCall, reading: Reading, experiment: Experiment) -> str:
    """Returns what goes wrong on a first problem; "" if nothing does."""
    draws = experiment.at(experiment.theta)
    try:
        with np.errstate(all="ignore"):
            values, slopes, _ = call.many(draws, reading.names("q"), experiment.weigh)
    except Exception as error:  # noqa: BLE001 - a reading that fails is not the right one
        return _failed(error)
    if np.isnan(values).any():
        return (
            "its value is NaN, as of the logarithm of a number below 0: where log-probabilities go in for "
            "probabilities, as in F.kl_div without log_target=True"
        )
    found = [values, *(slopes or {}).values()]
    return "" if all(np.isfinite(v).all() for v in found) else "its value or gradient is not finite"


def look(trial: Trial, *, deep: bool) -> tuple[Judged | None, str]:
    """Returns what a trial is, or what goes wrong where the loss fails on one of its problems."""
    names = trial.reading.names("q"), trial.reading.names("p")
    try:
        if trial.reading.family == "critic":
            roles = trial.reading.roles
            return judge_critic(trial.call, trial.experiments[0], roles, trial.key), ""
        if trial.noisy and (judged := judge_noisy(trial.call, trial.experiments, names[0])):
            return judged, ""
        deep = deep or trial.reading.family in FORMULA_LAYOUTS
        return judge(trial.call, trial.experiments, *names, deep=deep), ""
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 - a loss of the user's that takes one size and not another
        return None, _failed(error)


def _failed(error: BaseException) -> str:
    text, kind = raised(error)
    return f"{kind}: {text}".splitlines()[0][:200]


def reduced(trial: Trial) -> bool:
    """Returns whether the loss of a batch is one number."""
    shapes: list[tuple[int, ...]] = []

    def weigh(shape: tuple[int, ...]) -> float:
        shapes.append(shape)
        return 1.0

    trial.call.many(trial.experiments[0].at(trial.experiments[0].theta)[:1], (), weigh)
    return all(shape in ((), (1,)) for shape in shapes)
