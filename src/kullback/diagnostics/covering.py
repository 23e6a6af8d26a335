"""Draws that cover p, in coordinates that undo its neck where it has one, and what they say of any q."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.core.run import Run
from kullback.diagnostics.adaptive import Cover, cover, towards
from kullback.diagnostics.importance import Kin
from kullback.fitting.climbs import Climbs
from kullback.fitting.components import Components, one
from kullback.results.posterior import Finding
from kullback.solvers.modes import CountedDensity, mode_at
from kullback.solvers.shear import Shear
from kullback.solvers.tempering import Tempered
from kullback.tables.kinds import listed

Array = np.ndarray
#: A rate of the log of a scale that is told.
_TOLD = 0.2


@final
@dataclass(frozen=True, eq=False)
class Covering:
    """Weighted draws that cover p.

    Attributes:
        density: log p, in coordinates in which it has no neck.
        cover: the draws, in these coordinates.
        run: randomness and progress.
        shear: the coordinates; None for those of p.
    """

    density: CountedDensity
    cover: Cover
    run: Run
    shear: Shear | None = None

    def findings(self, coordinates: tuple[str, ...]) -> tuple[Finding, ...]:
        """Says which scales depend on which coordinate, and how to write p without."""
        shear = self.shear
        if shear is None:
            return ()
        rates = np.abs(shear.rates)
        names = [coordinates[j] for j in np.flatnonzero(rates > min(_TOLD, 0.5 * rates.max()))]
        source = coordinates[shear.source]
        text = f"the scale of {listed(names)} depends on {source}; measured in coordinates in which it does not"
        remedy = f"non-centre: write {names[0]} as its mean plus a scale, which {source} gives, times z ~ N(0, 1)"
        return (Finding("neck", "trust", text, remedy),)

    def kin(self, log_q: Callable[[Array], Array]) -> Kin:
        """Returns a mixture that covers p, and more so where log p - log q decides KL(p||q).

        It was learnt from draws; what is measured by draws of it owes them nothing. Those that taught it are where
        weights were large by chance too, and by them an evidence came out 1.4 of its errors too low.
        """
        shear, weights = self.shear, self.cover.weights

        def ratio(now: Cover) -> Array:
            x, log_p = now.x, now.log_p
            if shear is not None:
                x, log_p = shear.forward(x), log_p - shear.log_det(x)
            alive = np.isfinite(log_p)
            found = np.zeros(len(x))
            found[alive] = log_p[alive] - log_q(x[alive])
            return found

        values = ratio(self.cover)
        level = float(weights @ values) / len(weights)
        made, rising = towards(
            self.density,
            self.cover,
            lambda now: ratio(now) - level,
            self.run,
            "log p - log q",
            beyond=True,
        )
        return Kin(made.proposal, shear, arrived=not rising)


def covering_of(
    density: CountedDensity, anchor: Components, found: Climbs, tempered: Tempered, run: Run
) -> Covering:
    """Returns draws that cover p.

    Args:
        density: log p.
        anchor: a Gaussian close to it.
        found: its modes.
        tempered: draws of p.
        run: randomness and progress.
    """
    shear = tempered.shear
    if shear is None:
        return Covering(density, cover(density, anchor, found, tempered, run), run)
    z = shear.inverse(tempered.x)
    inner = shear.density(density)
    there = replace(tempered, x=z, log_p=tempered.log_p + shear.log_det(z))
    anchor = one(z.mean(axis=0), np.linalg.cholesky(np.cov(z.T) + 1e-12 * np.diag(z.var(axis=0))))
    modes = tuple(mode_at(inner, shear.inverse(m.at[None])[0]) for m in found.modes if m.proper)
    return Covering(inner, cover(inner, anchor, Climbs(modes, (), 0), there, run), run, shear)
