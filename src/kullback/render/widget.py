"""The live page as a widget of a notebook, whose p and q are what is on the screen."""

from pathlib import Path
from typing import final

import anywidget
import traitlets


@final
class PageWidget(anywidget.AnyWidget):
    """The page in a frame; `p`, `q` and `unit` go both ways."""

    _esm = Path(__file__).with_name("page") / "widget.js"
    page = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    p = traitlets.Unicode().tag(sync=True)
    q = traitlets.Unicode().tag(sync=True)
    unit = traitlets.Unicode().tag(sync=True)
