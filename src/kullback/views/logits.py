"""`kullback logits`: models against a base, in pairs, where they differ, and what their files hide."""

from kullback.render.document import (
    Badge,
    Banner,
    Bar,
    Block,
    Cell,
    Detail,
    Document,
    Head,
    Notes,
    Section,
    Table,
    heads,
)
from kullback.results.estimate import Estimate
from kullback.results.logits import LogitsModel, LogitsPair, LogitsReport
from kullback.results.serialise import to_json
from kullback.results.status import Status
from kullback.views.components import fact, provenance
from kullback.views.numbers import interval_of, number, percent, value_of, with_error

_READING = (
    """KL(base||model) is how many nats a token the model's code of the base's own text is longer than the base's code;
    KL(model||base) the other way round. Perplexity and log loss are of the text that came.""",
    """Intervals are of the mean over other texts of this kind: documents, or stretches of neighbouring positions, vary
    as a whole. A ± that takes tokens as independent is shorter and covers less.""",
    "Differences of two models are taken position by position: what makes a position hard for both cancels.",
)


def logits_document(report: LogitsReport) -> Document:
    """Returns how far models are from a base, in the unit of the result."""
    vocabulary = f", {report.vocabulary:,} tokens" if report.vocabulary else ""
    where = f"{report.positions:,} positions in {report.documents:,} document(s)"
    headline = (
        f"base = {report.base} ({report.stored}{vocabulary})",
        f"{where}; {report.dependence} are taken for independent",
    )
    facts = [
        fact(m.forward, "forward", m.name, repeated=len(report.models) > 1) for m in report.models
    ]
    if report.perplexity is not None:
        facts.append(fact(report.perplexity, "neutral", "base"))
    sections = [Section("Models", "", (_models(report),))]
    if report.pairs:
        sections.append(Section("In pairs", _told(report), (_pairs(report.pairs),)))
    sections += [_classes(m, alone=len(report.models) == 1) for m in report.models if m.classes]
    sections += [
        Section("What the files hide", "", _hidden(report)),
        Section("How to read this", "", (Detail(lambda: (Notes(reading),)),)),
    ]
    reading = tuple(" ".join(note.split()) for note in _READING)
    return Document(
        "Models against a base", lambda: to_json(report), headline, tuple(facts), tuple(sections), report.notes,
        provenance(key=None, seconds=0.0, clock=""), _banner(report),
    )  # fmt: skip


def _banner(report: LogitsReport) -> Banner | None:
    if report.max_kl is None:
        return None
    limit = f"{report.max_kl:g} {report.unit}"
    late = [m for m in report.models if not m.forward.interval[1] <= report.max_kl]
    match report.status:
        case Status.DONE:
            return Banner("gate passed", "good", f"KL(base||model) is at most {limit}")
        case Status.FAILED:
            text = "; ".join(f"{m.name}: {m.forward}" for m in late)
            return Banner("gate failed", "bad", f"not all are certainly at most {limit}: {text}")
    names = ", ".join(m.name for m in late)
    return Banner("inconclusive", "unsure", f"{names}: lists bound it from below only")


def _models(report: LogitsReport) -> Table:
    unit = report.models[0].forward.unit
    bytes_too = (">a byte",) if report.models[0].byte_loss is not None else ()
    columns = (
        *heads("model", ">rank", ">KL(base||model)"),
        Head("95 % interval", "right", detail=True),
        *heads(">KL(model||base)"),
        Head("Jensen-Shannon", "right", detail=True),
        Head("perplexity", "right", detail=True),
        *heads(">perplexity / base's", ">bits a token lost", *bytes_too, ">same first token"),
        Head("99 % of KL below", "right", detail=True),
    )
    caption = (
        f"By KL(base||model), in {unit}. A rank of 1-2 says that paired intervals do not tell the two apart, at 5 % "
        "over all pairs."
    )
    return Table("", columns, tuple(_row(m) for m in report.models), caption)


def _row(m: LogitsModel) -> tuple[Cell, ...]:
    best, worst = m.ranks
    quantiles = dict(m.quantiles)
    low, high = m.forward.interval
    span = (
        interval_of(m.forward).removeprefix("95 % interval ")
        or f"{number(low, 3)} to {number(high, 3)}"
    )
    return (
        m.name, str(best) if best == worst else f"{best}-{worst}", with_error(m.forward), span,
        with_error(m.reverse), with_error(m.jensen_shannon), _or_none(m.perplexity), _or_none(m.ratio),
        _or_none(None if m.loss is None else m.loss.bits), *_byte_loss(m), percent(m.agreement.value),
        value_of(quantiles["99 %"]) if "99 %" in quantiles else "",
    )  # fmt: skip


def _byte_loss(m: LogitsModel) -> tuple[str, ...]:
    return () if m.byte_loss is None else (with_error(m.byte_loss.bits),)


def _or_none(e: Estimate | None) -> str:
    return "" if e is None else with_error(e)


def _told(report: LogitsReport) -> str:
    same = [f"{p.first} and {p.second}" for p in report.pairs if not p.apart]
    if not same:
        return "All differ by more than chance."
    return f"Cannot be told apart: {'; '.join(same)}."


def _pairs(pairs: tuple[LogitsPair, ...]) -> Table:
    unit = pairs[0].forward.unit
    rows = tuple(
        (
            f"{p.first} - {p.second}", with_error(p.forward), interval_of(p.forward).removeprefix("95 % interval "),
            with_error(p.reverse), with_error(p.jensen_shannon), _or_none(None if p.loss is None else p.loss.bits),
            Badge("differ", "good") if p.apart else Badge("cannot tell them apart", "unsure"),
        )
        for p in pairs
    )  # fmt: skip
    columns = (
        *heads("models", ">KL(base||.)", ">95 % interval"),
        Head("KL(.||base)", "right", detail=True),
        Head("Jensen-Shannon", "right", detail=True),
        *heads(">bits a token lost", ""),
    )
    return Table("", columns, rows, f"Differences of means, position by position, in {unit}.")


def _classes(model: LogitsModel, *, alone: bool) -> Section:
    unit = model.forward.unit
    largest = max(c.contribution for c in model.classes)
    rows = tuple(
        (
            c.kind if i == 0 or model.classes[i - 1].kind != c.kind else "", c.name, percent(c.share),
            with_error(c.mean), Bar(percent(c.contribution), c.contribution / largest),
        )
        for i, c in enumerate(model.classes)
    )  # fmt: skip
    table = Table(
        "", heads("positions by", "", ">of all", f">{unit} a position", ">of KL(base||model)"), rows
    )
    title = f"Which positions contribute: {model.name}"
    return Section(title, "", (table,) if alone else (Detail(lambda: (table,)),))


def _hidden(report: LogitsReport) -> tuple[Block, ...]:
    unit = report.models[0].forward.unit
    columns = heads(
        "model", "stored", f">rounding moves KL(base||model) by at most, {unit}", ">KL(model||base) by",
        ">base's mass cut", ">model's mass cut", ">tokens below the cut",
    )  # fmt: skip
    rows = tuple(
        (
            m.name, m.stored, number(m.hidden.rounding[0], 2), number(m.hidden.rounding[1], 2),
            number(m.hidden.cut, 2), number(m.hidden.other_cut, 2), percent(m.hidden.below),
        )
        for m in report.models
    )  # fmt: skip
    caption = (
        "Rounding: a bound for the mean, as if all roundings worked together. Cut: probability of tokens below the cut "
        "of either file, a position; they count as one outcome. KL(base||model) grows by that mass times what the log "
        "ratio of the single tokens exceeds that of their sums by; intervals allow 16 nats."
    )
    return (Table("", columns, rows, caption),)
