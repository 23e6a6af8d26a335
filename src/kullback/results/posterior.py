"""Whether a fit may be used: findings with numbers, a verdict, and what it was measured by."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Float

from kullback.results.estimate import Estimate

Verdict = Literal["trust", "caution", "do not use"]
_ORDER: tuple[Verdict, ...] = ("trust", "caution", "do not use")


@final
@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what, in a word or two: "KL(q||p)", "mass outside q", ...
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
        findings: everything looked at, in the order of the look.
        unseen: what no finding can know.
    """

    findings: tuple[Finding, ...]
    unseen: str

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        worst = max((_ORDER.index(f.verdict) for f in self.findings), default=1)
        return _ORDER[worst]

    @property
    def decided_by(self) -> Finding | None:
        """The first of the worst findings; None if all is well."""
        worst = self.verdict
        return next((f for f in self.findings if f.verdict == worst != "trust"), None)

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        decided = self.decided_by
        return {
            "verdict": self.verdict,
            "decided_by": None if decided is None else decided.name,
            "remedy": None if decided is None else decided.remedy,
            "findings": [
                {"name": f.name, "verdict": f.verdict, "text": f.text, "remedy": f.remedy}
                for f in self.findings
            ],
            "unseen": self.unseen,
        }

    def __str__(self) -> str:
        decided = self.decided_by
        if decided is None:
            return f"{self.verdict}: {'; '.join(f.text for f in self.findings[:2])}"
        remedy = f"; {decided.remedy}" if decided.remedy else ""
        return f"{self.verdict}: {decided.name}: {decided.text}{remedy}"


@final
@dataclass(frozen=True)
class Parameter:
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

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "name": self.name,
            "mean": self.mean,
            "sd": self.sd,
            "mean_shift": self.mean_shift.as_dict(),
            "shrinkage": self.shrinkage.as_dict(),
            "expected_shrinkage": self.expected_shrinkage,
        }


@final
@dataclass(frozen=True)
class Rung:
    """A family that was tried on the way to the one that was kept."""

    family: str
    elbo: Estimate
    reverse_kl: Estimate
    verdict: Verdict
    evaluations: int

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        return {
            "family": self.family,
            "elbo": self.elbo.as_dict(),
            "reverse_kl": self.reverse_kl.as_dict(),
            "verdict": self.verdict,
            "evaluations": self.evaluations,
        }


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
        tempered: draws of p from far away, by parameter; with equal weights.
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
@dataclass(frozen=True, eq=False)
class Posterior:
    """What a reverse fit to a log density says of p beside q.

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
        draws: of q, and towards p.
        trace: (gradients, ELBO on the draws of the fit, how many draws).
        fit_error: what more draws would gain, in nats, and the largest error of a mean or sd, in sds.
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
    parameters: tuple[Parameter, ...]
    draws: Draws
    trace: tuple[tuple[int, float, int], ...]
    fit_error: tuple[float, float]
    diagnosis: Diagnosis
    ladder: tuple[Rung, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values; draws are left out."""
        return {
            "elbo": self.elbo.as_dict(),
            "entropy": self.entropy.as_dict(),
            "energy": self.energy.as_dict(),
            "log_evidence": self.log_evidence.as_dict(),
            "routes": [r.as_dict() for r in self.routes],
            "agreement": self.agreement.as_dict(),
            "jeffreys": self.jeffreys.as_dict(),
            "eubo": self.eubo.as_dict(),
            "probe": self.probe.as_dict(),
            "outside": self.outside.as_dict(),
            "pareto_k": self.pareto_k if np.isfinite(self.pareto_k) else None,
            "parameters": [p.as_dict() for p in self.parameters],
            "trace": [list(t) for t in self.trace],
            "fit_error": {"nats": self.fit_error[0], "sds": self.fit_error[1]},
            "diagnosis": self.diagnosis.as_dict(),
            "ladder": [r.as_dict() for r in self.ladder],
        }


# What a trust report hands back.


@final
@dataclass(frozen=True, eq=False)
class Report:
    """A posterior with the two KLs that the fit itself carries, and the log q below which q has no draws."""

    posterior: Posterior
    reverse_kl: Estimate
    forward_kl: Estimate
    threshold: float = -math.inf
