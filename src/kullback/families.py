"""Layer 5: recipes for q. They hold hyper-parameters; what has parameters is a distribution."""

import math
from dataclasses import dataclass
from typing import Literal, final, get_args

from kullback.core.errors import InputError


@final
@dataclass(frozen=True)
class MeanField:
    """One Gaussian with independent coordinates.

    Example:
        >>> import kullback as kb
        >>> rows = [[0.0, 0.0], [1.0, 1.0], [2.0, 1.0], [3.0, 3.0]]
        >>> kb.fit(kb.Samples(rows), kb.MeanField(), direction="forward").q.covariance.round(6).tolist()
        [[1.25, 0.0], [0.0, 1.1875]]
    """


@final
@dataclass(frozen=True)
class FullRank:
    """One Gaussian with any covariance.

    Example:
        >>> import kullback as kb
        >>> rows = [[0.0, 0.0], [1.0, 1.0], [2.0, 1.0], [3.0, 3.0]]
        >>> kb.fit(kb.Samples(rows), kb.FullRank(), direction="forward").q.loc.tolist()
        [1.5, 1.25]
    """


@final
@dataclass(frozen=True)
class LowRank:
    """One Gaussian whose covariance is diagonal plus r outer products: for hundreds of coordinates.

    Attributes:
        r: how many.

    Raises:
        InputError: r is not a positive integer.

    Example:
        >>> LowRank(3)
        LowRank(r=3)
    """

    r: int

    def __post_init__(self) -> None:
        if isinstance(self.r, bool) or not isinstance(self.r, int) or self.r < 1:
            raise InputError(f"LowRank(r={self.r!r}): r must be a positive integer")


@final
@dataclass(frozen=True)
class Bernoulli:
    """Independent binary latents: for a LogDensity with support="binary".

    Example:
        >>> import kullback as kb
        >>> p = kb.LogDensity(lambda z: 2.0 * z.sum(), [0, 0, 0], support="binary")
        >>> kb.fit(p, kb.Bernoulli(), direction="reverse").log_evidence.value  # 3 log(1 + e^2)
        6.3807...
    """


@final
@dataclass(frozen=True)
class Categorical:
    """Independent columns of categories: of samples, or of latents, support=("categories", k).

    Attributes:
        smoothing: of samples: what is added to the count of each label, so that one that was not seen is
            not impossible. 1/2 is Jeffreys' prior, which is minimax for log scores (Krichevsky and
            Trofimov 1981); 1 is Laplace's rule; 0 is maximum likelihood.

    Example:
        >>> Categorical(smoothing=1.0)
        Categorical(smoothing=1.0)
    """

    smoothing: float = 0.5

    def __repr__(self) -> str:
        return f"Categorical({'' if self.smoothing == 0.5 else f'smoothing={self.smoothing!r}'})"

    def __post_init__(self) -> None:
        if not 0.0 <= self.smoothing < math.inf:
            raise InputError(
                f"Categorical(smoothing={self.smoothing!r}): smoothing must be a number, 0 or more"
            )


@final
@dataclass(frozen=True)
class KernelDensity:
    """A Gaussian around every row, of bandwidth^2 times the covariance of the rows: for samples.

    Attributes:
        bandwidth: in units of the spread of the rows; "silverman" or "scott"; None for the one that
            predicts each row best from the others.
        spread: "full" for kernels with the correlations of the rows; "diagonal" for the spread of each column
            alone, where there are no more rows than columns.

    Example:
        >>> KernelDensity().bandwidth is None
        True
    """

    bandwidth: float | Literal["silverman", "scott"] | None = None
    spread: Literal["full", "diagonal"] = "full"

    def __repr__(self) -> str:
        spread = "" if self.spread == "full" else f", spread={self.spread!r}"
        return f"KernelDensity(bandwidth={self.bandwidth!r}{spread})"

    def __post_init__(self) -> None:
        given = self.bandwidth
        if self.spread not in ("full", "diagonal"):
            raise InputError(f"KernelDensity(spread={self.spread!r}): choose full or diagonal")
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if not (given in (None, "silverman", "scott") or (number and 0.0 < given < math.inf)):
            raise InputError(
                f"KernelDensity(bandwidth={given!r}): give a positive number, in units of the spread of the "
                'rows, "silverman" or "scott", or leave it out'
            )


@final
@dataclass(frozen=True)
class Flow:
    """A Gaussian or a mixture pushed through affine couplings, by flowjax: for two coordinates or more.

    The Gaussian or mixture is fitted first, and what comes out is never worse. `pip install 'kullback[flow]'`.

    Example:
        >>> Flow()
        Flow()
    """


@final
@dataclass(frozen=True)
class Auto:
    """The simplest of mean field, full rank, mixtures and, where flowjax is installed, flows that may be trusted."""


_COVARIANCES = ("full", "diagonal", "tied", "spherical")
_TAILS = ("gaussian", "student_t")


@final
@dataclass(frozen=True)
class Mixture:
    """A mixture of k Gaussians, or of Student-t distributions.

    For tables with columns of counts or categories, independent of the others within a component.

    Attributes:
        k: components; "auto" adds them as long as they help.
        covariance: "full"; "diagonal" for independent coordinates within a component; for forward fits to
            samples also "tied" (one for all components), "spherical", or LowRank(r).
        tails: "gaussian", or "student_t" for components with tails of their own, for forward fits to
            samples.

    Example:
        >>> Mixture(2).covariance
        'full'
    """

    k: int | Literal["auto"]
    covariance: Literal["full", "diagonal", "tied", "spherical"] | LowRank = "full"
    tails: Literal["gaussian", "student_t"] = "gaussian"

    def __repr__(self) -> str:
        tails = "" if self.tails == "gaussian" else f", tails={self.tails!r}"
        return f"Mixture(k={self.k!r}, covariance={self.covariance!r}{tails})"

    def __post_init__(self) -> None:
        counted = isinstance(self.k, int) and not isinstance(self.k, bool) and self.k >= 1
        if not counted and self.k != "auto":
            raise InputError(f'Mixture(k={self.k!r}): k must be a positive integer or "auto"')
        if not isinstance(self.covariance, LowRank) and self.covariance not in _COVARIANCES:
            raise InputError(
                f"Mixture(covariance={self.covariance!r}): choose {', '.join(_COVARIANCES)} or LowRank(r)"
            )
        if self.tails not in _TAILS:
            raise InputError(f"Mixture(tails={self.tails!r}): choose {' or '.join(_TAILS)}")


#: Recipes whose members are mixtures of Gaussians.
Gaussians = MeanField | FullRank | Mixture


#: What the name of a family may mean.
Recipe = Gaussians | LowRank | Flow | Auto | KernelDensity | Categorical | Bernoulli | str


def as_recipe(recipe: object) -> Recipe:
    """Returns a recipe as a result holds it: a class of another library by its name.

    Example:
        >>> as_recipe(Mixture(2)), as_recipe("gamma"), as_recipe(InputError)
        (Mixture(k=2, covariance='full'), 'gamma', 'InputError')
    """
    if isinstance(recipe, get_args(Recipe)):
        return recipe  # pyright: ignore[reportReturnType]
    return str(getattr(recipe, "__name__", recipe))


def components(family: Gaussians) -> int:
    """Returns how many Gaussians a member has.

    Raises:
        InputError: it is not said, Mixture("auto"), where that is not found out.
    """
    if not isinstance(family, Mixture):
        return 1
    if family.k == "auto":
        raise InputError(
            'Mixture("auto") is for samples, and for direction="reverse" and a LogDensity: say how many'
        )
    if family.tails != "gaussian" or family.covariance not in ("full", "diagonal"):
        raise InputError(
            f"{family} is for samples: to a density fit Gaussians with full or diagonal covariance"
        )
    return family.k


def is_diagonal(family: Gaussians) -> bool:
    """Returns whether coordinates are independent within a component."""
    return isinstance(family, MeanField) or (
        isinstance(family, Mixture) and family.covariance == "diagonal"
    )


def parse_family(text: str) -> Recipe | tuple["Recipe", ...]:
    """Returns the recipe of "mixture:2", "full_rank", "low_rank:5", "auto", "kde" ...; other names as they are.

    Names with commas between them are several recipes.

    Raises:
        InputError: the number of components is not one.
    """
    if "," in text:
        return tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())
    return _parse_one(text)


def _parse_one(text: str) -> Recipe:
    name, _, argument = text.strip().lower().replace("-", "_").partition(":")
    match name:
        case "mixture" | "gmm":
            return _parse_mixture(text, argument)
        case "low_rank" | "lowrank":
            if not argument.isdigit() or int(argument) < 1:
                raise InputError(f'family "{text}": say how many directions, such as low_rank:5')
            return LowRank(int(argument))
        case "flow":
            return Flow()
        case "auto":
            return Auto()
        case "full_rank" | "fullrank" | "gaussian":
            return FullRank()
        case "mean_field" | "meanfield":
            return MeanField()
        case "kde" | "kernel_density":
            return _kernel_density(argument)
        case "categorical":
            return Categorical(_number(text, argument)) if argument else Categorical()
    return text


def _kernel_density(argument: str) -> KernelDensity:
    match argument:
        case "":
            return KernelDensity()
        case "silverman" | "scott":
            return KernelDensity(argument)
    return KernelDensity(_number(f"kde:{argument}", argument))


def _number(text: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise InputError(f'family "{text}": {argument} is not a number') from None


def _parse_mixture(text: str, argument: str) -> Mixture:
    """The recipe of "mixture:3", "mixture:auto:tied", "mixture:3:low_rank:2", "mixture:3:student_t" ..."""
    count, *words = argument.split(":")
    if count != "auto" and (not count.isdigit() or int(count) < 1):
        raise InputError(
            f'family "{text}": say how many components, such as mixture:2, or mixture:auto'
        )
    covariance: object = "full"
    tails = "gaussian"
    while words:
        word = words.pop(0)
        if word in _TAILS:
            tails = word
        elif word == "low_rank" and words and words[0].isdigit():
            covariance = LowRank(int(words.pop(0)))
        elif word in _COVARIANCES:
            covariance = word
        else:
            raise InputError(
                f'family "{text}": {word!r} is not understood; after the number of components say one of '
                f"{', '.join(_COVARIANCES)} or low_rank:2, and student_t for heavy tails"
            )
    made = count if count == "auto" else int(count)
    return Mixture(made, covariance, tails)  # pyright: ignore[reportArgumentType]


def is_normal(family: object) -> bool:
    """Whether a family of scalars is the Gaussians by another name, for which gradients are known."""
    if isinstance(family, str):
        return family.strip().lower() == "normal"
    module = str(getattr(family, "__module__", ""))
    return module.startswith("numpyro.") and getattr(family, "__name__", "") == "Normal"


def recipe_of(family: object) -> object:
    """Returns what a family was given as, read: a recipe, a class of NumPyro, a name, or several of these.

    Raises:
        InputError: a name that means nothing.
    """
    if isinstance(family, str):
        return parse_family(family)
    if isinstance(family, (list, tuple)):
        return tuple(parse_family(f) if isinstance(f, str) else f for f in family)
    return family


def words(family: object) -> str:
    """Returns a family as it is printed.

    Example:
        >>> words(Mixture(2)), words("gamma"), words((MeanField(), "kde"))
        ("Mixture(k=2, covariance='full')", 'gamma', 'MeanField(), kde')
    """
    if isinstance(family, (list, tuple)):
        return ", ".join(words(f) for f in family)
    return str(as_recipe(family))
