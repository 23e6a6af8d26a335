"""What a whole signature may mean: every consistent choice of roles, the likeliest first."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from kullback.core.errors import InputError

#: Values for numbers without a default, by words of their names: all different, to be told apart.
_NUMBERS: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("temperature", "temp", "tau"), 2.0),
    (("alpha", "lambda", "lam", "lambd", "lmbda", "mix", "weight", "w"), 0.3),
    (("beta", "coef", "coeff", "gamma", "scale"), 0.7),
    (("eps", "epsilon"), 1e-10),
    (("smoothing",), 0.1),
    (("clip", "cliprange"), 0.2),
    (("k", "topk", "top"), 5),
    (("reduction",), "mean"),
    (("dim", "axis"), -1),
    (("vocab", "vocabulary", "classes", "v"), ("size", "V")),
    (("batch", "batchsize", "n"), ("size", "B")),
    (("items",), ("size", "rows")),
)
_DISTRIBUTIONS = ("logits", "log_probs", "probs")
_SPREADS = ("log_variance", "variance", "sd", "log_sd")
_MOST = 400


# What the arguments of a loss may be, from their names.

Side = Literal["q", "p", "old", ""]


@final
@dataclass(frozen=True)
class Role:
    """What an argument is taken for.

    Attributes:
        kind: one of KINDS.
        side: whose: of q (trained), p (given) or the policy that drew; "" where that is not a question.
        cost: how far the name is from saying so, 0 for a name that says it.
        value: of constants.
    """

    kind: str
    side: Side = ""
    cost: float = 0.0
    value: Any = None

    def __str__(self) -> str:
        if self.kind == "constant":
            return f"{self.value!r}, fixed"
        if self.kind in ("log_ratio", "ratio"):
            names = ("q", "p") if self.side == "q" else ("p", "q")
            shown = "log {} - log {}" if self.kind == "log_ratio" else "{} / {}"
            return shown.format(*names) + " of sampled tokens"
        words = {
            "log_probs": "log-probabilities", "probs": "probabilities",
            "sampled": "log-probabilities of sampled tokens", "log_variance": "log variance", "log_sd": "log sd",
            "other": "data that say nothing of q", "real": "the critic's outputs at draws of p",
            "fake": "the critic's outputs at draws of q",
        }.get(self.kind, self.kind)  # fmt: skip
        of = {"q": " of q", "p": " of p", "old": " of the policy that drew them", "": ""}[self.side]
        return words + ("" if self.kind in ("real", "fake") else of)


@final
@dataclass(frozen=True)
class Candidate:
    """One reading of a signature.

    Attributes:
        family: "pair", "sampled", "gaussian" or "critic".
        roles: of each argument that is passed.
        cost: how far the names are from saying so.
        guessed_side: whether which of two is trained was guessed.
        last_resort: whether the names were ignored; for when no other reading can be called.
    """

    family: str
    roles: Mapping[str, Role]
    cost: float
    guessed_side: bool = False
    last_resort: bool = False


def parameters_of(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a loss; those of `forward` for a torch module.

    Raises:
        InputError: it is a class, or has no signature.
    """
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


def candidates(
    parameters: Mapping[str, inspect.Parameter],
    roles: Mapping[str, str],
    fixed: Mapping[str, Any],
    student: str | None,
) -> list[Candidate]:
    """Returns the readings of a signature, the likeliest first.

    Raises:
        InputError: a name or role is unknown, or an argument cannot be guessed.
    """
    options = _options(parameters, roles, fixed)
    optional = _optional(parameters, options)
    given = [n for n, found in options.items() if any(r.side for r in found)]
    found: list[Candidate] = []
    if len(given) <= 1:
        for name, ways in optional.items():
            found += _consistent(options | {name: ways}, student)
    found = found or list(_consistent(options, student))
    opened = list(_consistent(_opened(options, roles, fixed), student))
    if not found and not opened:
        raise InputError(_question(options))
    found += [replace(one, last_resort=True) for one in opened]
    best: dict[tuple, Candidate] = {}
    for one in found:
        key = (one.family, *((n, r.kind, r.side) for n, r in one.roles.items()))
        if key not in best or (one.last_resort, one.cost) < (best[key].last_resort, best[key].cost):
            best[key] = one
    return sorted(best.values(), key=lambda c: (c.last_resort, c.cost))[:_MOST]


def _options(
    parameters: Mapping[str, inspect.Parameter], roles: Mapping[str, str], fixed: Mapping[str, Any]
) -> dict[str, list[Role]]:
    """What each argument that must be passed may be."""
    for name in (*roles, *fixed):
        if name not in parameters and not _open(parameters):
            raise InputError(f"the loss has no argument {name!r}; it has {', '.join(parameters)}")
    found: dict[str, list[Role]] = {}
    for name, parameter in parameters.items():
        if name in fixed:
            found[name] = [Role("constant", value=fixed[name])]
        elif name in roles:
            found[name] = [parse_role(roles[name], name)]
        elif parameter.default is inspect.Parameter.empty and not _variable(parameter):
            found[name] = _guessed(name)
    found |= {n: [parse_role(r, n)] for n, r in roles.items() if n not in found}
    return found


def _variable(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _open(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(_variable(p) for p in parameters.values())


def _guessed(name: str) -> list[Role]:
    number = _number(name)
    if number is not None:
        return [Role("constant", value=number)]
    return roles_of(name)


def _number(name: str) -> Any:
    words = taken_apart(name).words
    if name == "T":
        return 2.0
    if name in ("t", "s", "p", "q") or any(w.startswith(("logit", "logp", "prob")) for w in words):
        return None
    for known, value in _NUMBERS:
        if any(w in known for w in words) or "".join(words) in known:
            return value
    return None


def _opened(
    options: Mapping[str, list[Role]], roles: Mapping[str, str], fixed: Mapping[str, Any]
) -> dict[str, list[Role]]:
    """The same with names that mislead forgotten: what is no constant, mask or said may be any side."""
    kept = ("constant", "mask")
    return {
        name: found if name in roles or name in fixed or (found and found[0].kind in kept) else []
        for name, found in options.items()
    }


def _optional(
    parameters: Mapping[str, inspect.Parameter], options: Mapping[str, list[Role]]
) -> dict[str, list[Role]]:
    """Arguments that default to None but look like a side."""
    return {
        name: found
        for name, parameter in parameters.items()
        if name not in options
        and parameter.default is None
        and (found := [r for r in roles_of(name) if r.kind not in ("mask", "other", "labels")])
    }


def parse_role(text: str, name: str) -> Role:
    """Returns a role as the user writes it, such as "q logits" or "mask".

    Raises:
        InputError: it is none.
    """
    sides = {"q": "q", "student": "q", "policy": "q", "p": "p", "teacher": "p", "reference": "p",
             "prior": "p", "old": "old"}  # fmt: skip
    words = text.replace("-", "_").split()
    side = sides.get(words[0], "") if len(words) > 1 else ""
    kind = "_".join(words[1:] if side else words)
    if kind not in KINDS or kind == "constant":
        known = ", ".join(k for k in KINDS if k != "constant")
        raise InputError(
            f'role "{text}" of {name} is not known: say "q" (trained), "p" or "old" and one of {known}; '
            f'such as roles={{"{name}": "q logits"}}. A number goes in fixed={{"{name}": 0.1}}'
        )
    return Role(kind, side)  # type: ignore[arg-type]


def _consistent(options: Mapping[str, list[Role]], student: str | None) -> Iterator[Candidate]:
    unknown = [name for name, roles in options.items() if not roles]
    ways = {
        name: roles
        or [Role(kind, "", 0.5 + 0.1 * i) for i, kind in enumerate(_DISTRIBUTIONS)]
        + [Role("sampled", "", 0.9)]
        for name, roles in options.items()
    }
    if len(unknown) > 2:
        return
    for chosen in itertools.islice(itertools.product(*ways.values()), _MOST * 20):
        roles = dict(zip(ways, chosen, strict=True))
        cost = sum(r.cost for r in chosen)
        for family in _families(roles):
            for sided, guessed in _sided(roles, student, family):
                yield Candidate(family, sided, cost, guessed)


def _families(roles: Mapping[str, Role]) -> Iterator[str]:
    kinds = [r.kind for r in roles.values()]
    whole = [k for k in kinds if k in _DISTRIBUTIONS]
    spreads = [k for k in kinds if k in _SPREADS]
    singles = [k for k in kinds if k in ("sampled", "log_ratio", "ratio")]
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
    if singles and not whole and not drawn and len(singles) <= 3:
        yield "sampled"


def _sided(
    roles: Mapping[str, Role], student: str | None, family: str
) -> Iterator[tuple[dict[str, Role], bool]]:
    """Every way to say who is trained; one if the names say it."""
    names = [n for n, r in roles.items() if r.kind in (*_DISTRIBUTIONS, "sampled")]
    if family in ("gaussian", "critic") or not names:
        yield dict(roles), False
        return
    sides = {n: roles[n].side for n in names}
    if len(names) == 2 and "old" in sides.values():  # the old policy is what is compared with
        sides = {n: "p" if s == "old" else s for n, s in sides.items()}
    if student is not None and student in sides:
        rest = [n for n in names if n != student]
        sides |= {student: "q"} | {n: "p" for n in rest if sides[n] == "q" or len(rest) == 1}
    for full, guessed in _completed(sides):
        yield {n: replace(r, side=full.get(n, r.side)) for n, r in roles.items()}, guessed


def _completed(sides: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    if len(sides) == 1:
        yield dict.fromkeys(sides, "q"), False
        return
    open_names = [n for n, s in sides.items() if not s]
    taken = [s for s in sides.values() if s]
    if len(set(taken)) == len(taken) and len(open_names) == 1:
        missing = next(s for s in ("q", "p", "old") if s not in taken)
        yield sides | {open_names[0]: missing}, False
    elif not open_names and len(set(taken)) == len(taken) and "q" in taken:
        yield sides, False
    elif len(sides) == 2:
        first, second = sides
        yield {first: "q", second: "p"}, True
        yield {first: "p", second: "q"}, True


def _question(options: Mapping[str, list[Role]]) -> str:
    unknown = [n for n, roles in options.items() if not roles] or list(options)
    example = ", ".join(f'"{n}": "..."' for n in unknown) or '"student_logits": "q logits"'
    return (
        f"what are the arguments {', '.join(options) or '(none)'}? {', '.join(unknown)} cannot be told from "
        f'the name: say roles={{{example}}}, with "q logits", "p logits", "q probs", "q log_probs", "q sampled" '
        '(log-probabilities of sampled tokens), "labels", "tokens", "mask", "q mean", "q log_variance", "real", '
        '"fake" or "other"; and numbers in fixed={...}'
    )


#: What an argument may be, apart from constants.
KINDS = (
    "logits", "log_probs", "probs", "sampled", "log_ratio", "ratio", "labels", "tokens",
    "mask", "mean", "log_variance", "variance", "sd", "log_sd", "other", "real", "fake",
    "constant",
)  # fmt: skip


_STUDENT = {
    "student", "policy", "pi", "q", "model", "pred", "preds", "prediction", "predictions", "predicted",
    "input", "inputs", "new", "actor", "current", "cur", "theta", "approx", "guide", "learner", "online",
    "output", "outputs", "s", "stu", "qk", "hat", "train", "trained", "active", "student1", "small",
}  # fmt: skip
_TEACHER = {
    "teacher", "ref", "reference", "target", "targets", "p", "true", "truth", "prior", "gt", "base",
    "frozen", "t", "data", "expert", "anchor", "soft", "pk", "tea", "label", "labels", "init", "sft",
    "y", "tgt", "big", "large", "gold", "oracle",
}  # fmt: skip
#: Words that decide, whatever else is in the name.
_SURELY_P = {
    "ref",
    "reference",
    "teacher",
    "frozen",
    "base",
    "init",
    "sft",
    "true",
    "target",
    "targets",
}
_SURELY_Q = {"student", "policy", "pred", "preds", "prediction", "predictions", "predicted", "hat", "output",
             "outputs", "actor"}  # fmt: skip
_OLD = {"old", "behavior", "behaviour", "rollout", "rollouts", "sampler", "sampling", "generation",
        "inference", "vllm", "prev", "previous", "mu", "b"}  # fmt: skip
_LOG_PROBS = {
    "logp",
    "logps",
    "logprob",
    "logprobs",
    "logpi",
    "lp",
    "lprobs",
    "logq",
    "logpx",
    "ll",
}
_LABELS = {"label", "labels", "classes", "class", "targets", "target", "y", "idx", "true", "gt"}
_TOKENS = {
    "token",
    "tokens",
    "action",
    "actions",
    "ids",
    "sampled",
    "samples",
    "response",
    "responses",
}


@final
@dataclass(frozen=True)
class Named:
    """A name taken apart."""

    name: str
    words: tuple[str, ...]

    @property
    def side(self) -> Side:
        """Whose the name says it is."""
        if len(self.words) > 1 and self.words[-1] in ("s", "t"):
            return "q" if self.words[-1] == "s" else "p"
        for word in self.words:
            if word in _OLD and not (word in ("mu", "b") and len(self.words) == 1):
                return "old"
        if self.joined in (
            "logp",
            "logprob",
        ):  # p is any probability here; the other argument says whose
            return ""
        order: tuple[tuple[Side, set[str]], ...] = (
            ("p", _SURELY_P), ("q", _SURELY_Q), ("p", _TEACHER), ("q", _STUDENT),
        )  # fmt: skip
        for side, known in order:
            if any(word in known for word in self.words):
                return side
        return ""

    @property
    def joined(self) -> str:
        """The words without what parts them."""
        return "".join(self.words)

    def has(self, *words: str) -> bool:
        """Whether one of the words is in it."""
        return any(w in self.words for w in words)


def taken_apart(name: str) -> Named:
    """Returns the words of a name: of snake_case, camelCase, with digits.

    Example:
        >>> taken_apart("refLogProbs").words
        ('ref', 'log', 'probs')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = tuple(w for w in re.split(r"[_\W]+", spaced.lower()) if w)
    return Named(name, words)


def roles_of(name: str) -> list[Role]:
    """Returns what an argument may be, from its name; empty if nothing is known."""
    word = taken_apart(name)
    for finder in (_mask, _critic, _gaussian, _token, _pair, _label):
        found = finder(word)
        if found:
            return found
    return []


def _mask(word: Named) -> list[Role]:
    return [Role("mask")] if word.has("mask", "masks", "weights", "padding") else []


def _critic(word: Named) -> list[Role]:
    if word.has("real"):
        return [Role("real")]
    return [Role("fake")] if word.has("fake", "gen", "generated") else []


def _gaussian(word: Named) -> list[Role]:
    name = word.joined
    side: Side = "p" if word.has("p", "prior", "2", "ref", "teacher", "target") else "q"
    if re.search(r"\d$", name):
        side = "q" if name[-1] in "01" else "p"
        name = name.rstrip("0123456789")
    if re.search(r"log(var|variance|sigma2|sigmasq|sigmasquared)|lnvar|logv$", name):
        return [Role("log_variance", side)]
    if re.search(r"log(sd|std|scale|sigma|s$|s[pq]$)", name):
        return [Role("log_sd", side), Role("log_variance", side, 0.2)]
    if re.search(r"sigma|std|scale|stddev|^sd|sd$|rho", name) and "temp" not in name:
        return [Role("sd", side), Role("variance", side, 0.3), Role("log_variance", side, 0.4)]
    if re.search(r"variance|^var|var$|sigma2", name):
        return [Role("variance", side), Role("log_variance", side, 0.3)]
    if re.search(r"^mu|mu$|mean|^loc|loc$|^m$|^m[pq]$", name):
        return [Role("mean", side)]
    if word.has("recon", "reconstruction", "x", "xhat", "decoded", "image", "images", "recons"):
        return [Role("other", "", 0.1)]
    return []


def _token(word: Named) -> list[Role]:
    if word.has("advantage", "advantages", "adv", "advs", "returns", "reward", "rewards"):
        return [Role("other", "", 0.0, "zero")]
    if word.has("ratio", "ratios", "logratio", "logratios", "logr"):
        kind = "log_ratio" if "log" in word.joined else "ratio"
        return [Role(kind, "q"), Role(kind, "p", 0.05)]
    return []


def _pair(word: Named) -> list[Role]:
    side = word.side
    joined = word.joined
    log = (
        word.has(*_LOG_PROBS)
        or bool(re.search(r"log_?p(rob|i|$|s)|logq|logprob|logsoftmax|loglik", joined))
        or (word.has("log") and not word.has("logits"))
    )
    short = len(word.words) > 1 and word.words[-1] in ("s", "t")
    spelled = short or word.has("logits", "logit", "probs", "prob", "soft", *_SURELY_Q)
    if word.has(*_LABELS) and not log and not spelled:
        return []
    if "logit" in joined or word.has("scores"):
        return [Role("logits", side)]
    if log:
        if not side and joined in ("logq", "logqx", "logqz"):
            side = "q"
        return [Role("sampled", side), Role("log_probs", side, 0.05)]
    if word.has("probs", "prob", "probabilities", "probability", "softmax", "dist"):
        return [Role("probs", side)]
    if word.has(*_TOKENS):
        return [Role("tokens")]
    if side:
        order, step = (("logits", "log_probs", "probs"), 0.1)
        if joined in ("p", "q", "pk", "qk", "px", "qx"):
            order = ("probs", "logits", "log_probs")
        elif word.has("input", "inputs"):
            order, step = (("log_probs", "logits", "probs"), 0.04)
        kinds = [Role(k, side, step * i) for i, k in enumerate(order)]
        return [*kinds, Role("sampled", side, 0.4)]
    return []


def _label(word: Named) -> list[Role]:
    if not word.has(*_LABELS):
        return []
    hard = [Role("labels", "", 0.05)]
    if word.has("label", "labels", "class", "classes", "y", "idx"):
        return [
            *hard,
            Role("probs", "p", 0.1),
            Role("logits", "p", 0.3),
            Role("log_probs", "p", 0.3),
        ]
    kinds = ("probs", "logits", "log_probs")
    return [*(Role(k, "p", 0.1 * i) for i, k in enumerate(kinds)), *hard, Role("sampled", "p", 0.4)]
