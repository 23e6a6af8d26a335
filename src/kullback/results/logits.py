"""How far language models are from a base, token by token, and which of them cannot be told apart."""

from dataclasses import dataclass, field
from typing import ClassVar, final

from kullback.results.estimate import Estimate
from kullback.results.quantity import Quantity
from kullback.results.serialise import NATS, PAIRS, Shown
from kullback.results.status import Status, status_of

PERPLEXITY = Quantity("perplexity", "perplexity", unit="", nonnegative=True)
PERPLEXITY_RATIO = PERPLEXITY.called("perplexity / base's")
LOSS = Quantity("log_loss", "log loss of other - log loss of base")
BYTE_LOSS = Quantity("byte_loss", "log loss of other - log loss of base, a byte")
AGREEMENT = Quantity("agreement", "same likeliest token", unit="", nonnegative=True)
DIFFERENCE = Quantity("kl_difference", "difference of two KL")


@final
@dataclass(frozen=True)
class TokenClass:
    """Positions of one kind, and what they contribute.

    Attributes:
        kind: by what positions are told apart, such as "base's largest probability".
        name: of this kind, such as "below 0.5".
        share: of the positions.
        mean: KL(base||other) a position of this kind.
        contribution: share of the sum over all positions.
    """

    kind: str
    name: str
    share: float
    mean: Estimate
    contribution: float


@final
@dataclass(frozen=True)
class HiddenByFile:
    """What the files leave open, for the mean over the positions.

    Attributes:
        rounding: how far rounding may have moved KL(base||other), KL(other||base), Jensen-Shannon: a bound.
        cut: the base's probability of tokens below the cut of either file: each nat by which their
            log ratio differs from that of their sums adds as many nats to KL(base||other).
        other_cut: the other's, for KL(other||base).
        below: share of positions whose token is below the cut of either file: its log loss is larger than said.
        unit: of the first.
    """

    rounding: tuple[float, float, float] = field(metadata=NATS)
    cut: float
    other_cut: float
    below: float
    unit: str = "nats"


@final
@dataclass(frozen=True)
class LogitsModel:
    """One model against the base.

    Attributes:
        name, source, stored: the file, in short and in full, and how it stores numbers.
        forward, reverse, jensen_shannon: KL(base||model), KL(model||base), Jensen-Shannon: means over positions.
        loss: log loss of the model less that of the base, a token; None where tokens are not known.
        byte_loss: the same, a byte of the text; None where those are not known.
        perplexity, ratio: of the model, and over the base's; None likewise.
        agreement: share of positions where both find the same token likeliest.
        quantiles: of KL(base||model) over positions, with their level.
        ranks: the best and the worst place by KL(base||model) that paired intervals leave it, from 1.
        hidden: what the files leave open.
        classes: what kinds of positions contribute.
    """

    name: str
    source: str
    stored: str
    forward: Estimate
    reverse: Estimate
    jensen_shannon: Estimate
    loss: Estimate | None
    byte_loss: Estimate | None
    perplexity: Estimate | None
    ratio: Estimate | None
    agreement: Estimate
    quantiles: tuple[tuple[str, Estimate], ...] = field(metadata=PAIRS)
    ranks: tuple[int, int]
    hidden: HiddenByFile
    classes: tuple[TokenClass, ...]


@final
@dataclass(frozen=True)
class LogitsPair:
    """Two models on the same positions: the first less the second.

    Attributes:
        first, second: their names; by rank.
        forward, reverse, jensen_shannon: differences of the means, with paired intervals.
        loss: of the log losses; None where tokens are not known.
        apart: whether KL(base||model) differs, at 5 % over all pairs together.
    """

    first: str
    second: str
    forward: Estimate
    reverse: Estimate
    jensen_shannon: Estimate
    loss: Estimate | None
    apart: bool


@final
@dataclass(frozen=True)
class LogitsReport(Shown):
    """How far models are from a base.

    Attributes:
        base, stored: the base's file, and how it stores numbers.
        perplexity: of the base; None where tokens are not known.
        models: by KL(base||model), the nearest first.
        pairs: of models, paired.
        positions, documents, groups: how many; groups are what is taken for independent.
        dependence: how groups came about, in words.
        vocabulary: tokens; 0 where only lists are known.
        max_kl: the largest KL(base||model) allowed; None where there is no gate.
        unit: of max_kl.
        notes: what a careful reader should know.
    """

    derived: ClassVar[dict[str, str]] = {"status": "status", "passes": "passes"}

    base: str
    stored: str
    perplexity: Estimate | None
    models: tuple[LogitsModel, ...]
    pairs: tuple[LogitsPair, ...]
    positions: int
    documents: int
    groups: int
    dependence: str
    vocabulary: int
    max_kl: float | None = field(default=None, metadata=NATS)
    unit: str = "nats"
    notes: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether every KL(base||model) is certainly at most the limit, if there is one."""
        return self.max_kl is None or all(m.forward.interval[1] <= self.max_kl for m in self.models)

    @property
    def status(self) -> Status:
        """Failed where a KL(base||model) may be above the limit; unresolved where only a lower bound is known."""
        if self.max_kl is None:
            return status_of(*(m.forward for m in self.models))
        limit = self.max_kl
        late = [m.forward for m in self.models if not m.forward.interval[1] <= limit]
        if not late:
            return Status.DONE
        open_ended = all(
            e.kind in ("lower_bound", "unresolved") and e.interval[0] <= limit for e in late
        )
        return Status.UNRESOLVED if open_ended else Status.FAILED

    def __str__(self) -> str:
        lines = [f"{m.ranks[0]}-{m.ranks[1]} {m.name}: {m.forward}" for m in self.models]
        same = [f"{p.first} and {p.second} cannot be told apart" for p in self.pairs if not p.apart]
        return "\n".join([f"base: {self.base}, {self.positions:,} positions", *lines, *same])
