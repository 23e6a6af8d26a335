"""The suite: target posteriors with known answers, by name."""

from benchmarks.posteriors import conjugate, hierarchies, regressions, shapes
from benchmarks.posteriors.record import Posterior

TARGETS: dict[str, Posterior] = {
    posterior.name: posterior
    for posterior in (
        *conjugate.POSTERIORS,
        *regressions.POSTERIORS,
        *hierarchies.POSTERIORS,
        *shapes.POSTERIORS,
    )
}
