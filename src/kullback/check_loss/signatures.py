"""Signatures of real code: those of known libraries by name, batches as dicts, configs and outputs of models."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from kullback.check_loss.roles import guesses
from kullback.core.errors import InputError
from kullback.core.user_code import user_code

_GRPO = {
    "per_token_logps": "q sampled", "old_per_token_logps": "old sampled", "ref_per_token_logps": "p sampled",
    "advantages": "advantage", "completion_mask": "mask", "mask": "mask",
}  # fmt: skip
_DPO = {
    "policy_chosen_logps": "q chosen", "policy_rejected_logps": "q rejected", "chosen_logps": "q chosen",
    "rejected_logps": "q rejected", "reference_chosen_logps": "p chosen", "reference_rejected_logps": "p rejected",
    "ref_chosen_logps": "p chosen", "ref_rejected_logps": "p rejected",
}  # fmt: skip
_DISTILLATION = {
    "student_logits": "q logits", "teacher_logits": "p logits", "labels": "labels", "mask": "mask",
    "token_mask": "mask",
}  # fmt: skip
#: What arguments are called in the losses of a library, and what they are.
SIGNATURES: dict[str, dict[str, str]] = {
    "trl.grpo": _GRPO,
    "trl.dpo": _DPO,
    "trl.kto": _DPO | {"policy_KL_logps": "q sampled", "reference_KL_logps": "p sampled"},
    "trl.gkd": _DISTILLATION,
    "trl.ppo": {
        "logprobs": "q sampled", "new_logprobs": "q sampled", "ref_logprobs": "p sampled",
        "mb_logprobs": "old sampled", "old_logprobs": "old sampled", "mb_advantage": "advantage",
        "advantages": "advantage", "mask": "mask", "padding_mask": "mask",
    },
    "verl.kl": {"logprob": "q sampled", "ref_logprob": "p sampled"},
    "verl.policy": {
        "log_prob": "q sampled", "old_log_prob": "old sampled", "ref_log_prob": "p sampled",
        "rollout_log_probs": "old sampled", "advantages": "advantage", "response_mask": "mask", "eos_mask": "mask",
    },
    "openrlhf.kl": {"log_probs": "q sampled", "log_probs_base": "p sampled", "action_mask": "mask"},
    "openrlhf.policy": {
        "log_probs": "q sampled", "old_log_probs": "old sampled", "rollout_log_probs": "old sampled",
        "advantages": "advantage", "action_mask": "mask",
    },
    "openrlhf.dpo": _DPO | {"reference_chosen_logps": "p chosen", "reference_rejected_logps": "p rejected"},
    "openrlhf.distill": {"logits": "q logits", "teacher_logits": "p logits", "label": "labels"},
    "nemo_rl.kl": {"logprobs_policy": "q sampled", "logprobs": "q sampled", "logprobs_reference": "p sampled"},
    "nemo_rl.policy": {
        "curr_logprobs": "q sampled", "next_token_logprobs": "q sampled", "prev_logprobs": "old sampled",
        "generation_logprobs": "old sampled", "reference_policy_logprobs": "p sampled", "advantages": "advantage",
        "token_mask": "mask", "sample_mask": "other", "mask": "mask",
    },
    "slime.kl": {"log_probs": "q sampled", "log_probs_base": "p sampled", "importance_ratio": "importance_ratio"},
    "slime.policy": {"ppo_kl": "p log_ratio", "advantages": "advantage"},
    "torchtune.kd": _DISTILLATION,
    "torchtune.dpo": {
        "policy_chosen_logps": "q chosen", "policy_rejected_logps": "q rejected",
        "reference_chosen_logps": "p chosen", "reference_rejected_logps": "p rejected",
        "policy_chosen_logprobs": "q chosen", "policy_rejected_logprobs": "q rejected",
        "reference_chosen_logprobs": "p chosen", "reference_rejected_logprobs": "p rejected",
    },
    "torchtune.grpo": {
        "pi_logprobs": "q sampled", "pi_old_logprobs": "old sampled", "ref_logprobs": "p sampled",
        "advantages": "advantage", "padding_masks": "mask",
    },
}  # fmt: skip


def roles_in(signature: str, parameters: Mapping[str, inspect.Parameter]) -> dict[str, str]:
    """Returns what the arguments of a loss of a known library are.

    Args:
        signature: one of SIGNATURES.
        parameters: the loss's.

    Raises:
        InputError: it is not known, or the loss has none of its arguments.
    """
    if signature not in SIGNATURES:
        raise InputError(
            f'signature="{signature}" is not known; choose from {", ".join(SIGNATURES)}'
        )
    known = SIGNATURES[signature]
    needed = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    found = {
        name: role for name, role in known.items() if name in needed
    }  # defaults keep their value
    if not found:
        raise InputError(
            f'signature="{signature}" has the arguments {", ".join(known)}; the loss has {", ".join(parameters)}: say '
            "roles={...}"
        )
    return found


# A batch as a dict, a config, the outputs of a model: what is asked of them are arguments too.

#: Arguments asked for at most, of one loss.
_MOST = 24


@final
@dataclass(eq=False)
class _Asked(dict):
    """What a loss asks of an argument: keys, and attributes; every answer is a small array, or a usual number."""

    argument: str
    answer: Callable[[str], Any]
    keys_asked: dict[str, None] = field(default_factory=dict)
    attributes: dict[str, None] = field(default_factory=dict)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):  # outputs[0]
            raise KeyError(key)
        self.keys_asked[key] = None
        return self.answer(f"{self.argument}[{key!r}]")

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.attributes[name] = None
        return self.answer(f"{self.argument}.{name}")


@final
class _Answers(dict):
    """A dict whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def unfolded(
    fn: Callable[..., Any],
    parameters: Mapping[str, inspect.Parameter],
    settled: Mapping[str, Any],
) -> tuple[Callable[..., Any], dict[str, inspect.Parameter]]:
    """Returns a loss whose dicts, configs and outputs of models are arguments of their own, and its parameters.

    Args:
        fn: the loss.
        parameters: its arguments.
        settled: arguments that are said, by roles or as fixed.
    """
    unknown = [
        n
        for n, p in parameters.items()
        if n not in settled
        and p.default is inspect.Parameter.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY, p.KEYWORD_ONLY)
        and (not guesses(n) or n in _CONTAINERS)
    ]
    asked = _asked(fn, parameters, unknown) if unknown else {}
    if not asked:
        return fn, dict(parameters)
    flat = dict(_flat(parameters, asked))

    def loss(**given: Any) -> Any:
        return fn(**dict(_folded(asked, given)))

    loss.__name__ = getattr(fn, "__name__", type(fn).__name__)
    loss.__wrapped__ = fn  # type: ignore[attr-defined] - its library is that of the user's function
    return loss, flat


#: Names that are dicts or outputs more often than arrays.
_CONTAINERS = ("batch", "inputs", "outputs", "data", "sample", "samples", "output", "teacher_outputs",
               "student_outputs", "teacher_output", "student_output", "model_output", "model_outputs",
               "policy_outputs")  # fmt: skip


def _asked(
    fn: Callable[..., Any], parameters: Mapping[str, inspect.Parameter], unknown: list[str]
) -> dict[str, _Asked]:
    """What a loss asks of those arguments, tried with arrays of every library; empty if nothing."""
    best: dict[str, _Asked] = {}
    for make in _arrays():

        def answer(name: str, make: Callable[[], Any] = make) -> Any:
            number = [r.value for r in guesses(name) if r.kind == "constant"]
            return number[0] if number and not isinstance(number[0], tuple) else make()

        holders = {n: _Asked(argument=n, answer=answer) for n in unknown}
        given = {
            n: holders.get(n) if n in holders else answer(n)
            for n, p in parameters.items()
            if p.default is inspect.Parameter.empty
            and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }
        try:
            with user_code("the loss"):
                fn(**given)
        except Exception:  # noqa: BLE001, S110 - what was asked before it failed is what counts
            pass
        found = {
            n: h for n, h in holders.items() if 0 < len(h.keys_asked) + len(h.attributes) <= _MOST
        }
        if _count(found) > _count(best):
            best = found
    return {n: h for n, h in best.items() if not _is_array(h)}


def _count(asked: Mapping[str, _Asked]) -> int:
    return sum(len(h.keys_asked) + len(h.attributes) for h in asked.values())


def _is_array(holder: _Asked) -> bool:
    """Whether what was asked is what arrays are asked: shapes and means, not parts."""
    return any(hasattr(np.ndarray, n) or n in _OF_TENSORS for n in holder.attributes)


_OF_TENSORS = (
    "detach", "size", "dim", "device", "dtype", "exp", "log", "softmax", "log_softmax", "view", "float", "double",
    "contiguous", "unsqueeze", "numel", "pow", "to", "gather", "unbind", "chunk", "transpose", "permute", "ndim",
)  # fmt: skip


def _arrays() -> Iterator[Callable[[], Any]]:
    """Small arrays of the libraries that are there."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        yield lambda: torch.full((2, 2, 3), 0.4, dtype=torch.float64)
        yield lambda: torch.full((2, 2), 0.4, dtype=torch.float64)
        yield lambda: torch.full((2, 2), 1)
    if "jax" in sys.modules:
        jnp = sys.modules["jax"].numpy
        yield lambda: jnp.full((2, 2, 3), 0.4)
        yield lambda: jnp.full((2, 2), 0.4)
    yield lambda: np.full((2, 2, 3), 0.4)
    yield lambda: np.full((2, 2), 0.4)


def _flat(
    parameters: Mapping[str, inspect.Parameter], asked: Mapping[str, _Asked]
) -> Iterator[tuple[str, inspect.Parameter]]:
    for name, parameter in parameters.items():
        if name not in asked:
            yield name, parameter.replace(kind=parameter.KEYWORD_ONLY)
            continue
        for part in _parts(name, asked[name]):
            yield part, inspect.Parameter("part", inspect.Parameter.KEYWORD_ONLY)


def _parts(name: str, holder: _Asked) -> list[str]:
    return [
        *(f"{name}[{key!r}]" for key in holder.keys_asked),
        *(f"{name}.{a}" for a in holder.attributes),
    ]


def _folded(asked: Mapping[str, _Asked], given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The arguments of the loss itself, its dicts put together again."""
    rest = dict(given)
    for name, holder in asked.items():
        keys = (*holder.keys_asked, *holder.attributes)
        values = [rest.pop(part) for part in _parts(name, holder) if part in rest]
        yield name, _Answers(zip(keys, values, strict=False))
    yield from rest.items()
