"""What a whole signature may mean: every consistent choice of roles, the likeliest first."""

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from kullback.check_loss.roles import (
    ArgumentRole,
    guesses,
    over_old,
    owner_of,
    parse_role,
    roles_of,
    side_of,
)
from kullback.core.errors import InputError

_DISTRIBUTIONS = ("logits", "log_probs", "probs")
_SPREADS = ("log_variance", "variance", "sd", "log_sd", "softplus_sd")
_MOST = 400


@final
@dataclass(frozen=True)
class Reading:
    """One reading of a signature.

    Attributes:
        family: "pair", "sampled", "gaussian", "critic", or one of the formulas: "preference", "regression",
            "contrastive", "information".
        roles: of each argument that is passed.
        cost: how far the names are from saying so.
        guessed_side: whether which of two is trained was guessed.
        last_resort: whether the names were ignored; for when no other reading can be called.
    """

    family: str
    roles: Mapping[str, ArgumentRole]
    cost: float
    guessed_side: bool = False
    last_resort: bool = False

    def names(self, side: str) -> list[str]:
        """Returns the arguments of q or of p that are differentiated."""
        return [
            n
            for n, r in self.roles.items()
            if not r.inert and ("q" if r.is_ratio else r.side) == side
        ]


def parameters_of(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a loss; those of `forward` for a torch module."""
    if inspect.isclass(fn):
        raise InputError(
            f"{fn.__name__} is a class, not a loss: make an instance, check_loss({fn.__name__}(...))"
        )
    if not callable(fn):
        raise InputError(f"check_loss needs a function, got {type(fn).__name__}")
    try:
        return dict(inspect.signature(getattr(fn, "forward", fn)).parameters)
    except (TypeError, ValueError):
        raise InputError(
            "the loss has no signature that Python can read: wrap it, such as "
            "check_loss(lambda student_logits, teacher_logits: loss(student_logits, teacher_logits))"
        ) from None


def readings_of(
    parameters: Mapping[str, inspect.Parameter],
    roles: Mapping[str, str],
    fixed: Mapping[str, Any],
    student: str | None,
) -> list[Reading]:
    """Returns the readings of a signature, the likeliest first."""
    options = _options(parameters, roles, fixed)
    optional = _optional(parameters, options)
    telling = [n for n, found in options.items() if not found or any(not r.inert for r in found)]
    labelled = any(r.kind == "labels" for ways in options.values() for r in ways)
    found: list[Reading] = []
    if len(telling) <= 1 and not labelled:
        for name, ways in optional.items():
            found += _consistent(options | {name: ways}, student)
    found = found or list(_consistent(options, student))
    opened = list(_consistent(_opened(options, roles, fixed), student))
    if not found and not opened:
        raise InputError(_question(options))
    found += [replace(one, last_resort=True) for one in opened]
    best: dict[tuple, Reading] = {}
    for one in found:
        key = (one.family, *((n, r.kind, r.side) for n, r in one.roles.items()))
        if key not in best or (one.last_resort, one.cost) < (best[key].last_resort, best[key].cost):
            best[key] = one
    return sorted(best.values(), key=lambda c: (c.last_resort, c.cost))[:_MOST]


def _options(
    parameters: Mapping[str, inspect.Parameter], roles: Mapping[str, str], fixed: Mapping[str, Any]
) -> dict[str, list[ArgumentRole]]:
    """What each argument that must be passed may be."""
    variable = {n for n, p in parameters.items() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    for name in (*roles, *fixed):
        if name not in parameters and not variable:
            raise InputError(f"the loss has no argument {name!r}; it has {', '.join(parameters)}")
    found: dict[str, list[ArgumentRole]] = {}
    beside_mean = any(r.kind == "mean" for name in parameters for r in roles_of(name))
    for name, parameter in parameters.items():
        if name in fixed:
            found[name] = [ArgumentRole("constant", value=fixed[name])]
        elif name in roles:
            found[name] = [parse_role(roles[name], name)]
        elif parameter.default is inspect.Parameter.empty and name not in variable:
            found[name] = guesses(name, beside_mean=beside_mean)
    found |= {n: [parse_role(r, n)] for n, r in roles.items() if n not in found}
    return _with_data(_beside_advantages(found))


def _beside_advantages(options: dict[str, list[ArgumentRole]]) -> dict[str, list[ArgumentRole]]:
    """The same where, beside advantages, a ratio is over the policy that drew unless its name says a reference."""
    if not any(r.kind == "advantage" for found in options.values() for r in found):
        return options
    return {
        name: found if side_of(name) == "p" else [over_old(r) for r in found]
        for name, found in options.items()
    }


def _with_data(options: dict[str, list[ArgumentRole]]) -> dict[str, list[ArgumentRole]]:
    """The same where, beside a mean and a spread of another name, all else may be data and their reconstruction."""
    kinds = [(n, r.kind) for n, found in options.items() for r in found]
    means = {n for n, kind in kinds if kind == "mean"}
    spreads = {n for n, kind in kinds if kind in _SPREADS} - means
    if not means or not spreads:
        return options
    data = ArgumentRole("other", "", 0.35)
    return {
        name: found if name in means | spreads or any(r.inert for r in found) else [*found, data]
        for name, found in options.items()
    }


def _opened(
    options: Mapping[str, list[ArgumentRole]], roles: Mapping[str, str], fixed: Mapping[str, Any]
) -> dict[str, list[ArgumentRole]]:
    """The same with names that mislead forgotten: what is no constant, mask or said may be any side."""
    kept = ("constant", "mask")
    return {
        name: found if name in roles or name in fixed or (found and found[0].kind in kept) else []
        for name, found in options.items()
    }


def _optional(
    parameters: Mapping[str, inspect.Parameter], options: Mapping[str, list[ArgumentRole]]
) -> dict[str, list[ArgumentRole]]:
    """Arguments that default to None but look like a side."""
    return {
        name: found
        for name, parameter in parameters.items()
        if name not in options
        and parameter.default is None
        and (found := [r for r in roles_of(name) if r.kind not in ("mask", "other", "labels")])
    }


def _consistent(
    options: Mapping[str, list[ArgumentRole]], student: str | None
) -> Iterator[Reading]:
    unknown = [name for name, roles in options.items() if not roles]
    ways = {
        name: roles
        or [ArgumentRole(kind, "", 0.5 + 0.1 * i) for i, kind in enumerate(_DISTRIBUTIONS)]
        + [ArgumentRole("sampled", "", 0.9)]
        for name, roles in options.items()
    }
    if len(unknown) > 2:
        return
    for chosen in itertools.islice(itertools.product(*ways.values()), _MOST * 20):
        roles = dict(zip(ways, chosen, strict=True))
        cost = sum(r.cost for r in chosen)
        for family in _families(roles):
            for sided, guessed in _sided(roles, student, family):
                yield Reading(family, sided, cost, guessed)


#: Kinds of the arguments that a formula must have, and may have besides.
_FORMULAS = (
    ("preference", {"chosen", "rejected"}, ("sampled",)),
    ("regression", {"location", "data"}, _SPREADS),
    ("contrastive", {"embedding"}, ()),
    ("information", {"joint", "marginal"}, ()),
)
_OF_FORMULAS = ("chosen", "rejected", "location", "data", "embedding", "joint", "marginal")


def _families(roles: Mapping[str, ArgumentRole]) -> Iterator[str]:
    kinds = [r.kind for r in roles.values()]
    telling = [r.kind for r in roles.values() if not r.inert]
    if any(k in _OF_FORMULAS for k in telling):
        yield from _formula(telling, kinds)
        return
    whole = [k for k in kinds if k in _DISTRIBUTIONS]
    spreads = [k for k in kinds if k in _SPREADS]
    singles = [k for k in kinds if k == "sampled" or k.endswith("ratio")]
    critics = [k for k in kinds if k in ("real", "fake")]
    drawn = "labels" in kinds or "tokens" in kinds
    if spreads and not whole and not singles and not critics and not drawn:
        yield "gaussian"
    if spreads or "mean" in kinds:
        return
    if critics:
        if not whole and not singles and not drawn:
            yield "critic"
        return
    if 1 <= len(whole) <= 2 and (drawn or not singles):
        yield "pair"
    if singles and not whole and not drawn and len(singles) <= 4:
        yield "sampled"


def _formula(telling: list[str], kinds: list[str]) -> Iterator[str]:
    if "labels" in kinds or "tokens" in kinds:
        return
    for family, needed, besides in _FORMULAS:
        rest = [k for k in telling if k in besides]
        once = family == "preference" or (len(telling) == 2 + len(rest) and len(rest) <= 1)
        if needed <= set(telling) <= needed | set(besides) and once:
            yield family


def _sided(
    roles: Mapping[str, ArgumentRole], student: str | None, family: str
) -> Iterator[tuple[dict[str, ArgumentRole], bool]]:
    """Every way to say who is trained; one if the names say it."""
    if family == "gaussian":
        yield _of_two_gaussians(roles, student), False
        return
    names = [n for n, r in roles.items() if r.kind in (*_DISTRIBUTIONS, "sampled")]
    if family not in ("pair", "sampled") or not names:
        yield dict(roles), False
        return
    sides = {n: roles[n].side for n in names}
    apart = any(r.kind == "advantage" for r in roles.values())
    if len(names) == 2 and "old" in sides.values() and not apart:  # it is what is compared with
        sides = {n: "p" if s == "old" else s for n, s in sides.items()}
    if student is not None and student in sides:
        rest = [n for n in names if n != student]
        sides |= {student: "q"} | {n: "p" for n in rest if sides[n] == "q" or len(rest) == 1}
    for full, guessed in _completed(sides, apart=apart):
        yield {n: replace(r, side=full.get(n, r.side)) for n, r in roles.items()}, guessed


def _of_two_gaussians(
    roles: Mapping[str, ArgumentRole], student: str | None
) -> dict[str, ArgumentRole]:
    """Whose means and spreads are: by `student`; by words; by number or letter, the first named being q."""
    owners = {n: owner_of(n) for n, r in roles.items() if r.kind in ("mean", *_SPREADS)}
    groups = list(dict.fromkeys(owners.values()))
    if student in owners:
        sides = {n: "q" if who == owners[student] else "p" for n, who in owners.items()}
    elif len(groups) == 2 and len({roles[n].side for n in owners}) == 1:
        sides = {n: "q" if who == groups[0] else "p" for n, who in owners.items()}
    else:
        return dict(roles)
    return {n: replace(r, side=sides.get(n, r.side)) for n, r in roles.items()}


def _completed(sides: dict[str, Any], *, apart: bool) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every way to say whose the open names are; beside advantages the policy that drew is the likelier."""
    if len(sides) == 1:
        yield dict.fromkeys(sides, "q"), False
        return
    open_names = [n for n, s in sides.items() if not s]
    taken = [s for s in sides.values() if s]
    twice = len(set(taken)) < len([s for s in taken if s != "old"]) + ("old" in taken)
    if not twice and len(open_names) == 1:
        order = ("q", "old", "p") if apart else ("q", "p", "old")
        missing = [s for s in order if s not in taken]
        for side in missing[: 2 if apart and missing[0] != "q" else 1]:
            yield sides | {open_names[0]: side}, False
    elif not open_names and not twice and "q" in taken:
        yield sides, False
    elif len(sides) == 2:
        first, second = sides
        yield {first: "q", second: "p"}, True
        yield {first: "p", second: "q"}, True


def _question(options: Mapping[str, list[ArgumentRole]]) -> str:
    unknown = [n for n, roles in options.items() if not roles] or list(options)
    example = ", ".join(f'"{n}": "..."' for n in unknown) or '"student_logits": "q logits"'
    return (
        f"what are the arguments {', '.join(options) or '(none)'}? {', '.join(unknown)} cannot be told from "
        f'the name: say roles={{{example}}}, with "q logits", "p logits", "q probs", "q log_probs", "q sampled" '
        '(log-probabilities of sampled tokens), "labels", "tokens", "mask", "advantage", "q mean", "q log_variance", '
        '"q chosen", "q rejected", "real", "fake" or "other"; and numbers in fixed={...}'
    )
