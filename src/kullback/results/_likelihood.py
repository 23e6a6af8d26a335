"""What is known of a maximum-likelihood fit besides its q."""

import math
from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate


@final
@dataclass(frozen=True)
class ParameterError:
    """A fitted parameter.

    Attributes:
        component: which, from 1, in the order of q's; 0 for all.
        name: "weight", "mean", "sd", "df", "rate" or "probability".
        column: of the data; empty for a weight.
        value: in the units of the data.
        standard_error: NaN where the rows do not tell.
    """

    component: int
    name: str
    column: str
    value: float
    standard_error: float


@final
@dataclass(frozen=True)
class Likelihood:
    """A maximum-likelihood fit to rows.

    Attributes:
        rows: how many.
        weight: the sum of their weights.
        log_likelihood: of all rows, in nats.
        parameters: how many are free.
        remaining: nats over all rows that are left to gain at this optimum, extrapolated.
        floor_cost: nats over all rows that the floor under the covariances takes, to first order.
        reached: the share of the starts carried to their ends that reached the best optimum.
        starts: how many were made.
        passes: over all rows.
        sample_rows, sample_passes: of the search for starts.
        errors: of the parameters; empty if there are too many to invert their information.
        goodness: tests of q on rows left out; empty if none were made.
    """

    rows: int
    weight: float
    log_likelihood: float
    parameters: int
    remaining: float
    floor_cost: float
    reached: float
    starts: int
    passes: int
    sample_rows: int
    sample_passes: int
    errors: tuple[ParameterError, ...] = ()
    goodness: tuple[Estimate, ...] = ()

    @property
    def bic(self) -> float:
        """The Bayesian information criterion, to be small: m log n - 2 log likelihood."""
        return self.parameters * math.log(self.weight) - 2.0 * self.log_likelihood
