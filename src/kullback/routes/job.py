"""A log density with what has been found out about it: modes, draws of it; shared by the fits of it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, final

from kullback.core.errors import DensityError
from kullback.core.run import Checkpoint, Run
from kullback.diagnostics.covering import Covering, covering_of
from kullback.diagnostics.integrability import check_found, check_proper
from kullback.diagnostics.tempered import (
    not_tempered,
    overall_root,
    tempered_draws,
    through_neck,
    wide_around,
)
from kullback.families import Recipe
from kullback.files.archive import resumed
from kullback.fitting.climbs import Climbs, look_around, search
from kullback.fitting.components import one
from kullback.fitting.elbo_gradients import Estimator
from kullback.fitting.stochastic import Minibatch
from kullback.results.fit import NOT_ASKED, Direction, Fit, Optimum
from kullback.results.posterior import Report
from kullback.routes.table import Problem
from kullback.solvers.modes import CountedDensity
from kullback.solvers.tempering import Tempered
from kullback.targets import Unconstrained

#: Climbs to modes, unless said.
_CLIMBS = 8
#: Coordinates up to which mixtures cover p: of 80 they missed a quarter of KL(p||q), and took half of the time.
_MOST_COVERED = 40
#: The first needs no tuning; the others are estimators of the ELBO's gradient.
Solver = Literal["natural_gradient"] | Estimator


def job_of(problem: Problem, solver: Solver) -> "Job":
    """Returns what is fitted, with what an interrupted run left of it."""
    target, run = problem.target.unconstrained, problem.run
    name = f"{problem.family} by {problem.solver}"
    run = replace(run, checkpoint=_checkpoint(target, name, run))
    return Job(target, run, problem.starts or _CLIMBS, solver, problem.target.minibatch)


@final
@dataclass(eq=False)
class Job:
    """A target with what has been found out about it; shared by the families tried on it."""

    target: Unconstrained
    run: Run
    climbs: int
    solver: Solver = "natural_gradient"
    minibatch: Minibatch | None = None
    density: CountedDensity = field(init=False)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.density = CountedDensity(self.target.evaluate, self.target.dimension)

    @cached_property
    def search(self) -> Climbs:
        """The modes, looked for once."""
        self.run.watch("climbing to the modes")
        rng = self.run.generator("climbs")
        try:
            found = self.run.once(
                "modes",
                self.density,
                lambda: search(self.density, self.target.start, rng, climbs=self.climbs),
            )
        except DensityError:
            check_found(self.density, self.target)
            raise
        top = found.modes[0]
        check_proper(self.target, self.density, one(top.at, top.root), self.run.generator("rays"))
        return found

    @cached_property
    def everywhere(self) -> Climbs:
        """The modes that climbs from far and wide find too."""
        if self.stopped:
            return self.search
        self.run.watch("looking for other modes, far and wide")
        center, root = wide_around(self.search)
        rng = self.run.generator("far and wide")
        return self.run.once(
            "far and wide",
            self.density,
            lambda: look_around(self.density, self.search, center, root, self.tempered.x, rng),
        )

    @cached_property
    def tempered(self) -> Tempered:
        """Draws of p from afar, made once; where they began, if someone is in a hurry."""
        if self.stopped:
            return not_tempered(self.density, self.search)
        self.run.watch("tempering from afar")
        return self.run.once(
            "tempering", self.density, lambda: tempered_draws(self.density, self.search, self.run)
        )

    @cached_property
    def reached(self) -> Tempered:
        """The draws that a report rests on: those from afar, or others where these show a neck."""
        wide = self.tempered
        if self.stopped or not wide.complete:
            return wide
        found = self.everywhere
        name, density = "tempering in a neck", self.density
        return self.run.once(name, density, lambda: through_neck(density, wide, found, self.run))

    @cached_property
    def covering(self) -> Covering | None:
        """Draws that cover p; None where there was no time for any, or there are too many coordinates."""
        if self.stopped or self.reached.interrupted:
            return None
        if self.reached.shear is None and self.density.dimension > _MOST_COVERED:
            return None
        start = self.search.starts[0]
        anchor = one(start.means[0], overall_root(start))
        return covering_of(self.density, anchor, self.everywhere, self.reached, self.run)


def _checkpoint(target: Unconstrained, family: str, run: Run) -> Checkpoint:
    """What an interrupted run left in a file. Raises InputError if that was another fit."""
    if run.place is None:
        return run.checkpoint
    value, gradient = target.evaluate(target.start[None])
    mark = {
        "coordinates": tuple(target.coordinates),
        "family": family,
        "key": str(run.key),
        "at the start": (float(value[0]), *map(float, gradient[0])),
    }
    return resumed(run.place, mark)


def fit_of(
    job: Job,
    direction: Direction,
    family: Recipe,
    optima: tuple[Optimum, ...],
    report: Report | None,
    counts: tuple[int, int],
    notes: tuple[str, ...],
    during: str | None,
) -> Fit:
    """Returns the fit of a log density: its best optimum with its report, or with what is known of it alone.

    Args:
        job: the log density.
        direction: of the KL divergence.
        family: of the optima.
        optima: the best one first.
        report: on it; None if it was not asked for.
        counts: climbs to modes, and gradient evaluations of the fit.
        notes: how it was fitted.
        during: what was interrupted; None if nothing was.
    """
    best, (starts, spent) = optima[0], counts
    first = () if report is not None else (NOT_ASKED,)
    if during is not None:
        first = (*first, f"interrupted during the {during}")
    last = (
        f"gradient evaluations: {spent:,} for the fit, {job.density.count - spent:,} for diagnostics",
        f"{job.target.gradient} derivatives of a {job.target.origin}",
    )
    return Fit(
        q=best.q,
        direction=direction,
        family=family,
        divergence=best.divergence,
        forward_kl=None if report is None else report.forward_kl,
        reverse_kl=None if report is None else report.reverse_kl,
        held_out=None,
        optima=optima,
        path=(),
        starts=starts,
        evaluations=job.density.count,
        seconds=job.run.seconds,
        notes=(*first, *notes, *last),
        posterior=None if report is None else report.posterior,
        interrupted=during is not None,
    )
