"""What is known of draws, or of a density, beside a log density: evidence, both KLs, missed mass, a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np

from kullback.core.run import generator
from kullback.results.estimate import Estimate
from kullback.results.posterior import Coordinate, Diagnosis, Posterior
from kullback.results.serialise import HIDDEN, Shown
from kullback.results.status import Status


@final
@dataclass(frozen=True)
class JudgedDraws:
    """The draws that were judged.

    Attributes:
        draws: how many.
        chains: in how many chains.
        effective: how many independent ones they are worth, for the slowest parameter.
        components: of the mixture that was fitted to half of them.
    """

    draws: int
    chains: int
    effective: float
    components: int


@final
@dataclass(frozen=True, eq=False)
class Judgement(Shown):
    """How far draws, or a density, are from p. q stands for what was judged: the law that draws follow.

    Attributes:
        judged: the draws; None where a density was judged.
        log_evidence: the log of the integral of p, whatever the draws are like.
        by_draws: the same if the draws follow p: by a bridge between them and a mixture; None where a density
            was judged.
        routes: the log evidence by importance weights, and by tempered SMC.
        reverse_kl, forward_kl: KL(q||p) and KL(p||q); of draws lower bounds, at the 95 % level.
        outside: the share of p's mass where q has none.
        parameters: of each coordinate the mean and sd of q, the shift of p's mean and the ratio of sds.
        diagnosis: the findings and the verdict.
        tempered: draws of p that owe nothing to q, by parameter.
        evaluations: gradients of p.
        seconds: wall time.
        posterior: of a density the report that a fit would have; None for draws.
        notes: what a careful reader should know.
        interrupted: whether somebody stopped it.

    Example:
        >>> import numpy as np
        >>> import kullback as kb
        >>> draws = np.random.default_rng(0).normal(0.0, 0.5, 1000)
        >>> judged = kb.judge("normal(0, sd=1)", draws)
        >>> round(judged.parameters[0].shrinkage.value, 1), judged.log_evidence.kind
        (0.5, 'estimate')
    """

    derived: ClassVar[dict[str, str]] = {"verdict": "diagnosis.verdict", "status": "status"}

    judged: JudgedDraws | None
    log_evidence: Estimate
    by_draws: Estimate | None
    routes: tuple[Estimate, ...]
    reverse_kl: Estimate
    forward_kl: Estimate
    outside: Estimate
    parameters: tuple[Coordinate, ...]
    diagnosis: Diagnosis
    tempered: dict[str, np.ndarray] = field(metadata=HIDDEN)
    evaluations: int
    seconds: float = field(metadata=HIDDEN)
    posterior: Posterior | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = field(default=False, metadata=HIDDEN)

    @property
    def verdict(self) -> str:
        """That of the worst finding: "trust", "caution" or "do not use"."""
        return self.diagnosis.verdict

    @property
    def status(self) -> Status:
        """How it ended: interrupted, not to be trusted, or done."""
        return Status.INTERRUPTED if self.interrupted else self.diagnosis.status

    def starting_points(self, n: int, *, key: object = 0) -> list[Mapping[str, np.ndarray]]:
        """Returns where n chains of a sampler may start: draws of p that were found without q, by parameter."""
        size = len(next(iter(self.tempered.values())))
        rows = generator(key).choice(size, n, replace=n > size)
        return [{name: values[i] for name, values in self.tempered.items()} for i in rows]

    def __repr__(self) -> str:
        return f"<judgement: {self.diagnosis}>"

    def __str__(self) -> str:
        found = (self.log_evidence, self.by_draws, self.reverse_kl, self.forward_kl, self.outside)
        return "\n".join([*(str(e) for e in found if e is not None), str(self.diagnosis)])
