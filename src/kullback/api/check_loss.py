"""check_loss: what a loss estimates and what it descends."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kullback.api.extremes import extremes_told
from kullback.check_loss.gates import Expected
from kullback.check_loss.readings import parameters_of, readings_of
from kullback.check_loss.signatures import roles_in, unfolded
from kullback.check_loss.trials import best_report
from kullback.core.errors import InputError
from kullback.results.loss_report import LossReport


def check_loss(
    fn: Callable[..., Any],
    *,
    expect: str | None = None,
    on: str | None = None,
    scale: float | None = None,
    expect_value: str | None = None,
    detached: str | None = None,
    student: str | None = None,
    roles: Mapping[str, str] | None = None,
    fixed: Mapping[str, Any] | None = None,
    signature: str | None = None,
    key: int = 0,
) -> LossReport:
    """Returns which divergence a loss estimates, as a value, and which it descends, as a gradient.

    The loss is called on small problems: random p and q, on which every divergence is known and every
    batch that may be drawn is enumerated with its probability. Its code is not read. q is what is
    trained (student, policy, encoder, model), p what is given (teacher, reference, prior, data):
    forward is KL(p||q), reverse KL(q||p).

    Args:
        fn: a function of JAX, torch or NumPy arrays, or a torch module, that returns a loss, reduced or
            not: of logits, log-probabilities or probabilities of two sides; of log-probabilities of
            sampled tokens; of logits and labels; of mean and (log) variance; of a critic's outputs at
            real and fake samples; of log-probabilities of preferred and rejected answers; of predictions and
            data; of embeddings. Arguments may be lists, and dicts, configs and outputs of models that hold
            them. What has a default keeps it.
        expect: the name that the gradient should have, such as "reverse", with a factor in front that is
            positive (of "expected_advantage", which is raised, negative); `report.passes` says whether,
            `report.gates` what was asked and found.
        on: of what it should: "full" (whole distributions), "tokens" (tokens that the policy drew, which are
            fixed), "path" (reparameterised draws of q, the gradient running through the draw) or
            "off_policy" (draws of neither). The default follows from the arguments, and is printed.
        scale: the factor in front of the gradient's divergence; at a temperature T that of T² times it.
        expect_value: the name that the value should have.
        detached: how much the loss should hide from its gradient: "none", "partly" or "wholly".
        student: the name of the argument that is trained, where names do not say it.
        roles: what arguments are, where names do not say it: {"x": "q logits", "y": "p probs"}.
        fixed: values of arguments that are none of these: {"kl_type": "k3"}.
        signature: a library whose names the arguments have, such as "trl.grpo", "verl.policy", "openrlhf.kl",
            "nemo_rl.kl", "slime.kl" or "torchtune.dpo".
        key: of the random problems.

    Raises:
        InputError: the signature means more than one thing, and with different answers, or cannot be
            called; the message says what to type.

    Example:
        >>> import numpy as np
        >>> def loss(p_probs, q_probs):
        ...     return np.mean(np.sum(p_probs * np.log(p_probs / q_probs), axis=-1))
        >>> report = check_loss(loss)
        >>> report.name, report.gradient.label, report.value.name
        ('forward', 'KL(p||q)', 'forward')
    """
    began = time.perf_counter()
    expectation = Expected(expect or "", expect_value or "", on or "", scale, detached or "")
    parameters = parameters_of(fn)
    roles = (roles_in(signature, parameters) if signature else {}) | dict(roles or {})
    fn, parameters = unfolded(fn, parameters, roles | dict(fixed or {}))
    if student is not None and student not in parameters:
        raise InputError(
            f"student={student!r} is none of its arguments: the loss has the arguments {', '.join(parameters)}"
        )
    if isinstance(key, bool) or not isinstance(key, int) or key < 0:
        raise InputError(f"key={key!r}: a key is a non-negative integer, such as key=0")
    readings = readings_of(parameters, roles, fixed or {}, student)
    with extremes_told(**{f"fixed[{name!r}]": value for name, value in (fixed or {}).items()}):
        report = best_report(fn, parameters, readings, expectation, key)
    return replace(report, seconds=time.perf_counter() - began)
