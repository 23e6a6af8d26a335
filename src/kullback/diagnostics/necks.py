"""Draws that cover a p with a neck, in the coordinates that undo it, and what they say of any q."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback.core.run import Run
from kullback.diagnostics.adaptive import Cover, cover, towards
from kullback.diagnostics.importance import Weighed
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import one
from kullback.results.posterior import Finding
from kullback.solvers.modes import CountedDensity
from kullback.solvers.shear import Shear
from kullback.solvers.tempering import Tempered
from kullback.tables.kinds import listed

Array = np.ndarray
#: A rate of the log of a scale that is told.
_TOLD = 0.2


@final
@dataclass(frozen=True, eq=False)
class Neck:
    """Weighted draws of a p with a neck.

    Attributes:
        shear: the coordinates.
        density: log p in them.
        cover: the draws in them.
        run: randomness and progress.
    """

    shear: Shear
    density: CountedDensity
    cover: Cover
    run: Run

    def finding(self, coordinates: tuple[str, ...]) -> Finding:
        """Says which scales depend on which coordinate, and how to write p without."""
        shear = self.shear
        rates = np.abs(shear.rates)
        names = [coordinates[j] for j in np.flatnonzero(rates > min(_TOLD, 0.5 * rates.max()))]
        source = coordinates[shear.source]
        text = f"the scale of {listed(names)} depends on {source}; measured in coordinates in which it does not"
        remedy = f"non-centre: write {names[0]} as its mean plus a scale, which {source} gives, times z ~ N(0, 1)"
        return Finding("neck", "trust", text, remedy)

    def weighed(self, alone: Weighed, log_q: Callable[[Array], Array]) -> Weighed:
        """Returns the draws of q with those that cover p, more of these where log p - log q decides.

        Args:
            alone: draws of q, and others, which are left out.
            log_q: its log density at n points.
        """
        shear, own = self.shear, alone.own

        def ratio(now: Cover) -> Array:
            return now.log_p - shear.log_det(now.x) - log_q(shear.forward(now.x))

        made = towards(self.density, self.cover, ratio, self.run, "log p - log q")
        alive = np.isfinite(made.log_p)  # what is infinitely far out has no weight
        z = np.where(alive[:, None], made.x, made.x[int(np.argmax(alive))])
        there = shear.forward(z)

        def others(x: Array) -> Array:
            back = shear.inverse(x)
            return made.log_r_at(back) - shear.log_det(back)

        x = np.concatenate([alone.x[:own], there])
        log_p = np.where(alive, made.log_p - shear.log_det(z), -np.inf)
        log_p = np.concatenate([alone.log_p[:own], log_p])
        logs = np.concatenate([alone.log_q[:own], log_q(there)])
        behind = np.concatenate([others(alone.x[:own]), made.log_r - shear.log_det(z)])
        share = own / len(x)
        log_r = np.logaddexp(math.log(share) + logs, math.log1p(-share) + behind)
        return Weighed(x, own, log_p, logs, log_r, alone.gradient[:own], others, closer=True)


def neck_of(density: CountedDensity, tempered: Tempered, run: Run) -> Neck | None:
    """Returns draws that cover p, where tempering found a neck; None where it did not.

    Args:
        density: log p.
        tempered: draws of p.
        run: randomness and progress.
    """
    shear = tempered.shear
    if shear is None:
        return None
    z = shear.inverse(tempered.x)
    inner = shear.density(density)
    there = Tempered(
        z, tempered.log_p + shear.log_det(z), tempered.family, tempered.log_evidence,
        tempered.standard_error, tempered.temperatures, complete=True,
    )  # fmt: skip
    anchor = one(z.mean(axis=0), np.linalg.cholesky(np.cov(z.T) + 1e-12 * np.diag(z.var(axis=0))))
    return Neck(shear, inner, cover(inner, anchor, Climbs((), (), 0), there, run), run)
