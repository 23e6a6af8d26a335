"""A document in a notebook: its page without a frame, whose style touches nothing around it."""

import re
from hashlib import blake2b

from kullback.render.document import Document
from kullback.render.html import HATCH, SHEET, content

#: Names of the parts of figures, until they get some that no other output has.
_PREFIX = "kullback-part-"
#: What is smaller here than on a page; CSS nesting keeps all of it within the element.
_INSIDE = (
    "&{padding:12px 16px;border-radius:8px;margin:0}h1{font-size:20px}h2{font-size:17px;"
    "margin-top:24px;padding-top:10px}.summary{font-size:15px}.fact .value{font-size:19px}"
)
_SCOPED = re.sub(r"(?<![\w-])(:root|body|main)\{", "&{", SHEET)


def write_notebook(document: Document) -> str:
    """Returns a document as an HTML element for a notebook."""
    body = content(document, _PREFIX)
    own = f"k{blake2b(body.encode(), digest_size=6).hexdigest()}-"
    return (
        f'<div class="kullback"><style>.kullback{{{_SCOPED}{_INSIDE}}}</style>{HATCH}'
        f"{body.replace(_PREFIX, own)}</div>"
    )
