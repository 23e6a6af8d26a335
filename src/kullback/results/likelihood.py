"""What is known of a maximum-likelihood fit besides its q, and how it was chosen among several."""

import math
import textwrap
from dataclasses import dataclass, field
from typing import ClassVar, final

from kullback.families import Recipe
from kullback.results.estimate import Estimate, value_and_error
from kullback.results.quantity import Units
from kullback.results.serialise import ALWAYS_NATS, NATS, PRINTED


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


@final
@dataclass(frozen=True)
class Learnt:
    """What fewer rows cost: the KL divergence that a fit to some of them has above the best of its family.

    Attributes:
        rows: fitted to.
        excess: a row, on rows left out; that of all rows is taken to be parameters / (2 rows).
        standard_error: over repetitions.
        unit: of both.
    """

    rows: int
    excess: float = field(metadata=NATS)
    standard_error: float = field(metadata=NATS)
    unit: Units = "nats"


@final
@dataclass(frozen=True)
class ConditionalFit:
    """What a density of some columns given others does on rows left out.

    Attributes:
        given, asked: the names of the columns x, and of the columns y.
        marginal: mean log density of y by itself, by a density of the same family.
        information: by how much more log q(y|x) is, row by row: the mutual information of y and x, which is a KL. A
            "log_prob_difference" where rows left out reject q(y|x) or q(y).
        goodness, marginal_goodness: whether q(Y <= y | x), and q(Y <= y), is uniform at rows left out; None unless y
            is one column of numbers.
    """

    given: tuple[str, ...]
    asked: tuple[str, ...]
    marginal: Estimate
    information: Estimate
    goodness: Goodness | None
    marginal_goodness: Goodness | None


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
        log_likelihood: of all rows, in nats: with natural logarithms, as BIC.
        parameters: how many are free.
        remaining: the estimated remaining log-likelihood gain at this optimum over all rows, extrapolated.
        floor_cost: what the floor under the covariances takes over all rows, to first order.
        reached: the share of the starts that led to the best optimum; 0 where splits, merges and crosses of others did.
        starts: how many were made.
        passes: over all rows.
        sample_rows, sample_passes: of the search for starts.
        errors: of the parameters; empty if they are as many as the rows, or too many
            to invert their information.
        goodness: of each continuous column, against a q fitted to a half of the rows; empty if not measured.
        gap: E_q[log q] - E_p[log q], p by rows left out: 0 if q is p; None if it was not measured.
        learning: what fewer rows cost; empty if it was not measured.
        spikes: columns of whole numbers in which a component is narrower than their step: not to be used.
        unit: of `remaining` and `floor_cost`.
    """

    derived: ClassVar[dict[str, str]] = {"bic": "bic", "least_p_value": "least_p_value"}

    rows: int
    weight: float
    log_likelihood: float = field(metadata=ALWAYS_NATS)
    parameters: int
    remaining: float = field(metadata=NATS)
    floor_cost: float = field(metadata=NATS)
    reached: float
    starts: int
    passes: int
    sample_rows: int
    sample_passes: int
    errors: tuple[ParameterError, ...] = ()
    goodness: tuple[Goodness, ...] = ()
    gap: Estimate | None = None
    learning: tuple[Learnt, ...] = ()
    spikes: tuple[str, ...] = ()
    unit: Units = "nats"

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


@final
@dataclass(frozen=True)
class Candidate:
    """One of those that were compared.

    Attributes:
        family: a recipe, or the name of a family of scalars.
        parameters: how many numbers were fitted.
        log_likelihood: of all rows, in nats: with natural logarithms, as BIC and ICL.
        bic: parameters times log n, less twice the log likelihood: the smaller the better.
        icl: BIC plus twice the entropy of the memberships; None without components.
        held_out: mean log-probability of rows not fitted to; None if it was not measured.
        behind: the mean, over the same rows, of what the best one's log-probability is above this one's,
            with the standard error of that difference; None for the best.
    """

    family: Recipe = field(metadata=PRINTED)
    parameters: int
    log_likelihood: float = field(metadata=ALWAYS_NATS)
    bic: float
    icl: float | None = None
    held_out: Estimate | None = None
    behind: Estimate | None = None


@final
@dataclass(frozen=True)
class Selection:
    """The candidates, the chosen one, and why.

    Attributes:
        candidates: all that could be fitted, best score first; mixtures by their numbers of components.
        chosen: the index of the one that was taken.
        rule: what decided, in words.
        skipped: those that could not be fitted, each with the reason.
    """

    candidates: tuple[Candidate, ...]
    chosen: int
    rule: str
    skipped: tuple[str, ...] = ()

    @property
    def best(self) -> Candidate:
        """The one that was taken."""
        return self.candidates[self.chosen]

    def __str__(self) -> str:
        scores = [c.held_out for c in self.candidates if c.held_out is not None]
        unit = scores[0].unit if scores else "nats"
        rows = [("", "family", "parameters", "BIC", f"held out, {unit} a row", "below the best")]
        rows += [
            (
                "*" if i == self.chosen else "",
                textwrap.shorten(str(c.family), _WIDEST_NAME, placeholder="..."),
                str(c.parameters),
                f"{c.bic:.2f}" if abs(c.bic) < _LARGE else f"{c.bic:.6g}",
                _with_error(c.held_out),
                _with_error(c.behind),
            )
            for i, c in enumerate(self.candidates)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        head = (
            f"{self.best.family}, chosen from {len(self.candidates)} candidate(s), by {self.rule}"
        )
        return "\n".join(
            [
                *textwrap.wrap(head, _WIDTH, subsequent_indent="  "),
                *(_line(row, widths) for row in rows),
                *(
                    line
                    for text in self.skipped
                    for line in textwrap.wrap(f"left out: {text}", _WIDTH, subsequent_indent="  ")
                ),
            ]
        )


#: Columns of a terminal, of these the name of a family, and from where a BIC is written with an exponent.
_WIDTH, _WIDEST_NAME, _LARGE = 100, 36, 1e8


def _with_error(score: Estimate | None) -> str:
    return "" if score is None else " ± ".join(value_and_error(score.value, score.standard_error))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    mark, name, *numbers = row
    left = f"{mark:<{widths[0]}} {name:<{widths[1]}}"
    right = [f"{text:>{width}}" for text, width in zip(numbers, widths[2:], strict=True)]
    return "  ".join([left, *right]).rstrip()
