"""A document as HTML: a file that needs nothing else, or an element for a notebook. Escaping is done here only."""

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from html import escape
from itertools import count

from kullback.render.document import (
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Corner,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Head,
    Lines,
    Live,
    Notes,
    Section,
    Table,
)
from kullback.render.explore import DARK, LIGHT, page
from kullback.render.svg import draw, draw_corner

_SIGNS = {"good": "✓", "bad": "✗", "unsure": "?"}
#: What is hatched: the areas that lie below 0.
_HATCH = (
    '<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="5" height="5" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0,0V5"/></pattern></defs></svg>'
)
#: Packages whose versions a page says, where they took part.
_PACKAGES = ("numpy", "scipy", "polars", "jax", "numpyro", "torch")
#: A column of texts longer than this gets room.
_LONG = 24
#: A table of more columns is set smaller.
_MANY = 8


def render(document: Document) -> str:
    """Returns a document as an HTML page."""
    title = escape(document.title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_SHEET}</style></head>\n<body>{_HATCH}<main>"
        f"{_content(document)}{_live(document.live)}{_footer(document)}</main>"
        f"<script>{_SAVING}</script></body></html>\n"
    )


def signed(document: Document, rows: tuple[tuple[str, str], ...] = ()) -> Document:
    """Returns a document whose foot also says when it was made, and with what.

    Args:
        document: what to sign.
        rows: what else the foot is to say, as name and value.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(float(epoch), UTC) if epoch else datetime.now(UTC)
    loaded = [(n, getattr(sys.modules.get(n), "__version__", "")) for n in _PACKAGES]
    versions = [f"Python {platform.python_version()}", *(f"{n} {v}" for n, v in loaded if v)]
    made = (("made", f"{now:%Y-%m-%d %H:%M} UTC"), ("with", ", ".join(versions)))
    return replace(document, provenance=(*document.provenance, *rows, *made))


def signed_page(document: Document) -> str:
    """Returns a document as an HTML page that says when it was made."""
    return render(signed(document))


def _content(document: Document, prefix: str = "f") -> str:
    """Returns what stands on a page, without its frame.

    Args:
        document: what to show.
        prefix: of the names of the parts of figures, unique in what they are put into.
    """
    names = (f"{prefix}{i}" for i in count(1))
    notes = (Section("Notes", "", (Notes(document.notes),)),) if document.notes else ()
    body = "".join(_section(s, names) for s in (*document.sections, *notes))
    facts = "".join(_fact(f) for f in document.facts)
    headline = "".join(f'<p class="summary">{escape(line)}</p>' for line in document.headline)
    return (
        f"<header><h1>{escape(document.title)}</h1>{_banner(document.banner)}{headline}</header>"
        + (f'<div class="facts">{facts}</div>' if facts else "")
        + f"\n{body}\n"
    )


def _section(section: Section, names: Iterator[str]) -> str:
    blocks = "\n".join(b for b in (_block(b, names) for b in section.blocks) if b)
    if not blocks and (section.blocks or not section.lead):
        return ""
    lead = f"<p>{escape(section.lead)}</p>" if section.lead else ""
    return f"<section>{_title(section.title, 2)}{lead}{blocks}</section>\n"


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
        case Detail(make):
            return "\n".join(_block(b, names, level) for b in make())


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
    many = ' class="many"' if len(table.columns) > _MANY else ""
    return (
        f'<div class="tabled">{_title(table.title, level)}'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f"<table{many}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{_caption(table.caption, 'p')}</div>"
    )


def _head(column: Head) -> str:
    kind = ' class="num"' if column.align == "right" else ""
    return f'<th scope="col"{kind}>{escape(column.name)}</th>'


def _cell(cell: Cell) -> str:
    match cell:
        case Badge(text, tone):
            return f'<span class="badge {tone}">{_SIGNS[tone]} {escape(text)}</span>'
        case Bar(text, share):
            return f"{_cell(text)}{_gauge(share)}"
        case str():
            return escape(cell).replace("\n", "<br>" if isinstance(cell, Lines) else " ")


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
        f'<div class="fact r-{fact.role}"><div class="name">{escape(", ".join(p for p in (fact.name, fact.label) if p))}</div>'
        f'<div class="value">{escape(fact.value)}</div><div class="detail">{escape(fact.detail)}</div></div>'
    )


def _title(text: str, level: int) -> str:
    return f"<h{level}>{escape(text)}</h{level}>" if text else ""


def _caption(text: str, tag: str) -> str:
    return f'<{tag} class="caption">{escape(text)}</{tag}>' if text else ""


def _live(live: Live | None) -> str:
    """Returns the live page in a frame that is opened by hand."""
    if live is None:
        return ""
    inside = page(live.p, live.q, live.unit).replace("&", "&amp;").replace("'", "&#39;")
    return (
        '<details class="live"><summary>Move p and q: a live page of both</summary>'
        f'<iframe title="Live page of p and q" loading="lazy" srcdoc=\'{inside}\'></iframe></details>'
    )


def _footer(document: Document) -> str:
    rows = document.provenance
    listed = "".join(f"<div><dt>{escape(n)}</dt><dd>{escape(v)}</dd></div>" for n, v in rows)
    return f"<footer><strong>How this was made</strong><dl>{listed}</dl></footer>" if rows else ""


# How a page looks: one style sheet, for light and dark, wide and narrow, screen and paper.

_TEXT = """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1000px;margin:0 auto;padding:40px 24px 24px}
h1{font-size:30px;line-height:1.2;letter-spacing:-.01em;margin:0 0 14px;overflow-wrap:anywhere}
h2{font-size:22px;line-height:1.25;margin:52px 0 6px;padding-top:18px;border-top:1px solid var(--rule)}
h3{font-size:16px;line-height:1.35;margin:0 0 6px;font-weight:650}
p{margin:0 0 12px;max-width:76ch;text-wrap:pretty}
.summary{font-size:17px;margin:0 0 6px;overflow-wrap:anywhere;max-height:9.5em;overflow-y:auto}
.caption{color:var(--soft);font-size:14px;line-height:1.5;margin:8px 0 0;max-width:84ch}
.notes{margin:12px 0;padding-left:20px;max-width:80ch}
.notes li{margin:4px 0}
figure{margin:22px 0;min-width:0}
.gallery{margin:26px 0}
.items{display:grid;gap:26px 24px;grid-template-columns:repeat(2,minmax(0,1fr))}
.items.small{grid-template-columns:repeat(3,minmax(0,1fr))}
.items>*{margin:0}
h4{font-size:14.5px;line-height:1.35;margin:0 0 4px;font-weight:600}
.gallery>h3{margin-bottom:12px}
.items.small .caption{margin:2px 0 0}
footer{margin:56px 0 0;padding:16px 0 8px;border-top:1px solid var(--rule);color:var(--soft);font-size:14px}
footer dl{display:flex;flex-wrap:wrap;gap:2px 28px;margin:4px 0 0}
footer div{display:flex;gap:8px}
footer dt::after{content:":"}
footer dd{margin:0;color:var(--ink);font-variant-numeric:tabular-nums}
"""
_FACTS = """
.facts{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));margin:24px 0 8px}
.fact{background:var(--paper);border-radius:8px;padding:14px 16px 12px;border-left:4px solid var(--c);min-width:0}
.fact .name{font-size:14px;color:var(--soft);overflow-wrap:anywhere}
.fact .value{font-size:24px;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.fact .detail{font-size:13px;color:var(--soft);line-height:1.4;overflow-wrap:anywhere}
"""
_BANNER = """
.banner{border-radius:10px;padding:14px 18px;margin:0 0 18px;overflow-wrap:anywhere}
.banner.good{background:var(--good-tint)}.banner.bad{background:var(--bad-tint)}.banner.unsure{background:var(--unsure-tint)}
.banner strong{font-size:22px}
.banner.good strong{color:var(--good)}.banner.bad strong{color:var(--bad)}.banner.unsure strong{color:var(--unsure)}
.banner p{margin:4px 0 0}
.banner .remedy{font-weight:600}
"""
_TABLES = """
.tabled{margin:22px 0;min-width:0}
.scroll{overflow-x:auto;width:fit-content;max-width:100%;border:1px solid var(--rule);border-radius:8px}
table{border-collapse:collapse;font-size:14px;line-height:1.45}
th,td{padding:7px 10px;text-align:left;vertical-align:top}
th{font-weight:650;background:var(--paper);border-bottom:1px solid var(--rule);vertical-align:bottom}
tbody tr:nth-child(even){background:var(--paper)}
.many{font-size:13px}
.many th,.many td{padding:6px 7px}
.num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.short{white-space:nowrap}
.long{min-width:13em}
.badge{display:inline-block;white-space:nowrap;border-radius:99px;padding:0 9px;font-weight:600;font-size:13px}
.badge.good{color:var(--good);background:var(--good-tint)}
.badge.bad{color:var(--bad);background:var(--bad-tint)}
.badge.unsure{color:var(--unsure);background:var(--unsure-tint)}
.gauge{display:block;position:relative;height:5px;margin-top:3px;min-width:70px}
.gauge i{position:absolute;top:0;height:5px;border-radius:2px;background:var(--neutral)}
.gauge::after{content:"";position:absolute;left:50%;top:-1px;height:7px;width:1px;background:var(--rule)}
.gauge i.less{background:repeating-linear-gradient(135deg,var(--neutral) 0 2px,transparent 2px 4px)}
"""
_PLOTS = """
svg{display:block;width:100%;height:auto;overflow:visible}
svg.narrow{display:none}
.defs{position:absolute;width:0;height:0}
svg text{font-size:13px;fill:var(--ink);font-variant-numeric:tabular-nums}
svg .mid{text-anchor:middle}
svg .end{text-anchor:end}
svg .label,svg .end{fill:var(--soft)}
svg .axis{stroke:var(--soft);stroke-width:1;fill:none}
svg .zero{stroke:var(--soft);stroke-width:1;fill:none}
svg .grid{stroke:var(--grid);stroke-width:1;fill:none}
.r-p{--c:var(--p)}.r-q{--c:var(--q)}.r-forward{--c:var(--forward)}.r-reverse{--c:var(--reverse)}
.r-good{--c:var(--good)}.r-bad{--c:var(--bad)}.r-unsure{--c:var(--unsure)}
.r-sample{--c:var(--sample)}.r-neutral{--c:var(--neutral)}
.line,.dashed{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
.dashed{stroke-dasharray:7 5}
.thin{stroke-width:1.3}
.faint{stroke-width:1.1;opacity:.55}
.area{fill:var(--c);fill-opacity:.2}
.area.strong{fill-opacity:.34}
.area.bar{fill-opacity:.45}
.area.key{stroke:var(--c);stroke-width:1.3}
.below{fill:url(#hatch)}
.below.bar{stroke:var(--soft);stroke-width:1}
.defs path{stroke:var(--soft);stroke-width:1.4}
.dots{fill:none;stroke:var(--c);stroke-width:7;stroke-linecap:round}
.cloud{fill:none;stroke:var(--c);stroke-width:3.4;stroke-linecap:round;opacity:.42}
.cloud.big{stroke-width:7}
.corner{margin:0 auto 0 0}
svg.corner.narrow{display:none}
.corner .cloud{stroke-width:3;opacity:.5}
.corner .r-p .cloud{stroke:var(--ink);opacity:.55}
.corner .box{fill:none;stroke:var(--rule);stroke-width:1}
.corner .axis{stroke:var(--soft)}
svg.corner text.tick{font-size:11px;fill:var(--soft)}
svg.corner text.name{font-size:13px;font-weight:600}
.band{fill:var(--band);fill-opacity:.09;stroke:var(--ground);stroke-width:2}
.band.bad{fill:var(--bad);fill-opacity:.1}
.band.good{fill:var(--good);fill-opacity:.09}
svg text.bad{fill:var(--bad);font-weight:600}
svg text.good{fill:var(--good);font-weight:600}
"""
_MORE = """
.save{display:flex;gap:8px;margin:6px 0 0}
.save button{font:inherit;font-size:12.5px;color:var(--soft);background:none;border:1px solid var(--rule);border-radius:6px;padding:1px 8px;cursor:pointer}
.save button:hover{color:var(--ink);border-color:var(--soft)}
.live{margin:52px 0 0;padding-top:18px;border-top:1px solid var(--rule)}
.live summary{font-size:18px;font-weight:650;cursor:pointer}
.live iframe{width:100%;height:1300px;border:1px solid var(--rule);border-radius:8px;margin-top:12px}
"""
_NARROW = """
main{padding:24px 16px}
h1{font-size:25px}
h2{font-size:20px;margin-top:40px}
.summary{font-size:16.5px}
.items,.items.small{grid-template-columns:minmax(0,1fr)}
.items.small svg{max-width:340px}
svg.half text{font-size:14.5px}
svg.wide{display:none}
svg.narrow,svg.corner.narrow{display:block}
svg.corner.broad{display:none}
th,td{padding:6px 9px}
"""
_PAPER = """
main{padding:0;max-width:none}
h2{margin-top:28px}
h2,h3,h4{break-after:avoid}
figure,.tabled,.fact,tr{break-inside:avoid}
.scroll{overflow:visible}
.save,.live{display:none}
body{font-size:11pt}
"""

_SHEET = (
    f":root{{color-scheme:light dark;{LIGHT}}}"
    f"@media screen and (prefers-color-scheme:dark){{:root{{{DARK}}}}}"
    f"{_TEXT}{_FACTS}{_BANNER}{_TABLES}{_PLOTS}{_MORE}"
    f"@media screen and (max-width:640px){{{_NARROW}}}"
    f"@media print{{{_PAPER}}}"
).replace("\n", "")

# Figures as files: the only script of a page, which nothing needs to be read.

#: Copies a figure with the style that it needs, in light colours, and lets the browser keep it.
_SAVING = """
function keep(figure,kind){
const shown=[...figure.querySelectorAll("svg")].find(s=>s.getClientRects().length),copy=shown.cloneNode(true),box=shown.viewBox.baseVal;
const style=document.createElementNS(shown.namespaceURI,"style"),defs=document.querySelector(".defs defs");
style.textContent=document.querySelector("style").textContent.replace(/@media[^{]*\\{(?:[^{}]*\\{[^{}]*\\})*[^{}]*\\}/g,"")+"svg{font-family:system-ui,sans-serif}";
copy.classList.remove("narrow");copy.prepend(style,...(defs?[defs.cloneNode(true)]:[]));
copy.setAttribute("xmlns",shown.namespaceURI);copy.setAttribute("width",box.width);copy.setAttribute("height",box.height);
const name=(figure.querySelector("h3,h4")||document.querySelector("h1")).textContent.replace(/[^\\w]+/g,"-").replace(/^-|-$/g,"");
const give=b=>{const a=document.createElement("a");a.href=URL.createObjectURL(b);a.download=name+"."+kind.toLowerCase();a.click();setTimeout(()=>URL.revokeObjectURL(a.href),1e4)};
const blob=new Blob([new XMLSerializer().serializeToString(copy)],{type:"image/svg+xml"});
if(kind==="SVG")return give(blob);
const image=new Image();
image.onload=()=>{const c=document.createElement("canvas"),g=c.getContext("2d");c.width=2*box.width;c.height=2*box.height;
g.fillStyle="#fff";g.fillRect(0,0,c.width,c.height);g.drawImage(image,0,0,c.width,c.height);c.toBlob(give)};
image.src=URL.createObjectURL(blob)}
for(const figure of document.querySelectorAll("figure")){const bar=document.createElement("div");bar.className="save";
for(const kind of ["SVG","PNG"]){const b=document.createElement("button");b.type="button";b.textContent="Download "+kind;b.onclick=()=>keep(figure,kind);bar.append(b)}
figure.append(bar)}
""".replace("\n", "")

# A notebook: the page without a frame, whose style touches nothing around it.

#: Names of the parts of figures, until they get some that no other output has.
_PREFIX = "kullback-part-"
#: What is smaller here than on a page; CSS nesting keeps all of it within the element.
_INSIDE = (
    "&{padding:12px 16px;border-radius:8px;margin:0}h1{font-size:20px}h2{font-size:17px;"
    "margin-top:24px;padding-top:10px}.summary{font-size:15px}.fact .value{font-size:19px}"
)
_SCOPED = re.sub(r"(?<![\w-])(:root|body|main)\{", "&{", _SHEET)


def write_notebook(document: Document) -> str:
    """Returns a document as an HTML element for a notebook."""
    body = _content(document, _PREFIX)
    own = f"k{blake2b(body.encode(), digest_size=6).hexdigest()}-"
    return (
        f'<div class="kullback"><style>.kullback{{{_SCOPED}{_INSIDE}}}</style>{_HATCH}'
        f"{body.replace(_PREFIX, own)}</div>"
    )
