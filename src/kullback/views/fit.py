"""`kullback fit`: the closest member of a family, in a direction that must be said."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float
from rich.table import Table
from rich.text import Text

from kullback.cli.inputs import is_model
from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.inputs.given import distribution
from kullback.render.document import Block, Fact, Gallery, Notes, Page, Role, Section
from kullback.render.html import render
from kullback.render.terminal import line, print_table
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.serialise import to_json
from kullback.targets import LogDensity, Samples, Stream, Unconstrained
from kullback.views.components import describe, fact, family, made, parts
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
from kullback.views.numbers import near, sentence
from kullback.views.optima import optima_gallery, optima_rows, parameter_table, print_optima
from kullback.views.planes import box_of, margins, pair, pairs, plane, thinned
from kullback.views.posterior import fit_json, page, posterior_report
from kullback.views.samples import lines, parameters, sample_sections
from kullback.views.samples import page as samples_page


@final
@dataclass(frozen=True, eq=False)
class _Target:
    """What is fitted.

    Attributes:
        given: as `api.fit` takes it.
        dropped: rows that were left out because of missing cells.
    """

    given: Samples | Stream | Distribution | LogDensity | Unconstrained
    dropped: int = 0

    def known(self) -> Samples | Stream | Distribution | None:
        """Returns it for pages that compute with it; None if there is no such thing."""
        if isinstance(self.given, LogDensity):
            return distribution(self.given, "p")
        return None if isinstance(self.given, Unconstrained) else self.given


def _as_dict(found: Fit) -> dict[str, Any]:
    if found.posterior is not None:
        return fit_json(found)
    return to_json(found, format_distribution)


def _page(data: str, given: _Target, found: Fit) -> Iterator[str | Text | Table]:
    if found.posterior is not None:
        yield from page(data, found)
        return
    target = given.known()
    names = target.columns if isinstance(target, (Samples, Stream)) else _names(found)
    if isinstance(target, Stream):
        yield line(f"p: rows of {', '.join(names)} ({data}, in pieces)", indent="   ")
    elif isinstance(target, Samples):
        less = f"; {given.dropped:,} with missing cells left out" if given.dropped else ""
        yield line(
            f"p: {len(target.values)} rows of {', '.join(names)} ({data}{less})", indent="   "
        )
    else:
        p = data if target is None or is_model(data) else format_distribution(target)
        yield f"p = {p}"
    yield f"{found.direction} fit of {found.family}, minimising {_minimised(found)}"
    yield ""
    yield f"q = {format_distribution(found.q)}"
    table = parameters(found) or _components(found, names)
    if table is not None:
        yield ""
        yield table
    yield ""
    yield f"minimised:  {found.divergence}"
    for other in (found.forward_kl, found.reverse_kl):
        if other is not None and other.direction != found.divergence.direction:
            yield f"the other:  {other}"
    if found.held_out is not None:
        yield f"held-out log-likelihood a row:  {found.held_out}"
    yield from lines(found)
    if found.selection is not None:
        yield ""
        yield from samples_page(found.selection)
    yield ""
    yield f"local optima, from {found.starts} start{'' if found.starts == 1 else 's'}"
    yield print_optima(found)
    yield ""
    for note in (*found.notes, *found.divergence.notes):
        yield line(f"note: {note}", indent="  ")


def _minimised(found: Fit) -> str:
    words = {
        "forward": "KL(p||q): q must cover all of p",
        "reverse": "KL(q||p): q seeks a part of p that it can match",
    }
    return words[found.direction]


def _names(found: Fit) -> tuple[str, ...]:
    d = found.q.support.dimension
    return tuple(f"x{i}" for i in range(d)) if d else ("x",)


def _components(found: Fit, names: tuple[str, ...]) -> Table | None:
    shown = parts(found.q, names, found.labels)
    if not shown:
        return None
    heavy, labelled = any(p.df < math.inf for p in shown), any(p.labels for p in shown)
    rows = [
        [
            *((f"{p.component}", f"{p.weight:.4f}") if p.column == names[0] else ("", "")),
            p.column,
            "" if p.mean is None or p.sd is None else near(p.mean, p.sd),
            "" if p.sd is None else near(p.sd, p.sd),
            *([f"{p.df:.3g}" if p.column == names[0] else ""] if heavy else []),
            *([p.labels] if labelled else []),
        ]
        for p in shown
    ]
    more = (*(("df",) if heavy else ()), *(("labels",) if labelled else ()))
    right = (0, 1, 3, 4, 5) if heavy else (0, 1, 3, 4)
    return print_table(("component", "weight", "column", "mean", "sd", *more), rows, right=right)


# The report on a fit: the best q before what it was fitted to, and the other optima.

Describe = Callable[[Distribution], str]


@final
@dataclass(frozen=True, eq=False)
class _Given:
    """What q was fitted to, as far as it is known."""

    fit: Fit
    target: Distribution | None
    samples: Float[np.ndarray, "n d"] | None
    weights: Float[np.ndarray, " n"] | None
    columns: tuple[str, ...]
    describe: Describe

    @property
    def scalar(self) -> bool:
        return is_scalar(self.fit.q)

    def backdrop(self, others: list[Distribution], points: int = 360) -> Backdrop | None:
        """Returns p's density or a histogram of its samples; None off the line."""
        if not self.scalar:
            return None
        if self.samples is not None:
            return of_samples(self.samples[:, 0], self.weights, others, points)
        known = self.target is not None and is_scalar(self.target)
        return (
            of_density(self.target, others, points) if known and self.target is not None else None
        )


def fit_report(
    fit: Fit,
    target: Distribution | None = None,
    samples: Float[np.ndarray, "n d"] | None = None,
    columns: tuple[str, ...] = (),
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    describe: Describe = describe,
    key: object = None,
) -> str:
    """Returns a fit as one HTML page that needs nothing else.

    Args:
        fit: what was found.
        target: p, where its density is known.
        samples: draws of p, where it is known by these.
        columns: their names.
        weights: of the samples.
        describe: writes a distribution in words.
        key: the randomness it was made with, for the foot of the page.
    """
    if fit.posterior is not None:
        return posterior_report(fit, key=key)
    d = max(fit.q.support.dimension, 1)
    names = columns or (("x",) if d == 1 else tuple(f"x{i}" for i in range(d)))
    given = _Given(fit, target, samples, weights, names, describe)
    sections = [
        Section("The fit", "", _pictures(given)),
        *sample_sections(fit),
        Section("All optima that were found", _LEAD, _optima(given)),
    ]
    way = _way(given)
    sections += [Section("The way there", "", way)] if way else []
    notes = (*fit.notes, *_measured_notes(fit))
    sections += [Section("Notes", "", (Notes(notes),))] if notes else []
    aim = "KL(p||q)" if fit.direction == "forward" else "KL(q||p)"
    title = f"{family(fit)[:1].upper()}{family(fit)[1:]} fitted to p by minimising {aim}"
    foot = made(key=key, seconds=fit.seconds, clock="wall-clock", fits=(fit,))
    return render(Page(title, _summary(given), _facts(fit), tuple(sections), foot))


_LEAD = "Where a descent ends depends on where it starts; a fit from one start may be any of these."
_AIMS = {
    "forward": "KL(p||q), which makes q cover all of p",
    "reverse": "KL(q||p), which makes q seek a part of p that it can match",
}


def _summary(given: _Given) -> str:
    fit = given.fit
    what = "a known density" if given.target is not None else _rows(given)
    held, up_to = "", ""
    if fit.held_out is not None:
        held = f" On rows that were held out: {sentence(fit.held_out)}."
    if fit.divergence.quantity.name == "cross_entropy":
        up_to = (
            " Up to the entropy of p, which samples alone do not give, that is the cross-entropy:"
        )
    q = f": q = {given.describe(fit.q)}" if given.scalar else ""
    return (
        f"{family(fit)[:1].upper()}{family(fit)[1:]} was fitted to {what} by minimising "
        f"{_AIMS[fit.direction]}.{up_to} {sentence(fit.divergence)}.{held} "
        f"This is the best of {fit.starts} {'start' if fit.starts == 1 else 'starts'}{q}."
    )


def _rows(given: _Given) -> str:
    if given.samples is None:
        return "rows that all have missing cells" if given.columns else "a density"
    n, d = given.samples.shape
    # Of a stream, or of rows with gaps, not all are drawn.
    n = n if given.fit.likelihood is None else given.fit.likelihood.rows
    return f"{n} samples of {d} variables" if d > 1 else f"{n} samples of {given.columns[0]}"


def _facts(fit: Fit) -> tuple[Fact, ...]:
    what = "Cross-entropy " if fit.divergence.quantity.name == "cross_entropy" else ""
    minimised = fact(fit.divergence, fit.direction, f"{what}{fit.divergence.direction}, minimised")
    known: list[Estimate | None] = [fit.forward_kl, fit.reverse_kl]
    others = [
        fact(e, "forward" if e is fit.forward_kl else "reverse", f"{e.direction}, of the same q")
        for e in known
        if e is not None and e.direction != fit.divergence.direction
    ]
    held = (
        [] if fit.held_out is None else [fact(fit.held_out, "neutral", "E_p[log q], rows held out")]
    )
    return (minimised, *others, *held)


def _pictures(given: _Given) -> tuple[Block, ...]:
    fit, x = given.fit, given.columns[0]
    blocks: list[Block] = []
    behind = given.backdrop([fit.q])
    if behind is not None:
        curves = [Curve(f"q, {fit.direction} fit", fit.direction, fit.q)]
        caption = f"q = {given.describe(fit.q)}."
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
    known = fit.likelihood is not None
    table = parameter_table(fit, given.columns) if known or not given.scalar else None
    blocks += [] if table is None else [table]
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


def _optima(given: _Given) -> tuple[Block, ...]:
    fit = given.fit
    blocks: list[Block] = [
        optima_rows(fit, given.describe, f"Optima of {fit.divergence.direction}")
    ]
    behind = given.backdrop([o.q for o in fit.optima], 200)
    gallery = None if behind is None else optima_gallery(fit, behind, "")
    return tuple(blocks if gallery is None else [*blocks, gallery])


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
