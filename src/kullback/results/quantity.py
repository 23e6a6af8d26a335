"""What a number is a number of: its name, its direction, its unit, its sign, and whether it is a bound."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, final

Units = Literal["nats", "bits"]
Bound = Literal["lower", "upper"]

#: How many nats each unit of information is.
_IN_NATS = {"nats": 1.0, "bits": math.log(2.0)}


def factor(unit: str, wanted: str) -> float:
    """Returns how many of the wanted unit one of a unit is; 1 where there is no unit to change.

    Example:
        >>> factor("bits", "nats"), factor("", "bits"), factor("nats", "nats")
        (0.6931471805599453, 1.0, 1.0)
    """
    return _IN_NATS[unit] / _IN_NATS[wanted] if unit in _IN_NATS and unit != wanted else 1.0


@final
@dataclass(frozen=True)
class Quantity:
    """What an estimate is of.

    Attributes:
        name: "kl", "cross_entropy", "entropy", "jeffreys", ...
        direction: the quantity spelled out with its arguments, such as "KL(p||q)".
        unit: "nats", "bits" or, for quantities without a unit, "".
        nonnegative: whether it cannot be negative.
        bound: "lower" or "upper" where the number only bounds what is of interest, as an ELBO does the log
            evidence; None where it is the thing itself.

    Example:
        >>> FORWARD_KL.called("KL(a||b)").below.bound, FORWARD_KL.in_unit("bits").unit
        ('lower', 'bits')
    """

    name: str
    direction: str
    unit: str = "nats"
    nonnegative: bool = False
    bound: Bound | None = None

    def called(self, direction: str) -> "Quantity":
        """Returns the same of other arguments."""
        return replace(self, direction=direction)

    def in_unit(self, unit: str) -> "Quantity":
        """Returns the same in a unit, if it has one."""
        return replace(self, unit=unit) if self.unit in _IN_NATS else self

    @property
    def below(self) -> "Quantity":
        """A lower bound of it."""
        return replace(self, bound="lower")


FORWARD_KL = Quantity("kl", "KL(p||q)", nonnegative=True)
REVERSE_KL = FORWARD_KL.called("KL(q||p)")
JEFFREYS = Quantity("jeffreys", "KL(q||p) + KL(p||q)", nonnegative=True)
#: The same as the two bounds of the log evidence leave it.
ELBO_TO_EUBO = JEFFREYS.called("EUBO - ELBO")
CROSS_ENTROPY = Quantity("cross_entropy", "H(p,q)")
ENTROPY = Quantity("entropy", "H(p)")
ENTROPY_OF_Q = ENTROPY.called("H(q)")
ELBO = Quantity("elbo", "ELBO", bound="lower")
EUBO = Quantity("eubo", "EUBO", bound="upper")
LOG_EVIDENCE = Quantity("log_evidence", "log evidence")
BY_DRAWS = LOG_EVIDENCE.called("log evidence by the draws")
ENERGY = Quantity("energy", "E_q[log p]")
LOG_PROB = Quantity("log_prob", "E_p[log q]")
MUTUAL_INFORMATION = Quantity("mutual_information", "I(y; x)", nonnegative=True)
LOG_PROB_GAP = LOG_PROB.called("E_q[log q] - E_p[log q]")
LOG_PROB_DIFFERENCE = Quantity("log_prob_difference", "E_p[log best - log q]")
INTERACTION = Quantity("interaction", "joint less sum of columns")
MASS = Quantity("total_mass", "integral of q", unit="", nonnegative=True)
MASS_OUTSIDE = Quantity("mass", "mass of p outside q", unit="", nonnegative=True)
MEAN_SHIFT = Quantity("mean_shift", "(mean of p - mean of q) / sd", unit="")
SD_RATIO = Quantity("sd_ratio", "sd of q / sd of p", unit="", nonnegative=True)
PARAMETER = Quantity("parameter", "parameter", unit="")
BIAS = Quantity("bias", "bias", unit="")
VARIANCE = Quantity("variance", "variance of a draw", unit="", nonnegative=True)
VARIANCE_RATIO = Quantity("ratio", "variance / best", unit="", nonnegative=True)
GRADIENT_NORM = Quantity("gradient", "|gradient of the ELBO|", unit="", nonnegative=True)


@final
class Sentence(str):
    """A text with numbers in nats, which is written anew where another unit is asked for.

    Args:
        template: as of `str.format`; `{unit}` is the unit's name.
        parts: what goes into it: floats are amounts of `unit`, estimates and sentences bring their own; a
            text stays as it is.
        unit: of the floats.

    Example:
        >>> said = Sentence("they differ by {:.3f} ± {:.3f} {unit}", 0.5, 0.25)
        >>> said, said.in_unit("bits")
        ('they differ by 0.500 ± 0.250 nats', 'they differ by 0.721 ± 0.361 bits')
    """

    __slots__ = ("parts", "template", "unit")
    template: str
    parts: tuple[Any, ...]
    unit: str

    def __new__(cls, template: str, *parts: Any, unit: str = "nats") -> "Sentence":
        made = str.__new__(cls, template.format(*parts, unit=unit))
        made.template, made.parts, made.unit = template, parts, unit
        return made

    def in_unit(self, unit: Units) -> "Sentence":
        """Returns the sentence in a unit."""
        size = factor(self.unit, unit)
        parts = tuple(
            part * size
            if isinstance(part, float)
            else (part.in_unit(unit) if hasattr(part, "in_unit") else part)
            for part in self.parts
        )
        return Sentence(self.template, *parts, unit=unit if self.unit in _IN_NATS else self.unit)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.template, *self.parts), {"unit": self.unit}
