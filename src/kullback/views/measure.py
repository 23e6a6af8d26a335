"""`kullback kl`, `plan` and `explain`: both directions side by side, and which regions contribute."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from kullback.api.explore import live_of
from kullback.distributions.base import Distribution
from kullback.render.document import (
    Axis,
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Notes,
    Section,
    Series,
    Table,
    heads,
)
from kullback.results.contributions import Contributions, Region
from kullback.results.directions import Side, Sides
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction
from kullback.results.plan import Cell as PlanCell
from kullback.results.plan import Plan, PlanRow
from kullback.results.serialise import to_json
from kullback.results.status import Status
from kullback.views.components import describe, fact, provenance
from kullback.views.curves import Curve, densities, divergence_of, integrand, of_density
from kullback.views.lines import is_scalar
from kullback.views.numbers import (
    error_of,
    exchanged,
    number,
    percent,
    sentence,
    swapped,
    value_of,
    with_error,
)
from kullback.views.planes import box_of, plane

_MEAN = {"forward": "under p", "reverse": "under q"}
_PUNISHES = {"forward": "q for missing what p has", "reverse": "q for having what p lacks"}
_LEAD = (
    "A region may add a negative amount, where the other distribution has more; "
    "the sum is the divergence."
)

Parts = Contributions | Estimate
#: What only a page needs: p and q, and explain(p, q) and explain(q, p) or the divergences alone.
Pair = tuple[Distribution, Distribution, Parts, Parts]


def kl_document(
    words: tuple[str, str],
    sides: Sides,
    *,
    pair: Callable[[], Pair] | None = None,
    key: object = None,
    seconds: float = 0.0,
) -> Document:
    """Returns what there is to say of a divergence in both directions.

    Args:
        words: p and q as they were given.
        sides: both directions, and the largest KL(p||q) allowed.
        pair: what a page draws, computed when there is one; None if nothing.
        key: the randomness it was made with.
        seconds: CPU seconds it took.
    """
    of_kl = sides.forward.value.quantity.name.startswith("kl")
    roles: dict[str, Direction] = {"forward": "forward", "reverse": "reverse"}
    facts = [fact(s.value, roles[s.name], s.name if of_kl else "") for s in sides.known]
    if sides.missing:
        why = f"not computed: {sides.missing}"
        facts.append(Fact("reverse", "", "not computed", sides.missing, why, "reverse"))
    sections = [Section("", "", (_both(sides.known),))] if of_kl else []
    live = None
    if pair is not None:
        once = cache(pair)
        live = live_of(*once()[:2], sides.forward.value.unit)
        sections += [
            Section("The two distributions", "", (Detail(lambda: _pictures(*once()[:2])),)),
            Section("Which regions contribute", _LEAD, (Detail(lambda: _contributions(*once())),)),
        ]

    def values() -> dict[str, object]:
        missing = {"reverse": None, "reverse_reason": sides.missing} if sides.missing else {}
        limit, passes = sides.max_kl, sides.status is Status.DONE
        gate = None if limit is None else {"max_kl": limit, "passes": passes}
        both = {s.name: to_json(s) for s in sides.known}
        end = {"gate": gate, "status": sides.status.value}
        return {"p": words[0], "q": words[1], **both, **missing, **end}

    what = "KL divergence" if of_kl else "Divergence"
    both = " in both directions" if len(sides.known) == 2 else ""
    return Document(
        f"{what} of p and q{both}", values, _pq(words), tuple(facts), tuple(sections),
        _notes(sides.known), provenance(key=key, seconds=seconds, clock="CPU"),
        _banner(sides), live,
    )  # fmt: skip


def _pq(words: tuple[str, str] | None) -> tuple[str, ...]:
    return () if words is None else (f"p = {words[0]}", f"q = {words[1]}")


def _values(words: tuple[str, str] | None, result: Contributions | Plan) -> dict[str, object]:
    if words is None:
        return to_json(result)
    second = {} if isinstance(result, Plan) and result.family else {"q": words[1]}
    return {"p": words[0], **second, **to_json(result)}


def _both(sides: tuple[Side, ...]) -> Table:
    values = [s.value for s in sides]
    rows: list[tuple[Cell, ...]] = [
        ("", *(v.direction for v in values)),
        ("in nats", *(with_error(v.nats) for v in values)),
        ("in bits", *(with_error(v.bits) for v in values)),
    ]
    if any(v.kind == "estimate" for v in values):
        rows.append(("95 % interval", *(_interval(v) for v in values)))
    for label, parts in (
        ("= cross-entropy", [s.cross_entropy for s in sides]),
        ("- entropy", [s.entropy for s in sides]),
    ):
        if any(parts):
            rows.append((label, *("unknown" if e is None else _named(e) for e in parts)))
    rows.append(("mean of log-ratio", *(_MEAN[s.name] for s in sides)))
    rows.append(("punishes", *(_PUNISHES[s.name] for s in sides)))
    return Table("", heads("", *(s.name for s in sides)), tuple(rows))


def _interval(value: Estimate) -> str:
    low, high = value.interval
    return f"[{low:.6g}, {high:.6g}] {value.unit}" if value.kind == "estimate" else ""


def _named(e: Estimate) -> str:
    if e.kind in ("infinite", "unresolved"):
        return f"{e.direction}: {e.kind}"
    return f"{e.direction} = {with_error(e)} {e.unit}"


def _notes(sides: tuple[Side, ...]) -> tuple[str, ...]:
    """What the lines themselves do not say yet, once each."""
    reasons = {s.value.reason for s in sides}
    numbers = [e for s in sides for e in (s.value, s.cross_entropy, s.entropy) if e is not None]
    notes = [(e, note) for e in numbers for note in e.notes if note not in reasons]
    named = (note if len(sides) == 1 else f"{e.direction}: {note}" for e, note in notes)
    return tuple(dict.fromkeys(named))


def _banner(sides: Sides) -> Banner | None:
    value, limit = sides.forward.value, sides.max_kl
    name, high = value.direction, value.interval[1]
    if limit is None:
        return None
    match sides.status:
        case Status.DONE:
            return Banner("gate passed", "good", f"{name} is at most {limit:g} {value.unit}")
        case Status.FAILED:
            text = f"{name} may be {high:.6g} {value.unit}, more than {limit:g}"
            return Banner("gate failed", "bad", text)
    return Banner("inconclusive", "unsure", f"{name} is unresolved")


def _drawable(p: Distribution, q: Distribution) -> bool:
    return is_scalar(p) and is_scalar(q) and p.support.discrete == q.support.discrete


def _pictures(p: Distribution, q: Distribution) -> tuple[Block, ...]:
    caption = f"p = {describe(p)}; q = {describe(q)}."
    if _drawable(p, q):
        return (densities("p and q", caption, of_density(p, [q]), [Curve("q", "q", q)]),)
    flat = all(d.support.kind == "real" and d.support.dimension == 2 for d in (p, q))
    box = box_of(p, q) if flat else None
    if box is not None:
        return (plane("p and q", [("p", "p", p), ("q", "q", q)], box, ("x[0]", "x[1]")),)
    return (Notes((caption, f"Not drawn: they live on {p.support} and {q.support}.")),)


def _contributions(
    p: Distribution, q: Distribution, forward: Parts, reverse: Parts
) -> tuple[Block, ...]:
    sides: tuple[tuple[Direction, Parts], ...] = (("forward", forward), ("reverse", reverse))
    drawn, tables = [], []
    where = of_density(p, [q]).line if _drawable(p, q) else None
    for direction, parts in sides:
        total = divergence_of(parts, direction)
        regions = parts.regions if isinstance(parts, Contributions) else ()
        if where is not None and total.quantity.name == "kl":
            drawn.append(integrand(p, q, direction, where, total=total, regions=regions))
        if isinstance(parts, Contributions):
            tables.append(regions_table(parts, direction, f"{total.direction}, region by region"))
    return (*([Gallery("", tuple(drawn))] if drawn else []), *tables)


# `kullback explain P Q`: which regions contribute.


def contributions_document(words: tuple[str, str] | None, parts: Contributions) -> Document:
    """Returns what there is to say of a divergence cut into regions.

    Args:
        words: p and q as they were given; None where they are not known.
        parts: the regions, and their total.
    """
    total = parts.total
    facts = (
        fact(total, "forward", "total"),
        fact(parts.cross_entropy, "neutral", "= cross-entropy"),
        fact(parts.entropy, "neutral", "- entropy"),
    )
    low = min((r.contribution.value for r in parts.regions if r.mass_q > r.mass_p), default=0.0)
    less = f"A region may add less than 0 (here {number(low, 4)}): q has more there than p."
    blocks = (regions_table(parts, "forward", ""), Detail(lambda: (_bars(parts),)))
    table = Section("", less if low < 0.0 else "", blocks)
    return Document(
        f"{total.direction}, region by region",
        lambda: _values(words, parts),
        _pq(words),
        facts,
        (table,),
        total.notes if total.reason is None else total.notes[1:],
    )


def _bars(parts: Contributions) -> Figure:
    """What each region adds, as a bar."""
    values = np.array([r.contribution.value for r in parts.regions])
    series = Series("", np.arange(float(len(values))), values, "forward", "bars")
    names = Axis("", (-0.6, len(values) - 0.4), names=tuple(r.name for r in parts.regions))
    unit = f", {parts.total.unit}" if parts.total.unit else ""
    return Figure(
        "What each region adds", sentence(parts.total), names, Axis(f"adds to {parts.total.direction}{unit}"), (series,)
    )  # fmt: skip


def regions_table(parts: Contributions, direction: Direction, title: str) -> Table:
    """Returns what each region adds to the divergence, with both masses.

    Args:
        parts: of explain(p, q), or for "reverse" of explain(q, p), which calls q its p.
        direction: which of the two.
        title: of the table.
    """
    total = divergence_of(parts, direction)
    largest = max((abs(r.contribution.value) for r in parts.regions), default=0.0)
    rows = tuple(_region(r, direction, largest) for r in parts.regions)
    end: tuple[Cell, ...] = ("all", "", "", value_of(total), error_of(total))
    adds = f">adds to {total.direction}, {total.unit}"
    columns = heads("region", ">mass of p", ">mass of q", adds, ">error")
    return Table(title, columns, (*rows, end), _decomposition(parts, direction))


def _region(r: Region, direction: Direction, largest: float) -> tuple[Cell, ...]:
    mass_p, mass_q = (r.mass_p, r.mass_q) if direction == "forward" else (r.mass_q, r.mass_p)
    value = r.contribution.value
    share = (
        value / largest if largest > 0.0 and math.isfinite(largest) else float(math.isinf(value))
    )
    signed = f"{value:+.6f}" if math.isfinite(value) and abs(value) < 1e6 else number(value)
    return (
        r.name if direction == "forward" else swapped(r.name), percent(mass_p), percent(mass_q),
        Bar(signed, 0.0 if math.isnan(share) else share), error_of(r.contribution),
    )  # fmt: skip


def _decomposition(parts: Contributions, direction: Direction) -> str:
    cross, own = parts.cross_entropy, parts.entropy
    if direction == "reverse":
        cross, own = exchanged(cross), exchanged(own)
    total = divergence_of(parts, direction)
    if not all(math.isfinite(e.value) for e in (cross, own)):
        return f"{sentence(total)}."
    return (
        f"{total.direction} = {cross.direction} − {own.direction}: "
        f"the cross-entropy, {with_error(cross)}, less the entropy, {with_error(own)} {own.unit}."
    )


# `kullback plan`: the table that chooses, before anything is computed.


def plan_document(words: tuple[str, str] | None, plan: Plan) -> Document:
    """Returns the table of methods with the chosen ones, and both directions side by side.

    Args:
        words: p and q, or p and the family, as they were typed; None where they are not known.
        plan: of measuring or, with a family, of fitting.
    """
    columns = heads("", "route" if plan.family else "method", "applies to", "may give")
    rows = tuple((_chosen(r), r.method, r.applies, r.gives) for r in plan.rows)
    cells = (plan.forward, plan.reverse)
    sides = tuple((name, *(value(c) for c in cells)) for name, value in _SIDES.items())
    lead = "The first method that applies is chosen:"
    return Document(
        f"How {plan.family} would be fitted" if plan.family else "Which method would answer",
        lambda: _values(words, plan),
        (f"p = {words[0]}", f"family: {words[1]}") if plan.family and words else _pq(words),
        sections=(
            Section("", "" if plan.family else lead, (Table("", columns, rows),)),
            Section("", "", (Table("", heads("", "forward", "reverse"), sides),)),
        ),
    )


_SIDES: dict[str, Callable[[PlanCell], str]] = {
    "": lambda c: c.direction,
    "method": lambda c: c.method,
    "mean": lambda c: c.expectation,
    "needs": lambda c: c.needs,
    "fitting it": lambda c: c.does,
}


def _chosen(row: PlanRow) -> Cell:
    both = {(True, True): "both", (True, False): "forward", (False, True): "reverse"}
    chosen = (row.forward, row.reverse)
    return Badge(both[chosen], "good") if chosen in both else ""
