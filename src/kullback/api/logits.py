"""`logits_kl`: how far language models are from a base, on the same text."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from kullback.core.errors import InputError
from kullback.core.run import Watch
from kullback.measure.logits import TokenValues, joined, token_values
from kullback.measure.text import Text
from kullback.results.logits import LogitsReport
from kullback.tables.logits import (
    Block,
    LogitsFile,
    in_memory,
    numbered,
    open_logits,
    with_sizes,
    workers,
)

Groups = Int[np.ndarray, " n"]
Ids = dict[bytes, int]


def logits_kl(
    base: object,
    *others: object,
    tokens: object = None,
    documents: object = None,
    bytes: object = None,  # noqa: A002 - what it is
    max_kl: float | None = None,
    progress: Watch | None = None,
) -> LogitsReport:
    """Returns how far language models are from a base on the same text, each number with its error.

    KL(base||other), KL(other||base) and Jensen-Shannon are means over the positions of the text; intervals are of
    means over documents, or over stretches of neighbouring positions, since tokens are not independent. Models
    are compared in pairs, position by position.

    Args:
        base: of a file that `llama-perplexity --kl-divergence-base` wrote, a .npz with `logits` or `log_probs`
            (n, v), `tokens` (n,) and perhaps `documents` (n,), a .npy, top-k lists as .jsonl or .parquet; or an
            array (n, v) of logits.
        others: of the same positions; as base.
        tokens: of arrays, the token that came at each position: (n,).
        documents: a number for each position: those with one number belong together.
        bytes: of the token at each position (n,), of each token (v,), or of the whole text: what is lost is then
            said per byte, too. An archive may hold `bytes`; lists of tokens by their text know them.
        max_kl: the largest KL(base||other) allowed, in nats.
        progress: called with what is being done.

    Raises:
        InputError: a file cannot be read, was written short, or is of other positions than the base.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(size=(2000, 50))
        >>> rounded = np.round(4.0 * logits) / 4.0
        >>> print(logits_kl(logits, rounded).models[0].forward)
        KL(base||other) = 0.002467 ± ... nats (mean over positions, 40 stretches, n = 2000)
    """
    if not others:
        raise InputError("logits_kl needs a base and at least one model to compare with it")
    if max_kl is not None and not max_kl >= 0.0:
        raise InputError(f"max_kl must be a number of nats, 0 at least, not {max_kl}")
    ids: Ids = {}
    names = ("base", *(f"model {i + 1}" for i in range(len(others))))
    given = zip((base, *others), names, strict=True)
    files = [_opened(one, name, ids, tokens, documents) for one, name in given]
    for file in files[1:]:
        _check_same(files[0], file)
    if bytes is not None:
        files[0] = with_sizes(files[0], bytes)
    found = _streamed(files, progress)
    return Text(files, found).report(max_kl)


def _opened(given: object, name: str, ids: Ids, tokens: object, documents: object) -> LogitsFile:
    if isinstance(given, (str, Path)):
        file = open_logits(given, ids)
        if documents is not None:
            numbers = numbered(documents, file.rows, file.source)
            file = replace(file, documents=numbers, consecutive=False)
        return file
    return in_memory(given, tokens, documents, name)


def _check_same(base: LogitsFile, other: LogitsFile) -> None:
    """Raises InputError unless two files are of the same positions of the same text."""
    if other.rows != base.rows:
        raise InputError(
            f"{other.source} has {other.rows:,} positions, {base.source} {base.rows:,}: run both models on the same "
            "text, in contexts of the same length"
        )
    if base.vocabulary and other.vocabulary and base.vocabulary != other.vocabulary:
        raise InputError(
            f"{other.source} has {other.vocabulary:,} tokens, {base.source} {base.vocabulary:,}: KL needs one "
            "vocabulary"
        )
    if base.by_text != other.by_text:
        named, numbered = (base, other) if base.by_text else (other, base)
        raise InputError(
            f"{named.source} names tokens by their text, {numbered.source} by their number: give token_id in the lists"
        )
    sized, listed = (base, other) if base.vocabulary else (other, base)
    if sized.vocabulary and listed.tokens.max() >= sized.vocabulary:
        at = int(listed.tokens.argmax())
        raise InputError(
            f"{listed.source}: token {listed.tokens[at]} at {listed.place(at)} is not one of the "
            f"{sized.vocabulary:,} of {sized.source}"
        )
    differ = (base.tokens != other.tokens) & (base.tokens >= 0) & (other.tokens >= 0)
    if differ.any():
        at = int(np.argmax(differ))
        raise InputError(
            f"{other.source}: at {other.place(at)} the text goes on with token {other.tokens[at]}, in {base.source} "
            f"with {base.tokens[at]}: they are of different texts, or cut into contexts differently"
        )


def _streamed(files: list[LogitsFile], watch: Watch | None) -> list[TokenValues]:
    """Returns the values of each model at all positions; files are read once, block by block."""
    at_once = min(file.at_once for file in files)
    tokens = np.max([file.tokens for file in files], axis=0)
    threads = workers()
    waiting: deque[Future[list[TokenValues]]] = deque()
    parts: list[list[TokenValues]] = []
    with ThreadPoolExecutor(threads) as pool:
        first = 0
        for blocks in zip(*(file.blocks(at_once) for file in files), strict=True):
            came = tokens[first : first + len(blocks[0])]
            waiting.append(pool.submit(_values, files, blocks, came, first))
            first += len(came)
            if len(waiting) > threads:
                parts.append(waiting.popleft().result())
                if watch is not None:
                    watch(f"{first:,} of {len(tokens):,} positions")
        parts += [one.result() for one in waiting]
    return [joined([part[i] for part in parts]) for i in range(len(files) - 1)]


def _values(
    files: list[LogitsFile], blocks: Sequence[Block], came: Groups, first: int
) -> list[TokenValues]:
    try:
        return token_values(blocks[0], list(blocks[1:]), came, first)
    except InputError:
        # Which file it is, only one that is looked at alone says.
        for file, block in zip(files, blocks, strict=True):
            try:
                token_values(block, [block], came, first)
            except InputError as own:
                raise InputError(f"{file.source}: {own}") from None
        raise
