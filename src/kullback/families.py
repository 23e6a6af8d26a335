"""Layer 5: recipes for q. They hold hyper-parameters; what has parameters is a distribution."""

from dataclasses import dataclass
from typing import Literal, final

from kullback._core.errors import InputError


@final
@dataclass(frozen=True)
class MeanField:
    """One Gaussian with independent coordinates."""


@final
@dataclass(frozen=True)
class FullRank:
    """One Gaussian with any covariance."""


@final
@dataclass(frozen=True)
class Mixture:
    """A mixture of k Gaussians.

    Attributes:
        k: components.
        covariance: "full", or "diagonal" for independent coordinates within a component.

    Example:
        >>> Mixture(2).covariance
        'full'
    """

    k: int
    covariance: Literal["full", "diagonal"] = "full"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise InputError(f"Mixture(k={self.k!r}): k must be a positive integer")
        if self.covariance not in ("full", "diagonal"):
            raise InputError(
                f'Mixture(covariance={self.covariance!r}): choose "full" or "diagonal"'
            )


#: Recipes whose members are mixtures of Gaussians.
Gaussians = MeanField | FullRank | Mixture


def components(family: Gaussians) -> int:
    """Returns how many Gaussians a member has."""
    return family.k if isinstance(family, Mixture) else 1


def is_diagonal(family: Gaussians) -> bool:
    """Returns whether coordinates are independent within a component."""
    return isinstance(family, MeanField) or (
        isinstance(family, Mixture) and family.covariance == "diagonal"
    )


def parse_family(text: str) -> Gaussians | str:
    """Returns the recipe of "mixture:2", "full_rank" or "mean_field"; other names as they are.

    Raises:
        InputError: the number of components is not one.
    """
    name, _, argument = text.strip().lower().replace("-", "_").partition(":")
    match name:
        case "mixture" | "gmm":
            if not argument.isdigit() or int(argument) < 1:
                raise InputError(f'family "{text}": say how many components, such as mixture:2')
            return Mixture(int(argument))
        case "full_rank" | "fullrank" | "gaussian":
            return FullRank()
        case "mean_field" | "meanfield":
            return MeanField()
    return text
