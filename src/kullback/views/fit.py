"""`kullback fit`: the closest member of a family, in a direction that must be said."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.render.document import Block, Detail, Document, Fact, Gallery, Role, Section
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.serialise import to_json
from kullback.views.components import describe, fact, family, made
from kullback.views.lines import (
    Backdrop,
    Curve,
    densities,
    descent,
    gaps_to_density,
    gaps_to_samples,
    integrand,
    is_scalar,
    of_density,
    of_samples,
    snapshots,
)
from kullback.views.optima import optima_gallery, optima_table, parameter_table
from kullback.views.planes import box_of, margins, pair, pairs, plane, thinned
from kullback.views.posterior import posterior_document
from kullback.views.samples import sample_sections

_LEAD = "Where a descent ends depends on where it starts; a fit from one start may be any of these."
_AIMS = {
    "forward": "KL(p||q): q must cover all of p",
    "reverse": "KL(q||p): q seeks a part of p that it can match",
}


@final
@dataclass(frozen=True, eq=False)
class _Given:
    """What q was fitted to, as far as it is known."""

    fit: Fit
    target: Distribution | None
    samples: Float[np.ndarray, "n d"] | None
    weights: Float[np.ndarray, " n"] | None
    columns: tuple[str, ...]

    @property
    def scalar(self) -> bool:
        return is_scalar(self.fit.q)

    def backdrop(self, others: list[Distribution], points: int = 360) -> Backdrop | None:
        """Returns p's density or a histogram of its samples; None off the line."""
        if not self.scalar:
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
        fit: what was found.
        target: p, where its density is known and is drawn.
        samples: draws of p, where it is known by these and they are drawn.
        columns: their names.
        weights: of the samples.
        source: p in words, such as "p = normal(0, sd=2)".
        key: the randomness it was made with.
    """
    if fit.posterior is not None:
        return posterior_document(fit, source=source, key=key)
    d = max(fit.q.support.dimension, 1)
    names = columns or fit.columns or (("x",) if d == 1 else tuple(f"x{i}" for i in range(d)))
    given = _Given(fit, target, samples, weights, names)
    headline = (
        source or _source(given),
        f"{fit.direction} fit of {fit.family}, minimising {_AIMS[fit.direction]}",
        f"q = {format_distribution(fit.q)}",
    )
    table = parameter_table(fit, names)
    known = () if table is None else (table,)
    sections = (
        Section("The fit", "", (*known, Detail(lambda: _pictures(given)))),
        *sample_sections(fit),
        Section(
            "Local optima", _LEAD if fit.starts > 1 else "",
            (optima_table(fit, ""), Detail(lambda: _drawn_optima(given))),
        ),
        Section("The way there", "", (Detail(lambda: _way(given)),)),
    )  # fmt: skip
    named = f"{family(fit)[:1].upper()}{family(fit)[1:]}"
    return Document(
        f"{named} fitted to p by minimising {_AIMS[fit.direction].partition(':')[0]}",
        lambda: to_json(fit, format_distribution),
        headline,
        _facts(fit),
        sections,
        (*fit.notes, *_measured_notes(fit)),
        made(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,)),
    )


def _source(given: _Given) -> str:
    if given.target is not None:
        return f"p = {describe(given.target)}"
    likelihood = given.fit.likelihood
    n = None if given.samples is None else len(given.samples)
    n = n if likelihood is None else likelihood.rows  # of rows with gaps, not all are drawn
    rows = "rows" if n is None else f"{n} rows"
    return f"p: {rows} of {', '.join(given.columns)}" if given.fit.columns or n else "p: a density"


def _facts(fit: Fit) -> tuple[Fact, ...]:
    known: tuple[tuple[Estimate | None, Role], ...] = (
        (fit.forward_kl, "forward"),
        (fit.reverse_kl, "reverse"),
    )
    others = [
        fact(e, role, "of the same q")
        for e, role in known
        if e is not None and e.direction != fit.divergence.direction
    ]
    held = [] if fit.held_out is None else [fact(fit.held_out, "neutral", "rows held out")]
    return (fact(fit.divergence, fit.direction, "minimised"), *others, *held)


def _pictures(given: _Given) -> tuple[Block, ...]:
    fit, x = given.fit, given.columns[0]
    blocks: list[Block] = []
    behind = given.backdrop([fit.q])
    if behind is not None:
        curves = [Curve(f"q, {fit.direction} fit", fit.direction, fit.q)]
        caption = f"q = {describe(fit.q)}."
        blocks.append(densities("p and the fitted q", caption, behind, curves, x_label=x))
        blocks += _integrands(given, behind)
    elif given.samples is not None:
        blocks += _clouds(given, given.samples)
    elif given.target is not None and given.target.support.dimension == 2:
        box = box_of(fit.q, given.target)
        names = given.columns[0], given.columns[1]
        shown: list[tuple[str, Role, Distribution]] = [
            ("p", "p", given.target),
            ("q", fit.direction, fit.q),
        ]
        blocks += [plane("p and the fitted q", shown, box, names)] if box else []
    return tuple(blocks)


def _integrands(given: _Given, behind: Backdrop) -> list[Block]:
    fit, p = given.fit, given.target
    if p is None or given.samples is not None or fit.forward_kl is None or fit.reverse_kl is None:
        return []
    totals: tuple[tuple[Direction, Estimate], ...] = (
        ("forward", fit.forward_kl),
        ("reverse", fit.reverse_kl),
    )
    items = tuple(
        integrand(p, fit.q, d, behind.line, total=e, x_label=given.columns[0]) for d, e in totals
    )
    return [Gallery("Where both divergences of this q are paid", items)]


def _clouds(given: _Given, samples: Float[np.ndarray, "n d"]) -> list[Block]:
    fit, names = given.fit, given.columns
    shown = thinned(samples, given.weights)
    blocks: list[Block] = []
    if samples.shape[1] == 2:
        some = (
            "" if len(shown) == len(samples) else f" {len(shown)} of {len(samples)} rows are drawn."
        )
        caption = f"Ellipses are 1, 2 and 3 sd around each component of q.{some}"
        blocks.append(
            pair(shown, fit.q, fit.direction, (0, 1), (names[0], names[1]),
                 title="Samples of p and the fitted q", size="wide", caption=caption)
        )  # fmt: skip
    else:
        blocks.append(pairs(shown, fit, names))
    margin = margins(samples, given.weights, fit, names)
    return blocks if margin is None else [*blocks, margin]


def _drawn_optima(given: _Given) -> tuple[Block, ...]:
    behind = given.backdrop([o.q for o in given.fit.optima], 200)
    gallery = None if behind is None else optima_gallery(given.fit, behind, "")
    return () if gallery is None else (gallery,)


def _way(given: _Given) -> tuple[Block, ...]:
    fit = given.fit
    if len(fit.path) < 2:
        return ()
    if given.samples is not None:
        # Along a reverse descent the cross-entropy need not fall: it is not what was minimised.
        gaps = (
            gaps_to_samples(given.samples, given.weights, fit)
            if fit.direction == "forward"
            else np.zeros(len(fit.path))
        )
    elif given.target is not None and given.scalar:
        gaps = gaps_to_density(given.target, fit)
    else:
        return ()
    behind = given.backdrop([fit.path[0], fit.q], 240)
    figure = descent(
        "How far the descent still had to go",
        "The best descent; of a long one, steps at equal distances. For drawing only.",
        {fit.divergence.direction: (fit, gaps)},
        "wide" if behind is None else "half",
    )
    figures = [] if figure is None else [figure]
    if behind is None:
        return tuple(figures)
    words = "From the start, faint and dashed, to the end."
    figures.append(snapshots("q along the descent", words, behind, fit, x_label=given.columns[0]))
    return (Gallery("", tuple(figures)),)


def _measured_notes(fit: Fit) -> tuple[str, ...]:
    measured = (fit.divergence, fit.forward_kl, fit.reverse_kl, fit.held_out)
    return tuple(
        dict.fromkeys(f"{e.direction}: {n}" for e in measured if e is not None for n in e.notes)
    )
