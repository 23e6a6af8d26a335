"""Results in the unit asked for."""

from dataclasses import replace

from kullback.cli._options import Unit
from kullback.results._contributions import Contributions
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit


def of_fit(fit: Fit, unit: Unit) -> Fit:
    """Returns a fit with all its estimates in a unit."""

    def moved(estimate: Estimate | None) -> Estimate | None:
        return None if estimate is None else unit.of(estimate)

    return replace(
        fit,
        divergence=unit.of(fit.divergence),
        forward_kl=moved(fit.forward_kl),
        reverse_kl=moved(fit.reverse_kl),
        held_out=moved(fit.held_out),
        optima=tuple(replace(o, divergence=unit.of(o.divergence)) for o in fit.optima),
    )


def of_contributions(parts: Contributions, unit: Unit) -> Contributions:
    """Returns contributions with all their estimates in a unit."""
    return replace(
        parts,
        total=unit.of(parts.total),
        cross_entropy=unit.of(parts.cross_entropy),
        entropy=unit.of(parts.entropy),
        regions=tuple(replace(r, contribution=unit.of(r.contribution)) for r in parts.regions),
    )
