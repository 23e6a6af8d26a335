"""Assertions for the tests of others: about losses, and about data."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kullback.api.check_loss import check_loss
from kullback.api.store import load, save
from kullback.core.errors import InputError
from kullback.diff.watch import watch
from kullback.results.loss_report import LossReport
from kullback.results.watch import Watch
from kullback.tables.kinds import Kind

__all__ = ["assert_loss", "assert_same_law"]


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


def assert_same_law(
    reference: object,
    current: object,
    *,
    state: str | Path | None = None,
    columns: str | Sequence[str] = (),
    kinds: Mapping[str, Kind] | None = None,
    key: int = 0,
) -> Watch:
    """Returns the watch on a reference with the rows that came, where these do not show another law.

    At most 5 % of tests fail where nothing changes; with `state` at most 5 % of tests ever do, however often they
    run on new rows: what came before is kept there.

    Args:
        reference, current: tables, as of `diff`, whose rows are independent. With `state`, the reference is
            read by the first run only.
        state: the file that keeps the watch from run to run.
        columns, kinds, key: as of `watch`.

    Raises:
        AssertionError: they are not of one law; the message says which column changed, how, and since when.
        InputError: they are no tables that can be watched, or the file holds another thing.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> assert_same_law(rng.normal(size=500), rng.normal(size=100)).alarm
        False
    """
    if state is not None and Path(state).exists():
        begun = load(state)
        if not isinstance(begun, Watch):
            raise InputError(f"{state}: there is no watch in it, but another result")
    else:
        begun = watch(reference, columns=columns, kinds=kinds, key=key)
    watched = begun.update(current)
    if state is not None:
        save(watched, state)
    if watched.alarm:
        raise AssertionError(f"the rows are not of the law of the reference\n{watched}")
    return watched
