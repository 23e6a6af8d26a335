"""The best fit of a family, for any divergence, in the terms in which papers print it."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.api.fit import fit
from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import one_thread
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.real import Normal
from kullback.distributions.scalar import Parametric
from kullback.families import FullRank, parse_family
from kullback.fitting.parametric import FamilyDivergence, closest
from kullback.losses.divergences import divergence_row
from kullback.measure.question import of_divergence
from kullback.measure.table import Effort, choose, label
from kullback.results.estimate import Estimate
from kullback.results.fit import Direction, Fit
from kullback.results.quantity import PARAMETER


@final
@dataclass(frozen=True)
class Comparison:
    """A parameter as claimed and as found."""

    name: str
    claimed: float
    found: float


@final
@dataclass(frozen=True, eq=False)
class BestMembers:
    """The members of a family that reach the lowest divergence, with that divergence.

    `spread` is how far apart the parameters of independent restarts that reached one of them ended.
    """

    members: tuple[Distribution, ...]
    divergence: Estimate
    spread: float

    @property
    def words(self) -> str:
        """The first member's parameters; says when its mirror image is as good."""
        text = "; ".join(
            f"{name} {', '.join(f'{v:.4g}' for v in values)}"
            for name, values in _table(self.members[0]).items()
        )
        return text + (" (or its mirror image)" if len(self.members) > 1 else "")

    def parameter(self, name: str) -> Estimate:
        """Returns a parameter of the one member there is."""
        values = {"loc": "means", "mean": "means", "scale": "sds", "sd": "sds"}
        table = _table(self.members[0])
        key = values.get(name, name)
        if key not in table or len(table[key]) != 1:
            raise InputError(f'"{name}" is not one parameter of {self.words}')
        return self.estimate_of(name, table[key][0])

    def estimate_of(self, name: str, value: float) -> Estimate:
        """Returns a fitted parameter, its error being how far apart independent restarts ended."""
        if math.isnan(self.spread):
            reason = "only one restart ended here, so its precision is unknown"
            return Estimate.unresolved(value, reason, PARAMETER.called(name), method="fit")
        return Estimate.numeric(
            value, max(self.spread, 1e-12), PARAMETER.called(name), method="agreement of restarts"
        )

    def compare(self, claimed: Distribution) -> list[Comparison]:
        """Returns every parameter of a claimed fit beside the closest of the best members."""
        wanted = _table(claimed)
        tables = [_table(m) for m in self.members]
        sizes = [{name: len(values) for name, values in t.items()} for t in (wanted, *tables)]
        if any(size != sizes[0] for size in sizes):
            raise InputError("the claimed fit is not of the family that was fitted")
        distance = [
            sum(float(np.sum(np.abs(np.subtract(t[k], wanted[k])))) for k in wanted) for t in tables
        ]
        closest = tables[int(np.argmin(distance))]
        return [
            Comparison(f"{name}[{i}]" if len(wanted[name]) > 1 else name, a, b)
            for name in wanted
            for i, (a, b) in enumerate(zip(wanted[name], closest[name], strict=True))
        ]


#: The best fits found so far, by target, family, direction and kind.


#: Descents for a kind of divergence.
_STARTS = 12


def best_fit(
    target: Distribution, family: str, direction: Direction | None, kind: str
) -> BestMembers:
    """Returns the best member of a family in a direction, or for another kind of divergence."""
    if kind:
        return _by_divergence(target, family, kind)
    assert direction is not None
    return of_fit(fit(target, family, direction=direction, progress=False))


def of_fit(found: Fit) -> BestMembers:
    """Returns the best members that a fit found."""
    lowest = found.divergence.value
    same = [o for o in found.optima if o.divergence.value < lowest + 1e-6]
    return BestMembers(tuple(o.q for o in same), found.divergence, max(o.spread for o in same))


def _by_divergence(target: Distribution, family: str, kind: str) -> BestMembers:
    if parse_family(family) not in (FullRank(), "normal") or target.support.dimension:
        raise UnsupportedError(f'kind="{kind}" is fitted for one Gaussian of the line only')
    question = of_divergence(divergence_row(kind))
    objective = FamilyDivergence(question, target, first=True)
    with one_thread():
        found = closest(_NORMAL, target, objective, starts=_STARTS, key=0, watch=lambda done: None)
    measured: list[tuple[float, BestMembers]] = []
    for basin in found.basins:
        q = _NORMAL.exactly(basin.best.at)
        outcome = choose(question, target, q)[1](Effort())
        measured.append((outcome.value, BestMembers((q,), label(question, outcome), basin.spread)))
    return min(measured, key=lambda pair: pair[0])[1]


def _normal(vector: Float[np.ndarray, " m"]) -> Distribution:
    return Normal(float(vector[0]), math.exp(min(max(float(vector[1]), -300.0), 300.0)))


_NORMAL = Parametric(
    "Normal", _normal, _normal, lambda mean, variance: [np.array([mean, 0.5 * math.log(variance)])]
)


def _table(q: Distribution) -> dict[str, list[float]]:
    if isinstance(q, Normal):
        return {"means": [float(q.loc)], "sds": [float(q.scale)]}
    normals = [c for c in q.components if isinstance(c, Normal)] if isinstance(q, Mixture) else []
    if isinstance(q, Mixture) and len(normals) == len(q.components):
        order = np.argsort([float(c.loc) for c in normals])
        parts = [normals[i] for i in order]
        return {
            "means": [float(c.loc) for c in parts],
            "sds": [float(c.scale) for c in parts],
            "weights": [float(q.weights[i]) for i in order],
        }
    raise UnsupportedError(
        f"parameters of {type(q).__name__} are not compared: Gaussians of the line only"
    )
