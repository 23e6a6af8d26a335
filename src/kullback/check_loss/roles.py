"""What an argument of a loss may be, from its name."""

import re
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
    (("items", "toks", "numtokens", "ntokens", "totaltokens", "tokencount"), ("size", "rows")),
    (("seqs", "numseqs", "numsequences"), ("size", "B")),
)
#: Kinds of arguments, as the user says them, and how they print where that differs.
_KINDS = {
    "logits": "", "log_probs": "log-probabilities", "probs": "probabilities",
    "sampled": "log-probabilities of sampled tokens", "log_ratio": "", "ratio": "", "importance_ratio": "",
    "log_importance_ratio": "", "labels": "", "tokens": "", "mask": "", "mean": "", "log_variance": "log variance",
    "variance": "", "sd": "", "log_sd": "log sd", "softplus_sd": "what softplus makes the sd",
    "other": "data that say nothing of q", "advantage": "advantages of the sampled tokens",
    "key": "a key of random numbers", "chosen": "log-probabilities of preferred answers",
    "rejected": "log-probabilities of rejected answers", "location": "predictions", "data": "data that are predicted",
    "embedding": "embeddings", "joint": "a critic's outputs at pairs of p",
    "marginal": "a critic's outputs at shuffled pairs", "real": "the critic's outputs at draws of p",
    "fake": "the critic's outputs at draws of q",
}  # fmt: skip
#: Kinds that are no side's.
_SIDELESS = ("real", "fake", "location", "data", "joint", "marginal")
Side = Literal["q", "p", "old", ""]


@final
@dataclass(frozen=True)
class ArgumentRole:
    """What an argument is taken for.

    Attributes:
        kind: a key of `_KINDS`, or "constant".
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

    @property
    def is_ratio(self) -> bool:
        """Whether it is of q and p, or of q and the policy that drew: of the side over the other."""
        return self.kind in ("log_ratio", "ratio", "log_importance_ratio", "importance_ratio")

    @property
    def is_importance(self) -> bool:
        """Whether it is a ratio of q and the policy that drew the tokens."""
        return self.kind.endswith("importance_ratio")

    @property
    def is_log(self) -> bool:
        """Of a ratio, whether it is its logarithm."""
        return self.kind.startswith("log")

    @property
    def sign(self) -> float:
        """Of log q in a log ratio."""
        return 1.0 if self.side == "q" else -1.0

    def __str__(self) -> str:
        if self.kind == "constant":
            return f"{self.value!r}, fixed"
        if self.is_importance:
            over = ("q", "the policy that drew the tokens")
            top, below = over if self.side == "q" else over[::-1]
            return f"{'log-ratio of ' if self.is_log else ''}{top} over {below}"
        if self.is_ratio:
            names = ("q", "p") if self.side == "q" else ("p", "q")
            shown = "log {} - log {}" if self.is_log else "{} / {}"
            return shown.format(*names) + " of sampled tokens"
        of = {"q": " of q", "p": " of p", "old": " of the policy that drew them", "": ""}[self.side]
        return (_KINDS[self.kind] or self.kind) + ("" if self.kind in _SIDELESS else of)


def parse_role(text: str, name: str) -> ArgumentRole:
    """Returns a role as the user writes it, such as "q logits" or "mask"."""
    sides: dict[str, Side] = {"q": "q", "student": "q", "policy": "q", "p": "p", "teacher": "p", "reference": "p",
             "prior": "p", "old": "old"}  # fmt: skip
    words = text.replace("-", "_").split()
    side = sides.get(words[0], "") if len(words) > 1 else ""
    kind = "_".join(words[1:] if side else words)
    if kind not in _KINDS:
        raise InputError(
            f'role "{text}" of {name} is not known: say "q" (trained), "p" or "old" and one of {", ".join(_KINDS)}; '
            f'such as roles={{"{name}": "q logits"}}. A number goes in fixed={{"{name}": 0.1}}'
        )
    if kind.endswith("importance_ratio"):
        return ArgumentRole(kind, side or "q")
    return ArgumentRole(kind, _OWN.get(kind, side))


#: Sides of kinds that have but one.
_OWN: dict[str, Side] = {
    "location": "q", "joint": "q", "marginal": "q", "real": "", "fake": "", "data": "p",
}  # fmt: skip


def guesses(name: str, *, beside_mean: bool = False) -> list[ArgumentRole]:
    """Returns what an argument without a default may be, from its name.

    Args:
        name: the argument's.
        beside_mean: whether another is a mean, so that a scale is a spread and no factor.
    """
    number = None if beside_mean and _gaussian(name) else _number(name)
    return roles_of(name) if number is None else [ArgumentRole("constant", value=number)]


def is_mask(name: str) -> bool:
    """Returns whether a name says that it is a mask of tokens, and not their number."""
    words = {*words_of(name)}
    padding = words & {"padding", "pad", "valid"} and _number(name) is None
    return bool(words & {"mask", "masks", "masked"} or padding)


def over_old(role: ArgumentRole) -> ArgumentRole:
    """Returns the same of a ratio, over the policy that drew the tokens."""
    kind = {"log_ratio": "log_importance_ratio", "ratio": "importance_ratio"}.get(role.kind)
    return role if kind is None else replace(role, kind=kind)


def _number(name: str) -> Any:
    words = words_of(name)
    if name == "T":
        return 2.0
    if (
        name in ("t", "s", "p", "q", "w")
        or any(w.startswith(("log", "prob", "ratio", "mask")) for w in words)
        or _choice(name)
    ):
        return None
    for known, value in _NUMBERS:
        if any(w in known for w in words) or "".join(words) in known:
            return value
    return None


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
        "inference", "vllm", "prev", "previous", "mu", "b", "mb"}  # fmt: skip
_LOG_PROBS = {
    "logp", "logps", "logprob", "logprobs", "logpi", "lp", "lprobs", "logq", "logpx", "ll",
}  # fmt: skip
_LABELS = {"label", "labels", "classes", "class", "targets", "target", "y", "idx", "true", "gt"}
_TOKENS = {
    "token", "tokens", "action", "actions", "ids", "sampled", "samples", "response", "responses",
}  # fmt: skip


def words_of(name: str) -> tuple[str, ...]:
    """Returns the words of a name: of snake_case, camelCase, with digits.

    Example:
        >>> words_of("refLogProbs")
        ('ref', 'log', 'probs')
    """
    part = re.sub(r"^(batch|data|inputs|sample|samples|cfg|config|args)(?=[.\[])", "", name)
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", part)
    return tuple(w for w in re.split(r"[_\W]+", spaced.lower()) if w)


def side_of(name: str) -> Side:
    """Returns whose a name says an argument is."""
    words = words_of(name)
    if len(words) > 1 and words[-1] in ("s", "t"):
        return "q" if words[-1] == "s" else "p"
    if any(w in _OLD and not (w in ("mu", "b") and len(words) == 1) for w in words):
        return "old"
    if "".join(words) in ("logp", "logprob"):
        return ""  # p is any probability; the other argument says whose
    order: tuple[tuple[Side, set[str]], ...] = (
        ("p", _SURELY_P), ("q", _SURELY_Q), ("p", _TEACHER), ("q", _STUDENT),
    )  # fmt: skip
    for side, known in order:
        if known & {*words}:
            return side
    return ""


#: Roles that a word of the name decides, in this order.
_BY_WORD: tuple[tuple[set[str], ArgumentRole], ...] = (
    ({"mask", "masks", "weights", "padding", "valid"}, ArgumentRole("mask")),
    ({"entropy", "entropies"}, ArgumentRole("other")),
    ({"real"}, ArgumentRole("real")),
    ({"joint"}, ArgumentRole("joint", "q")),
    ({"marginal", "marg", "shuffled"}, ArgumentRole("marginal", "q")),
    ({"fake", "gen", "generated"}, ArgumentRole("fake")),
)
#: Spreads and means by patterns of the joined name: the kinds it may be, with what each costs.
_GAUSSIAN: tuple[tuple[str, dict[str, float]], ...] = (
    (r"log(var|variance|sigma2|sigmasq|sigmasquared)|lnvar|logv$", {"log_variance": 0.0}),
    (r"log(sd|std|scale|sigma|s$|s[pqij]$)", {"log_sd": 0.0, "log_variance": 0.2}),
    (r"rho", {"softplus_sd": 0.0, "sd": 0.05, "log_variance": 0.4}),
    (r"^(?!.*temp).*(sigma|std|scale|stddev|^sd|sd$)",
     {"sd": 0.0, "variance": 0.3, "log_variance": 0.4}),
    (r"variance|^var|var$|sigma2", {"variance": 0.0, "log_variance": 0.3}),
    (r"^mu|mu$|mean|^loc|loc$|^m$|^m[pq]$", {"mean": 0.0}),
)  # fmt: skip
_DATA = {"recon", "reconstruction", "x", "xhat", "decoded", "image", "images", "recons"}
_REWARDS = {
    "advantage", "advantages", "adv", "advs", "returns", "ret", "reward", "rewards", "qvalue", "qvalues", "value",
    "values", "qf", "qf1", "qf2", "vf", "baseline", "td", "critic", "score", "minqf",
}  # fmt: skip
#: Words for the preferred and the rejected of two answers.
_CHOICE: dict[str, set[str]] = {
    "chosen": {"chosen", "preferred", "winner", "win", "w", "yw", "positive", "pos", "better", "accepted"},
    "rejected": {"rejected", "dispreferred", "loser", "lose", "l", "yl", "negative", "neg", "worse", "reject"},
}  # fmt: skip
_SCORES = {"reward", "rewards", "score", "scores", "logits", "r"}
_PREDICTED = {
    "pred", "preds", "prediction", "predictions", "predicted", "hat", "output", "outputs", "input", "inputs", "recon",
    "recons", "reconstruction", "xhat", "decoded",
}  # fmt: skip
_OBSERVED = {
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
}
_VIEWS = {
    "embed", "embeds", "embedding", "embeddings", "emb", "embs", "features", "feature", "feat", "feats", "z", "query",
    "queries", "key", "keys", "anchor", "positive", "positives", "view", "image", "text", "repr", "h",
}  # fmt: skip
_SECOND_VIEWS = {"key", "keys", "positive", "positives", "text", "target", "targets"}
#: Log importance weights, log p - log q, and keys of random numbers, by their joined names.
_LOG_WEIGHTS = {"logw", "logws", "logweight", "logweights", "logimportanceweights", "logiw"}
_JACOBIANS = {"det", "logdet", "jacobian", "jac", "ldj", "ladj", "logabsdet"}
_KEYS = {"key", "rng", "prngkey", "rngkey", "generator"}
_RATIOS = {"ratio", "ratios", "logratio", "logratios", "logr"}


def roles_of(name: str) -> list[ArgumentRole]:
    """Returns what an argument may be, from its name; empty if nothing is known."""
    words, joined = {*words_of(name)}, "".join(words_of(name))
    found: list[ArgumentRole] = []
    if words & _JACOBIANS:
        return [ArgumentRole("other")]
    if joined in _KEYS:
        found = [ArgumentRole("key")]
    elif joined in _LOG_WEIGHTS:
        return [ArgumentRole("log_ratio", "p")]
    else:
        found = [role for known, role in _BY_WORD if words & known and not _logs(name)][:1]
    found = (
        found
        or _choice(name)
        or _gaussian(name)
        or _token(name)
        or _distribution(name)
        or _label(words)
    )
    return found + _predicted(name, found) + _view(name, found)


def _choice(name: str) -> list[ArgumentRole]:
    """Log-probabilities, or rewards, of two answers of which one is preferred."""
    words = {*words_of(name)}
    p = words & {"ref", "reference", "base", "sft", "frozen", "init", "old"}
    alone = len(words) == 1 and len(name) > 2
    short = bool(words & {"pi", "policy", "ref", "reference"}) and words & {"w", "l", "yw", "yl"}
    for kind, known in _CHOICE.items():
        if words & known and (_logs(name) or words & _SCORES or alone or short):
            return [ArgumentRole(kind, "p" if p else "q")]
    return []


def _predicted(name: str, found: list[ArgumentRole]) -> list[ArgumentRole]:
    """What may be a prediction of numbers, or the numbers."""
    words = {*words_of(name)}
    if _logs(name) or words & {
        "prob",
        "probs",
        "labels",
        "label",
        "mask",
        "soft",
        "student",
        "teacher",
    }:
        return []
    mean = any(role.kind == "mean" for role in found)
    if mean or words & _PREDICTED:
        return [ArgumentRole("location", "q", 0.07 if mean else 0.27)]
    return [ArgumentRole("data", "p", 0.27)] if words & _OBSERVED else []


def _view(name: str, found: list[ArgumentRole]) -> list[ArgumentRole]:
    """What may be embeddings of one of two views, (B, d)."""
    words, joined = {*words_of(name)}, "".join(words_of(name))
    others = ("mean", "log_variance", "sd", "log_sd", "variance", "logits", "mask")
    known = words & _VIEWS or re.fullmatch(r"[zh]_?[12ijabxy]", name)
    if _logs(name) or not known or any(role.kind in others for role in found):
        return []
    second = words & _SECOND_VIEWS or re.search(r"[2jb]$", joined)
    return [ArgumentRole("embedding", "p" if second else "q", 0.2)]


def _logs(name: str) -> bool:
    """Whether a name says that it is of log-probabilities."""
    words, joined = {*words_of(name)}, "".join(words_of(name))
    return (
        bool(words & _LOG_PROBS)
        or bool(re.search(r"log_?p(rob|i|$|s)|logq|logprob|logsoftmax|loglik", joined))
        or ("log" in words and "logits" not in words)
    )


def _ranked(kinds: dict[str, float], side: Side) -> list[ArgumentRole]:
    return [ArgumentRole(kind, side, cost) for kind, cost in kinds.items()]


def _gaussian(name: str) -> list[ArgumentRole]:
    words = {*words_of(name)}
    joined = "".join(words_of(name))
    side: Side = "p" if words & {"p", "prior", "2", "ref", "teacher", "target", "old"} else "q"
    if re.search(r"\d$", joined):
        side = "q" if joined[-1] in "01" else "p"
        joined = joined.rstrip("0123456789")
    if re.search(r"log_?(prob|p[is]|lik|ratio|it)", joined):
        return []
    for pattern, kinds in _GAUSSIAN:
        if re.search(pattern, joined):
            return _ranked(kinds, side)
    return [ArgumentRole("other", "", 0.1)] if words & _DATA else []


#: Words of a name that say what of a Gaussian it is, not whose.
_OF_A_GAUSSIAN = {
    "mu", "mean", "means", "loc", "log", "var", "logvar", "variance", "sigma", "std", "scale", "sd", "stddev", "m", "s",
    "logs", "logstd", "logsigma", "logscale", "logsd", "lv", "rho", "ln", "lnvar", "squared", "sq", "diag",
}  # fmt: skip


def owner_of(name: str) -> str:
    """Returns whose mean or spread a name says it is, without what of it; "" where it does not say.

    Example:
        >>> owner_of("prior_loc"), owner_of("logvar1"), owner_of("scale")
        ('prior', '1', '')
    """
    words = [part for word in words_of(name) for part in re.findall(r"[a-z]+|\d+", word)]
    return "".join(w for w in words if w not in _OF_A_GAUSSIAN)


def _token(name: str) -> list[ArgumentRole]:
    words = words_of(name)
    distribution = _logs(name) or {*words} & {"logits", "probs", "prob"}
    if not distribution and ({*words} & _REWARDS or "".join(words) in ("q1", "q2", "minq", "qval")):
        return [ArgumentRole("advantage")]
    if (
        {*words} & _RATIOS
        and {*words} & {"importance", "is", "prob", "policy", "pi"}
        and "log" not in "".join(words)
    ):
        return [ArgumentRole("importance_ratio", "q")]
    if {*words} & _RATIOS:
        kind = "log_ratio" if "log" in "".join(words) else "ratio"
        return [ArgumentRole(kind, "q"), ArgumentRole(kind, "p", 0.05)]
    return []


def _distribution(name: str) -> list[ArgumentRole]:
    listed, side = words_of(name), side_of(name)
    words, joined = {*listed}, "".join(listed)
    log = _logs(name)
    short = len(listed) > 1 and listed[-1] in ("s", "t")
    spelled = short or words & {"logits", "logit", "probs", "prob", "soft", *_SURELY_Q}
    if words & _LABELS and not log and not spelled:
        return []
    if "logit" in joined or "scores" in words:
        return [ArgumentRole("logits", side)]
    if log:
        if not side and joined in ("logq", "logqx", "logqz"):
            side = "q"
        return _ranked({"sampled": 0.0, "log_probs": 0.05}, side)
    if words & {"probs", "prob", "probabilities", "probability", "softmax", "dist"}:
        return [ArgumentRole("probs", side)]
    if words & _TOKENS:
        return [ArgumentRole("tokens")]
    if not side:
        return []
    if joined in ("p", "q", "pk", "qk", "px", "qx"):
        return _ranked({"probs": 0.0, "logits": 0.1, "log_probs": 0.2, "sampled": 0.4}, side)
    if words & {"input", "inputs"}:
        return _ranked({"log_probs": 0.0, "logits": 0.04, "probs": 0.08, "sampled": 0.4}, side)
    return _ranked({"logits": 0.0, "log_probs": 0.1, "probs": 0.2, "sampled": 0.4}, side)


def _label(words: set[str]) -> list[ArgumentRole]:
    if not words & _LABELS:
        return []
    hard = ArgumentRole("labels", "", 0.05)
    if words & {"label", "labels", "class", "classes", "y", "idx"}:
        return [hard, *_ranked({"probs": 0.1, "logits": 0.3, "log_probs": 0.3}, "p")]
    soft = _ranked({"probs": 0.0, "logits": 0.1, "log_probs": 0.2}, "p")
    return [*soft, hard, ArgumentRole("sampled", "p", 0.4)]
