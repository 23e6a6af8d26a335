"""What interfaces of language models answer, in JSON or Parquet: positions of a text with their log probabilities."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, final

import polars as pl

from kullback.core.errors import InputError
from kullback.tables.parquet import reading

Entry = Mapping[str, Any]
#: Where answers keep what they say: those of batches, of several choices, of chats and of servers.
_WITHIN = (
    "response", "body", "choices", "output", "message", "meta_info", "logprobs", "reasoning_content", "content",
    "completion_probabilities",
)  # fmt: skip
#: No tokenizer has as many tokens.
_MOST = 2**31


@final
class Token(NamedTuple):
    """A token as an entry names it.

    Attributes:
        number: None where only its text is known.
        text: its bytes; None where only its number is known.
        log_prob: None where it is not said.
        size: how many bytes it has; NaN where that is not known.
    """

    number: int | None
    text: bytes | None
    log_prob: float | None
    size: float = math.nan


@final
class Position(NamedTuple):
    """The token that came, None where it is not known, and the likeliest ones."""

    document: object
    token: Token | None
    listed: tuple[Token, ...]

    @property
    def all(self) -> tuple[Token, ...]:
        """Every token that is named."""
        return self.listed if self.token is None else (*self.listed, self.token)


def positions(file: Path) -> Iterator[Position]:
    """Yields the positions of a text.

    A line of JSON, or a row of Parquet, is a position: `token` or `token_id`, perhaps `logprob` and `document`, and
    `top_logprobs`, a list of {"token", "logprob"} or a mapping of one to the other. A line may also be a document:
    an answer of OpenAI, vLLM, llama.cpp's server or SGLang with all its choices, and with the log probabilities of the
    prompt where it has them. A file may also be one object of JSON, or an array.

    Raises:
        InputError: it is none of these.
    """
    before: object = ()
    for place, line in _lines(file):
        if not isinstance(line, Mapping):
            raise InputError(f"{place}: not an object of JSON")
        if _is_position(line):
            document = line.get("document", 0)
            begins, before = document != before, document
            if not (begins and _is_silent(line)):
                yield _position(line, document, place)
            continue
        groups = list(_groups(line, place))
        if not groups:
            raise InputError(
                f"{place}: a position needs top_logprobs, or logprob, and an answer logprobs of its tokens"
            )
        for entry in chain.from_iterable(groups):
            yield _position(entry, place, place)


def _lines(file: Path) -> Iterator[tuple[str, object]]:
    """Yields rows of Parquet, lines of JSON, or the parts of a file that is one array, or one object, of JSON."""
    if file.suffix.lower() == ".parquet":
        with reading(str(file)):
            rows = pl.read_parquet(file)
        for number, row in enumerate(rows.iter_rows(named=True), start=1):
            yield f"{file}, row {number}", row
        return
    number = 0
    try:
        with file.open(encoding="utf-8", errors="strict") as text:
            for number, line in enumerate(text, start=1):
                if not line.strip():
                    continue
                if number == 1 and not _is_object(line):
                    text.seek(0)
                    whole = json.load(text)
                    parts = whole if isinstance(whole, list) else [whole]
                    yield from ((f"{file}, part {i}", part) for i, part in enumerate(parts, 1))
                    return
                yield f"{file}, line {number}", json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f", line {number}" if number > 1 else ""
        raise InputError(
            f"{file}{where}: neither llama.cpp's file of logits, nor .npz, .npy, .parquet or JSON lines: {error}"
        ) from None


def _is_object(line: str) -> bool:
    """Whether a line is an object of JSON by itself."""
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _is_position(entry: Entry) -> bool:
    return "token_logprobs" not in entry and ("logprob" in entry or "top_logprobs" in entry)


# Answers: lists of positions, wherever they are kept.


def _groups(answer: Entry, place: str) -> Iterator[list[Entry]]:
    """Yields the runs of positions that an answer holds, in order."""
    if isinstance(prompt := answer.get("prompt_logprobs"), list):
        yield _of_prompt(prompt, answer.get("prompt_token_ids"), place)
    if isinstance(own := answer.get("token_logprobs"), list):
        yield _of_columns(answer, own, place)
        return
    for run in ("input", "output"):
        if isinstance(own := answer.get(f"{run}_token_logprobs"), list):
            yield _of_triples(own, answer.get(f"{run}_top_logprobs"), place)
    for name in _WITHIN:
        inner = answer.get(name)
        if isinstance(inner, Mapping):
            yield from _groups(inner, place)
        elif isinstance(inner, list) and inner and all(isinstance(e, Mapping) for e in inner):
            if all(_is_position(e) for e in inner):
                yield _begun(inner)
            else:
                for part in inner:
                    yield from _groups(part, place)


def _begun(entries: Sequence[Entry]) -> list[Entry]:
    """Leaves out the first token of a text where nothing was said of it: nothing comes before it."""
    return list(entries[1:] if entries and _is_silent(entries[0]) else entries)


def _is_silent(entry: Entry) -> bool:
    return entry.get("logprob") is None and not entry.get("top_logprobs")


def _of_prompt(prompt: Sequence[Any], came: object, place: str) -> list[Entry]:
    """vLLM's: for each token of the prompt, what is known of it and the likeliest by number; null for the first."""
    ids = came if isinstance(came, list) else [None] * len(prompt)
    if len(ids) != len(prompt):
        raise InputError(
            f"{place}: {len(prompt)} prompt_logprobs for {len(ids)} prompt_token_ids; they must be as many"
        )
    named = (
        None if e is None else {_key(n): _value(v) for n, v in e.items()} for e in prompt
    )  # fmt: skip
    listed = [
        e and [{**v, "token_id": n, "token": v.get("decoded_token")} for n, v in e.items()]
        for e in named
    ]
    return _begun([{"token_id": i, "top_logprobs": e} for i, e in zip(ids, listed, strict=True)])


def _key(name: object) -> object:
    """A token's number, where the name of a member of an object of JSON is one."""
    return int(name) if isinstance(name, str) and name.isascii() and name.isdigit() else name


def _value(value: object) -> Entry:
    return value if isinstance(value, Mapping) else {"logprob": value}


def _of_columns(answer: Entry, own: Sequence[Any], place: str) -> list[Entry]:
    """Completions: a list of tokens, one of their log probabilities, and one of the likeliest."""
    tokens, tops = answer.get("tokens") or [], answer.get("top_logprobs") or [None] * len(own)
    if not len(tokens) == len(own) == len(tops):
        raise InputError(
            f"{place}: {len(tokens)} tokens, {len(own)} token_logprobs, {len(tops)} top_logprobs: as many are needed"
        )
    return _begun([
        {"token": token, "logprob": value, "top_logprobs": top}
        for token, value, top in zip(tokens, own, tops, strict=True)
    ])  # fmt: skip


def _of_triples(own: Sequence[Any], tops: object, place: str) -> list[Entry]:
    """SGLang's: [log probability, number, text] of each token, and lists of these."""

    def entry(triple: object) -> dict[str, Any]:
        if not isinstance(triple, list) or len(triple) < 2:
            raise InputError(f"{place}: {triple!r} is not a log probability, a number and a text")
        return {"logprob": triple[0], "token_id": triple[1], "token": (*triple, None)[2]}

    listed = tops if isinstance(tops, list) else []
    return _begun([
        {**entry(one), "top_logprobs": None if top is None else [entry(t) for t in top]}
        for one, top in zip_longest(own, listed)
    ])  # fmt: skip


# Positions and tokens.


def _position(entry: Entry, document: object, place: str) -> Position:
    listed, own = entry.get("top_logprobs"), entry.get("logprob")
    if listed is None and own is None:
        raise InputError(f"{place}: a position needs top_logprobs, or logprob")
    token = _token(entry, place)
    if isinstance(listed, Mapping):
        named = token is None or token.text is not None
        listed = [{"token": n if named else _key(n), **_value(v)} for n, v in listed.items()]
    if not (listed is None or isinstance(listed, Sequence)) or isinstance(listed, str):
        raise InputError(f"{place}: top_logprobs must list tokens with their logprob")
    found = [_token(e, place) if isinstance(e, Mapping) else None for e in listed or ()]
    if any(t is None or t.log_prob is None for t in found):
        raise InputError(f"{place}: top_logprobs must list tokens with their logprob")
    return Position(document, token, tuple(t for t in found if t is not None))


def _token(entry: Entry, place: str) -> Token | None:
    """Returns the token that an entry names; None where it names none."""
    number = entry.get("token_id")
    if number is None:
        number = entry.get("id")
    text, value, given = entry.get("token"), entry.get("logprob"), entry.get("bytes")
    if number is None and not isinstance(text, (str, bytes)):
        number = text
    if isinstance(text, str) and text.startswith("token_id:"):
        number = number if number is not None else _key(text.removeprefix("token_id:"))
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise InputError(f"{place}: logprob is {value!r}, not a number")
    if number is not None and (
        isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _MOST
    ):
        raise InputError(
            f"{place}: {number!r} is no token: it needs a whole number, 0 at least, or its text"
        )
    spelt = _spelt(text, given, place)
    if number is None and spelt is None:
        return None
    return Token(number, spelt, None if value is None else float(value), _size(text, given))  # fmt: skip


def _spelt(text: object, given: object, place: str) -> bytes | None:
    """Returns the bytes of a token, or those of its text; None where neither is known."""
    if isinstance(given, (list, bytes)) and given:
        try:
            return bytes(given)
        except (TypeError, ValueError):
            raise InputError(f"{place}: bytes must be whole numbers from 0 to 255") from None
    if isinstance(text, str):
        return text.encode(errors="surrogatepass")
    return text if isinstance(text, bytes) else None


def _size(text: object, given: object) -> float:
    """Returns how many bytes a token has; NaN where a part of a character was written as the sign for none."""
    if isinstance(given, (list, bytes)):
        return float(len(given))
    if isinstance(text, str) and text and "\ufffd" not in text:
        return float(len(text.encode(errors="surrogatepass")))
    return math.nan
