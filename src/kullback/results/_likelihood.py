"""What is known of a maximum-likelihood fit besides its q."""

import math
from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate, finite


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

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values; what is not known is null."""
        return {
            "component": self.component,
            "name": self.name,
            "column": self.column,
            "value": finite(self.value),
            "standard_error": finite(self.standard_error),
        }


@final
@dataclass(frozen=True)
class Goodness:
    """A column of the data against q's marginal density.

    Where the column has that density, its values under q's distribution function are uniform on (0, 1).

    Attributes:
        column: its name.
        distance: the largest between the two distribution functions (Kolmogorov and Smirnov).
        p_value: how often chance alone would give as much, were q the truth.
        n: rows, as many as they are worth where they have weights.
        shares: of the rows in parts of (0, 1) of equal length: the histogram.
    """

    column: str
    distance: float
    p_value: float
    n: int
    shares: tuple[float, ...]

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "column": self.column,
            "distance": self.distance,
            "p_value": self.p_value,
            "n": self.n,
            "shares": list(self.shares),
        }


@final
@dataclass(frozen=True)
class Learnt:
    """What fewer rows cost: the KL divergence that a fit to some of them has above the best of its family.

    Attributes:
        rows: fitted to.
        excess: in nats a row, on rows left out; that of all rows is taken to be parameters / (2 rows).
        standard_error: over repetitions.
    """

    rows: int
    excess: float
    standard_error: float

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "rows": self.rows,
            "excess": finite(self.excess),
            "standard_error": finite(self.standard_error),
        }


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
        errors: of the parameters; empty if they are as many as the rows, or too many
            to invert their information.
        goodness: of each continuous column, against a q fitted to a half of the rows; empty if not measured.
        gap: E_q[log q] - E_p[log q], p by rows left out: 0 if q is p; None if it was not measured.
        learning: what fewer rows cost; empty if it was not measured.
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
    goodness: tuple[Goodness, ...] = ()
    gap: Estimate | None = None
    learning: tuple[Learnt, ...] = ()

    @property
    def bic(self) -> float:
        """The Bayesian information criterion, to be small: m log n - 2 log likelihood."""
        return self.parameters * math.log(self.weight) - 2.0 * self.log_likelihood

    @property
    def least_p_value(self) -> float | None:
        """The smallest p-value of the columns times their number, at most 1; None without columns.

        So chance alone gives less than .05 in one data set of twenty, however many columns there are.
        """
        if not self.goodness:
            return None
        return min(1.0, len(self.goodness) * min(g.p_value for g in self.goodness))

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values; what is not known is null."""
        return {
            "rows": self.rows,
            "weight": self.weight,
            "log_likelihood": finite(self.log_likelihood),
            "parameters": self.parameters,
            "bic": finite(self.bic),
            "remaining": finite(self.remaining),
            "floor_cost": finite(self.floor_cost),
            "reached": finite(self.reached),
            "starts": self.starts,
            "passes": self.passes,
            "sample_rows": self.sample_rows,
            "sample_passes": self.sample_passes,
            "errors": [e.as_dict() for e in self.errors],
            "goodness": [g.as_dict() for g in self.goodness],
            "least_p_value": self.least_p_value,
            "gap": None if self.gap is None else self.gap.as_dict(),
            "learning": [point.as_dict() for point in self.learning],
        }
