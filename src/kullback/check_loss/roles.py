"""What an argument of a loss may be, from its name."""

import re
from dataclasses import dataclass
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

    @property
    def inert(self) -> bool:
        """Whether it says nothing of p or q."""
        return self.kind in ("constant", "mask", "labels", "tokens", "other")

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


def guesses(name: str) -> list[Role]:
    """Returns what an argument without a default may be, from its name."""
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
    "ref", "reference", "teacher", "frozen", "base", "init", "sft", "true", "target", "targets",
}  # fmt: skip
_SURELY_Q = {"student", "policy", "pred", "preds", "prediction", "predictions", "predicted", "hat", "output",
             "outputs", "actor"}  # fmt: skip
_OLD = {"old", "behavior", "behaviour", "rollout", "rollouts", "sampler", "sampling", "generation",
        "inference", "vllm", "prev", "previous", "mu", "b"}  # fmt: skip
_LOG_PROBS = {
    "logp", "logps", "logprob", "logprobs", "logpi", "lp", "lprobs", "logq", "logpx", "ll",
}  # fmt: skip
_LABELS = {"label", "labels", "classes", "class", "targets", "target", "y", "idx", "true", "gt"}
_TOKENS = {
    "token", "tokens", "action", "actions", "ids", "sampled", "samples", "response", "responses",
}  # fmt: skip


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
        ):  # p is any probability; the other argument says whose
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
