"""What the estimators of the ELBO's gradient do on a target: bias, variance and cost."""

from dataclasses import dataclass
from typing import final

from kullback.results._estimate import Estimate


@final
@dataclass(frozen=True)
class GradientRow:
    """An estimator at a q. Gradients are in q's own coordinates, where one sd is 1.

    Attributes:
        place: which q, in words.
        estimator: its name.
        about: what it is, in a few words.
        needs: "gradient" or "value": what a draw costs, in evaluations of log p.
        bias: how far its mean is from the gradient, along the direction in which other draws of it were
            furthest away; within its error of 0 if there is none.
        variance: the sum of the variances of all parameters, of one draw.
        ratio: how many draws it needs for one of the best unbiased estimator there.
    """

    place: str
    estimator: str
    about: str
    needs: str
    bias: Estimate
    variance: Estimate
    ratio: Estimate

    @property
    def biased(self) -> bool:
        """Whether the bias is beyond chance: more than four of its errors, and more than rounding."""
        return abs(self.bias.value) > 4.0 * self.bias.standard_error + 1e-9

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "place": self.place,
            "estimator": self.estimator,
            "about": self.about,
            "needs": self.needs,
            "biased": self.biased,
            "bias": self.bias.as_dict(),
            "variance": self.variance.as_dict(),
            "ratio": self.ratio.as_dict(),
        }


@final
@dataclass(frozen=True)
class Gradients:
    """The estimators compared, at the optimum and away from it.

    Attributes:
        family: of q, in words.
        parameters: how many a gradient has.
        rows: one per place and estimator.
        norms: of the gradient itself, by place.
        evaluations: of log p and its gradient, the fit included.
    """

    family: str
    parameters: int
    rows: tuple[GradientRow, ...]
    norms: tuple[tuple[str, Estimate], ...]
    evaluations: int

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "family": self.family,
            "parameters": self.parameters,
            "norms": {place: norm.as_dict() for place, norm in self.norms},
            "rows": [row.as_dict() for row in self.rows],
            "evaluations": self.evaluations,
        }

    def __str__(self) -> str:
        lines = [f"gradients of the ELBO of {self.family}, {self.parameters} parameters"]
        for place, norm in self.norms:
            lines += ["", f"{place}: {norm}"]
            lines += [
                f"{r.estimator:>32}  bias {r.bias.value:+9.3g} ± {r.bias.standard_error:.1g}"
                f"  variance {r.variance.value:9.3g} ± {r.variance.standard_error:.1g}"
                f"  ×{r.ratio.value:.3g}  1 {r.needs} a draw"
                for r in self.rows
                if r.place == place
            ]
        return "\n".join(lines)
