"""Results in the unit asked for."""

from dataclasses import dataclass, replace
from typing import Literal, final

from cyclopts import Parameter

from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Likelihood, Selection
from kullback.results.others import Contributions
from kullback.results.posterior import Posterior

Units = Literal["nats", "bits"]


@final
@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Unit:
    """The unit of what is printed.

    Attributes:
        units: nats or bits.
    """

    units: Units = "nats"

    def of(self, estimate: Estimate) -> Estimate:
        """Returns an estimate in the unit asked for."""
        return estimate.bits if self.units == "bits" else estimate.nats


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
        posterior=None if fit.posterior is None else of_posterior(fit.posterior, unit),
        selection=None if fit.selection is None else _of_selection(fit.selection, unit),
        likelihood=None if fit.likelihood is None else _of_likelihood(fit.likelihood, unit),
    )


def _of_likelihood(found: Likelihood, unit: Unit) -> Likelihood:
    """The likelihood itself stays in nats."""
    nat = Estimate.exact(1.0, quantity="entropy", direction="one nat", method="definition")
    size = unit.of(nat).value
    learning = tuple(
        replace(p, excess=p.excess * size, standard_error=p.standard_error * size)
        for p in found.learning
    )
    gap = None if found.gap is None else unit.of(found.gap)
    return replace(found, gap=gap, learning=learning)


def _of_selection(selection: Selection, unit: Unit) -> Selection:
    def moved(estimate: Estimate | None) -> Estimate | None:
        return None if estimate is None else unit.of(estimate)

    candidates = tuple(
        replace(c, held_out=moved(c.held_out), behind=moved(c.behind)) for c in selection.candidates
    )
    return replace(selection, candidates=candidates)


def of_posterior(found: Posterior, unit: Unit) -> Posterior:
    """Returns a trust report with all its estimates and its trace in a unit."""
    nat = Estimate.exact(1.0, quantity="entropy", direction="one nat", method="definition")
    size = unit.of(nat).value
    return replace(
        found,
        elbo=unit.of(found.elbo),
        entropy=unit.of(found.entropy),
        energy=unit.of(found.energy),
        log_evidence=unit.of(found.log_evidence),
        routes=tuple(unit.of(r) for r in found.routes),
        agreement=unit.of(found.agreement),
        jeffreys=unit.of(found.jeffreys),
        probe=unit.of(found.probe),
        trace=tuple((gradients, elbo * size, n) for gradients, elbo, n in found.trace),
        ladder=tuple(
            replace(r, elbo=unit.of(r.elbo), reverse_kl=unit.of(r.reverse_kl)) for r in found.ladder
        ),
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
