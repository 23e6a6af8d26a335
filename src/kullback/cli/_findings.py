"""Published numbers and what they should be, as a table."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from kullback.cli import _output
from kullback.cli._numbers import figure
from kullback.results._verification import Finding, Verification

_STYLES = {"confirmed": "green", "refuted": "bold red", "cannot tell": "yellow"}


def page(found: Verification) -> Iterator[str | Table]:
    """Yields the table of findings, what there is to say about them, and the count of stamps."""
    yield _output.table(
        ("claim", "claimed", "recomputed", "quantity", "verdict"),
        [_row(f) for f in found.findings],
        right=(1,),
    )
    remarks: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.remark:
            remarks.setdefault(finding.remark, []).append(finding.claim)
    if remarks:
        yield ""
    for remark, claims in remarks.items():
        names = ", ".join(dict.fromkeys(claims))
        yield _output.line(f"{names}: {remark}", indent="  ")
    yield ""
    yield count(found)


def count(found: Verification) -> str:
    """Returns how many findings have each stamp, in words."""
    stamps = [f.stamp for f in found.findings]
    return ", ".join(f"{stamps.count(stamp)} {stamp}" for stamp in _STYLES)


def _row(finding: Finding) -> list[str | Text]:
    claim = finding.claim + (f" (read: {finding.reading})" if finding.reading else "")
    of = "" if finding.found is None else finding.found.direction
    return [
        claim,
        "" if finding.claimed is None else f"{finding.claimed:g}",
        "not computed" if finding.found is None else figure(finding.found),
        "" if finding.claim.endswith(of) else of,
        Text(finding.stamp, style=_STYLES[finding.stamp]),
    ]
