"""`kullback check-loss` and `explain gradients`: what a loss descends, what estimators of a gradient cost."""

import math

from kullback.render.document import Badge, Banner, Cell, Document, Notes, Section, Table, heads
from kullback.results.estimate import Estimate
from kullback.results.loss_report import Gradients, LossFinding, LossReport, LossUnder
from kullback.results.serialise import to_json
from kullback.views.numbers import with_error


def loss_document(found: LossReport) -> Document:
    """Returns which divergence a loss estimates, and which it descends."""
    sections = [Section("", "", (Table("", heads("argument", "taken for"), found.arguments),))]
    sections += [_under(under) for under in found.under]
    if found.fixes:
        sections.append(Section("", "", (Notes(found.fixes, "fix"),)))
    head = f"{found.loss} ({found.library})"
    return Document(
        f"What {found.loss} estimates and descends", lambda: to_json(found), (head,),
        sections=tuple(sections), notes=found.notes, banner=_banner(found),
    )  # fmt: skip


def _banner(found: LossReport) -> Banner | None:
    if not found.expected:
        return None
    words = found.under[0].words
    drawn = f", with {words}" if words else ""
    text = f"{found.expected} was expected, the gradient is {found.name}{drawn}"
    if found.passes:
        return Banner("as expected", "good", text)
    return Banner("NOT as expected", "bad", text)


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


def gradients_document(p: str, found: Gradients) -> Document:
    """Returns how the estimators of the ELBO's gradient compare on a target.

    Args:
        p: the target as it was given.
        found: the comparison.
    """
    q = f"q: {found.family}, {found.parameters} parameters, in its own coordinates; {found.evaluations} evaluations"
    columns = heads(
        "estimator", "cost of a draw", ">bias", ">variance of a draw", ">variance / best"
    )
    sections = tuple(
        Section(
            "",
            f"{place}: {with_error(norm)} is the length of the gradient",
            (Table("", columns, _rows(found, place)),),
        )
        for place, norm in found.norms
    )
    return Document(
        "Estimators of the gradient of the ELBO", lambda: {"topic": "gradients", "p": p, **to_json(found)},
        (*((f"p = {p}",) if p else ()), q), sections=sections, notes=(_READING,),
    )  # fmt: skip


def _rows(found: Gradients, place: str) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            r.estimator.replace("_", " "), f"1 {r.needs}",
            Badge(f"{_pair(r.bias)} !", "bad") if r.biased else _pair(r.bias),
            _pair(r.variance), "many" if math.isinf(r.ratio.value) else _ratio(r.ratio),
        )
        for r in found.rows
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
