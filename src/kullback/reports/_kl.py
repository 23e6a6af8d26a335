"""The report on two distributions: both divergences and where they are paid."""

from collections.abc import Callable

from kullback.distributions._base import Distribution
from kullback.reports._clouds import box_of, plane
from kullback.reports._components import describe as in_words
from kullback.reports._densities import Curve, densities, of_density
from kullback.reports._figures import Block, Gallery, Notes, Page, Section
from kullback.reports._html import render
from kullback.reports._integrands import divergence_of, integrand
from kullback.reports._line import is_scalar
from kullback.reports._making import fact, made
from kullback.reports._numbers import sentence
from kullback.reports._tables import regions_table
from kullback.results._contributions import Contributions
from kullback.results._estimate import Estimate
from kullback.results._fit import Direction

Describe = Callable[[Distribution], str]


Parts = Contributions | Estimate
_LEAD = (
    "A region may add a negative amount, where the other distribution has more; "
    "the sum is the divergence."
)


def kl_report(
    p: Distribution, q: Distribution, forward: Parts, reverse: Parts, *,
    describe: Describe = in_words, key: object = None, seconds: float = 0.0,
) -> str:  # fmt: skip
    """Returns both divergences of two distributions as one HTML page that needs nothing else.

    Args:
        p, q: the distributions.
        forward: explain(p, q), or the divergence alone where there are no regions.
        reverse: explain(q, p), or the divergence alone, named by p and q as they are here.
        describe: writes a distribution in words.
        key: the randomness it was made with, for the foot of the page.
        seconds: CPU seconds it took.
    """
    totals = divergence_of(forward, "forward"), divergence_of(reverse, "reverse")
    names = describe(p), describe(q)
    means = ""
    if all(t.quantity == "kl" for t in totals):
        means = " The first is the mean of log(p/q) under p, the second that of log(q/p) under q."
    summary = (
        f"p = {names[0]} and q = {names[1]}. {sentence(totals[0])}; {sentence(totals[1])}.{means}"
    )
    facts = (fact(totals[0], "forward"), fact(totals[1], "reverse"))
    notes = tuple(dict.fromkeys(f"{t.direction}: {n}" for t in totals for n in t.notes))
    sections = [Section("The two distributions", "", _pictures(p, q, names))]
    paid = _paid(p, q, forward, reverse)
    sections += [Section("Where each divergence is paid", _LEAD, paid)] if paid else []
    sections += [Section("Notes", "", (Notes(notes),))] if notes else []
    foot = made(key=key, seconds=seconds, clock="CPU")
    return render(Page(_title(totals), summary, facts, tuple(sections), foot))


def _title(totals: tuple[Estimate, Estimate]) -> str:
    kl = all(t.quantity == "kl" for t in totals)
    return f"{'KL divergence' if kl else 'Divergence'} of p and q in both directions"


def _drawable(p: Distribution, q: Distribution) -> bool:
    return is_scalar(p) and is_scalar(q) and p.support.discrete == q.support.discrete


def _pictures(p: Distribution, q: Distribution, names: tuple[str, str]) -> tuple[Block, ...]:
    caption = f"p = {names[0]}; q = {names[1]}."
    if _drawable(p, q):
        return (densities("p and q", caption, of_density(p, [q]), [Curve("q", "q", q)]),)
    flat = all(d.support.kind == "real" and d.support.dimension == 2 for d in (p, q))
    box = box_of(p, q) if flat else None
    if box is not None:
        return (plane("p and q", [("p", "p", p), ("q", "q", q)], box, ("x[0]", "x[1]")),)
    return (Notes((caption, f"Not drawn: they live on {p.support} and {q.support}.")),)


def _paid(p: Distribution, q: Distribution, forward: Parts, reverse: Parts) -> tuple[Block, ...]:
    sides: tuple[tuple[Direction, Parts], ...] = (("forward", forward), ("reverse", reverse))
    drawn, tables = [], []
    where = of_density(p, [q]).line if _drawable(p, q) else None
    for direction, parts in sides:
        total = divergence_of(parts, direction)
        regions = parts.regions if isinstance(parts, Contributions) else ()
        if where is not None and total.quantity == "kl":
            drawn.append(integrand(p, q, direction, where, total=total, regions=regions))
        if isinstance(parts, Contributions):
            tables.append(regions_table(parts, direction, f"{total.direction}, region by region"))
    return (*([Gallery("", tuple(drawn))] if drawn else []), *tables)
