"""Trying the readings of a loss until one has an answer."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from kullback.check_loss.advantages import advantage_part
from kullback.check_loss.categoricals import top_k
from kullback.check_loss.critics import judge_critic, outputs
from kullback.check_loss.formulas import LAYOUTS as FORMULA_LAYOUTS
from kullback.check_loss.formulas import formulas
from kullback.check_loss.gates import Expectation
from kullback.check_loss.gaussians import gaussians, paths
from kullback.check_loss.judging import Judged, far_notes, judge, truncation
from kullback.check_loss.masks import mask_faults
from kullback.check_loss.matching import match_gradient, match_values
from kullback.check_loss.noise import draws_noise, judge_noisy
from kullback.check_loss.problems import Experiment, observe, pairs, sampled, tolerance
from kullback.check_loss.quantities import Catalogue, Seen
from kullback.check_loss.readings import Candidate
from kullback.check_loss.report import report_of
from kullback.check_loss.roles import roles_of, taken_apart
from kullback.core.errors import InputError
from kullback.core.user_code import raised
from kullback.interop.loss_calls import LossCall, libraries, loss_call
from kullback.results.loss_report import LossReport

_LAYOUTS = {
    "pair": ("(B,V)", "(B,T,V)", "(B,T,V) shifted", "(V)", "[(B,V)]"),
    "sampled": ("(B,T)", "(B)"),
    "gaussian": ("(B,d)", "(d)"),
    "critic": ("logits (B)", "probs (B)", "logits (B,1)", "probs (B,1)"),
    **FORMULA_LAYOUTS,
}
#: Layouts without a batch: what they show is certain only where a batch cannot be passed, or is not reduced.
_ALONE = ("(V)", "(d)")
#: What densities of draws that are reparameterised are called, and never tokens.
_DENSITIES = ("logq", "logqz", "logqx", "logguide", "logw", "logweights", "logweight", "logiw")
#: How many readings that run are looked at closely.
_CLOSE = 3
#: Calls of the loss after which no further reading is tried: some seconds, and the same verdict on any machine.
_CALLS = 60_000
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
        noisy: whether the loss draws random numbers of its own.
    """

    candidate: Candidate
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
    judged_best = _ordered(best[0], _with_paths(*best, key, tokens=tokens))
    masks = [n for n, p in parameters.items() if p.default is None and _is_mask(n)]
    best = (
        best[0],
        _with_notes(best[0], judged_best, [n for n in masks if n not in best[0].candidate.roles]),
    )
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
        self._lists = [n for n, p in parameters.items() if _is_list(p)]

    def layouts(self, candidate: Candidate) -> tuple[str, ...]:
        """The shapes that a reading's arguments may have; lists where the annotation says so."""
        if candidate.family == "pair" and any(n in self._lists for n in candidate.roles):
            return ("[(B,V)]",)
        return _LAYOUTS[candidate.family]

    def looked_at(self, candidate: Candidate, layout: str) -> tuple[Trial | None, Judged | None]:
        """Returns a reading that runs and what it is, with masks and advantages as it takes them; None if it fails."""
        empty: tuple[Trial | None, Judged | None] = (None, None)
        for variant in _variants(candidate, layout):
            trial = self._in_a_library(variant, layout)
            if trial is None:
                continue
            judged, fault = _look(trial, deep=False)
            self.failure = self.failure or fault
            if judged is not None and not _nothing(trial):
                return trial, judged
            empty = empty if judged is None else (trial, judged)
        return empty

    def _in_a_library(self, candidate: Candidate, layout: str) -> Trial | None:
        lists = (
            [n for n, r in candidate.roles.items() if not r.inert] if layout == "[(B,V)]" else []
        )
        for library in self._libraries:
            call = loss_call(
                library, self._fn, _positional(self._parameters, candidate), self._lists or lists
            )
            problems = _problems(candidate, layout, self._key)
            experiments, fault = _usable(call, candidate, problems)
            if experiments:
                self._libraries = [library]
                noisy = draws_noise(call, experiments[0])
                return Trial(candidate, layout, call, experiments, self._key, noisy)
            self.failure = self.failure or f"{library}: {fault}"
        return None


def _is_list(parameter: inspect.Parameter) -> bool:
    return bool(re.match(r"(typing\.)?(list|List|Sequence|tuple|Tuple)\[", _annotation(parameter)))


def _annotation(parameter: inspect.Parameter) -> str:
    found = parameter.annotation
    return found if isinstance(found, str) else str(found)


def _of_kind(candidate: Candidate, kind: str) -> list[str]:
    return [n for n, r in candidate.roles.items() if r.kind == kind]


#: Types of a mask, and what keeps a token.
_MASKS = ((float, 1), (bool, 1), (float, 0), (bool, 0), (int, 1))


def _variants(candidate: Candidate, layout: str) -> Iterator[Candidate]:
    """The reading with masks of every type, and advantages of tokens or of sequences."""
    masks = _MASKS if _of_kind(candidate, "mask") else _MASKS[:1]
    per = (None, "sequence") if _of_kind(candidate, "advantage") and layout == "(B,T)" else (None,)
    for mask, advantage in itertools.product(masks, per):
        values = {"mask": mask, "advantage": advantage}
        roles = {
            n: replace(r, value=values[r.kind]) if r.kind in values else r
            for n, r in candidate.roles.items()
        }
        yield replace(candidate, roles=roles)


def _nothing(trial: Trial) -> bool:
    """Whether a loss that takes masks is 0 with a mask that should keep all."""
    if not _of_kind(trial.candidate, "mask"):
        return False
    experiment = trial.experiments[0]
    draws = experiment.at(experiment.theta)
    values, slopes, _ = trial.call.many(draws, _names(trial.candidate, "q"), experiment.weigh)
    return not np.any(values) and not any(np.any(g) for g in (slopes or {}).values())


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
        case "gaussian":
            return gaussians(candidate.roles, layout, key)
        case family:
            return formulas(candidate.roles, family, layout, key)


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
        return _failed(error)
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
    calls = 0
    for candidate in attempts.readings:
        sure = [t for t, j in found if j.named and not j.weak]
        if sure and candidate.cost > sure[0].candidate.cost + _SAME_RANK:
            break
        if found and (candidate.last_resort > found[0][0].candidate.last_resort):
            break
        if found and calls > _CALLS:
            break
        here = _layouts_of(attempts, candidate)
        found += here
        calls += sum(trial.calls for trial, _ in here)
    if any(j.named and not j.weak for _, j in found):
        return found
    if any(t.candidate.family == "critic" for t, _ in found):
        return found
    order = sorted(found, key=lambda pair: (pair[0].candidate.cost, round(pair[1].error, 2)))
    deep: list[tuple[Trial, Judged]] = []
    for trial, shallow in order[:_CLOSE]:
        closer = _look(trial, deep=True)[0] or shallow
        deep.append((trial, replace(closer, notes=shallow.notes)))
        if deep[-1][1].named and not trial.candidate.guessed_side:
            break
    return [*deep, *order[len(deep) :]]


def _layouts_of(attempts: _Attempts, candidate: Candidate) -> list[tuple[Trial, Judged]]:
    """The layouts of a reading that run, up to the first with a name."""
    found: list[tuple[Trial, Judged]] = []
    for layout in attempts.layouts(candidate):
        if layout == "[(B,V)]" and found:
            break
        trial, judged = attempts.looked_at(candidate, layout)
        if trial is None or judged is None:
            continue
        batches = [i for i, (t, _) in enumerate(found) if _reduced(t)]
        if (
            layout in _ALONE and batches
        ):  # the loss of a batch is another: one row alone certifies nothing
            if judged.headline.gradient_named and judged.headline.gradient is not None:
                note = (_mixed(judged),)
                found = [(t, replace(j, notes=(*j.notes, *note))) for t, j in found]
            break
        found.append((trial, judged))
        if judged.named or candidate.family == "critic":
            break
    return found


def _reduced(trial: Trial) -> bool:
    """Whether the loss of a batch is one number."""
    shapes: list[tuple[int, ...]] = []

    def weigh(shape: tuple[int, ...]) -> float:
        shapes.append(shape)
        return 1.0

    trial.call.many(trial.experiments[0].at(trial.experiments[0].theta)[:1], (), weigh)
    return all(shape in ((), (1,)) for shape in shapes)


def _mixed(alone: Judged) -> str:
    return (
        f"with one row alone the gradient is that of {alone.headline.gradient_label}, with a batch of rows it is not: "
        "something is normalised over another axis than the last (dim=0 is the batch), or over all numbers at once"
    )


def _look(trial: Trial, *, deep: bool) -> tuple[Judged | None, str]:
    """What a trial is, or what goes wrong where the loss fails on one of its problems."""
    names = _names(trial.candidate, "q"), _names(trial.candidate, "p")
    try:
        if trial.candidate.family == "critic":
            roles = trial.candidate.roles
            return judge_critic(trial.call, trial.experiments[0], roles, trial.key), ""
        if trial.noisy and (judged := judge_noisy(trial.call, trial.experiments, names[0])):
            return judged, ""
        deep = deep or trial.candidate.family in FORMULA_LAYOUTS
        return judge(trial.call, trial.experiments, *names, deep=deep), ""
    except KeyboardInterrupt:
        raise
    except Exception as error:  # noqa: BLE001 - a loss of the user's that takes one size and not another
        return None, _failed(error)


def _failed(error: BaseException) -> str:
    text, kind = raised(error)
    return f"{kind}: {text}".splitlines()[0][:200]


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
    weights = [n for n, r in roles.items() if r.kind in ("log_ratio", "ratio")]
    telling = len(sides) + len(weights)
    if trial.candidate.family != "sampled" or not (
        sides == ["p", "q"] or telling == len(weights) == 1
    ):
        return judged
    experiments = paths(roles, key)
    if _fault(trial.call, trial.candidate, experiments[0]):
        return judged
    names = [n for n, r in roles.items() if r.kind == "sampled"] or weights
    try:
        found = judge(trial.call, experiments, names, [], deep=False)
    except Exception:  # noqa: BLE001 - a loss that does not take these sizes is of tokens
        return judged
    densities = {"".join(taken_apart(n).words) for n in names}
    named = any(name.endswith(_DENSITIES) for name in densities)
    path = found.headline
    reverse = path.gradient_named and path.gradient_label == "KL(q||p)"
    first = named and not tokens and reverse and judged.headline.gradient is None
    under = (*found.under, *judged.under) if first else (*judged.under, *found.under)
    return replace(judged, under=under)


def _ordered(trial: Trial, judged: Judged) -> Judged:
    """The likeliest way of drawing first.

    Where p is an older policy, it drew the tokens. Where there is no p, the sign says whether the loss is a likelihood
    of data or a term for draws of q; and no divergence from p is estimated.
    """
    roles = trial.candidate.roles
    names = [n for n, r in roles.items() if r.side == "p"]
    if any(taken_apart(n).side == "old" for n in names):
        return replace(judged, under=tuple(sorted(judged.under, key=lambda u: u.drawn != "p")))
    alone = [r.side for r in roles.values() if not r.inert] == ["q"]
    if trial.candidate.family != "sampled" or not alone:
        return judged
    unknown = np.full(len(judged.headline.values), np.nan)
    under = [
        replace(u, forward=unknown, reverse=unknown) if u.drawn in ("p", "q") else u
        for u in judged.under
    ]
    first = under[0].gradient
    of_data = first is not None and first.scale > 0.0 and not _advantages(trial)
    return replace(
        judged, under=tuple(sorted(under, key=lambda u: u.drawn != ("p" if of_data else "q")))
    )


def _advantages(trial: Trial) -> list[str]:
    return [n for n, r in trial.candidate.roles.items() if r.kind == "advantage"]


def _is_mask(name: str) -> bool:
    return any(role.kind == "mask" for role in roles_of(name))


def _with_masks(trial: Trial, judged: Judged, optional: Sequence[str]) -> Judged:
    """What the loss does with masked tokens, if it takes sequences of them."""
    roles, late = trial.candidate.roles, trial.layout.endswith("shifted")
    if not (optional or any(r.kind in ("mask", "labels") for r in roles.values())) or trial.noisy:
        return judged
    try:
        match trial.candidate.family, late:
            case "sampled", _:
                two = [sampled(roles, "(B,T)", trial.key + i)[-1] for i in (1, 2)]
            case "pair", _:
                layout = "(B,T,V) shifted" if late else "(B,T,V)"
                two = [
                    max(
                        pairs(roles, layout, trial.key + i, (1.0,)),
                        key=lambda e: e.rows[-1] < 4 and e.rows[-1],
                    )
                    for i in (1, 2)
                ]
            case _:
                return judged
        faults = mask_faults(
            trial.call, roles, two[0], two[1], _names(trial.candidate, "q"), optional, late=late
        )
    except KeyboardInterrupt:
        raise
    except Exception:  # noqa: BLE001 - a loss that takes no sequences has no masked tokens
        return judged
    return replace(judged, mask_faults=tuple(faults))


def _with_advantages(trial: Trial, judged: Judged) -> Judged:
    """What advantages add; in the first place where the loss is nothing else."""
    if trial.candidate.family != "sampled" or not _advantages(trial) or trial.noisy:
        return judged
    roles, of_q = trial.candidate.roles, _names(trial.candidate, "q")
    part = advantage_part(trial.call, roles, trial.layout, trial.key, of_q)
    if part is None:
        return judged
    judged = replace(judged, notes=(*judged.notes, *part.notes))
    top = judged.headline
    if top.gradient is None and part.named and part.match is not None:
        top = replace(top, gradient=part.match, gradient_named=True)
        judged = replace(judged, under=(top, *judged.under[1:]), detached="none")
    return judged


def _with_notes(trial: Trial, judged: Judged, optional: Sequence[str]) -> Judged:
    """What a closer look at distributions and tokens shows."""
    judged = _with_masks(trial, judged, optional)
    roles, layout, notes = trial.candidate.roles, trial.layout, list(judged.notes)
    of_q = _names(trial.candidate, "q")
    if trial.candidate.family == "pair":
        far = pairs(roles, layout, trial.key, (9.0,))
        sizes = [e.sizes for e in trial.experiments]
        far = [e for e in far if e.sizes in sizes]
        notes += far_notes(trial.call, far, of_q, judged)
        top = judged.headline
        if not top.gradient_named and judged.bits > 16 and not trial.noisy:
            names = {"p": _names(trial.candidate, "p"), "q": of_q}
            found = truncation(trial.call, trial.experiments, names)
            if found is not None:
                judged, more = _truncated(trial, judged, *found)
                notes += more
    elif trial.candidate.family == "sampled":
        far = sampled(roles, layout, trial.key, (9.0,))
        notes += far_notes(trial.call, far, of_q, judged)
    return _with_advantages(trial, replace(judged, notes=tuple(notes)))


def _truncated(trial: Trial, judged: Judged, side: str, k: int) -> tuple[Judged, list[str]]:
    """What a loss of the k likeliest outcomes is: a bound, renormalised, or a sum that is no divergence."""
    usable = [e for e in trial.experiments if e.sizes["V"] > k]
    of_q = _names(trial.candidate, "q")
    seen = [observe(trial.call, e, of_q, ())[""] for e in usable]
    precision = tolerance(seen, differences=trial.call.name == "numpy")
    signal = Seen(
        np.array([o.value for o in seen]), tuple(o.gradient for o in seen), [e.sizes for e in usable], precision
    )  # fmt: skip
    known = Catalogue(top_k([e.pair for e in usable], side, k))
    match = match_gradient(signal, known)
    if match.error <= precision:
        value = match_values(signal, known.plain)
        exact = value.error <= precision
        top = replace(
            judged.headline, gradient=match, gradient_named=True, value=value if exact else judged.headline.value,
            value_named=exact,
        )  # fmt: skip
        return replace(judged, under=(top, *judged.under[1:])), []
    negative = " (here it is negative)" if (judged.headline.values < 0.0).any() else ""
    return judged, [
        f"only the {k} likeliest outcomes of {side} enter one by one: truncated at the top {k}. A truncated sum is "
        f"not a divergence and may be negative{negative}; with a bucket for the rest it is a lower bound: "
        f"losses.top_k_kl_lower_bound(p=..., q=..., k={k}, reduction=...)"
    ]


def _chosen(judged: Sequence[tuple[Trial, Judged]]) -> tuple[Trial, Judged]:
    named = [pair for pair in judged if pair[1].named]
    if named:
        return min(
            named,
            key=lambda pair: (
                pair[1].weak,
                pair[1].rank,
                -_logits(pair[0]),
                pair[0].candidate.cost,
            ),
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
