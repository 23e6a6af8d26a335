"""`kullback check-loss` and `explain gradients`: what a loss descends, what estimators of a gradient cost."""

import math

from kullback.render.document import Badge, Banner, Cell, Document, Notes, Section, Table, heads
from kullback.results.estimate import Estimate
from kullback.results.loss_report import Gradients, LossFinding, LossReport, LossUnder
from kullback.results.serialise import to_json
from kullback.views.numbers import with_error


def loss_document(report: LossReport) -> Document:
    """Returns which divergence a loss estimates, and which it descends."""
    sections = [Section("", "", (Table("", heads("argument", "taken for"), report.arguments),))]
    sections += [_under(under) for under in report.under]
    if report.fixes:
        sections.append(Section("", "", (Notes(report.fixes, "fix"),)))
    if report.gates:
        sections.append(_gates(report))
    head = f"{report.loss} ({report.library})"
    return Document(
        f"What {report.loss} estimates and descends", lambda: to_json(report), (head,),
        sections=tuple(sections), notes=report.notes, banner=_banner(report),
    )  # fmt: skip


def _banner(report: LossReport) -> Banner | None:
    if not report.gates:
        return None
    words = report.under[0].words
    drawn = f", with {words}" if words else ""
    asked = f"{report.expected} was expected, the gradient is {report.name}{drawn}"
    failed = [str(g).removeprefix("FAILS: ") for g in report.gates if not g.passes]
    others = [g for g in failed if not (report.expected and g.startswith("gradient"))]
    text = "; ".join([*([asked] if report.expected else []), *others])
    if report.passes:
        return Banner("as expected", "good", text)
    return Banner("NOT as expected", "bad", text)


def _gates(report: LossReport) -> Section:
    rows = tuple(
        (g.of, g.expected, g.found, "" if g.passes else Badge("fails", "bad")) for g in report.gates
    )
    asked = f"gates, on {report.on.replace('_', '-')}"
    return Section("", asked, (Table("", heads("of", "expected", "found", ""), rows),))


def _under(under: LossUnder) -> Section:
    columns = heads("as", "is", ">cosine", ">relative error")
    rows = (("value", *_cells(under.value)), ("gradient", *_cells(under.gradient)))
    quality = (Notes((under.quality.removeprefix("; "),)),) if under.quality else ()
    return Section("", under.words, (Table("", columns, rows), *quality))


def _cells(finding: LossFinding) -> tuple[str, str, str]:
    if finding.name == "zero":
        return "zero", "", ""
    return finding.words, f"{finding.cosine:.6f}", f"{finding.relative_error:.1e}"


# `kullback explain gradients P`: bias, variance and cost of the estimators of the ELBO's gradient.

_READING = (
    "! marks a bias of more than four of its standard errors. kullback explain gradients, without a density, "
    "says what the estimators are."
)


def gradients_document(p: str, gradients: Gradients) -> Document:
    """Returns how the estimators of the ELBO's gradient compare on a target.

    Args:
        p: the target as typed.
        gradients: the comparison.
    """
    size = f"{gradients.parameters} parameters, in its own coordinates"
    q = f"q: {gradients.family}, {size}; {gradients.evaluations} evaluations"
    columns = heads(
        "estimator", "cost of a draw", ">bias", ">variance of a draw", ">variance / best"
    )
    sections = tuple(
        Section(
            "",
            f"{place}: {with_error(norm)} is the length of the gradient",
            (Table("", columns, _rows(gradients, place)),),
        )
        for place, norm in gradients.norms
    )
    return Document(
        "Estimators of the gradient of the ELBO", lambda: {"topic": "gradients", "p": p, **to_json(gradients)},
        (*((f"p = {p}",) if p else ()), q), sections=sections, notes=(_READING,),
    )  # fmt: skip


def _rows(gradients: Gradients, place: str) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            r.estimator.replace("_", " "), f"1 {r.needs}",
            Badge(f"{_pair(r.bias)} !", "bad") if r.biased else _pair(r.bias),
            _pair(r.variance), "many" if math.isinf(r.ratio.value) else _ratio(r.ratio),
        )
        for r in gradients.rows
        if r.place == place
    )  # fmt: skip


def _ratio(ratio: Estimate) -> str:
    return "1" if ratio.standard_error == 0.0 else _pair(ratio)


def _pair(estimate: Estimate) -> str:
    """A value to the digits that its error leaves; 0 for what is rounding."""
    if abs(estimate.value) < 1e-9 and estimate.standard_error < 1e-9:
        return "0"
    if abs(estimate.value) >= 1e4:
        return f"{estimate.value:.2g} ± {estimate.standard_error:.1g}"
    return with_error(estimate).lstrip("≥≤ ")
