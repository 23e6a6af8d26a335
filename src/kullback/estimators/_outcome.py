"""What a method returns, before the question gives it its name."""

import math
from dataclasses import dataclass, replace
from typing import final

from kullback.results._estimate import Kind

_CAUTION: list[Kind] = ["exact", "numeric", "estimate", "unresolved", "infinite"]


@final
@dataclass(frozen=True)
class Outcome:
    """A number, its error and its kind, in nats.

    Attributes:
        value: the number.
        error: rounding, a bound or a standard error, as `kind` says; inf when unresolved.
        kind: as of an Estimate.
        method: how it was computed.
        n: draws or evaluations.
        notes: remarks; the first is the reason when infinite or unresolved.
        quantile: half-width of the 95 % interval in standard errors, for estimates.
        interval: the 95 % interval, where it is not symmetric.
    """

    value: float
    error: float
    kind: Kind
    method: str
    n: int | None = None
    notes: tuple[str, ...] = ()
    quantile: float = 1.96
    interval: tuple[float, float] | None = None

    def scaled(self, factor: float) -> "Outcome":
        """Returns factor times this number."""
        if self.kind == "infinite":
            return self
        return replace(
            self, value=factor * self.value, error=abs(factor) * self.error, interval=None
        )


def exact(value: float, method: str, *notes: str) -> Outcome:
    return Outcome(value, abs(value) * 2.0**-52, "exact", method, notes=notes)


def infinite(reason: str, method: str) -> Outcome:
    return Outcome(math.inf, 0.0, "infinite", method, notes=(reason,))


def unresolved(value: float, reason: str, method: str, n: int | None = None) -> Outcome:
    return Outcome(value, math.inf, "unresolved", method, n, (reason,))


def total(parts: list[Outcome]) -> Outcome:
    """Returns the sum of independent parts; as cautious as the most cautious of them."""
    worst = max(parts, key=lambda p: _CAUTION.index(p.kind))
    if worst.kind == "infinite":
        return worst
    value = math.fsum(p.value for p in parts)
    bounds = math.fsum(p.error for p in parts if p.kind in ("exact", "numeric"))
    random = math.hypot(*(p.error for p in parts if p.kind == "estimate"))
    counts = [p.n for p in parts if p.n is not None]
    methods = " + ".join(dict.fromkeys(p.method for p in parts))
    notes = tuple(dict.fromkeys(note for p in [worst, *parts] for note in p.notes))
    error = math.inf if worst.kind == "unresolved" else bounds + random
    quantile = max(p.quantile for p in parts)
    return Outcome(value, error, worst.kind, methods, sum(counts) or None, notes, quantile)
