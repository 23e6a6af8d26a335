"""Fits to a known density, in either direction."""

import math
import time
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.core.run import Watch, generator
from kullback.distributions.base import Distribution
from kullback.families import Gaussians, as_recipe, components, is_diagonal
from kullback.fitting.nodes import (
    Basin,
    Layout,
    Nodes,
    descents,
    gather,
    kl,
    member,
    of_density,
    parametric_minima,
    to_density,
)
from kullback.inputs.given import distribution
from kullback.interop.numpyro_family import family_of
from kullback.measure.question import KL
from kullback.measure.table import Effort, choose, label
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit, Optimum
from kullback.results.quantity import FORWARD_KL, REVERSE_KL
from kullback.targets import LogDensity

#: Starts for a mixture, unless said: every local optimum worth knowing should be met.
_STARTS = 60
#: Local optima reported.
_MOST = 12


def _gaussians_to_density(
    p: Distribution,
    target: object,
    recipe: Gaussians,
    direction: Direction,
    starts: int,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    scalar = p.support.dimension == 0
    example = (
        np.asarray(target.example, dtype=np.float64) if isinstance(target, LogDensity) else None
    )
    nodes = of_density(p, example)
    layout = Layout(components(recipe), nodes.x.shape[1], is_diagonal(recipe))
    tries = starts if layout.k > 1 else min(starts, 12)
    if direction == "forward":
        _refuse_heavy(p)
    found = descents(p, nodes, layout, direction, starts=tries, rng=generator(key), watch=watch)

    def measured(basin: Basin) -> tuple[Distribution, Estimate]:
        q = member(layout.unpack(basin.best.at), scalar=scalar)
        return q, _measured(p, q, direction, nodes)

    # Mirror images are equal but for rounding: the one that starts further left comes first.
    ends = sorted(
        ((*measured(b), b) for b in found.basins[:_MOST]),
        key=lambda e: (round(e[1].value, 8), float(layout.unpack(e[2].best.at).means.min())),
    )
    optima = tuple(Optimum(q, d, b.count / found.starts, b.spread) for q, d, b in ends)
    path = tuple(member(layout.unpack(v), scalar=scalar) for v in _thinned(ends[0][2].best.path))
    made = _fit(p, optima, path, direction, recipe, found.starts, found.evaluations, began, nodes)
    if not found.interrupted:
        return made
    said = f"interrupted after {found.starts} of {tries} starts"
    return replace(made, notes=(*made.notes, said), interrupted=True)


def _others_to_density(
    p: Distribution, recipe: object, direction: Direction, watch: Watch, began: float
) -> Fit:
    if p.support.dimension:
        raise UnsupportedError(
            f"family {recipe!r} has scalar events, but the target lives on {p.support}"
        )
    mean, variance = _moments(p)
    family = family_of(recipe, mean, variance)
    minima = parametric_minima(family, to_density(p, direction), watch)
    basins = gather(minima, lambda m: m.at, within=1e-3)
    made = [(family.build(b.best.at), b) for b in basins]
    optima = tuple(
        Optimum(q, _measured(p, q, direction, None), b.count / len(minima), b.spread)
        for q, b in made
    )
    path = tuple(family.build(v) for v in basins[0].best.path)
    spent = sum(m.evaluations for m in minima)
    return _fit(p, optima, path, direction, recipe, len(minima), spent, began, None)


def _fit(
    p: Distribution,
    optima: tuple[Optimum, ...],
    path: tuple[Distribution, ...],
    direction: Direction,
    recipe: object,
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
        family=as_recipe(recipe),
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
    question = replace(KL, quantity=FORWARD_KL if direction == "forward" else REVERSE_KL)
    if p.support.dimension == 2 and nodes is not None and not p.normalized:
        return label(question, kl(p, q, nodes, direction))
    _, run = choose(question, *pair)
    return label(question, run(Effort()))


def _moments(p: Distribution) -> tuple[float, float]:
    if p.support.discrete:
        marks = p.landmarks()
        x = np.arange(marks[0], marks[-1] + 1.0)
        weights = np.exp(p.log_prob(x))
        nodes = Nodes(x[:, None], weights / weights.sum())
    else:
        nodes = of_density(p)
    mean, variance = float(nodes.mean[0]), float(nodes.covariance[0, 0])
    return (mean, variance) if math.isfinite(variance) and variance > 0.0 else (0.0, 1.0)


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


def _thinned(path: tuple[Float[np.ndarray, " m"], ...]) -> list[Float[np.ndarray, " m"]]:
    index = np.unique(np.linspace(0, len(path) - 1, min(len(path), 40)).astype(int))
    return [path[i] for i in index]
