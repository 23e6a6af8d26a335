"""Trying the readings of a loss until one has an answer, and looking at that one more closely."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kullback.check_loss.advantages import advantage_part
from kullback.check_loss.attempts import Attempts, Trial, fault_of, look, problems_of, reduced
from kullback.check_loss.gates import Expected
from kullback.check_loss.judging import Judged, judge
from kullback.check_loss.masks import mask_faults
from kullback.check_loss.problems import pairs, paths, sampled
from kullback.check_loss.readings import Reading
from kullback.check_loss.report import report_of
from kullback.check_loss.roles import is_mask, roles_of, side_of, words_of
from kullback.check_loss.tails import far_notes, with_truncation
from kullback.core.errors import InputError
from kullback.results.loss_report import LossReport

#: Layouts without a batch: what they show is certain only where a batch cannot be passed, or is not reduced.
_ALONE = ("(V)", "(d)")
#: What densities of draws that are reparameterised are called, and never tokens.
_DENSITIES = ("logq", "logqz", "logqx", "logguide", "logw", "logweights", "logweight", "logiw")
#: How many readings that run are looked at closely.
_CLOSE = 3
#: Calls of the loss after which no further reading is tried: some seconds, and the same verdict on any machine.
_CALLS = 60_000
#: Readings whose costs differ by less are of one rank.
_SAME_RANK = 0.06


def best_report(
    fn: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    readings: Sequence[Reading],
    expectation: Expected,
    key: int,
) -> LossReport:
    """Returns the report on the likeliest reading that has an answer.

    Raises:
        InputError: two readings of one rank have different answers, or none can be called.
    """
    attempts = Attempts(fn, parameters, key)
    judged = _judged(attempts, readings)
    if not judged:
        raise InputError(_uncallable(readings[0], attempts.stumbled or attempts.failure))
    trial, best = _chosen(judged)
    _ask_if_torn(trial, judged)
    # Densities at reparameterised draws have no mask; a gate asks of tokens.
    tokens = bool(expectation) or any(
        role.kind in ("mask", "tokens") for name in parameters for role in roles_of(name)
    )
    best = _ordered(trial, _with_paths(trial, best, key, tokens=tokens))
    masks = [
        n
        for n, p in parameters.items()
        if p.default is None and n not in trial.reading.roles and is_mask(n)
    ]
    return report_of(fn, parameters, (trial, _with_notes(trial, best, masks)), expectation)


def _judged(attempts: Attempts, readings: Sequence[Reading]) -> list[tuple[Trial, Judged]]:
    """The closest look at the likeliest, until one rank has an answer."""
    found: list[tuple[Trial, Judged]] = []
    calls = 0
    for reading in readings:
        sure = [t for t, j in found if j.named and not _weak(t, j)]
        if sure and reading.cost > sure[0].reading.cost + _SAME_RANK:
            break
        sensible = found and not found[0][0].reading.last_resort
        if reading.last_resort and (attempts.stumbled or sensible):
            break
        if found and calls > _CALLS:
            break
        here = _layouts_of(attempts, reading)
        found += here
        calls += sum(trial.calls for trial, _ in here)
    if any(j.named and not _weak(t, j) for t, j in found):
        return found
    if any(t.reading.family == "critic" for t, _ in found):
        return found
    order = sorted(found, key=lambda pair: (pair[0].reading.cost, round(pair[1].error, 2)))
    deep: list[tuple[Trial, Judged]] = []
    for trial, shallow in order[:_CLOSE]:
        closer = look(trial, deep=True)[0] or shallow
        deep.append((trial, replace(closer, notes=shallow.notes)))
        if deep[-1][1].named and not trial.reading.guessed_side:
            break
    return [*deep, *order[len(deep) :]]


def _weak(trial: Trial, judged: Judged) -> bool:
    """Whether a name says little, so that another reading may say more: a distance, KL(uniform||q) where p is given."""
    match, reading = judged.headline.gradient, trial.reading
    if match is None or match.terms:
        return judged.weak
    given = bool(reading.names("p")) or any(r.kind == "labels" for r in reading.roles.values())
    uniform = match.functional.name == "uniform" and (given or reading.last_resort)
    # The absolute error of numbers whose names do not say that they are probabilities.
    absolute = match.functional.name == "total_variation" and reading.cost > 0.05
    # A squared difference is a KL of log-probabilities alone: names must say that they are.
    value = judged.headline.value
    square = value is not None and value.functional.name == "half_squared_ratio"
    guessed = square and all(r.cost > 0.3 for r in reading.roles.values() if r.kind == "sampled")
    return judged.weak or uniform or absolute or (guessed and reading.family == "sampled")


def _layouts_of(attempts: Attempts, reading: Reading) -> list[tuple[Trial, Judged]]:
    """The layouts of a reading that run, up to the first with a name."""
    found: list[tuple[Trial, Judged]] = []
    for layout in attempts.layouts(reading):
        if layout == "[(B,V)]" and found:
            break
        trial, judged = attempts.looked_at(reading, layout)
        if trial is None or judged is None:
            continue
        batches = [i for i, (t, _) in enumerate(found) if reduced(t)]
        if (
            layout in _ALONE and batches
        ):  # the loss of a batch is another: one row alone certifies nothing
            if judged.headline.gradient_named and judged.headline.gradient is not None:
                note = (_mixed(judged),)
                found = [(t, replace(j, notes=(*j.notes, *note))) for t, j in found]
            break
        found.append((trial, judged))
        if judged.named or reading.family == "critic":
            break
    return found


def _mixed(alone: Judged) -> str:
    return (
        f"with one row alone the gradient is that of {alone.headline.gradient_label}, with a batch of rows it is not: "
        "something is normalised over another axis than the last (dim=0 is the batch), or over all numbers at once"
    )


def _with_paths(trial: Trial, judged: Judged, key: int, *, tokens: bool) -> Judged:
    """What a loss of two log densities is for reparameterised draws, besides.

    It comes first only for names of densities, where fixed draws leave nothing to descend, and never where the
    question is one of tokens, as a gate's is: there the gradient with the draws fixed is what training follows.
    """
    roles = trial.reading.roles
    sides = sorted(r.side for r in roles.values() if r.kind == "sampled")
    weights = [n for n, r in roles.items() if r.kind in ("log_ratio", "ratio")]
    telling = len(sides) + len(weights)
    if trial.reading.family != "sampled" or not (
        sides == ["p", "q"] or telling == len(weights) == 1
    ):
        return judged
    experiments = paths(roles, key)
    if fault_of(trial.call, trial.reading, experiments[0]):
        return judged
    names = [n for n, r in roles.items() if r.kind == "sampled"] or weights
    try:
        found = judge(trial.call, experiments, names, [], deep=False)
    except Exception:  # noqa: BLE001 - a loss that does not take these sizes is of tokens
        return judged
    densities = {"".join(words_of(n)) for n in names}
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
    roles = trial.reading.roles
    names = [n for n, r in roles.items() if r.side == "p"]
    if any(side_of(n) == "old" for n in names):
        return replace(judged, under=tuple(sorted(judged.under, key=lambda u: u.drawn != "p")))
    alone = [r.side for r in roles.values() if not r.inert] == ["q"]
    if trial.reading.family != "sampled" or not alone:
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
    return [n for n, r in trial.reading.roles.items() if r.kind == "advantage"]


def _with_masks(trial: Trial, judged: Judged, optional: Sequence[str]) -> Judged:
    """What the loss does with masked tokens, if it takes sequences of them."""
    roles, late = trial.reading.roles, trial.layout.endswith("shifted")
    if not (optional or any(r.kind in ("mask", "labels") for r in roles.values())) or trial.noisy:
        return judged
    try:
        match trial.reading.family, late:
            case "sampled", _:
                four = [sampled(roles, "(B,T)", trial.key + i, (1.0,))[-1] for i in range(1, 5)]
            case "pair", _:
                layout = "(B,T,V) shifted" if late else "(B,T,V)"
                four = [
                    max(
                        pairs(roles, layout, trial.key + i, (1.0,)),
                        key=lambda e: e.rows[-1] < 4 and e.rows[-1],
                    )
                    for i in range(1, 5)
                ]
            case _:
                return judged
        faults = mask_faults(trial.call, roles, four, trial.reading.names("q"), optional, late=late)
    except KeyboardInterrupt:
        raise
    except Exception:  # noqa: BLE001 - a loss that takes no sequences has no masked tokens
        return judged
    return replace(judged, mask_faults=tuple(faults))


def _with_advantages(trial: Trial, judged: Judged) -> Judged:
    """What advantages add; in the first place where the loss is nothing else."""
    if trial.reading.family != "sampled" or not _advantages(trial) or trial.noisy:
        return judged
    roles, of_q = trial.reading.roles, trial.reading.names("q")
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
    reading = trial.reading
    judged = _with_masks(trial, judged, optional)
    names = {side: reading.names(side) for side in ("p", "q")}
    if reading.family in ("pair", "sampled") and not trial.noisy:
        sizes = [e.sizes for e in trial.experiments]
        far = problems_of(reading, trial.layout, trial.key, (9.0,))
        far = [e for e in far if e.sizes in sizes]
        found = far_notes(trial.call, far, names["q"], judged)
        judged = replace(judged, notes=(*judged.notes, *found))
    unnamed = not judged.headline.gradient_named and judged.bits > 16
    if reading.family == "pair" and unnamed and not trial.noisy:
        judged = with_truncation(trial.call, trial.experiments, names, judged)
    return _with_advantages(trial, _with_sequences(trial, judged))


def _with_sequences(trial: Trial, judged: Judged) -> Judged:
    """Whether sequences of rows get another factor: a mean over the batch that is a sum over tokens."""
    top, reading = judged.headline.gradient, trial.reading
    whole = trial.layout == "(B,V)" and reading.family == "pair" and not trial.noisy
    if (
        not whole or top is None or top.terms or trial.call.name == "jax"
    ):  # there it would compile thrice
        return judged
    experiments = [
        e
        for e in problems_of(reading, "(B,T,V)", trial.key, (1.0,))
        if e.weights.keys() == trial.experiments[0].weights.keys()
    ]
    try:
        other = judge(trial.call, experiments, reading.names("q"), [], deep=False).headline
    except Exception:  # noqa: BLE001 - a loss that takes no sequences
        return judged
    found = other.gradient
    same = found is not None and found.functional.label == top.functional.label
    if found is None or not (same and other.gradient_named) or ("T", 1) not in found.powers:
        return judged
    words = (
        f"with sequences, (B,T,V), it is T times {top.functional.label}: it sums over the tokens and divides by the "
        "batch alone, as torch's batchmean does; flatten the rows to (N, V) for a mean over tokens"
    )
    return replace(judged, notes=(*judged.notes, words))


def _chosen(judged: Sequence[tuple[Trial, Judged]]) -> tuple[Trial, Judged]:
    """The best named one; of those that agree, the one with most logits, which asks least of its input."""

    def rank(pair: tuple[Trial, Judged]) -> tuple[float, ...]:
        trial, found = pair
        logits = sum(role.kind == "logits" for role in trial.reading.roles.values())
        cost = trial.reading.cost
        if not found.named:
            return (2.0, cost, found.error)
        return (float(_weak(trial, found)), found.rank, -logits, cost)

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
