"""Top-k log probabilities as interfaces of language models return them: JSON lines and Parquet."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kullback.core.errors import InputError
from kullback.tables.logits import Block, LogitsFile, TopK
from kullback.tables.parquet import reading

#: One position: the token that came, its log probability if known, the likeliest tokens likewise, and its bytes.
Position = tuple[object, float | None, list[tuple[object, float]], float]
#: Log probabilities are printed with rounding: their sum may exceed 1 by so much.
_OVER = 1e-3


def open_lists(file: Path, ids: dict[str, int]) -> LogitsFile:
    """Returns a file of top-k lists. Arguments as of `open_logits`.

    A line of JSON, or a row of Parquet, is a position: `token`, perhaps `logprob` and `document`, and
    `top_logprobs`, a list of {"token", "logprob"} or a mapping of one to the other. A line may also be a
    document: `content`, or a whole answer with `choices`, that holds a list of positions.
    """
    rows, documents, sizes = [], [], []
    marks: dict[object, int] = {}
    for number, (mark, position) in enumerate(_positions(file), start=1):
        rows.append(_row(position, ids, f"{file}, position {number}"))
        sizes.append(position[3])
        documents.append(marks.setdefault(mark, len(marks)))
    if not rows:
        raise InputError(f"{file}: there is no position in it")
    width = max(len(listed) for _, listed in rows)
    tops = np.full((len(rows), width), -1, dtype=np.int64)
    values = np.full((len(rows), width), -np.inf)
    for i, (_, listed) in enumerate(rows):
        tops[i, : len(listed)] = list(listed)
        values[i, : len(listed)] = list(listed.values())
    tokens = np.array([token for token, _ in rows], dtype=np.int64)

    def blocks(at_once: int) -> Iterator[Block]:
        for first in range(0, len(tokens), at_once):
            part = slice(first, first + at_once)
            yield TopK(tops[part], values[part])

    return LogitsFile(
        str(file), f"top {width} log probabilities", 0, tokens, np.array(documents), consecutive=len(marks) == 1,
        blocks=blocks, place=lambda row: f"position {row + 1}",
        sizes=None if math.isnan(math.fsum(sizes)) else np.array(sizes),
    )  # fmt: skip


def _row(position: Position, ids: dict[str, int], place: str) -> tuple[int, dict[int, float]]:
    """Returns the token that came and what is listed, the token itself included; checked."""
    token, own, listed, _ = position
    known = {_number(name, ids): float(value) for name, value in listed}
    came = -1 if token is None else _number(token, ids)
    if own is not None and came >= 0:
        known.setdefault(came, float(own))
    if not known:
        raise InputError(f"{place}: it has no log probability")
    values = list(known.values())
    if any(math.isnan(v) or v > 1e-4 for v in values):
        raise InputError(f"{place}: {max(values):g} is no log probability: they are 0 at most")
    if math.fsum(math.exp(v) for v in values) > 1.0 + _OVER:
        raise InputError(f"{place}: the probabilities add up to more than 1; are these logits?")
    return came, known


def _number(token: object, ids: dict[str, int]) -> int:
    return token if isinstance(token, int) else ids.setdefault(str(token), len(ids))


def _positions(file: Path) -> Iterator[tuple[object, Position]]:
    """Yields each position with what marks its document."""
    for number, line in enumerate(_lines(file), start=1):
        content = _content(line)
        if content is None:
            yield line.get("document", 0), _position(line, f"{file}, line {number}")
            continue
        for entry in content:
            yield number, _position(entry, f"{file}, line {number}")


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    if file.suffix.lower() == ".parquet":
        with reading(str(file)):
            rows = pl.read_parquet(file)
        yield from rows.iter_rows(named=True)
        return
    with file.open(encoding="utf-8", errors="strict") as text:
        try:
            for number, line in enumerate(text, start=1):
                if line.strip():
                    read = json.loads(line)
                    if not isinstance(read, dict):
                        raise InputError(f"{file}, line {number}: not an object of JSON")
                    yield read
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(
                f"{file}: neither llama.cpp's file of logits, nor .npz, .npy, .parquet or JSON lines: {error}"
            ) from None


def _content(line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """Returns the positions of a line that is a document; None where it is a position itself."""
    if line.get("choices"):
        line = line["choices"][0]
    inner = line.get("logprobs")
    if isinstance(inner, Mapping):
        line = inner
    content = line.get("content")
    return content if isinstance(content, list) else None


def _position(entry: Mapping[str, Any], place: str) -> Position:
    listed = entry.get("top_logprobs")
    own = entry.get("logprob")
    if listed is None and own is None:
        raise InputError(f"{place}: a position needs top_logprobs, or logprob")
    token = entry.get("token_id", entry.get("token"))
    if isinstance(listed, Mapping):
        pairs = list(listed.items())
    else:
        pairs = [(e.get("token_id", e.get("token")), e.get("logprob")) for e in listed or ()]
    if any(value is None or name is None for name, value in pairs):
        raise InputError(f"{place}: top_logprobs must list tokens with their logprob")
    return token, own, pairs, _size(entry)


def _size(entry: Mapping[str, Any]) -> float:
    """Returns how many bytes the token that came has; NaN where its text is not known."""
    given, text = entry.get("bytes"), entry.get("token")
    if isinstance(given, Sequence) and not isinstance(given, str):
        return float(len(given))
    return float(len(text.encode())) if isinstance(text, str) and text else math.nan
