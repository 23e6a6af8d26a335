"""`kullback fit`: the closest member of a family, in a direction that must be said."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.api.explore import live_of
from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.render.document import (
    Block,
    Detail,
    Document,
    Fact,
    Figure,
    Gallery,
    Role,
    Section,
    Table,
    heads,
)
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.posterior import columns
from kullback.results.quantity import MUTUAL_INFORMATION
from kullback.results.serialise import to_json
from kullback.views.components import (
    describe,
    described,
    fact,
    family,
    gaussian_values,
    in_words,
    provenance,
)
from kullback.views.curves import (
    Backdrop,
    Curve,
    alone,
    densities,
    descent,
    gaps_to_density,
    gaps_to_samples,
    integrand,
    of_density,
    of_samples,
    snapshots,
)
from kullback.views.lines import is_scalar
from kullback.views.numbers import near, with_error
from kullback.views.optima import OPTIMA, optima_gallery, optima_table, parameter_table
from kullback.views.planes import box_of, margins, pair, pairs, plane, thinned
from kullback.views.posterior import AIMS, how, other_optima, posterior_document
from kullback.views.samples import conditional_sections, sample_sections


@final
@dataclass(frozen=True, eq=False)
class _Fitted:
    """A fit, with what is known of p."""

    fit: Fit
    target: Distribution | None
    samples: Float[np.ndarray, "n d"] | None
    weights: Float[np.ndarray, " n"] | None
    columns: tuple[str, ...]

    def backdrop(self, others: list[Distribution], points: int = 360) -> Backdrop | None:
        """Returns p's density or a histogram of its samples; None off the line."""
        if not is_scalar(self.fit.q):
            return None
        if self.samples is not None:
            return of_samples(self.samples[:, 0], self.weights, others, points)
        if self.target is not None and is_scalar(self.target):
            return of_density(self.target, others, points)
        return None


def fit_document(
    fit: Fit,
    target: Distribution | None = None,
    samples: Float[np.ndarray, "n d"] | None = None,
    columns: tuple[str, ...] = (),
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    source: str = "",
    key: object = None,
) -> Document:
    """Returns what there is to say of a fit.

    Args:
        fit: the result.
        target: p, where its density is known and is drawn; that of the fit by default.
        samples: draws of p, where these are drawn.
        columns: their names.
        weights: of the samples.
        source: p in words, such as "p = normal(0, sd=2)".
        key: randomness of the fit.
    """
    if fit.posterior is not None:
        return posterior_document(fit, source=source, key=key)
    if fit.unreported:
        return _unreported_document(fit, source, key)
    d = max(fit.q.support.dimension, 1)
    names = columns or fit.columns or (("x",) if d == 1 else tuple(f"x{i}" for i in range(d)))
    fitted = _Fitted(
        fit, target or (fit.target if samples is None else None), samples, weights, names
    )
    aim = AIMS[fit.direction]
    headline = (
        source or _source(fitted),
        f"{fit.direction} fit of {fit.family}, minimising {aim}",
        f"q = {format_distribution(fit.q)}",
    )
    if fit.conditional is None:
        sections, words = _sections(fitted), family(fit)
    else:
        sections, words = conditional_sections(fit), ", ".join(fit.conditional.asked)
        words = f"{words} given {', '.join(fit.conditional.given)},"
    return Document(
        f"{words[:1].upper()}{words[1:]} fitted to p by minimising {aim.partition(':')[0]}",
        lambda: to_json(fit, format_distribution),
        headline,
        _facts(fit),
        sections,
        (*fit.notes, *_measured_notes(fit)),
        provenance(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,)),
        live=None if fitted.target is None else live_of(fitted.target, fit.q, fit.divergence.unit),
    )


#: Draws of q from which a fit without a report has its means and sds.
_SUMMARY = 4096


def _unreported_document(fit: Fit, source: str, key: object) -> Document:
    """What there is to say of a fit to a log density that was made with report=False."""
    family = in_words(fit.family, full=True)
    rest = ("KL(q||p)", "KL(p||q)", "log evidence", "verdict")
    unit, words = fit.divergence.unit, "not asked for"
    rows = (
        ("ELBO", with_error(fit.divergence), how(fit.divergence)),
        *((name, words, "report=False") for name in rest),
    )
    others = Section("Other optima", "", (other_optima(fit),))
    return Document(
        f"{family[:1].upper()}{family[1:]} fitted to p, not judged",
        lambda: {**to_json(fit, described), "gaussians": gaussian_values(fit.q), "seconds": fit.seconds},
        (source or "p: a log density", f"q: {family}, by minimising {AIMS[fit.direction]}"),
        (fact(fit.divergence, "reverse"),),
        (
            Section("", "", (Table("", heads("", unit, "method"), rows),)),
            Section("All parameters", "", (_summary(fit),)),
            *([others] if len(fit.optima) > 1 else []),
        ),
        fit.notes,
        provenance(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,)),
    )  # fmt: skip


def _summary(fit: Fit) -> Table:
    drawn = fit.sample(_SUMMARY)
    by_name = drawn if isinstance(drawn, dict) else {"x": drawn}
    found = columns(by_name, bare=not isinstance(drawn, dict))
    rows = tuple(
        (name, near(x.mean(), x.std()), near(x.std(), x.std())) for name, x in found.items()
    )
    return Table(
        "",
        heads("parameter", ">mean of q", ">sd of q"),
        rows,
        f"From {_SUMMARY} draws.",
        brief=30,
    )


def _sections(fitted: _Fitted) -> tuple[Section, ...]:
    fit = fitted.fit
    parameters = tuple(t for t in (parameter_table(fit, fitted.columns),) if t is not None)
    optima = (optima_table(fit, ""), Detail(lambda: _drawn_optima(fitted)))
    return (
        Section("The fit", "", (*parameters, Detail(lambda: _pictures(fitted)))),
        *sample_sections(fit),
        Section("Local optima", OPTIMA if fit.starts > 1 else "", optima),
        Section("Optimisation path", "", (Detail(lambda: _path(fitted)),)),
    )


def _source(fitted: _Fitted) -> str:
    if fitted.target is not None:
        return f"p = {describe(fitted.target)}"
    likelihood = fitted.fit.likelihood
    n = None if fitted.samples is None else len(fitted.samples)
    n = n if likelihood is None else likelihood.rows  # of rows with gaps, not all are drawn
    if not (fitted.fit.columns or n):
        return "p: a density"
    return f"p: {'rows' if n is None else f'{n} rows'} of {', '.join(fitted.columns)}"


def _facts(fit: Fit) -> tuple[Fact, ...]:
    both: tuple[tuple[Estimate | None, Role], ...] = (
        (fit.forward_kl, "forward"),
        (fit.reverse_kl, "reverse"),
    )
    others = [
        fact(e, role, "of the same q")
        for e, role in both
        if e is not None and e.direction != fit.divergence.direction
    ]
    held_out = [] if fit.held_out is None else [fact(fit.held_out, "neutral", "rows held out")]
    if fit.conditional is not None:
        held_out.append(fact(fit.conditional.marginal, "neutral", "without the given columns"))
        information = fit.conditional.information
        is_information = information.quantity.name == MUTUAL_INFORMATION.name
        label = "mutual information" if is_information else "what these add"
        held_out.append(fact(information, "forward", label))
    return (fact(fit.divergence, fit.direction, "minimised"), *others, *held_out)


def _pictures(fitted: _Fitted) -> tuple[Block, ...]:
    fit, p, x = fitted.fit, fitted.target, fitted.columns[0]
    behind = fitted.backdrop([fit.q])
    if behind is not None:
        curves = [Curve(f"q, {fit.direction} fit", fit.direction, fit.q)]
        caption = f"q = {describe(fit.q)}."
        drawn = densities("p and the fitted q", caption, behind, curves, x_label=x)
        return (drawn, *_integrands(fitted, behind))
    if fitted.samples is not None:
        return _clouds(fitted, fitted.samples)
    if p is None and is_scalar(fit.q):
        return (alone(fit, x),)
    box = box_of(fit.q, p) if p is not None and p.support.dimension == 2 else None
    if p is None or box is None:
        return ()
    shown: list[tuple[str, Role, Distribution]] = [("p", "p", p), ("q", fit.direction, fit.q)]
    return (plane("p and the fitted q", shown, box, (x, fitted.columns[1])),)


def _integrands(fitted: _Fitted, behind: Backdrop) -> tuple[Block, ...]:
    fit, p = fitted.fit, fitted.target
    if p is None or fitted.samples is not None or fit.forward_kl is None or fit.reverse_kl is None:
        return ()
    totals: tuple[tuple[Direction, Estimate], ...] = (
        ("forward", fit.forward_kl),
        ("reverse", fit.reverse_kl),
    )
    items = tuple(
        integrand(p, fit.q, d, behind.line, total=e, x_label=fitted.columns[0]) for d, e in totals
    )
    return (Gallery("Which regions contribute to each divergence of this q", items),)


def _clouds(fitted: _Fitted, samples: Float[np.ndarray, "n d"]) -> tuple[Block, ...]:
    fit, names = fitted.fit, fitted.columns
    shown = thinned(samples, fitted.weights)
    if samples.shape[1] == 2:
        few = len(shown) < len(samples)
        some = f" {len(shown)} of {len(samples)} rows are drawn." if few else ""
        cloud: Block = pair(
            shown, fit.q, fit.direction, (0, 1), (names[0], names[1]), title="Samples of p and the fitted q",
            size="wide", caption=f"Ellipses are 1, 2 and 3 sd around each component of q.{some}",
        )  # fmt: skip
    else:
        cloud = pairs(shown, fit, names)
    margin = margins(samples, fitted.weights, fit, names)
    return (cloud,) if margin is None else (cloud, margin)


def _drawn_optima(fitted: _Fitted) -> tuple[Block, ...]:
    behind = fitted.backdrop([o.q for o in fitted.fit.optima], 200)
    return () if behind is None else optima_gallery(fitted.fit, behind)


def _path(fitted: _Fitted) -> tuple[Block, ...]:
    fit = fitted.fit
    if len(fit.path) < 2:
        return ()
    if fitted.samples is not None:
        # Along a reverse fit the cross-entropy need not fall: it is not what was minimised.
        of_rows = gaps_to_samples(fitted.samples, fitted.weights, fit)
        gaps = of_rows if fit.direction == "forward" else np.zeros(len(fit.path))
    elif fitted.target is not None and is_scalar(fit.q):
        gaps = gaps_to_density(fitted.target, fit)
    else:
        return ()
    behind = fitted.backdrop([fit.path[0], fit.q], 240)
    figure = descent(
        "Divergence above its final value, step by step",
        "The best run; of a long one, steps at equal distances. For drawing only.",
        {fit.divergence.direction: (fit, gaps)},
        "wide" if behind is None else "half",
    )
    figures: list[Figure] = [] if figure is None else [figure]
    if behind is None:
        return tuple(figures)
    words = "From the start, faint and dashed, to the end."
    figures.append(snapshots("q along its path", words, behind, fit, x_label=fitted.columns[0]))
    return (Gallery("", tuple(figures)),)


def _measured_notes(fit: Fit) -> tuple[str, ...]:
    measured = (fit.divergence, fit.forward_kl, fit.reverse_kl, fit.held_out)
    return tuple(
        dict.fromkeys(f"{e.direction}: {n}" for e in measured if e is not None for n in e.notes)
    )
