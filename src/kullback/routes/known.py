"""Fits to a known density, in either direction."""

import math
import time
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import one_thread
from kullback.core.run import Watch
from kullback.distributions.base import Distribution
from kullback.families import Gaussians, components, is_diagonal
from kullback.fitting.multistart import Search
from kullback.fitting.nodes import (
    Basin,
    Layout,
    Nodes,
    descents,
    kl,
    member,
    moment_matched,
    of_density,
)
from kullback.fitting.parametric import Divergence, closest
from kullback.inputs.given import distribution
from kullback.interop.numpyro_family import family_of
from kullback.measure.question import KL, Question
from kullback.measure.table import Effort, choose, label
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit, Optimum
from kullback.targets import LogDensity

#: Starts for a mixture, unless said: every local optimum worth knowing should be met.
_STARTS = 60
#: Starts for one Gaussian, and for a family of scalars: more than there are modes and runs of modes, mostly.
_STARTS_OF_ONE, _STARTS_OF_SCALARS = 24, 12
#: Local optima reported.
_MOST = 12


def _gaussians_to_density(
    p: Distribution,
    target: object,
    recipe: Gaussians,
    direction: Direction,
    starts: int | None,
    key: object,
    watch: Watch,
    began: float,
    *,
    family: str,
) -> Fit:
    scalar = p.support.dimension == 0
    example = (
        np.asarray(target.example, dtype=np.float64) if isinstance(target, LogDensity) else None
    )
    nodes = of_density(p, example)
    layout = Layout(components(recipe), nodes.x.shape[1], is_diagonal(recipe))
    asked = starts or (_STARTS if layout.k > 1 else _STARTS_OF_ONE)
    if direction == "forward":
        _refuse_heavy(p)
    if direction == "forward" and layout.k == 1:
        _refuse_starts(starts)
        q = member(moment_matched(nodes, layout), scalar=scalar)
        watch(1)
        optima = (Optimum(q, _measured(p, q, direction, nodes), 1.0, 0.0),)
        return _fit(p, optima, (q,), direction, family, 1, 1, began, nodes)
    with one_thread():
        found = descents(p, nodes, layout, direction, starts=asked, key=key, watch=watch)

    def measured(basin: Basin) -> tuple[Distribution, Estimate]:
        q = member(layout.unpack(basin.best.at), scalar=scalar)
        return q, _measured(p, q, direction, nodes)

    # Mirror images are equal but for rounding: the one that starts further left comes first.
    ends = sorted(
        ((*measured(b), b) for b in found.basins[:_MOST]),
        key=lambda e: (*_height(e[1], e[2]), float(layout.unpack(e[2].best.at).means.min())),
    )
    optima = tuple(Optimum(q, d, b.count / max(found.starts, 1), b.spread) for q, d, b in ends)
    path = tuple(member(layout.unpack(v), scalar=scalar) for v in _thinned(ends[0][2].best.path))
    made = _fit(p, optima, path, direction, family, found.starts, found.evaluations, began, nodes)
    return _stopped(made, found, asked)


def _others_to_density(
    p: Distribution,
    recipe: object,
    direction: Direction,
    starts: int | None,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    if p.support.dimension:
        raise UnsupportedError(
            f"family {recipe!r} has scalar events, but the target lives on {p.support}"
        )
    family, asked = family_of(recipe), starts or _STARTS_OF_SCALARS
    objective = Divergence(KL, p, first=direction == "forward")
    with one_thread():
        found = closest(family, p, objective, starts=asked, key=key, watch=watch)
    ends = []
    for basin in found.basins[:_MOST]:
        q = family.exactly(basin.best.at)
        ends.append((q, _measured(p, q, direction, None), basin))
    ends.sort(key=lambda e: _height(e[1], e[2]))
    optima = tuple(Optimum(q, d, b.count / max(found.starts, 1), b.spread) for q, d, b in ends)
    path = tuple(family.build(v) for v in _thinned(ends[0][2].best.path))
    made = _fit(
        p, optima, path, direction, _words(recipe), found.starts, found.evaluations, began, None
    )
    return _stopped(made, found, asked)


def _height(divergence: Estimate, basin: Basin) -> tuple[bool, float]:
    """Sorts optima by what was measured, by the search's own value where that is an estimate with noise."""
    told = divergence.kind in ("exact", "numeric", "infinite")
    noisy = divergence.kind == "estimate"
    return not (told or noisy), round(basin.best.value if noisy else divergence.value, 8)


def _stopped(made: Fit, found: Search, asked: int) -> Fit:
    if not found.interrupted:
        return made
    return replace(made, notes=(*made.notes, _interrupted(found.starts, asked)))


def _refuse_starts(starts: int | None) -> None:
    if starts is not None and starts > 1:
        raise InputError(
            f"starts={starts}: the Gaussian closest in KL(p||q) is the one with p's mean and covariance, "
            "and takes no search: leave starts out"
        )


def _fit(
    p: Distribution,
    optima: tuple[Optimum, ...],
    path: tuple[Distribution, ...],
    direction: Direction,
    family: str,
    starts: int,
    evaluations: int,
    began: float,
    nodes: Nodes | None,
) -> Fit:
    best = optima[0]
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
        family=family,
        divergence=best.divergence,
        forward_kl=both["forward"],
        reverse_kl=both["reverse"],
        held_out=None,
        optima=optima,
        path=path,
        starts=starts,
        evaluations=evaluations,
        seconds=time.perf_counter() - began,
        notes=tuple(notes),
    )


def _measured(
    p: Distribution, q: Distribution, direction: Direction, nodes: Nodes | None
) -> Estimate:
    """Measures the divergence anew, by a method that knows nothing of the fit."""
    pair = (p, q) if direction == "forward" else (q, p)
    name = "KL(p||q)" if direction == "forward" else "KL(q||p)"
    question = Question(KL.quantity, name, KL.contribution, KL.nonnegative)
    if p.support.dimension == 2 and nodes is not None and not p.normalized:
        return label(question, kl(p, q, nodes, direction))
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
            "such as numpyro.distributions.StudentT, or direction='reverse'"
        )


def _interrupted(done: int, asked: int) -> str:
    """What `notes` say of a fit that was stopped."""
    return f"interrupted after {done} of {asked} starts"


def _thinned(path: tuple[Float[np.ndarray, " m"], ...]) -> list[Float[np.ndarray, " m"]]:
    index = np.unique(np.linspace(0, len(path) - 1, min(len(path), 40)).astype(int))
    return [path[i] for i in index]


def _is_normal(recipe: object) -> bool:
    """Whether a family of scalars is the Gaussians by another name, for which gradients are known."""
    if isinstance(recipe, str):
        return recipe.strip().lower() == "normal"
    module = str(getattr(recipe, "__module__", ""))
    return module.startswith("numpyro.") and getattr(recipe, "__name__", "") == "Normal"


def _words(recipe: object) -> str:
    return recipe.__name__ if isinstance(recipe, type) else str(recipe)
