"""A log density with what has been found out about it."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

from kullback._core.errors import DensityError
from kullback.diagnostics._faults import check_found
from kullback.diagnostics._rays import check_proper
from kullback.diagnostics._towards_p import not_tempered, tempered_draws, wide_around
from kullback.fitting._elbo_gradients import Estimator
from kullback.fitting._run import Run
from kullback.fitting._search import Search, look_around, one, search
from kullback.fitting._stochastic import Minibatch
from kullback.solvers._density import Density
from kullback.solvers._tempering import Tempered
from kullback.targets import Unconstrained

#: The first needs no tuning; the others are estimators of the ELBO's gradient.
Solver = Literal["natural_gradient"] | Estimator


@final
@dataclass(eq=False)
class Job:
    """A target with what has been found out about it; shared by the families tried on it."""

    target: Unconstrained
    run: Run
    climbs: int
    solver: Solver = "natural_gradient"
    minibatch: Minibatch | None = None
    density: Density = field(init=False)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.density = Density(self.target.evaluate, self.target.dimension)

    @cached_property
    def search(self) -> Search:
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
    def everywhere(self) -> Search:
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
