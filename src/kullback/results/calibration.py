"""Whether true parameters look like draws of the fits to data made with them: ranks, findings, sizes."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.results.estimate import Estimate
from kullback.results.serialise import HIDDEN, Shown
from kullback.results.status import Status

Miscalibration = Literal["too low", "too high", "too narrow", "too wide", "another shape"]
CalibrationVerdict = Literal["no miscalibration found", "miscalibrated", "unresolved"]
#: What a calibration of exact draws alarms at most, all quantities and tests together.
LEVEL = 0.05
#: Data sets below which nothing is said.
FEWEST = 20


@final
@dataclass(frozen=True)
class CalibratedQuantity:
    """What the ranks of one quantity show.

    Attributes:
        name: of a coordinate of the parameters, such as "theta[3]"; "log density of p"; or as given.
        findings: what is wrong with its draws; () where nothing was found.
        mean_shift: how far true values are above the fits, in sds of the fit.
        sd_ratio: the sd of the fits over what it should be; below 1 they are too narrow.
        p_value: of the most telling of three tests, adjusted for all tests of all quantities.
    """

    derived: ClassVar[dict[str, str]] = {"finding": "finding"}

    name: str
    findings: tuple[Miscalibration, ...]
    mean_shift: Estimate
    sd_ratio: Estimate
    p_value: float

    @property
    def finding(self) -> str:
        """All findings in words."""
        return ", ".join(self.findings) or "fine"


@final
@dataclass(frozen=True, eq=False)
class RankBand:
    """Where the empirical distributions of ranks stay, less the diagonal, but for one of 1 / level by chance.

    Attributes:
        at: shares, between 0 and 1.
        low, high: the least and the largest difference at each.
        level: the chance that the line of one quantity leaves it.
    """

    at: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    level: float


@final
@dataclass(frozen=True, eq=False)
class Calibration(Shown):
    """Whether fits, or draws of a sampler, are right on average over data that a model makes.

    p stands for the true posteriors, q for what was calibrated.

    Attributes:
        of: what was calibrated, in words.
        quantities: each parameter, the log density of p, and what was given.
        simulations: data sets that were made and fitted.
        asked: data sets that were asked for.
        draws: of each fit, as many independent ones as they are worth; the median of all data sets.
        failed: data sets whose fit was refused.
        failure: why the first of them was; "" if none was.
        detectable_shift, detectable_ratio: a shift and a ratio of sds that are found in four of five calibrations.
        ranks: of the true value of each quantity among the draws, as shares.
        band: where their distributions stay.
        seconds: wall time.
        notes: what a careful reader should know.
        interrupted: whether somebody stopped it.

    Example:
        >>> import numpy as np
        >>> import kullback as kb
        >>> def prior_draws(rng):
        ...     mean = rng.normal()
        ...     return mean, rng.normal(mean, 1.0, 5)
        >>> def narrow(y, rng):
        ...     return rng.normal(y.sum() / 6.0, 0.2, 400)
        >>> def make_target(y):
        ...     log_prob = lambda m: -0.5 * m**2 - 0.5 * np.sum((y - m[..., None]) ** 2, axis=-1)
        ...     return kb.LogDensity(log_prob, gradient=lambda m: y.sum() - 6.0 * m)
        >>> found = kb.calibrate(make_target, prior_draws, 100, sampler=narrow)
        >>> found.verdict, found.quantities[0].finding
        ('miscalibrated', 'too narrow')
    """

    derived: ClassVar[dict[str, str]] = {"verdict": "verdict", "status": "status"}

    of: str
    quantities: tuple[CalibratedQuantity, ...]
    simulations: int
    asked: int
    draws: float
    failed: int
    failure: str
    detectable_shift: float
    detectable_ratio: float
    ranks: Float[np.ndarray, "n m"]
    band: RankBand
    seconds: float = field(metadata=HIDDEN)
    notes: tuple[str, ...] = ()
    interrupted: bool = field(default=False, metadata=HIDDEN)

    @property
    def miscalibrated(self) -> tuple[CalibratedQuantity, ...]:
        """The quantities with findings."""
        return tuple(q for q in self.quantities if q.findings)

    @property
    def verdict(self) -> CalibrationVerdict:
        """Whether anything was found; "unresolved" where there are too few data sets to say."""
        if self.miscalibrated:
            return "miscalibrated"
        return "no miscalibration found" if self.simulations >= FEWEST else "unresolved"

    @property
    def status(self) -> Status:
        """How it ended: interrupted, not to be trusted, unresolved, or done."""
        if self.interrupted:
            return Status.INTERRUPTED
        if self.miscalibrated:
            return Status.UNTRUSTED
        return Status.DONE if self.simulations >= FEWEST else Status.UNRESOLVED

    def quantity(self, name: str) -> CalibratedQuantity:
        """Returns what the ranks of a quantity show. Raises KeyError if there is none of this name."""
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        raise KeyError(name)

    def __repr__(self) -> str:
        return f"<calibration of {self.of}: {self.verdict}>"

    def __str__(self) -> str:
        head = f"{self.of}, {self.simulations:,} data sets: {self.verdict}"
        found = [f"{q.name}: {q.finding}; {q.mean_shift}; {q.sd_ratio}" for q in self.miscalibrated]
        return "\n".join([head, *found, *self.notes])
