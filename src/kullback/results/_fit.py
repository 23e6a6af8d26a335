"""What a fit found: the best q, the other optima, the way there."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float

from kullback._core import randomness
from kullback._core.errors import MissingDependencyError, UnsupportedError
from kullback.distributions._approximation import Approximation
from kullback.distributions._base import Distribution
from kullback.results._diagnosis import Diagnosis, Draws, Posterior
from kullback.results._estimate import Estimate
from kullback.results._likelihood import Likelihood
from kullback.results._selection import Selection

Direction = Literal["forward", "reverse"]

_CITATIONS = (
    "Lin, Khan, Schmidt (2019), Fast and simple natural-gradient variational inference",
    "Giordano, Ingram, Broderick (2024), Black box variational inference with a deterministic objective",
    "Arenz et al. (2023), A unified perspective on natural gradient variational inference with mixtures",
    "Del Moral, Doucet, Jasra (2006), Sequential Monte Carlo samplers",
    "Dau, Chopin (2022), Waste-free sequential Monte Carlo",
    "Meng, Wong (1996), Simulating ratios of normalizing constants via a simple identity",
    "Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling",
)


@final
@dataclass(frozen=True, eq=False)
class Optimum:
    """A local optimum.

    Attributes:
        q: the member of the family.
        divergence: measured anew at q.
        share: of the starts that led there.
        spread: how far apart the parameters of those descents ended; NaN if there was only one.
    """

    q: Distribution
    divergence: Estimate
    share: float
    spread: float = math.nan


@final
@dataclass(frozen=True, eq=False)
class Fit:
    """The best q of a family, in one direction.

    Attributes:
        q: the fitted distribution, with `log_prob` and `sample`.
        direction: "forward" minimises KL(p||q), "reverse" KL(q||p).
        family: what q was chosen from, in words.
        divergence: what was minimised, measured anew after the fit.
        forward_kl, reverse_kl: both directions at q; None where p's density is not known. Of a p known by
            samples, forward_kl is an estimate by nearest neighbours, None where that does not resolve.
        held_out: mean log-probability of rows not fitted to; None unless p is known by samples.
        optima: all local optima found, best first.
        path: q along the best descent, first to last.
        starts: how many descents were made.
        evaluations: of the objective, over all descents.
        seconds: wall time.
        notes: what a careful reader should know.
        posterior: the trust report; None unless p is a log density fitted in reverse.
        columns: the names of the columns fitted to; () where p is no table.
        labels: of the codes of each column, () for numbers; () where p is no table.
        selection: what the family was chosen from, with the scores; None if it was not.
        likelihood: what is known of the maximum; None unless Gaussians were fitted to samples.
    """

    q: Distribution
    direction: Direction
    family: str
    divergence: Estimate
    forward_kl: Estimate | None
    reverse_kl: Estimate | None
    held_out: Estimate | None
    optima: tuple[Optimum, ...]
    path: tuple[Distribution, ...]
    starts: int
    evaluations: int
    seconds: float
    notes: tuple[str, ...] = ()
    posterior: Posterior | None = None
    columns: tuple[str, ...] = ()
    labels: tuple[tuple[str, ...], ...] = ()
    selection: Selection | None = None
    likelihood: Likelihood | None = None

    @property
    def elbo(self) -> Estimate:
        """E_q[log p - log q] on fresh draws: a lower bound of the log evidence."""
        return self._report("elbo").elbo

    @property
    def log_evidence(self) -> Estimate:
        """The log of the integral of p."""
        return self._report("log_evidence").log_evidence

    @property
    def jeffreys(self) -> Estimate:
        """KL(q||p) + KL(p||q)."""
        return self._report("jeffreys").jeffreys

    @property
    def diagnosis(self) -> Diagnosis:
        """The findings and the verdict."""
        return self._report("diagnosis").diagnosis

    @property
    def draws(self) -> Draws:
        """Draws of q, with weights, and draws towards p."""
        return self._report("draws").draws

    def _report(self, what: str) -> Posterior:
        if self.posterior is None:
            raise UnsupportedError(
                f"fit.{what} belongs to reverse fits of a log density: "
                'fit(LogDensity(fn, example), family, direction="reverse")'
            )
        return self.posterior

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before all starts were made; `notes` say when."""
        return any(note.startswith("interrupted") for note in self.notes)

    def starting_points(self, n: int, *, key: object = 0) -> list[dict[str, np.ndarray]]:
        """Returns where n chains of a sampler may start: draws of p from afar, else of q, by parameter."""
        pool = self.draws.tempered
        size = len(next(iter(pool.values())))
        rows = randomness.generator(key).choice(size, n, replace=n > size)
        return [{name: values[i] for name, values in pool.items()} for i in rows]

    @property
    def inverse_metric(self) -> Float[np.ndarray, "d d"]:
        """The covariance of q's unconstrained coordinates: the inverse mass matrix for NUTS."""
        base = self.q.base if isinstance(self.q, Approximation) else self.q
        covariance = getattr(base, "covariance", None)
        if covariance is None:
            raise UnsupportedError(f"q is a {type(base).__name__}, which has no covariance here")
        return np.asarray(covariance)

    def citations(self) -> tuple[str, ...]:
        """Returns the sources of the methods used."""
        return _CITATIONS if self.posterior is not None else ()

    def to_datatree(self) -> Any:
        """Returns an ArviZ DataTree: q's draws as one chain, with log p, log q and weights.

        Raises:
            MissingDependencyError: arviz-base is not installed.
        """
        try:
            from arviz_base import from_dict  # noqa: PLC0415 - an optional package
        except ImportError:
            raise MissingDependencyError(
                "to_datatree needs ArviZ: pip install 'kullback[arviz]'"
            ) from None
        draws = self.draws
        one_chain = {name: values[None] for name, values in draws.plain.items()}
        statistics = {"lp": draws.log_p, "log_q": draws.log_q, "weight": draws.weights}
        return from_dict(
            {
                "posterior": one_chain,
                "sample_stats": {name: values[None] for name, values in statistics.items()},
            },
            attrs={"/": {"inference_library": "kullback", "family": self.family}},
        )

    def log_prob(self, x: Any) -> Float[np.ndarray, " n"]:
        """Returns log q at n events: an array, or a dict of arrays by parameter."""
        given = x if isinstance(x, Mapping) else np.asarray(x, dtype=np.float64)
        return self.q.log_prob(given)  # pyright: ignore[reportArgumentType]

    def sample(self, n: int, *, key: object = 0) -> Any:
        """Returns n draws of q: an array (n, ...), or a dict of these by parameter."""
        return self.q.sample(randomness.generator(key), n)

    def as_dict(self, describe: Callable[[Distribution], str]) -> dict[str, object]:
        """Returns plain JSON values; `describe` writes a distribution as an expression."""
        measured = {
            "divergence": self.divergence,
            "forward_kl": self.forward_kl,
            "reverse_kl": self.reverse_kl,
            "held_out": self.held_out,
        }
        return {
            "q": describe(self.q),
            "direction": self.direction,
            "family": self.family,
            **{k: None if v is None else v.as_dict() for k, v in measured.items()},
            "optima": [
                {"q": describe(o.q), "share": o.share, "divergence": o.divergence.as_dict()}
                for o in self.optima
            ],
            "starts": self.starts,
            "evaluations": self.evaluations,
            "notes": list(self.notes),
            "posterior": None if self.posterior is None else self.posterior.as_dict(),
            "selection": None if self.selection is None else self.selection.as_dict(),
            "likelihood": None if self.likelihood is None else self.likelihood.as_dict(),
        }

    def __repr__(self) -> str:
        return f"<{self.direction} fit of {self.family}: {self.divergence}>"

    def __str__(self) -> str:
        line = f"{self.direction} fit of {self.family}: {self.divergence}"
        if self.posterior is None:
            return line
        return f"{line}\n{self.elbo}\n{self.log_evidence}\n{self.diagnosis}"
