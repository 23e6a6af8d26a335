"""The document of any result, whatever it is: what a notebook shows of it."""

import numpy as np

from kullback.render.document import Document, Fact, Section, Table, heads
from kullback.results.batch import EstimateArray
from kullback.results.calibration import Calibration
from kullback.results.contributions import Contributions
from kullback.results.demo import Demo
from kullback.results.density_report import DensityReport
from kullback.results.diff import Diff
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.results.judgement import Judgement
from kullback.results.logits import LogitsReport
from kullback.results.loss_report import Gradients, LossReport
from kullback.results.plan import Plan
from kullback.results.profile import Profile
from kullback.results.score import Score
from kullback.results.serialise import to_json
from kullback.results.verification import Verification
from kullback.results.watch import Watch
from kullback.views.calibration import calibration_document
from kullback.views.claims import demo_document, density_document, verification_document
from kullback.views.components import fact
from kullback.views.diff import diff_document
from kullback.views.fit import fit_document
from kullback.views.judgement import judgement_document
from kullback.views.logits import logits_document
from kullback.views.losses import gradients_document, loss_document
from kullback.views.measure import contributions_document, plan_document
from kullback.views.numbers import error_of, kind_of, value_of
from kullback.views.watch import watch_document


def document_of(result: object) -> Document:
    """Returns what there is to say of a result that `kullback` returned."""
    match result:
        case Estimate():
            return estimate_document(result)
        case EstimateArray():
            return estimates_document(result)
        case Fit():
            return fit_document(result)
        case Judgement():
            return judgement_document(result)
        case Calibration():
            return calibration_document(result)
        case Diff():
            return diff_document(result)
        case LogitsReport():
            return logits_document(result)
        case LossReport():
            return loss_document(result)
        case Gradients():
            return gradients_document("", result)
        case Verification():
            return verification_document(result)
        case Plan():
            return plan_document(None, result)
        case Contributions():
            return contributions_document(None, result)
        case Score():
            return rows_document(result)
        case DensityReport():
            return density_document("Is it a density?", result)
        case Profile():
            return profile_document(result)
        case Watch():
            return watch_document(result)
        case Demo():
            return demo_document(result)
        case _:
            raise TypeError(f"a {type(result).__name__} has no document")


def estimate_document(e: Estimate) -> Document:
    """Returns what there is to say of one number."""
    notes = e.notes if e.reason is None else e.notes[1:]
    return Document(e.direction, lambda: to_json(e), facts=(fact(e, "neutral"),), notes=notes)


def rows_document(score: Score) -> Document:
    """Returns how probable rows are under a fit whose name is not known."""
    counts = (("rows", score.rows), ("outside the support of q", score.outside))
    more = (("with missing cells, not scored", score.left_out),) if score.left_out else ()
    facts = [Fact(label, "", f"{n:,}", "", f"{n:,}") for label, n in (*counts, *more)]
    mean = fact(score.mean, "neutral", "mean log density a row")
    return Document("Scores of rows", lambda: to_json(score), (), (mean, *facts))


def profile_document(profile: Profile) -> Document:
    """Returns which columns were counted, and in how many cells."""
    rows = tuple((c.name, c.kind, str(len(c.counts) or len(c.levels))) for c in profile.columns)
    table = Table("", heads("column", "kind", ">cells or levels"), rows)
    head = f"{profile.rows:,} rows of {len(rows)} column(s), from {profile.source}"
    return Document(
        "A profile", lambda: {"source": profile.source, "rows": profile.rows}, (head,),
        sections=(Section("", "", (table,)),),
    )  # fmt: skip


#: Elements of a batch that are listed.
_LISTED = 100


def estimates_document(many: EstimateArray) -> Document:
    """Returns what there is to say of the numbers of a batch."""
    places = list(np.ndindex(many.shape))[:_LISTED]
    rows = tuple(
        (
            str(list(at)),
            value_of(e),
            "" if e.kind == "exact" else error_of(e),
            kind_of(e),
        )
        for at in places
        if isinstance(e := many[at], Estimate)
    )
    unit = f", {many.unit}" if many.unit else ""
    head = heads("place", f">{many.quantity.direction}{unit}", ">±", "kind")
    more = many.value.size - len(rows)
    caption = f"{more} more are not listed" if more > 0 else ""
    table = Table("", head, rows, caption)
    return Document(
        many.quantity.direction,
        lambda: to_json(many),
        sections=(Section(f"{many.value.size} numbers of shape {many.shape}", "", (table,)),),
    )
