"""A page as HTML: one file that needs nothing else. What is given is escaped here and only here."""

from collections.abc import Iterator
from html import escape
from itertools import count

from kullback.reports._corner import draw_corner
from kullback.reports._figures import (
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Column,
    Corner,
    Fact,
    Figure,
    Gallery,
    Notes,
    Page,
    Section,
    Table,
)
from kullback.reports._style import SHEET
from kullback.reports._svg import draw

_SIGNS = {"good": "✓", "bad": "✗", "unsure": "?"}
#: What is hatched: the areas that lie below 0.
_HATCH = (
    '<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="5" height="5" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0,0V5"/></pattern></defs></svg>'
)
#: A column of texts longer than this gets room.
_LONG = 24


def render(page: Page) -> str:
    """Returns a page as an HTML document."""
    names = (f"f{i}" for i in count(1))
    body = "".join(_section(s, names) for s in page.sections)
    facts = "".join(_fact(f) for f in page.facts)
    title = escape(page.title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{SHEET}</style></head>\n<body>{_HATCH}<main>"
        f"<header><h1>{title}</h1>{_banner(page.banner)}"
        f'<p class="summary">{escape(page.summary)}</p></header>'
        + (f'<div class="facts">{facts}</div>' if facts else "")
        + f"\n{body}\n{_footer(page)}</main></body></html>\n"
    )


def _section(section: Section, names: Iterator[str]) -> str:
    lead = f"<p>{escape(section.lead)}</p>" if section.lead else ""
    blocks = "\n".join(_block(b, names) for b in section.blocks)
    return f"<section><h2>{escape(section.title)}</h2>{lead}{blocks}</section>\n"


def _block(block: Block, names: Iterator[str], level: int = 3) -> str:
    match block:
        case Figure():
            return _figure(block, names, level)
        case Corner():
            return _corner(block, names, level)
        case Table():
            return _table(block, level)
        case Gallery():
            return _gallery(block, names)
        case Notes(items):
            return f'<ul class="notes">{"".join(f"<li>{escape(i)}</li>" for i in items)}</ul>'


def _figure(figure: Figure, names: Iterator[str], level: int) -> str:
    drawn = draw(figure, next(names))
    if figure.size == "wide":
        drawn += draw(figure, next(names), narrow=True)
    return f"<figure>{_title(figure.title, level)}{drawn}{_caption(figure.caption, 'figcaption')}</figure>"


def _corner(corner: Corner, names: Iterator[str], level: int) -> str:
    drawn = draw_corner(corner, next(names)) + draw_corner(corner, next(names), narrow=True)
    return f"<figure>{_title(corner.title, level)}{drawn}{_caption(corner.caption, 'figcaption')}</figure>"


def _banner(banner: Banner | None) -> str:
    if banner is None:
        return ""
    remedy = f'<p class="remedy">{escape(banner.remedy)}</p>' if banner.remedy else ""
    return (
        f'<div class="banner {banner.tone}"><strong>{_SIGNS[banner.tone]} {escape(banner.word)}'
        f"</strong><p>{escape(banner.text)}</p>{remedy}</div>"
    )


def _gallery(gallery: Gallery, names: Iterator[str]) -> str:
    small = all(isinstance(i, Figure) and i.size == "small" for i in gallery.items)
    items = "".join(_block(i, names, 4 if gallery.title or small else 3) for i in gallery.items)
    return (
        f'<div class="gallery">{_title(gallery.title, 3)}'
        f'<div class="items{" small" if small else ""}">{items}</div>{_caption(gallery.caption, "p")}</div>'
    )


def _table(table: Table, level: int) -> str:
    columns = range(len(table.columns))
    long = [any(_length(row[i]) > _LONG for row in table.rows) for i in columns]
    classes = [
        ' class="num"' if c.align == "right" else f' class="{"long" if wide else "short"}"'
        for c, wide in zip(table.columns, long, strict=True)
    ]
    head = "".join(_head(c) for c in table.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td{k}>{_cell(c)}</td>' for k, c in zip(classes, row, strict=True))}</tr>"
        for row in table.rows
    )
    label = escape(table.title or "table", quote=True)
    return (
        f'<div class="tabled">{_title(table.title, level)}'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{_caption(table.caption, 'p')}</div>"
    )


def _head(column: Column) -> str:
    kind = ' class="num"' if column.align == "right" else ""
    return f'<th scope="col"{kind}>{escape(column.name)}</th>'


def _cell(cell: Cell) -> str:
    match cell:
        case Badge(text, tone):
            return f'<span class="badge {tone}">{_SIGNS[tone]} {escape(text)}</span>'
        case Bar(text, share):
            return f"{escape(text)}{_gauge(share)}"
        case str():
            return escape(cell).replace("\n", "<br>")


def _gauge(share: float) -> str:
    """Returns a bar that starts in the middle of the cell."""
    width = 50.0 * min(abs(share), 1.0)
    left = 50.0 if share >= 0.0 else 50.0 - width
    kind = ' class="less"' if share < 0.0 else ""
    return f'<span class="gauge"><i{kind} style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'


def _length(cell: Cell) -> int:
    return max(len(line) for line in cell.split("\n")) if isinstance(cell, str) else 0


def _fact(fact: Fact) -> str:
    return (
        f'<div class="fact r-{fact.role}"><div class="name">{escape(fact.label)}</div>'
        f'<div class="value">{escape(fact.value)}</div><div class="detail">{escape(fact.detail)}</div></div>'
    )


def _title(text: str, level: int) -> str:
    return f"<h{level}>{escape(text)}</h{level}>" if text else ""


def _caption(text: str, tag: str) -> str:
    return f'<{tag} class="caption">{escape(text)}</{tag}>' if text else ""


def _footer(page: Page) -> str:
    made = "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in page.made)
    return f"<footer><strong>How this was made</strong><dl>{made}</dl></footer>"
