"""Files of a language model's next-token probabilities: llama.cpp's, NumPy's, and top-k lists; read in blocks."""

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, final

import numpy as np
from jaxtyping import Float, Int

from kullback.core.errors import InputError

Array = np.ndarray
#: Names of the arrays of an archive.
_LOGITS = ("logits", "log_probs", "logprobs")
_TOKENS, _DOCUMENTS, _BYTES = "tokens", "documents", "bytes"
#: Bytes of a block that are read at once.
_BLOCK = 2**23


@final
@dataclass(frozen=True, eq=False)
class Packed:
    """Log probabilities in 16 bits: `least + step * codes`; a code of 0 says that it is no more than `least`.

    Attributes:
        codes: of each token.
        step, least: of each row.
    """

    codes: Int[np.ndarray, "n v"]
    step: Float[np.ndarray, " n"]
    least: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.codes)


@final
@dataclass(frozen=True, eq=False)
class Dense:
    """Logits or log probabilities of all tokens, up to a constant of each row.

    Attributes:
        values: of each token.
        rounding: the relative error of a value, of the type of number in which it was stored.
    """

    values: Float[np.ndarray, "n v"]
    rounding: float = 0.0

    def __len__(self) -> int:
        return len(self.values)


@final
@dataclass(frozen=True, eq=False)
class TopK:
    """Log probabilities of the likeliest tokens, and of the one that came.

    Attributes:
        ids: of the tokens; -1 where a row lists fewer.
        log_probs: -inf there.
    """

    ids: Int[np.ndarray, "n k"]
    log_probs: Float[np.ndarray, "n k"]

    def __len__(self) -> int:
        return len(self.ids)


Block = Packed | Dense | TopK


@final
@dataclass(frozen=True, eq=False)
class LogitsFile:
    """What a model says of the next token at each position of a text.

    Attributes:
        source: the file, for messages.
        stored: how, in words.
        vocabulary: how many tokens there are; 0 where only lists are known.
        tokens: those that came; -1 where that is not known.
        documents: numbers of the documents, or of the contexts, that positions are in.
        consecutive: whether contexts are pieces of one text, so that neighbours depend on each other.
        blocks: starts a pass: yields all rows in order, so many at once.
        place: says where a row is, in words.
        sizes: bytes of the tokens that came; None where that is not known.
        by_text: whether tokens are numbered by their text, as they come, not as the model numbers them.
    """

    source: str
    stored: str
    vocabulary: int
    tokens: Int[np.ndarray, " n"]
    documents: Int[np.ndarray, " n"]
    consecutive: bool
    blocks: Callable[[int], Iterator[Block]]
    place: Callable[[int], str]
    sizes: Float[np.ndarray, " n"] | None = None
    by_text: bool = False

    @property
    def rows(self) -> int:
        """How many positions there are."""
        return len(self.tokens)

    @property
    def at_once(self) -> int:
        """Rows that fill a block."""
        return max(1, _BLOCK // (2 * max(self.vocabulary, 64)))


def open_logits(path: object, ids: dict[bytes, int]) -> LogitsFile:
    """Returns a file of next-token probabilities, its header read and its length checked.

    Args:
        path: of llama.cpp's `--kl-divergence-base`; .npz with logits or log_probs (n, v), tokens (n,) and
            perhaps documents (n,); .npy of logits; .jsonl or .parquet of top-k log probabilities.
        ids: numbers of tokens that are known by their text; it grows.

    Raises:
        InputError: it is none of these, or was written short.
    """
    file = Path(str(path))
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    with file.open("rb") as start:
        magic = start.read(8)
    if magic == b"_logits_":
        return _llama(file)
    if magic[:4] == b"PK\x03\x04":
        return _archive(file)
    if magic[:6] == b"\x93NUMPY":
        return _array(file)
    from kullback.tables.toplogprobs import open_lists  # noqa: PLC0415 - loads polars

    return open_lists(file, ids)


# llama.cpp: ggml-org/llama.cpp, tools/perplexity/perplexity.cpp, the functions perplexity and log_softmax.


def _llama(file: Path) -> LogitsFile:
    size = file.stat().st_size
    with file.open("rb") as stream:
        begun = stream.read(20)
        head = np.frombuffer(begun.ljust(20)[8:], dtype="<i4")
        if len(begun) < 20:
            raise InputError(f"{file}: the file ends after {size} bytes, within its header")
        context, vocabulary, chunks = (int(v) for v in head)
        if context < 4 or vocabulary < 2 or chunks < 1:
            raise InputError(
                f"{file}: its header says {chunks} chunks of {context} tokens of {vocabulary}: no such file can be"
            )
        first = context // 2
        rows, width = context - 1 - first, 2 * ((vocabulary + 1) // 2) + 4
        begin, whole = 20 + 4 * chunks * context, 2 * width * rows * chunks
        if size != begin + whole:
            raise InputError(f"{file}: {_short(size - begin, rows, width, chunks, whole)}")
        text = np.frombuffer(stream.read(4 * chunks * context), dtype="<i4")
    bad = (text < 0) | (text >= vocabulary)
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"{file}: token {at % context + 1} of chunk {at // context + 1} is {text[at]}, not one of {vocabulary:,}: "
            "the file is damaged; write it again"
        )
    tokens = text.reshape(chunks, context)[:, first + 1 :].reshape(-1).astype(np.int64)

    def blocks(at_once: int) -> Iterator[Block]:
        with file.open("rb", buffering=0) as stream:
            stream.seek(begin)
            for count in _counts(rows * chunks, at_once):
                raw = np.empty((count, width), dtype="<u2")
                _fill(stream, raw, file)
                step, least = raw[:, :4].copy().view("<f4").T.astype(np.float64)
                yield Packed(raw[:, 4 : 4 + vocabulary], step, least)

    return LogitsFile(
        str(file), "16 bits (llama.cpp)", vocabulary, tokens, np.repeat(np.arange(chunks), rows),
        consecutive=True, blocks=blocks, place=lambda row: f"chunk {row // rows + 1}, row {row % rows + 1}",
    )  # fmt: skip


def _short(had: int, rows: int, width: int, chunks: int, whole: int) -> str:
    """Says where a file ends that does not end where its header says."""
    if had > whole:
        return f"{had - whole:,} bytes follow the {chunks} chunks that its header announces: it is another format"
    if had <= 0:
        return f"the file ends within its list of tokens, before the first of {chunks} chunks"
    row = had // (2 * width)
    return (
        f"the file ends in chunk {row // rows + 1} of {chunks}, at row {row % rows + 1} of {rows}, "
        f"{whole - had:,} bytes short of what its header says; write it again (was the disk full?)"
    )


def _counts(rows: int, at_once: int) -> Iterator[int]:
    for first in range(0, rows, at_once):
        yield min(at_once, rows - first)


def _fill(stream: IO[bytes], array: Array, file: Path) -> None:
    """Fills an array from a stream; a file that became shorter is said to be."""
    left = memoryview(array.reshape(-1).view(np.uint8))  # pyright: ignore[reportArgumentType]
    while left.nbytes:
        try:
            got = stream.readinto(left)  # pyright: ignore[reportAttributeAccessIssue]
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{file}: it is damaged: {error}") from None
        if not got:
            raise InputError(f"{file}: the file ends {left.nbytes:,} bytes early")
        left = left[got:]


# NumPy.


def _archive(file: Path) -> LogitsFile:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            held = {n: arrays[n] for n in (_TOKENS, _DOCUMENTS, _BYTES) if n in arrays}
        with zipfile.ZipFile(file) as archive:
            lengths = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError) as error:
        raise InputError(f"{file}: this archive cannot be read: {error}") from None
    name = next((n for n in _LOGITS if n in lengths), None)
    if name is None:
        raise InputError(
            f"{file}: it has the arrays {', '.join(sorted(lengths))}; one must be named {' or '.join(_LOGITS[:2])}"
        )

    def opened() -> IO[bytes]:
        return zipfile.ZipFile(file).open(f"{name}.npy")

    sizes = held.get(_BYTES)
    found = _of_arrays(file, opened, lengths[name], held.get(_TOKENS), held.get(_DOCUMENTS))
    return found if sizes is None else with_sizes(found, sizes)


def with_sizes(file: LogitsFile, given: object) -> LogitsFile:
    """Returns a file whose tokens' bytes are known.

    Args:
        file: what a model says.
        given: bytes of the token at each position, of each token there is, or of the whole text.

    Raises:
        InputError: they are none of these.
    """
    sizes = np.asarray(given)
    if sizes.dtype.kind not in "iuf" or sizes.ndim > 1 or not np.isfinite(sizes).all():
        raise InputError(
            f"{file.source}: bytes must be numbers, not {sizes.dtype} of {sizes.shape}"
        )
    if sizes.ndim == 0:
        sizes = np.full(file.rows, float(sizes) / file.rows)
    elif len(sizes) == file.vocabulary != file.rows and (file.tokens >= 0).all():
        sizes = sizes[file.tokens]
    if len(sizes) != file.rows or (sizes < 0).any() or sizes.sum() <= 0:
        raise InputError(
            f"{file.source}: bytes must be those of the token at each of {file.rows:,} positions, of each token of the "
            "vocabulary (where it is known which came), or of the whole text; 0 at least, and not all 0"
        )
    return replace(file, sizes=sizes.astype(np.float64))


def _array(file: Path) -> LogitsFile:
    return _of_arrays(file, lambda: file.open("rb"), file.stat().st_size, None, None)


def _of_arrays(
    file: Path,
    opened: Callable[[], IO[bytes]],
    length: int,
    tokens: Array | None,
    documents: Array | None,
) -> LogitsFile:
    with opened() as stream:
        shape, dtype = _header(stream, file)
        had = length - stream.tell()
    if len(shape) not in (2, 3) or dtype.kind != "f" or 0 in shape:
        raise InputError(
            f"{file}: logits must be numbers of shape (n, v) or (documents, n, v), not {dtype} of {shape}"
        )
    rows, vocabulary = math.prod(shape[:-1]), shape[-1]
    if had != rows * vocabulary * dtype.itemsize:
        raise InputError(
            f"{file}: {had:,} bytes of logits follow its header, which says {rows * vocabulary * dtype.itemsize:,} "
            f"({dtype} of {shape}); write it again (was the disk full?)"
        )
    if documents is None:
        documents = np.repeat(np.arange(rows // shape[-2]), shape[-2])
    came = np.full(rows, -1) if tokens is None else _whole(tokens, rows, file, _TOKENS)
    if came.max() >= vocabulary:
        raise InputError(
            f"{file}: token {int(came.max())} at row {int(came.argmax()) + 1} is not one of {vocabulary}"
        )

    def blocks(at_once: int) -> Iterator[Block]:
        with opened() as stream:
            _header(stream, file)
            for count in _counts(rows, at_once):
                raw = np.empty((count, vocabulary), dtype=dtype)
                _fill(stream, raw, file)
                kept = raw.astype(np.float64 if dtype.itemsize == 8 else np.float32, copy=False)
                yield Dense(kept, float(np.finfo(dtype).eps) / 2.0)

    groups = numbered(documents, rows, str(file))
    return LogitsFile(
        str(file), f"{8 * dtype.itemsize} bits", vocabulary, came, groups, consecutive=False,
        blocks=blocks, place=lambda row: f"row {row + 1}",
    )  # fmt: skip


def _header(stream: IO[bytes], file: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Reads the head of an array, so that its numbers follow. Pickled objects are refused."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(stream)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{file}: this array cannot be read: {error}") from None
    if dtype.hasobject:
        raise InputError(f"{file}: it holds pickled objects, which are not read")
    if by_columns and len(shape) > 1:
        raise InputError(
            f"{file}: its numbers lie column by column; save np.ascontiguousarray(...)"
        )
    return shape, dtype


def _whole(values: Array, rows: int, file: Path, name: str) -> Int[np.ndarray, " n"]:
    values = np.asarray(values).reshape(-1)
    if values.dtype.kind not in "iu" or len(values) != rows:
        raise InputError(
            f"{file}: {name} must be {rows:,} whole numbers, one for each row, not {len(values):,} {values.dtype}"
        )
    return values.astype(np.int64)


def numbered(documents: object, rows: int, source: str) -> Int[np.ndarray, " n"]:
    """Returns the numbers of documents that are given by a number or a name for each position; checked."""
    given = np.asarray(documents).reshape(-1)
    if len(given) != rows or given.dtype.kind not in "iubUSf" or not (given == given).all():
        raise InputError(
            f"{source}: documents must be {rows:,} numbers or names, one for each position, not {len(given):,} "
            f"{given.dtype}"
        )
    return np.unique(given, return_inverse=True)[1].reshape(-1)


def in_memory(values: object, tokens: object, documents: object, name: str) -> LogitsFile:
    """Returns an array of logits as a file is; `name` is its source. Other arguments as of the arrays of an archive."""
    array = np.asarray(values)
    if array.ndim < 2 or array.dtype.kind != "f" or array.size == 0:
        raise InputError(
            f"{name}: logits must be real numbers of shape (n, v), not {array.dtype} of {array.shape}"
        )
    rows, size = int(np.prod(array.shape[:-1])), array.shape[-1]
    flat = array.reshape(rows, size)
    place, eps = Path(name), float(np.finfo(array.dtype).eps) / 2.0
    if documents is None:
        documents = np.repeat(np.arange(rows // array.shape[-2]), array.shape[-2])
    came = np.full(rows, -1) if tokens is None else _whole(np.asarray(tokens), rows, place, _TOKENS)
    if came.max() >= size:
        raise InputError(f"{name}: token {int(came.max())} is not one of {size}")
    numbers = numbered(documents, rows, name)

    def blocks(at_once: int) -> Iterator[Block]:
        for first in range(0, rows, at_once):
            part = flat[first : first + at_once]
            double = array.dtype.itemsize == 8
            yield Dense(part.astype(np.float64 if double else np.float32, copy=False), eps)

    return LogitsFile(
        name, f"{8 * array.dtype.itemsize} bits", size, came, numbers, consecutive=False,
        blocks=blocks, place=lambda row: f"row {row + 1}",
    )  # fmt: skip


def workers() -> int:
    """Threads that compute while a file is read."""
    return max(1, min(os.cpu_count() or 1, 8))
