"""Fits to a known density, in either direction."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.core.numerics import one_thread
from kullback.distributions.base import Distribution
from kullback.families import FullRank, Gaussians, as_recipe, components, is_diagonal, is_normal
from kullback.fitting.components import Chart
from kullback.fitting.gaussians import descents, moment_matched
from kullback.fitting.multistart import Basin, Descents
from kullback.fitting.nodes import Nodes, of_density
from kullback.fitting.parametric import FamilyDivergence, closest
from kullback.inputs.given import distribution
from kullback.interop.families import family_of
from kullback.measure import plane
from kullback.measure.question import KL
from kullback.measure.table import Effort, choose, label
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit, Optimum
from kullback.results.quantity import FORWARD_KL, REVERSE_KL
from kullback.routes.table import Problem
from kullback.targets import LogDensity

#: Starts for a mixture, unless said: every local optimum worth knowing should be met.
_STARTS = 60
#: Starts for one Gaussian, and for a family of scalars: more than there are modes and runs of modes, mostly.
_STARTS_OF_ONE, _STARTS_OF_SCALARS = 24, 12
#: Local optima reported.
_MOST = 12


def fit(problem: Problem) -> Fit:
    """Returns the fit to a density of the line, of a plane, or of counts, both KLs measured anew."""
    p, recipe = problem.target.density, problem.family
    if is_normal(recipe) and not p.support.discrete:
        return _gaussians(p, FullRank(), problem)
    if isinstance(recipe, Gaussians):
        return _gaussians(p, recipe, problem)
    return _scalars(p, problem)


def _gaussians(p: Distribution, recipe: Gaussians, problem: Problem) -> Fit:
    given, direction, run = problem.target.given, problem.direction, problem.run
    scalar = p.support.dimension == 0
    example = np.asarray(given.example, dtype=np.float64) if isinstance(given, LogDensity) else None
    nodes = of_density(p, example)
    chart = Chart.standard(components(recipe), nodes.x.shape[1], diagonal=is_diagonal(recipe))
    asked = problem.starts or (_STARTS if chart.k > 1 else _STARTS_OF_ONE)
    if direction == "forward":
        _refuse_heavy(p)
    if direction == "forward" and chart.k == 1:
        q = moment_matched(nodes, chart).distribution(scalar=scalar)
        run.watch(1)
        optima = (Optimum(q, _measured(p, q, direction, nodes), 1.0, 0.0),)
        return _fit(p, optima, (q,), problem, 1, 1, nodes)
    with one_thread():
        found = descents(p, nodes, chart, direction, starts=asked, key=run.key, watch=run.watch)

    def measured(basin: Basin) -> tuple[Distribution, Estimate]:
        q = chart.unpack(basin.best.at).distribution(scalar=scalar)
        return q, _measured(p, q, direction, nodes)

    # Mirror images are equal but for rounding: the one that starts further left comes first.
    ends = sorted(
        ((*measured(b), b) for b in found.basins[:_MOST]),
        key=lambda e: (*_height(e[1], e[2]), float(chart.unpack(e[2].best.at).means.min())),
    )
    optima = tuple(Optimum(q, d, b.count / max(found.starts, 1), b.spread) for q, d, b in ends)
    path = tuple(
        chart.unpack(v).distribution(scalar=scalar) for v in _thinned(ends[0][2].best.path)
    )
    made = _fit(p, optima, path, problem, found.starts, found.evaluations, nodes)
    return _stopped(made, found, asked)


def _scalars(p: Distribution, problem: Problem) -> Fit:
    recipe, direction, run = problem.family, problem.direction, problem.run
    if p.support.dimension:
        raise UnsupportedError(
            f"family {recipe!r} has scalar events, but the target lives on {p.support}"
        )
    family, asked = family_of(recipe), problem.starts or _STARTS_OF_SCALARS
    objective = FamilyDivergence(KL, p, first=direction == "forward")
    with one_thread():
        found = closest(family, p, objective, starts=asked, key=run.key, watch=run.watch)
    ends = []
    for basin in found.basins[:_MOST]:
        q = family.exactly(basin.best.at)
        ends.append((q, _measured(p, q, direction, None), basin))
    ends.sort(key=lambda e: _height(e[1], e[2]))
    optima = tuple(Optimum(q, d, b.count / max(found.starts, 1), b.spread) for q, d, b in ends)
    path = tuple(family.build(v) for v in _thinned(ends[0][2].best.path))
    made = _fit(p, optima, path, problem, found.starts, found.evaluations, None)
    return _stopped(made, found, asked)


def _height(divergence: Estimate, basin: Basin) -> tuple[bool, float]:
    """Sorts optima by what was measured, by the search's own value where that is an estimate with noise."""
    told = divergence.kind in ("exact", "numeric", "infinite")
    noisy = divergence.kind == "estimate"
    return not (told or noisy), round(basin.best.value if noisy else divergence.value, 8)


def _stopped(made: Fit, found: Descents, asked: int) -> Fit:
    if not found.interrupted:
        return made
    said = f"interrupted after {found.starts} of {asked} starts"
    return replace(made, notes=(*made.notes, said), interrupted=True)


def _fit(
    p: Distribution,
    optima: tuple[Optimum, ...],
    path: tuple[Distribution, ...],
    problem: Problem,
    starts: int,
    evaluations: int,
    nodes: Nodes | None,
) -> Fit:
    best, direction = optima[0], problem.direction
    if not math.isfinite(best.divergence.value):
        raise UnsupportedError(
            f"the divergence is infinite at every q that was reached ({best.divergence.reason}): if p ends "
            "somewhere, say where with support=, or choose a family on that support"
        )
    other: Direction = "reverse" if direction == "forward" else "forward"
    both = {direction: best.divergence, other: _measured(p, best.q, other, nodes)}
    same = sum(o.divergence.value - best.divergence.value < 1e-6 for o in optima) - 1
    notes = [f"{same} other optimum(s) of the same value: the best q is not unique"] if same else []
    return Fit(
        q=best.q,
        direction=direction,
        family=as_recipe(problem.family),
        divergence=best.divergence,
        forward_kl=both["forward"],
        reverse_kl=both["reverse"],
        held_out=None,
        optima=optima,
        path=path,
        starts=starts,
        evaluations=evaluations,
        seconds=problem.run.seconds,
        notes=tuple(notes),
    )


def _measured(
    p: Distribution, q: Distribution, direction: Direction, nodes: Nodes | None
) -> Estimate:
    """Measures the divergence anew, by a method that knows nothing of the fit."""
    pair = (p, q) if direction == "forward" else (q, p)
    question = replace(KL, quantity=FORWARD_KL if direction == "forward" else REVERSE_KL)
    if p.support.dimension == 2 and nodes is not None and not p.normalized:
        corners = nodes.x.min(axis=0), nodes.x.max(axis=0)
        return label(question, plane.kl(p, q, *corners, direction))
    _, run = choose(question, *pair)
    return label(question, run(Effort()))


def _refuse_heavy(p: Distribution) -> None:
    """A Gaussian q is never close in forward KL to a p without a variance."""
    if p.support.dimension:
        return
    wide = distribution("normal(0, sd=1)", "q")
    outcome = choose(KL, p, wide)[1](Effort())
    if outcome.kind == "infinite":
        raise UnsupportedError(
            f"KL(p||q) is infinite for every Gaussian q ({outcome.notes[0]}): choose a heavier family, "
            "such as student_t, or direction='reverse'"
        )


def _thinned(path: tuple[Float[np.ndarray, " m"], ...]) -> list[Float[np.ndarray, " m"]]:
    index = np.unique(np.linspace(0, len(path) - 1, min(len(path), 40)).astype(int))
    return [path[i] for i in index]
