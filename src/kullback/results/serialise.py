"""What results have in common: one walk over their fields, to JSON and to another unit; and a notebook.

How a field is written stands beside it, as its metadata; what is written besides the fields, in `derived`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from kullback.results.quantity import Units, factor

if TYPE_CHECKING:
    from pathlib import Path
else:  # importing the package waits for no paths
    Path = object

T = TypeVar("T")
#: Not in JSON.
HIDDEN: dict[str, Any] = {"json": None}
#: The floats in it, at any depth, are in nats, and change with the unit: its class has a field `unit`.
NATS: dict[str, Any] = {"nats": True}
#: A number that is in nats by definition and stays so; JSON says it beside the number.
ALWAYS_NATS: dict[str, Any] = {"always": "nats"}
#: A distribution, which JSON holds as an expression.
EXPRESSION: dict[str, Any] = {"as": "expression"}
#: What JSON holds as the text it prints as.
PRINTED: dict[str, Any] = {"as": "text"}
#: Pairs of a name and a value: an object of JSON.
PAIRS: dict[str, Any] = {"as": "object"}
#: Its entries are those of the object it is in.
MERGED: dict[str, Any] = {"merged": True}


#: Returns a function that shows results, by what it does; nobody shows them where there is none.
_SHOWING: list[Callable[[str], Callable[..., Any]]] = []


class Shown:
    """A result that can be looked at. Results know no views: the package says at its door who shows them."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        """Returns what a notebook shows; None, which leaves it with the text, where nobody shows it."""
        return shows("notebook")(shows("document")(self)) if _SHOWING else None

    def report(self, path: str | Path) -> Path:
        """Writes the HTML page of this result, which needs nothing else, and returns its path.

        Raises:
            InputError: it cannot be written; nothing was left behind.
        """
        return shows("write")(path, shows("page")(shows("document")(self)))

    def plot(self, ax: Any = None, *, figure: int | str = 0) -> Any:
        """Draws a figure of this result with matplotlib and returns its Axes, to go on working with.

        Args:
            ax: Axes to draw in; new ones by default. Save with `ax.figure.savefig("x.svg")`.
            figure: which of its figures: a number from 0, or a part of the title.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            UnsupportedError: there is no such figure; the message lists those that there are.
        """
        return shows("plot")(shows("document")(self), ax, figure)

    def to_frame(self, part: str | None = None, *, library: str = "polars") -> Any:
        """Returns a part of this result as a data frame: numbers as they are, infinite ones too.

        Args:
            part: such as "optima", "columns" or "findings"; the main one by default.
            library: "polars", "pandas" or "pyarrow".

        Raises:
            InputError: there is no such part; the message lists those that there are.
            MissingDependencyError: the library is not installed.
        """
        return shows("frame")(self, part, library)


def shows(what: str) -> Callable[..., Any]:
    """Returns the function that does something with results which they know nothing of."""
    return _SHOWING[0](what)


def register(showing: Callable[[str], Callable[..., Any]]) -> None:
    """Has results shown by functions that are found by what they do, instead of by those before."""
    _SHOWING[:] = [showing]


def key(name: str) -> dict[str, Any]:
    """Returns the metadata of a field that has another name in JSON."""
    return {"json": name}


def keys(*names: str) -> dict[str, Any]:
    """Returns the metadata of tuples that are objects in JSON; under "" stands what is merged into them."""
    return {"keys": names}


def to_json(result: Any, describe: Callable[[Any], str] = str) -> Any:
    """Returns a result as plain JSON values: what is infinite or unknown is null.

    Args:
        result: of any verb, or a part of one.
        describe: writes a distribution as an expression.
    """
    if result is None or isinstance(result, (bool, int)):
        return result
    if isinstance(result, Enum):
        return result.value
    if isinstance(result, str):
        return str(result)
    if isinstance(result, float):
        return float(result) if math.isfinite(result) else None
    if hasattr(result, "tolist"):  # of NumPy, which is not imported for the sake of this
        return to_json(result.tolist())
    if isinstance(result, Mapping):
        return {str(k): to_json(v, describe) for k, v in result.items()}
    if isinstance(result, (tuple, list)):
        return [to_json(v, describe) for v in result]
    return _object(result, describe)


def in_unit(result: T, unit: Units) -> T:
    """Returns a result with all its numbers of information in a unit, and the texts that hold such numbers."""
    return _walked(result, unit)


def _object(result: Any, describe: Callable[[Any], str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for field in dataclasses.fields(result):
        said, value = field.metadata, getattr(result, field.name)
        name = said.get("json", field.name)
        if name is None:
            continue
        if said.get("merged"):
            body |= to_json(value, describe)
        else:
            body[name] = _field(value, said, describe)
        if "always" in said:
            body[f"{name}_unit"] = said["always"]
    for name, path in getattr(result, "derived", {}).items():
        body[name] = to_json(_at(result, path), describe)
    return body


def _field(value: Any, said: Mapping[str, Any], describe: Callable[[Any], str]) -> Any:
    if value is None:
        return None
    match said.get("as"):
        case "expression":
            return describe(value)
        case "text":
            return str(value)
        case "object":
            return {name: to_json(part, describe) for name, part in value}
    if "keys" not in said:
        return to_json(value, describe)
    return [_entry(entry, said["keys"], describe) for entry in value]


def _entry(
    entry: tuple[Any, ...], names: tuple[str, ...], describe: Callable[[Any], str]
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, part in zip(names, entry, strict=True):
        made = to_json(part, describe)
        body |= {name: made} if name else made
    return body


def _at(result: Any, path: str) -> Any:
    """Returns what a path of attributes leads to, None where one of them is None."""
    for name in path.split("."):
        result = None if result is None else getattr(result, name)
    return result


def _walked(value: Any, unit: Units) -> Any:
    if hasattr(value, "in_unit"):
        return value.in_unit(unit)
    if isinstance(value, (tuple, list)):
        return type(value)(_walked(v, unit) for v in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    own: str = getattr(value, "unit", "")
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        old = getattr(value, field.name)
        if "nats" in field.metadata:
            changes[field.name] = _scaled(old, factor(own, unit))
        elif field.metadata.get("as") != "expression":
            changes[field.name] = _walked(old, unit)
    if own and any("nats" in field.metadata for field in dataclasses.fields(value)):
        changes["unit"] = unit
    changed = {k: v for k, v in changes.items() if v is not getattr(value, k)}
    return dataclasses.replace(value, **changed) if changed else value


def _scaled(value: Any, size: float) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_scaled(v, size) for v in value)
    return value * size if isinstance(value, float) or hasattr(value, "tolist") else value
