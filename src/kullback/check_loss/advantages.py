"""What the advantages of sampled tokens do in a loss: a policy gradient, its sign, and where it is clipped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.check_loss.functionals import Array, Catalogue, Functional
from kullback.check_loss.judging import observe, tolerance_of
from kullback.check_loss.matching import Match, Observations, match_gradient
from kullback.check_loss.problems import Experiment, sampled
from kullback.check_loss.roles import ArgumentRole
from kullback.interop.loss_calls import LossCall

#: Log-ratios of q and the policy that drew, at which clipping is looked for: 0.2 to 5, in steps of 2 %.
_LOG_RATIOS = np.linspace(-1.6, 1.6, 161)
#: Sds of the logits.
_SPREADS = (0.6, 1.0, 1.4)
_EXPECTED = "the expected advantage E_q[A]"


@final
@dataclass(frozen=True, eq=False)
class AdvantagePart:
    """What advantages add to a loss.

    Attributes:
        match: of the gradient they add with E_q[A]; None if they add none.
        named: whether it is that.
        notes: in words.
    """

    match: Match | None
    named: bool
    notes: tuple[str, ...]


def advantage_part(
    call: LossCall, roles: Mapping[str, ArgumentRole], layout: str, key: int, of_q: Sequence[str]
) -> AdvantagePart | None:
    """Returns what the advantages do; None where the loss does not take them.

    Args:
        call: the loss.
        roles: what the arguments are.
        layout: "(B,T)" or "(B)".
        key: of the random numbers.
        of_q: the arguments that are differentiated.
    """
    names = ", ".join(n for n, r in roles.items() if r.kind == "advantage")
    given = next(r.value for r in roles.values() if r.kind == "advantage") or "token"
    try:
        match, named = _part(call, roles, layout, key, of_q, given)
    except Exception:  # noqa: BLE001 - advantages that are not 0 are another thing
        return None
    return AdvantagePart(
        match, named, (*_words(names, match, named=named), *_clips(call, roles, layout, key, of_q))
    )


def crosses_rows(
    call: LossCall, roles: Mapping[str, ArgumentRole], experiment: Experiment, of_q: Sequence[str]
) -> bool:
    """Returns whether an advantage of one sequence reaches the gradients of others, as where its shape is another.

    A loss that takes one advantage a sequence may broadcast those of tokens without a word: (B,T) against (B,1,T).
    """
    draw, rng = experiment.at(experiment.theta)[0], np.random.default_rng(0)
    base = {
        n: rng.standard_normal(draw[n].shape) for n, r in roles.items() if r.kind == "advantage"
    }
    moved = {n: a.copy() for n, a in base.items()}
    for a in moved.values():
        a[:1] += 1.0
    _, slopes, _ = call.many([draw | base, draw | moved], of_q, experiment.weigh)
    return any(not np.allclose(g[0][1:], g[1][1:]) for g in (slopes or {}).values())


def _words(names: str, match: Match | None, *, named: bool) -> tuple[str, ...]:
    if match is None:
        return (f"{names}: with the tokens fixed they reach no gradient of q",)
    if not named:
        return (
            f"{names}: what they add is not the gradient of {_EXPECTED}, as where they are normalised within the batch",
        )
    if match.scale > 0.0:
        return (
            f"{names}: the sign is turned: descending it lowers {_EXPECTED}; a policy gradient descends -A log q",
        )
    return (f"{names}: a policy gradient, which raises {_EXPECTED}",)


def _part(
    call: LossCall,
    roles: Mapping[str, ArgumentRole],
    layout: str,
    key: int,
    of_q: Sequence[str],
    per: str,
) -> tuple[Match | None, bool]:
    """The gradient that advantages add, matched with that of their expectation."""
    with_them = [e for e in sampled(roles, layout, key, _SPREADS, per) if "q" in e.weights]
    without = [e for e in sampled(roles, layout, key, _SPREADS) if "q" in e.weights]
    gradients, seen = [], []
    for one, none in zip(with_them, without, strict=True):
        with np.errstate(all="ignore"):
            seen.append(observe(call, one, of_q, ())["q"])
            gradients.append(seen[-1].gradient - observe(call, none, of_q, ())["q"].gradient)
    expected = [_expected(e) for e in with_them]
    functional = Functional(
        "expected_advantage", _EXPECTED, np.array([v for v, _ in expected]), tuple(g for _, g in expected)
    )  # fmt: skip
    if all(
        np.linalg.norm(g) < 1e-9 * np.linalg.norm(e)
        for g, (_, e) in zip(gradients, expected, strict=True)
    ):
        return None, True
    precision = tolerance_of(seen, differences=call.name == "numpy")
    signal = Observations(
        np.zeros(len(seen)), tuple(gradients), [e.sizes for e in with_them], precision
    )
    match = match_gradient(signal, Catalogue((functional,)))
    return match, match.error <= precision


def _expected(experiment: Experiment) -> tuple[float, Array]:
    """E_q[A], the mean over tokens, and its gradient in the logits."""
    assert experiment.advantages is not None
    q, a = np.exp(experiment.pair.log_q), experiment.advantages
    mean = (q * a).sum(axis=-1, keepdims=True)
    return float(mean.mean()), (q * (a - mean)).ravel() / len(q)


def _clips(
    call: LossCall, roles: Mapping[str, ArgumentRole], layout: str, key: int, of_q: Sequence[str]
) -> tuple[str, ...]:
    """At which ratios of q to the policy that drew advantages reach no gradient, seen from both signs."""
    old = [n for n, r in roles.items() if r.side == "old" and r.kind == "sampled"]
    own = [n for n, r in roles.items() if r.side == "q" and r.kind == "sampled"]
    if not old or not own:
        return ()
    experiment = sampled(roles, layout, key, _SPREADS)[0]
    draw = experiment.at(experiment.theta)[0]
    advantages = [n for n, r in roles.items() if r.kind == "advantage"]
    draws = []
    for sign in (1.0, -1.0, 0.0):
        for x in _LOG_RATIOS:
            moved = dict(draw)
            for name in own:
                moved[name] = draw[old[0]] + x
            for name in advantages:
                moved[name] = np.full(draw[name].shape, sign)
            draws.append(moved)
    try:
        with np.errstate(all="ignore"):
            _, slopes, _ = call.many(draws, of_q, experiment.weigh)
    except Exception:  # noqa: BLE001 - what fails far from 1 says so in training
        return ()
    if slopes is None:
        return ()
    of_own = sum(slopes[n].reshape(len(draws), -1).sum(axis=1) for n in own)
    plus, minus, none = np.split(np.asarray(of_own), 3)
    return _clip_words(np.abs(plus - none) > 1e-9, np.abs(minus - none) > 1e-9)


def _clip_words(plus: Array, minus: Array) -> tuple[str, ...]:
    """Which ratios count for A > 0 and for A < 0, in words; empty where all do."""
    if plus.all() and minus.all():
        return ()
    ratios = np.exp(_LOG_RATIOS)
    low_plus, high_plus = _ends(plus, ratios)
    low_minus, high_minus = _ends(minus, ratios)
    said = []
    if np.isfinite(high_plus) and low_plus == 0.0:
        said.append(f"above about {high_plus:.2g} where A > 0")
    if low_minus > 0.0:
        said.append(f"below about {low_minus:.2g} where A < 0")
    wrong = []
    if low_plus > 0.0:
        wrong.append(f"below about {low_plus:.2g} where A > 0")
    if np.isfinite(high_minus) and high_minus < 2.0:
        wrong.append(f"above about {high_minus:.2g} where A < 0")
    notes = []
    if said:
        notes.append(
            f"clipped: tokens whose ratio to the old policy is {' or '.join(said)} get no gradient"
        )
    if wrong:
        notes.append(
            f"clipped on the wrong side: tokens whose ratio to the old policy is {' or '.join(wrong)} get no gradient, "
            "though a step would bring them back"
        )
    return tuple(notes)


def _ends(counts: Array, ratios: Array) -> tuple[float, float]:
    """Below and above which ratios nothing counts: 0 and inf where all do."""
    at = np.flatnonzero(counts)
    if not len(at):
        return np.inf, 0.0
    low = 0.0 if at[0] == 0 else float(ratios[at[0]])
    high = np.inf if at[-1] == len(counts) - 1 else float(ratios[at[-1]])
    return low, high
