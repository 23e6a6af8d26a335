"""The report on published numbers, recomputed."""

from kullback.reports._figures import Fact, Page, Section, Tone
from kullback.reports._html import render
from kullback.reports._making import made
from kullback.reports._tables import claims_table, stamps
from kullback.results._verification import Verification

_TONES: dict[str, Tone] = {"confirmed": "good", "refuted": "bad", "cannot tell": "unsure"}


def verification_report(
    verification: Verification, *, key: object = None, seconds: float = 0.0
) -> str:
    """Returns the findings on a source as one HTML page that needs nothing else.

    Args:
        verification: what was found.
        key: the randomness it was made with, for the foot of the page.
        seconds: CPU seconds it took.
    """
    total = len(verification.findings)
    facts = tuple(
        Fact(stamp, str(n), f"of {total} published numbers", tone)
        for stamp, tone in _TONES.items()
        if (n := sum(f.stamp == stamp for f in verification.findings))
    )
    source = f" Source: {verification.source}." if verification.source else ""
    summary = f"{total} published numbers were recomputed, each with its error: {stamps(verification)}.{source}"
    section = Section(
        "The claims",
        "A claim is confirmed if it is what was found, to the digits it was published with; refuted if it "
        "is not; where the claim or the computation leaves room, the verdict is that one cannot tell.",
        (claims_table(verification),),
    )
    foot = made(key=key, seconds=seconds, clock="CPU")
    return render(Page(verification.title, summary, facts, (section,), foot))
