"""`kullback judge`: how far draws, or a density, are from p."""

from kullback.render.document import (
    Block,
    Detail,
    Document,
    Fact,
    Gallery,
    Notes,
    Role,
    Section,
    Table,
    heads,
)
from kullback.results.estimate import Estimate
from kullback.results.judgement import Judgement
from kullback.results.serialise import to_json
from kullback.views.components import fact, provenance
from kullback.views.numbers import with_error
from kullback.views.posterior import (
    BARS,
    banner,
    coordinates_table,
    findings_table,
    how,
    interval_plot,
    outside_fact,
    row_of,
)

_WAYS = ("importance weights", "tempered SMC", "the draws, bridged to a mixture of half of them")


def judgement_document(
    found: Judgement, *, p: str = "", q: str = "", key: object = None
) -> Document:
    """Returns what there is to say of draws or a density.

    Args:
        found: the result.
        p, q: in words, such as "model.py:log_posterior".
        key: randomness.
    """
    d, judged = len(found.parameters), found.judged
    if judged is None:
        what, said = "density", q or "a density"
    else:
        what = "draws"
        chains = f" in {judged.chains} chains" if judged.chains > 1 else ""
        said = f"{judged.draws:,} draws{chains}, worth {judged.effective:,.0f} independent ones"
        said = f"{said} ({q})" if q else said
    headline = (
        f"p: {p or 'a log density'}, {d} parameter{'' if d == 1 else 's'}",
        f"q: {said}",
    )
    bars = Detail(lambda: (Notes((BARS,)),))
    return Document(
        f"How far the {what} {'is' if judged is None else 'are'} from p",
        lambda: {**to_json(found), "seconds": found.seconds},
        headline,
        _facts(found),
        (
            Section("", "", (_numbers(found), Detail(lambda: _evidence(found)))),
            Section("All parameters", "", (coordinates_table(found.parameters), bars)),
            Section("Findings", "", (findings_table(found.diagnosis),)),
        ),
        _notes(found),
        provenance(key=key, seconds=found.seconds, clock="wall-clock"),
        banner(found.diagnosis),
    )


def _facts(found: Judgement) -> tuple[Fact, ...]:
    known: tuple[tuple[Estimate, Role], ...] = (
        (found.log_evidence, "q"),
        (found.reverse_kl, "reverse"),
        (found.forward_kl, "forward"),
    )
    return (*(fact(e, role, repeated=True) for e, role in known), outside_fact(found.outside))


def _numbers(found: Judgement) -> Table:
    mass = found.outside
    share = f"{100.0 * mass.value:.2f} ± {100.0 * mass.standard_error:.2f} %"
    rows = (
        *(
            (name, with_error(e), how(e))
            for name, e in (
                ("log evidence", found.log_evidence),
                *((f"  {way}", e) for way, e in zip(_WAYS, found.routes, strict=False)),
                (found.reverse_kl.direction, found.reverse_kl),
                (found.forward_kl.direction, found.forward_kl),
            )
        ),
        (mass.direction, mass.kind if mass.kind == "unresolved" else share, how(mass)),
    )
    return Table("", heads("", found.log_evidence.unit, "method"), rows)


def _evidence(found: Judgement) -> tuple[Block, ...]:
    caption = "Bars are 95 % intervals. Tempered SMC and the weights of its mixtures owe nothing to what is judged."
    if found.judged is None:
        caption = "Bars are 95 % intervals. Tempered SMC owes nothing to what is judged."
    rows = [row_of(way, e, "q") for way, e in zip(_WAYS, found.routes, strict=False)]
    figure = interval_plot("Log evidence, each way", caption, rows, found.log_evidence.unit)
    return (Gallery("Log evidence", (figure,)),)


def _notes(found: Judgement) -> tuple[str, ...]:
    bounds = "KLs of draws are bounded from below, by a mixture fitted to half of them and measured on the other half"
    return (
        *([bounds] if found.judged is not None else []),
        f"{found.evaluations:,} gradients of p; {found.seconds:.1f} s",
        *found.notes,
        f"limitation: {found.diagnosis.unseen}",
    )
