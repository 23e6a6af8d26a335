"""The live page of p and q: one file of HTML, style and script, that needs nothing else."""

import json
import re
from functools import cache
from html import escape
from importlib import resources
from urllib.parse import quote

from kullback._version import __version__
from kullback.render.html import DARK, LIGHT

#: In the order in which one uses the other.
_SCRIPTS = ("numbers", "words", "fits", "figures", "page", "controls")
_COMMENT = re.compile(r"^\s*(//.*|/\*\*.*\*/)\n", re.MULTILINE)
_INDENT = re.compile(r"^\s+", re.MULTILINE)
#: Strings, templates (none lies within another) and patterns stay; spaces around signs go.
#: A division has a space after it, a pattern has none.
_SPACES = re.compile(
    r"""(`[^`]*`|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|/(?![*/ ])(?:[^/\\\n\[]|\\.|\[[^\]\n]*\])+/)"""
    r"""|[ ]*([{}()\[\],;:?=<>&|*/!])[ ]*"""
)
#: "<" in JSON.
_LESS = "\\u003c"
#: Of the outline of what has the focus.
_FOCUS = ("--focus:#0067b1;", "--focus:#58b2f4;")


def page(p: str, q: str, unit: str, title: str = "KL divergence, both directions") -> str:
    """Returns the page, set to two expressions.

    Args:
        p, q: as the page reads them: sums of weight*family(...), or categorical([...]).
        unit: nats or bits.
        title: of the window.
    """
    state = json.dumps({"p": p, "q": q, "unit": unit, "version": __version__})
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{_style()}</style>'
    )
    # A script ends at the first "</", whatever stands around it.
    data = f'<script type="application/json" id="state">{state.replace("<", _LESS)}</script>'
    script = f'<script type="module">\n{_script()}</script>'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n'
        f"<body>{_file('page.html')}{data}\n{script}</body></html>\n"
    )


def fragment(p: str, q: str, unit: str = "nats") -> str:
    """Returns what stands behind # in a link to the page that is set to p and q."""
    return f"p={quote(p, safe='(),=*')}&q={quote(q, safe='(),=*')}&unit={unit}"


@cache
def _script() -> str:
    """The modules in one scope, without comments and indentation."""
    text = "\n".join(_file(f"{name}.js") for name in _SCRIPTS)
    lines = _INDENT.sub("", _COMMENT.sub("", text))
    return _SPACES.sub(lambda m: m[1] or m[2], lines)


@cache
def _style() -> str:
    light, dark = LIGHT + _FOCUS[0], DARK + _FOCUS[1]
    sheet = f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return (sheet + _file("page.css")).replace("\n", "")


def _file(name: str) -> str:
    return resources.files("kullback.render").joinpath("page", name).read_text(encoding="utf-8")
