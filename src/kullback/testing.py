"""Assertions about losses, for the tests of training code."""

from collections.abc import Callable, Mapping
from typing import Any

from kullback.api.check_loss import check_loss
from kullback.results.loss_report import LossReport

__all__ = ["assert_loss"]


def assert_loss(
    fn: Callable[..., Any],
    *,
    gradient: str | None = None,
    value: str | None = None,
    on: str | None = None,
    scale: float | None = None,
    detached: str | None = None,
    student: str | None = None,
    roles: Mapping[str, str] | None = None,
    fixed: Mapping[str, Any] | None = None,
    signature: str | None = None,
) -> LossReport:
    """Returns the report on a loss that is what is said of it.

    Args:
        fn: the loss, as of `check_loss`.
        gradient: which divergence its gradient descends, such as "reverse".
        value: which divergence its value is.
        on: "full", "tokens", "path" or "off_policy": of what that is said; the arguments say it otherwise.
        scale: the factor in front of the gradient's divergence, such as 1.
        detached: "none", "partly" or "wholly": how much of its slope it hides from the gradient.
        student, roles, fixed, signature: as of `check_loss`.

    Raises:
        AssertionError: something is not so; the message is the whole report.
        InputError: the loss cannot be called, or it cannot be told what its arguments are.

    Example:
        >>> import numpy as np
        >>> def loss(p_probs, q_probs):
        ...     return np.mean(np.sum(p_probs * np.log(p_probs / q_probs), axis=-1))
        >>> assert_loss(loss, gradient="forward", on="full", scale=1).name
        'forward'
    """
    report = check_loss(
        fn, expect=gradient, expect_value=value, on=on, scale=scale, detached=detached, student=student,
        roles=roles, fixed=fixed, signature=signature,
    )  # fmt: skip
    if not report.passes:
        raise AssertionError(f"{report.loss} is not the loss that was expected\n{report}")
    return report
