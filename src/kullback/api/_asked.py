"""What was asked of `diff`, checked before anything is read."""

import math
import numbers
from collections.abc import Callable, Iterable

from kullback._core.errors import InputError
from kullback._core.randomness import named
from kullback.api._drawn import Options

_LIKE = (None, "evidently")


def options(
    columns: object, *, weights: object, cluster: object, order: object, by: object, max_kl: object,
    joint: object, like: object, key: object, progress: Callable[[str], None] | None,
) -> Options:  # fmt: skip
    """Returns what was asked. Raises InputError for what is no such option."""
    if like not in _LIKE:
        raise InputError(f'like={like!r}: there is "evidently"')
    if max_kl is not None and not _is_limit(max_kl):
        raise InputError(f"max_kl={max_kl!r}: the largest KL allowed is a number of nats, 0 or more")
    if not isinstance(joint, bool):
        raise InputError(f"joint={joint!r}: say True or False")
    said = {"weights": weights, "cluster": cluster, "order": order, "by": by}
    for option, name in said.items():
        if name is not None and not isinstance(name, str):
            raise InputError(f"{option}={name!r}: give the name of a column, a text")
    named(key, "options")  # says what a key is, if this is none
    return Options(
        names(columns), weights, cluster, order, max_kl, joint, like, key, progress  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def names(columns: object) -> tuple[str, ...]:
    """Returns names of columns, each once; of one text the column of that name."""
    if isinstance(columns, str):
        return (columns,)
    listed = tuple(columns) if isinstance(columns, Iterable) else (columns,)
    for name in listed:
        if not isinstance(name, str):
            raise InputError(
                f'columns={columns!r}: give names of columns, texts, such as columns=["age", "city"]'
            )
    return tuple(dict.fromkeys(listed))


def _is_limit(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    return not math.isnan(value) and value >= 0.0
