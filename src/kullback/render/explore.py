"""The live page of p and q: one file of HTML, style and script, that needs nothing else."""

import json
import re
from functools import cache
from html import escape
from pathlib import Path

from kullback._version import __version__

#: Okabe and Ito's blue and vermilion, told apart by every kind of colour vision.
LIGHT = """
--ground:#fff;--paper:#f6f7f9;--ink:#1c2128;--soft:#57606a;--rule:#d8dee4;--grid:#eaeef2;
--p:#4b535d;--forward:#0067b1;--reverse:#d1520a;--q:#00776b;--sample:#6b7480;--neutral:#57606a;
--good:#116b3c;--bad:#b3200e;--unsure:#6a5300;
--good-tint:#dcf3e4;--bad-tint:#fde4df;--unsure-tint:#f6edd0;--band:#8c96a1;
"""
DARK = """
--ground:#14181d;--paper:#1c2228;--ink:#e4e8ec;--soft:#a3adb8;--rule:#38414b;--grid:#272e36;
--p:#aab4bf;--forward:#58b2f4;--reverse:#ff9d5c;--q:#3fc9b6;--sample:#98a3af;--neutral:#a3adb8;
--good:#6fd79a;--bad:#ff9280;--unsure:#e6c867;
--good-tint:#173a27;--bad-tint:#4a1f19;--unsure-tint:#3d3415;--band:#8c96a1;
"""
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
    return (Path(__file__).with_name("page") / name).read_text(encoding="utf-8")
