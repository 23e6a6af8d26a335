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
        value: of constants; of masks their type and what keeps a token; of advantages "sequence" or None.
    """

    kind: str
    side: Side = ""
    cost: float = 0.0
    value: Any = None

    @property
    def inert(self) -> bool:
        """Whether it says nothing of p or q."""
        return self.kind in ("constant", "mask", "labels", "tokens", "other", "advantage", "key")

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
            "other": "data that say nothing of q", "advantage": "advantages of the sampled tokens",
            "key": "a key of random numbers", "chosen": "log-probabilities of preferred answers",
            "rejected": "log-probabilities of rejected answers", "location": "predictions",
            "data": "data that are predicted", "embedding": "embeddings", "joint": "a critic's outputs at pairs of p",
            "marginal": "a critic's outputs at shuffled pairs", "real": "the critic's outputs at draws of p",
            "fake": "the critic's outputs at draws of q",
        }.get(self.kind, self.kind)  # fmt: skip
        of = {"q": " of q", "p": " of p", "old": " of the policy that drew them", "": ""}[self.side]
        return words + ("" if self.kind in _SIDELESS else of)


_SIDELESS = ("real", "fake", "location", "data", "joint", "marginal")


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


def guesses(name: str, *, beside_mean: bool = False) -> list[Role]:
    """Returns what an argument without a default may be, from its name.

    Args:
        name: the argument's.
        beside_mean: whether another is a mean, so that a scale is a spread and no factor.
    """
    if beside_mean and _gaussian(taken_apart(name)):
        return roles_of(name)
    number = _number(name)
    if number is not None:
        return [Role("constant", value=number)]
    return roles_of(name)


def _number(name: str) -> Any:
    words = taken_apart(name).words
    if name == "T":
        return 2.0
    if name in ("t", "s", "p", "q", "w") or any(
        w.startswith(("log", "prob", "ratio", "mask")) for w in words
    ):
        return None
    for known, value in _NUMBERS:
        if any(w in known for w in words) or "".join(words) in known:
            return value
    return None


#: What an argument may be, apart from constants.
KINDS = (
    "logits", "log_probs", "probs", "sampled", "log_ratio", "ratio", "labels", "tokens",
    "mask", "mean", "log_variance", "variance", "sd", "log_sd", "other", "advantage", "key", "real", "fake",
    "chosen", "rejected", "location", "data", "embedding", "joint", "marginal", "constant",
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
    part = re.sub(r"^(batch|data|inputs|sample|samples|cfg|config|args)(?=[.\[])", "", name)
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part)
    words = tuple(w for w in re.split(r"[_\W]+", spaced.lower()) if w)
    return Named(name, words)


def roles_of(name: str) -> list[Role]:
    """Returns what an argument may be, from its name; empty if nothing is known."""
    word = taken_apart(name)
    for finder in (
        _key,
        _log_weight,
        _mask,
        _critic,
        _preference,
        _advantage,
        _gaussian,
        _token,
        _pair,
        _label,
    ):
        found = finder(word)
        if found:
            return found + _predicted(word, found) + _embedded(word, found)
    return _embedded(word, [])


def _key(word: Named) -> list[Role]:
    return [Role("key")] if word.joined in ("key", "rng", "prngkey", "rngkey", "generator") else []


def _log_weight(word: Named) -> list[Role]:
    """Log importance weights are log p - log q."""
    known = ("logw", "logws", "logweight", "logweights", "logimportanceweights", "logiw")
    return [Role("log_ratio", "p")] if word.joined in known else []


def _preference(word: Named) -> list[Role]:
    """Log-probabilities, or rewards, of two answers of which one is preferred."""
    known = bool(_logs(word)) or word.has("reward", "rewards", "score", "scores", "logits", "r")
    side: Side = (
        "p" if word.has("ref", "reference", "base", "sft", "frozen", "init", "old") else "q"
    )
    for kind, words in _CHOICE.items():
        if word.has(*words) and (known or (len(word.words) == 1 and len(word.joined) > 2)):
            return [Role(kind, side)]
    return []


_CHOICE = {
    "chosen": ("chosen", "preferred", "winner", "win", "w", "yw", "positive", "pos", "better", "accepted"),
    "rejected": ("rejected", "dispreferred", "loser", "lose", "l", "yl", "negative", "neg", "worse", "reject"),
}  # fmt: skip


def _advantage(word: Named) -> list[Role]:
    if _logs(word) or word.has("logits", "probs", "prob"):
        return []
    known = word.has(
        "advantage", "advantages", "adv", "advs", "returns", "ret", "reward", "rewards", "qvalue", "qvalues",
        "value", "values", "qf", "qf1", "qf2", "vf", "baseline", "td", "critic", "score",
    )  # fmt: skip
    known = known or word.has("qf1", "qf2", "minqf") or word.joined in ("q1", "q2", "minq", "qval")
    return [Role("advantage")] if known else []


def _predicted(word: Named, found: list[Role]) -> list[Role]:
    """What may be a prediction of numbers, or the numbers."""
    if _logs(word) or word.has(
        "prob", "probs", "labels", "label", "mask", "soft", "student", "teacher"
    ):
        return []
    mean = any(role.kind == "mean" for role in found)
    if mean or word.has(
        "pred", "preds", "prediction", "predictions", "predicted", "hat", "output", "outputs", "input", "inputs",
        "recon", "recons", "reconstruction", "xhat", "decoded",
    ):  # fmt: skip
        return [Role("location", "q", 0.07 if mean else 0.27)]
    data = word.has(
        "target",
        "targets",
        "y",
        "true",
        "truth",
        "gt",
        "x",
        "image",
        "images",
        "data",
        "observed",
        "obs",
    )
    return [Role("data", "p", 0.27)] if data else []


def _embedded(word: Named, found: list[Role]) -> list[Role]:
    """What may be one of two views, (B, d)."""
    known = word.has(
        "embed", "embeds", "embedding", "embeddings", "emb", "embs", "features", "feature", "feat", "feats", "z",
        "query", "queries", "key", "keys", "anchor", "positive", "positives", "view", "image", "text", "repr", "h",
    )  # fmt: skip
    if (
        _logs(word)
        or not (known or re.fullmatch(r"[zh]_?[12ijabxy]", word.name))
        or any(
            role.kind in ("mean", "log_variance", "sd", "log_sd", "variance", "logits", "mask")
            for role in found
        )
    ):
        return []
    second = word.has("key", "keys", "positive", "positives", "text", "target", "targets") or bool(
        re.search(r"[2jb]$", word.joined)
    )
    return [Role("embedding", "p" if second else "q", 0.2)]


def _mask(word: Named) -> list[Role]:
    return [Role("mask")] if word.has("mask", "masks", "weights", "padding", "valid") else []


def _critic(word: Named) -> list[Role]:
    if word.has("real"):
        return [Role("real")]
    for kind, words in (
        ("joint", ("joint",)),
        ("marginal", ("marginal", "marg", "shuffled", "product")),
    ):
        if word.has(*words) and not _logs(word):
            return [Role(kind, "q")]
    return [Role("fake")] if word.has("fake", "gen", "generated") else []


def _gaussian(word: Named) -> list[Role]:
    name = word.joined
    side: Side = "p" if word.has("p", "prior", "2", "ref", "teacher", "target", "old") else "q"
    if re.search(r"\d$", name):
        side = "q" if name[-1] in "01" else "p"
        name = name.rstrip("0123456789")
    if re.search(r"log_?(prob|p[is]|lik|ratio|it)", name):
        return []
    if re.search(r"log(var|variance|sigma2|sigmasq|sigmasquared)|lnvar|logv$", name):
        return [Role("log_variance", side)]
    if re.search(r"log(sd|std|scale|sigma|s$|s[pqij]$)", name):
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


#: Words of a name that say what of a Gaussian it is, not whose.
_OF_A_GAUSSIAN = (
    "mu", "mean", "means", "loc", "log", "var", "logvar", "variance", "sigma", "std", "scale", "sd", "stddev", "m", "s",
    "logs", "logstd", "logsigma", "logscale", "logsd", "lv", "rho", "ln", "lnvar", "squared", "sq", "diag",
)  # fmt: skip


def owner(name: str) -> str:
    """Returns whose mean or spread a name says it is, without what of it; "" where it does not say.

    Example:
        >>> owner("prior_loc"), owner("logvar1"), owner("scale")
        ('prior', '1', '')
    """
    words = [w for word in taken_apart(name).words for w in re.findall(r"[a-z]+|\d+", word)]
    return "".join(w for w in words if w not in _OF_A_GAUSSIAN)


def _token(word: Named) -> list[Role]:
    if word.has("ratio", "ratios", "logratio", "logratios", "logr"):
        kind = "log_ratio" if "log" in word.joined else "ratio"
        return [Role(kind, "q"), Role(kind, "p", 0.05)]
    return []


def _logs(word: Named) -> bool:
    """Whether a name says that it is of log-probabilities."""
    return (
        word.has(*_LOG_PROBS)
        or bool(re.search(r"log_?p(rob|i|$|s)|logq|logprob|logsoftmax|loglik", word.joined))
        or (word.has("log") and not word.has("logits"))
    )


def _pair(word: Named) -> list[Role]:
    side = word.side
    joined = word.joined
    log = _logs(word)
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
