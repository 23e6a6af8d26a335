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
class LowRank:
    """One Gaussian whose covariance is diagonal plus r outer products: for hundreds of coordinates.

    Attributes:
        r: how many.
    """

    r: int

    def __post_init__(self) -> None:
        if isinstance(self.r, bool) or not isinstance(self.r, int) or self.r < 1:
            raise InputError(f"LowRank(r={self.r!r}): r must be a positive integer")


@final
@dataclass(frozen=True)
class Bernoulli:
    """Independent binary latents: for a LogDensity with support="binary"."""


@final
@dataclass(frozen=True)
class Categorical:
    """Independent latents of k values: for a LogDensity with support=("categories", k)."""


@final
@dataclass(frozen=True)
class Auto:
    """The simplest of mean field, full rank and mixtures that may be trusted."""


@final
@dataclass(frozen=True)
class Mixture:
    """A mixture of k Gaussians.

    Attributes:
        k: components; "auto" adds them as long as they help (reverse fits to log densities).
        covariance: "full", or "diagonal" for independent coordinates within a component.

    Example:
        >>> Mixture(2).covariance
        'full'
    """

    k: int | Literal["auto"]
    covariance: Literal["full", "diagonal"] = "full"

    def __post_init__(self) -> None:
        counted = isinstance(self.k, int) and not isinstance(self.k, bool) and self.k >= 1
        if not counted and self.k != "auto":
            raise InputError(f'Mixture(k={self.k!r}): k must be a positive integer or "auto"')
        if self.covariance not in ("full", "diagonal"):
            raise InputError(
                f'Mixture(covariance={self.covariance!r}): choose "full" or "diagonal"'
            )


#: Recipes whose members are mixtures of Gaussians.
Gaussians = MeanField | FullRank | Mixture


def components(family: Gaussians) -> int:
    """Returns how many Gaussians a member has.

    Raises:
        InputError: it is not said, Mixture("auto"), where that is not found out.
    """
    if not isinstance(family, Mixture):
        return 1
    if family.k == "auto":
        raise InputError(
            'Mixture("auto") is for direction="reverse" and a LogDensity: say how many'
        )
    return family.k


def is_diagonal(family: Gaussians) -> bool:
    """Returns whether coordinates are independent within a component."""
    return isinstance(family, MeanField) or (
        isinstance(family, Mixture) and family.covariance == "diagonal"
    )


def parse_family(text: str) -> Gaussians | LowRank | Auto | str:
    """Returns the recipe of "mixture:2", "full_rank", "low_rank:5", "auto" ...; other names as they are.

    Raises:
        InputError: the number of components is not one.
    """
    name, _, argument = text.strip().lower().replace("-", "_").partition(":")
    match name:
        case "mixture" | "gmm":
            if argument == "auto":
                return Mixture("auto")
            if not argument.isdigit() or int(argument) < 1:
                raise InputError(f'family "{text}": say how many components, such as mixture:2')
            return Mixture(int(argument))
        case "low_rank" | "lowrank":
            if not argument.isdigit() or int(argument) < 1:
                raise InputError(f'family "{text}": say how many directions, such as low_rank:5')
            return LowRank(int(argument))
        case "auto":
            return Auto()
        case "full_rank" | "fullrank" | "gaussian":
            return FullRank()
        case "mean_field" | "meanfield":
            return MeanField()
    return text
