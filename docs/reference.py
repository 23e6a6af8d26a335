"""Writes docs/reference.md, every public name with its signature and docstring: scripts/reference."""

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parent / "reference.md"
MODULES = (
    "kullback",
    "kullback.losses",
    "kullback.sklearn",
    "kullback.testing",
    "kullback.inputs",
    "kullback.interop.models",
)
SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Example", "Source")
_HEAD = """# Every public name

Written by `scripts/reference` from the docstrings, whose examples are tests. Shapes are those of
[jaxtyping](https://docs.kidger.site/jaxtyping/): `Float[Array, "n d"]` is n rows of d numbers. KLs are in nats.
"""


def public(module: str) -> list[str]:
    """The public names of a module, in the order of its `__all__`, exceptions last."""
    home = importlib.import_module(module)
    names = [name for name in home.__all__ if not name.startswith("__")]
    return sorted(names, key=lambda name: is_error(getattr(home, name)))


def is_error(thing: object) -> bool:
    """Whether it is an exception."""
    return inspect.isclass(thing) and issubclass(thing, Exception)


def entry(module: str, name: str) -> str:
    """What the page says of one name."""
    thing = getattr(importlib.import_module(module), name)
    lines = [
        f"### `{module.removeprefix('kullback.') if module != 'kullback' else 'kb'}.{name}`",
        "",
    ]
    if callable(thing) and not is_error(thing):
        lines += ["```text", f"{name}{_signature(thing)}", "```", ""]
    lines += [*_body(inspect.getdoc(thing) or ""), ""]
    home = getattr(thing, "__module__", module)
    lines.append(
        f"Source: `src/{home.replace('.', '/')}.py`" if home.startswith("kullback") else ""
    )
    return "\n".join(lines).rstrip()


def _signature(thing: object) -> str:
    signature = inspect.signature(thing)
    parts, starred = [], False
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        text = p.name if p.annotation is p.empty else f"{p.name}: {_annotation(p.annotation)}"
        parts.append(text if p.default is p.empty else f"{text} = {p.default!r}")
    back = signature.return_annotation
    arrow = "" if inspect.isclass(thing) or back is signature.empty else f" -> {_annotation(back)}"
    one = f"({', '.join(parts)}){arrow}"
    return one if len(one) < 90 else "(\n    " + ",\n    ".join(parts) + f",\n){arrow}"


def _annotation(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)
    return text.replace("NoneType", "None")


def _body(text: str) -> Iterator[str]:
    """A Google-style docstring as Markdown: a list for each section of names, a block for each example."""
    section, indent = "", 0
    for line in [*text.splitlines(), ""]:
        head = line.removesuffix(":")
        if line.endswith(":") and head in SECTIONS:
            if section == "Example":
                yield "```"
            section, indent = head, 0
            yield from ("```pycon",) if head == "Example" else (f"**{head}**", "")
        elif section == "Example":
            if line and not line.startswith(" "):
                yield "```"
                yield from ("", line)
                section = ""
            else:
                yield line[4:]
        elif section and line.strip():
            indent = indent or len(line) - len(line.lstrip())
            deeper = len(line) - len(line.lstrip()) > indent
            name, colon, rest = line.strip().partition(": ")
            yield (
                f"  {line.strip()}"
                if deeper
                else f"- `{name}`: {rest}"
                if colon
                else f"- {line.strip()}"
            )
        else:
            yield line
    if section == "Example":
        yield "```"


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for module in MODULES:
        parts.append(f"## `{module}`\n\n{inspect.getdoc(importlib.import_module(module)) or ''}")
        parts += [entry(module, name) for name in public(module)]
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(parts)).replace("\n\n```\n", "\n```\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(Path.cwd())}\n")
