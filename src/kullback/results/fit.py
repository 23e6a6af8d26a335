"""What a fit found: the best q, the other optima, the way there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.optional import need
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.distributions.transported import Approximation
from kullback.families import Recipe
from kullback.results.estimate import Estimate
from kullback.results.likelihood import ConditionalFit, Likelihood, Selection
from kullback.results.posterior import CITATIONS, COVERING, Diagnosis, Draws, Posterior
from kullback.results.quantity import ELBO
from kullback.results.serialise import EXPRESSION, HIDDEN, PRINTED, Shown
from kullback.results.status import Status, status_of

Direction = Literal["forward", "reverse"]

#: What a fit with report=False says of the rest.
NOT_ASKED = "KL(q||p), KL(p||q), log evidence, verdict: not asked for (report=False)"


@final
@dataclass(frozen=True, eq=False)
class Optimum:
    """A local optimum.

    Attributes:
        q: the member of the family.
        divergence: measured anew at q.
        share: of the starts that led there; 0 where only moves from other optima did.
        spread: how far apart the parameters of those restarts ended; NaN if there was only one.
    """

    q: Distribution = field(metadata=EXPRESSION)
    divergence: Estimate
    share: float
    spread: float = field(default=math.nan, metadata=HIDDEN)


@final
@dataclass(frozen=True, eq=False)
class Fit(Shown):
    """The best q of a family, in one direction.

    Attributes:
        q: the fitted distribution, with `log_prob` and `sample`.
        direction: "forward" minimises KL(p||q), "reverse" KL(q||p).
        family: what q was chosen from: a recipe, or the name of a family of scalars.
        divergence: what was minimised, measured anew after the fit; the ELBO where no report was asked for.
        forward_kl, reverse_kl: both directions at q; None where p's density is not known. Of a p known by
            samples, forward_kl is an estimate by nearest neighbours, None where that does not resolve.
        held_out: mean log-probability of rows not fitted to; None unless p is known by samples.
        optima: all local optima found, best first.
        path: q along the best descent, first to last.
        starts: how many restarts were made.
        evaluations: of the objective, over all restarts.
        seconds: wall time.
        notes: what a careful reader should know.
        posterior: the trust report; None unless p is a log density, fitted by its gradients, or with report=False.
        columns: the names of the columns fitted to; () where p is no table.
        labels: of the codes of each column, () for numbers; () where p is no table.
        selection: what the family was chosen from, with the scores; None if it was not.
        likelihood: what is known of the maximum; None unless Gaussians were fitted to samples.
        interrupted: whether somebody stopped it before all was done; `notes` say when.
        target: p, where it was given as a distribution: what pictures show beside q.
        conditional: how columns depend on those that are given; None unless given= was said.

    Example:
        >>> import kullback as kb
        >>> fit = kb.fit("0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)", kb.FullRank(), direction="reverse")
        >>> print(fit.divergence)
        KL(q||p) = 0.68876... nats (numeric, quadrature, n = ...)
        >>> len(fit.optima)
        3
    """

    derived: ClassVar[dict[str, str]] = {"status": "status"}

    q: Distribution = field(metadata=EXPRESSION)
    direction: Direction
    family: Recipe = field(metadata=PRINTED)
    divergence: Estimate
    forward_kl: Estimate | None
    reverse_kl: Estimate | None
    held_out: Estimate | None
    optima: tuple[Optimum, ...]
    path: tuple[Distribution, ...] = field(metadata=HIDDEN)
    starts: int
    evaluations: int
    seconds: float = field(metadata=HIDDEN)
    notes: tuple[str, ...] = ()
    posterior: Posterior | None = None
    columns: tuple[str, ...] = field(default=(), metadata=HIDDEN)
    labels: tuple[tuple[str, ...], ...] = field(default=(), metadata=HIDDEN)
    selection: Selection | None = None
    likelihood: Likelihood | None = None
    interrupted: bool = field(default=False, metadata=HIDDEN)
    target: Distribution | None = field(default=None, metadata=HIDDEN | EXPRESSION)
    conditional: ConditionalFit | None = None

    @property
    def elbo(self) -> Estimate:
        """E_q[log p - log q] on fresh draws: a lower bound of the log evidence."""
        return self.divergence if self.unreported else self._report("elbo").elbo

    @property
    def unreported(self) -> bool:
        """Whether it was made with report=False: q and its ELBO are all there is."""
        return self.posterior is None and self.divergence.quantity.name == ELBO.name

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
        if self.unreported:
            raise UnsupportedError(
                f"fit.{what} was not asked for: this fit was made with report=False; leave that out"
            )
        if self.posterior is None:
            raise UnsupportedError(
                f"fit.{what} rests on draws towards p, and this fit has none (its numbers are by "
                f'{self.divergence.method}); fit(LogDensity(fn, example), family, direction="reverse") makes them'
            )
        return self.posterior

    @property
    def status(self) -> Status:
        """How it ended: interrupted, not to be trusted, unresolved, or done."""
        if self.interrupted:
            return Status.INTERRUPTED
        if self.likelihood is not None and self.likelihood.spikes:
            return Status.UNTRUSTED
        if self.posterior is None:
            return status_of(self.divergence)
        return self.posterior.diagnosis.status

    def starting_points(self, n: int, *, key: object = 0) -> list[dict[str, np.ndarray]]:
        """Returns where n chains of a sampler may start: tempered draws of p, else of q, by parameter."""
        pool = self.draws.tempered
        size = len(next(iter(pool.values())))
        rows = generator(key).choice(size, n, replace=n > size)
        return [{name: values[i] for name, values in pool.items()} for i in rows]

    @property
    def inverse_metric(self) -> Float[np.ndarray, "d d"]:
        """The covariance of q's unconstrained coordinates: the inverse mass matrix for NUTS. Of a flow, of draws."""
        base = self.q.base if isinstance(self.q, Approximation) else self.q
        covariance = getattr(base, "covariance", None)
        if covariance is None:
            raise UnsupportedError(f"q is a {type(base).__name__}, which has no covariance here")
        return np.asarray(covariance)

    def citations(self) -> tuple[str, ...]:
        """Returns the sources of the methods used."""
        if self.posterior is None:
            return ()
        return CITATIONS if self.direction == "reverse" else (*CITATIONS, *COVERING)

    def to_datatree(self) -> Any:
        """Returns an ArviZ DataTree: q's draws as one chain, with log p, log q and weights.

        Raises:
            MissingDependencyError: arviz-base is not installed.
        """
        from_dict = need("arviz_base", "to_datatree", "kullback[arviz]").from_dict
        draws = self.draws
        one_chain = {name: values[None] for name, values in draws.plain.items()}
        statistics = {"lp": draws.log_p, "log_q": draws.log_q, "weight": draws.weights}
        return from_dict(
            {
                "posterior": one_chain,
                "sample_stats": {name: values[None] for name, values in statistics.items()},
            },
            attrs={"/": {"inference_library": "kullback", "family": str(self.family)}},
        )

    def log_prob(self, x: Any) -> Float[np.ndarray, " n"]:
        """Returns log q at n events: an array, or a dict of arrays by parameter."""
        given = x if isinstance(x, Mapping) else np.asarray(x, dtype=np.float64)
        return self.q.log_prob(given)  # pyright: ignore[reportArgumentType]

    def condition(self, **x: object) -> Distribution:
        """Returns the distribution of the other columns given values of some, by the names of the columns.

        Args:
            x: a number, or a label, for each column that is given: fit.condition(age=30, city="Bern").

        Raises:
            InputError: there is no such column or label, or every column is given.
            UnsupportedError: q is no density over the columns of a table.
        """
        return conditioned(self, x)

    def sample(self, n: int, *, key: object = 0) -> Any:
        """Returns n draws of q: an array (n, ...), or a dict of these by parameter."""
        return self.q.sample(generator(key), n)

    def __repr__(self) -> str:
        return f"<{self.direction} fit of {self.family}: {self.divergence}>"

    def __str__(self) -> str:
        line = f"{self.direction} fit of {self.family}: {self.divergence}"
        if self.unreported:
            return f"{line}\n{NOT_ASKED}"
        if self.posterior is None:
            return line
        return f"{line}\n{self.elbo}\n{self.log_evidence}\n{self.diagnosis}"


def conditioned(fit: Fit, x: Mapping[str, object]) -> Distribution:
    """Returns q given values of some columns, by name."""
    condition = getattr(fit.q, "condition", None)
    if condition is None or not fit.columns:
        raise UnsupportedError(
            f"q is a {type(fit.q).__name__}: only mixtures of Gaussians over several columns of a table, and fits "
            "with given=, are conditioned on columns"
        )
    row = np.full(len(fit.columns), np.nan)
    for name, value in x.items():
        if name not in fit.columns:
            raise InputError(f"{name}: there is no such column; there are {', '.join(fit.columns)}")
        at = fit.columns.index(name)
        row[at] = _cell(name, value, fit.labels[at] if at < len(fit.labels) else ())
    if (known := fit.conditional) is not None:
        y_given_x = f"q is a density of {', '.join(known.asked)} given {', '.join(known.given)}"
        for name in known.asked:
            if name in x:
                raise InputError(f"{name}: {y_given_x}: leave {name} out")
        for name in known.given:
            if name not in x:
                raise InputError(f"{name}: {y_given_x}: say all of these")
    return condition(row)


def _cell(name: str, value: object, labels: Sequence[str]) -> float:
    """Returns the number by which a value of a column is known."""
    if labels:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # labels of a rating are whole
        if str(value) not in labels:
            raise InputError(
                f"{name}={value!r}: there is no such label; there are {', '.join(labels[:8])}"
            )
        return float(labels.index(str(value)))
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name}={value!r}: {name} holds numbers: a finite one is needed")
    return number
