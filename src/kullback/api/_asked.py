"""What was asked of `diff`, checked before anything is read."""

from collections.abc import Iterable

import numpy as np

from kullback._core.errors import InputError
from kullback._core.randomness import named
from kullback.api._drawn import Options

_LIKE = (None, "evidently")


def options(
    columns: object, *, weights: object, cluster: object, order: object, by: object, max_kl: object,
    joint: object, like: object, key: object, progress: object,
) -> Options:  # fmt: skip
    """Returns what was asked. Raises InputError for what is no such option."""
    if like not in _LIKE:
        raise InputError(f'like={like!r}: there is "evidently"')
    if max_kl is not None and not _is_limit(max_kl):
        raise InputError(
            f"max_kl={max_kl!r}: the largest KL allowed is a number of nats, 0 or more"
        )
    if not isinstance(joint, bool):
        raise InputError(f"joint={joint!r}: say True or False")
    if progress is not None and not callable(progress):
        raise InputError(f"progress={progress!r}: give a function that is called with a text")
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
    found = []
    for name in columns if isinstance(columns, Iterable) else (columns,):
        if not isinstance(name, str):
            raise InputError(
                f'columns={columns!r}: give names of columns, texts, such as columns=["age", "city"]'
            )
        found.append(name)
    return tuple(dict.fromkeys(found))


def _is_limit(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return bool(value >= 0.0)
