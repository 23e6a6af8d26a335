"""Top-k log probabilities as interfaces of language models return them: rows of positions to a file of lists."""

import math
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np

from kullback.core.errors import InputError
from kullback.tables.answers import Position, Token, positions
from kullback.tables.logits import Block, LogitsFile, TopK

#: Log probabilities are printed with rounding: their sum may exceed 1 by so much.
_OVER = 1e-3
#: OpenAI's log probability of a token that is not among the likeliest: it says no more than that.
_UNLIKELY = -9999.0


@final
class _UnnumberedError(Exception):
    """A token has no number."""


def open_lists(file: Path, ids: dict[bytes, int]) -> LogitsFile:
    """Returns a file of top-k lists, as `positions` reads them. Arguments as of `open_logits`.

    Tokens are told apart by their numbers where all have one, else by their bytes, or their text. Tokens of one text
    and different probabilities cannot be told apart: they are left out of the list.

    Raises:
        InputError: it holds no log probabilities, or none that can be.
    """
    try:
        return _opened(file, None)
    except _UnnumberedError:
        pass
    return _opened(file, ids)


def _opened(file: Path, ids: dict[bytes, int] | None) -> LogitsFile:
    tokens, counts, tops, values, sizes = array("q"), array("q"), array("q"), array("d"), array("d")
    marks: dict[object, int] = {}
    documents = array("q")
    for number, position in enumerate(positions(file), start=1):
        came, listed = _row(position, ids, f"{file}, position {number}")
        tokens.append(came)
        counts.append(len(listed))
        tops.extend(listed)
        values.extend(listed.values())
        sizes.append(math.nan if position.token is None else position.token.size)
        documents.append(marks.setdefault(position.document, len(marks)))
    if not tokens:
        raise InputError(f"{file}: there is no position in it")
    there = np.arange(max(counts)) < np.array(counts)[:, None]
    ids_of, log_probs = np.full(there.shape, -1, dtype=np.int64), np.full(there.shape, -np.inf)
    ids_of[there], log_probs[there] = tops, values

    def blocks(at_once: int) -> Iterator[Block]:
        for first in range(0, len(ids_of), at_once):
            part = slice(first, first + at_once)
            yield TopK(ids_of[part], log_probs[part])

    return LogitsFile(
        str(file), f"top {there.shape[1]} log probabilities", 0, np.array(tokens), np.array(documents),
        consecutive=len(marks) == 1, blocks=blocks, place=lambda row: f"position {row + 1}",
        sizes=None if np.isnan(sizes).any() else np.array(sizes), by_text=ids is not None,
    )  # fmt: skip


def _row(
    position: Position, ids: dict[bytes, int] | None, place: str
) -> tuple[int, dict[int, float]]:
    """Returns the token that came, -1 where it is not known, and the log probabilities that are; checked."""
    known: dict[int, float] = {}
    twice: set[int] = set()
    for token in position.all:
        value, name = token.log_prob, _number(token, ids, place)
        if value is None or value == _UNLIKELY:
            continue
        if math.isnan(value) or value > 1e-4:
            raise InputError(f"{place}: {value:g} is no log probability: they are 0 at most")
        if known.setdefault(name, value) != value:
            twice.add(name)
    if math.fsum(math.exp(v) for v in known.values()) > 1.0 + _OVER:
        raise InputError(f"{place}: the probabilities add up to more than 1; are these logits?")
    for name in twice:
        del known[name]
    if not known:
        raise InputError(f"{place}: it has no log probability")
    return -1 if position.token is None else _number(position.token, ids, place), known


def _number(token: Token, ids: dict[bytes, int] | None, place: str) -> int:
    if ids is None:
        if token.number is None:
            raise _UnnumberedError
        return token.number
    if token.text is None:
        raise InputError(
            f"{place}: a token is known by its number only, {token.number}, others of this file by their text only: "
            "give token_id of all, or token of all"
        )
    return ids.setdefault(token.text, len(ids))
