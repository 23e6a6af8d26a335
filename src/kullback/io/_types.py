"""Whether a value from a file is what a field is said to hold."""

import dataclasses
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_fields(cls: type, fields: dict[str, Any]) -> None:
    """Raises TypeError unless all values are of the types that a dataclass gives its fields."""
    for name, value in fields.items():
        hint = _hints(cls).get(name)
        if hint is None:
            raise TypeError(f"{cls.__name__} has no {name}")
        if not _is(value, hint):
            raise TypeError(f"{cls.__name__}.{name} is a {type(value).__name__}")


def reachable(cls: type) -> Iterator[type]:
    """Yields a dataclass and those that its fields may hold, at any depth."""
    seen: set[type] = set()
    ahead: list[Any] = [cls]
    while ahead:
        hint = ahead.pop()
        ahead.extend(get_args(hint))
        if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint not in seen:
            seen.add(hint)
            ahead.extend(_hints(hint).values())
            yield hint


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _is(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is(value, h) for h in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and _is_tuple(value, arguments)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_is(v, arguments[1]) for v in value.values())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or (origin is None and isinstance(value, hint or type(None)))


def _is_tuple(value: tuple[Any, ...], hints: tuple[Any, ...]) -> bool:
    if len(hints) == 2 and hints[1] is ...:
        return all(_is(v, hints[0]) for v in value)
    return len(value) == len(hints) and all(_is(v, h) for v, h in zip(value, hints, strict=True))
