"""Whether a fit may be used: findings with numbers, a verdict, and what it was measured by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import numpy as np
from jaxtyping import Float

from kullback.families import Recipe
from kullback.results.estimate import Estimate
from kullback.results.quantity import Units
from kullback.results.serialise import HIDDEN, NATS, PRINTED
from kullback.results.status import Status

Verdict = Literal["trust", "caution", "do not use"]
_ORDER: tuple[Verdict, ...] = ("trust", "caution", "do not use")


@final
@dataclass(frozen=True)
class Finding:
    """One check of a fit.

    Attributes:
        name: of what, in a word or two: "KL(q||p)", "mass outside q", ...
        verdict: what this finding alone would say.
        text: what was found, with its numbers.
        remedy: what to type or do; "" if nothing need be done.
    """

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


@final
@dataclass(frozen=True)
class Diagnosis:
    """The findings, the worst of which is the verdict.

    Attributes:
        findings: all checks, in order.
        unseen: the limitation: what no check can detect.
    """

    derived: ClassVar[dict[str, str]] = {
        "verdict": "verdict", "decided_by": "decided_by.name", "remedy": "decided_by.remedy"
    }  # fmt: skip

    findings: tuple[Finding, ...]
    unseen: str

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        worst = max((_ORDER.index(f.verdict) for f in self.findings), default=1)
        return _ORDER[worst]

    @property
    def status(self) -> Status:
        """Whether q may be used at all."""
        return Status.UNTRUSTED if self.verdict == "do not use" else Status.DONE

    @property
    def decided_by(self) -> Finding | None:
        """The first of the worst findings; None if all is well."""
        worst = self.verdict
        return next((f for f in self.findings if f.verdict == worst != "trust"), None)

    def __str__(self) -> str:
        decided = self.decided_by
        if decided is None:
            return f"{self.verdict}: {'; '.join(f.text for f in self.findings[:2])}"
        remedy = f"; {decided.remedy}" if decided.remedy else ""
        return f"{self.verdict}: {decided.name}: {decided.text}{remedy}"


@final
@dataclass(frozen=True)
class Coordinate:
    """One coordinate of the parameters, under the user's name.

    Attributes:
        name: such as "theta[3]".
        mean, sd: of q.
        mean_shift: how far the mean of p is from that of q, in sds of p, estimated.
        shrinkage: the sd of q over that of p, estimated; below 1 q is too narrow.
        expected_shrinkage: the same as linear response predicts it; None unless q is mean-field.
    """

    name: str
    mean: float
    sd: float
    mean_shift: Estimate
    shrinkage: Estimate
    expected_shrinkage: float | None = None

    @property
    def fixed(self) -> bool:
        """Whether it has one value only, as the corner of a correlation's Cholesky factor: no shift, no ratio."""
        return self.sd == 0.0


@final
@dataclass(frozen=True)
class Rung:
    """A family that was tried on the way to the one that was kept."""

    family: Recipe = field(metadata=PRINTED)
    elbo: Estimate
    reverse_kl: Estimate
    verdict: Verdict
    evaluations: int


@final
@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of q with what importance weighting needs, and draws of p as far as they could be had.

    Attributes:
        plain: n draws of q by parameter, each (n, *shape).
        log_p, log_q: of the plain draws, (n,); log p is unnormalised. Densities of the unconstrained
            coordinates, log Jacobian included.
        weights: of the plain draws, smoothed, summing to 1, (n,).
        refreshed: draws of q moved towards p by MALA, by parameter.
        tempered: draws of p by tempered SMC, by parameter; with equal weights.
    """

    plain: dict[str, np.ndarray]
    log_p: Float[np.ndarray, " n"]
    log_q: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    refreshed: dict[str, np.ndarray]
    tempered: dict[str, np.ndarray]


def columns(values: Mapping[str, np.ndarray], *, bare: bool) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns draws by parameter, each (n, *shape), as columns with names such as "theta[3]".

    Args:
        values: by name.
        bare: whether there is one parameter without a name of its own; it is called "x".
    """
    found: dict[str, np.ndarray] = {}
    for name, array in values.items():
        for index in np.ndindex(*array.shape[1:]):
            place = f"[{','.join(map(str, index))}]" if index else ""
            column = np.asarray(array[(slice(None), *index)], dtype=np.float64)
            found[f"{'x' if bare else name}{place}"] = column
    return found


@final
@dataclass(frozen=True)
class FitError:
    """What more draws would change.

    Attributes:
        kl: what a fit to more draws would gain.
        sds: the largest error of a mean or an sd, in sds.
        unit: of `kl`.
    """

    kl: float = field(metadata=NATS)
    sds: float
    unit: Units = "nats"


@final
@dataclass(frozen=True, eq=False)
class Posterior:
    """What a fit to a log density says of p beside q.

    Attributes:
        elbo, entropy, energy: the ELBO and its two parts, H(q) and E_q[log p].
        log_evidence: the log of the integral of p.
        routes: the log evidence by each independent route.
        agreement: the difference of the two routes.
        jeffreys: KL(q||p) + KL(p||q), which needs no evidence.
        eubo: E_p[log p - log q], the upper bound of the log evidence.
        probe: the same after a few MALA steps from q: a lower bound in the long run.
        outside: the share of p's mass that lies where q has none.
        pareto_k: of the importance weights.
        parameters: each coordinate.
        ladder: the families tried, if several were.
        unit: of the trace.
        draws: of q, and towards p.
        trace: (gradients, ELBO on the draws of the fit, how many draws).
        fit_error: what more draws would change.
        diagnosis: the findings and the verdict.
    """

    elbo: Estimate
    entropy: Estimate
    energy: Estimate
    log_evidence: Estimate
    routes: tuple[Estimate, ...]
    agreement: Estimate
    jeffreys: Estimate
    eubo: Estimate
    probe: Estimate
    outside: Estimate
    pareto_k: float
    parameters: tuple[Coordinate, ...]
    draws: Draws = field(metadata=HIDDEN)
    trace: tuple[tuple[int, float, int], ...] = field(metadata=NATS)
    fit_error: FitError
    diagnosis: Diagnosis
    ladder: tuple[Rung, ...] = ()
    unit: Units = "nats"


# What a trust report hands back.


@final
@dataclass(frozen=True, eq=False)
class Report:
    """A posterior with the two KLs that the fit itself carries, and the log q below which q has no draws."""

    posterior: Posterior
    reverse_kl: Estimate
    forward_kl: Estimate
    threshold: float = -math.inf


#: The methods of reverse fits and of what is measured of them, and of draws that cover p.
CITATIONS = (
    "Lin, Khan, Schmidt (2019), Fast and simple natural-gradient variational inference",
    "Giordano, Ingram, Broderick (2024), Black box variational inference with a deterministic objective",
    "Arenz et al. (2023), A unified perspective on natural gradient variational inference with mixtures",
    "Del Moral, Doucet, Jasra (2006), Sequential Monte Carlo samplers",
    "Dau, Chopin (2022), Waste-free sequential Monte Carlo",
    "Meng, Wong (1996), Simulating ratios of normalizing constants via a simple identity",
    "Vehtari, Simpson, Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling",
)
COVERING = (
    "Cappé, Douc, Guillin, Marin, Robert (2008), Adaptive importance sampling in general mixture classes",
    "Cornuet, Marin, Mira, Robert (2012), Adaptive multiple importance sampling",
    "Owen, Zhou (2000), Safe and effective importance sampling",
)
