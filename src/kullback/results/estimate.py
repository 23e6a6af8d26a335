"""A number that never travels alone."""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, final

from kullback.results.quantity import Bound, Quantity, Sentence, Units, factor
from kullback.results.serialise import HIDDEN, Shown

Kind = Literal[
    "exact", "numeric", "estimate", "lower_bound", "upper_bound", "infinite", "unresolved"
]

Notes = tuple[str, ...]

_BOUNDS: dict[Bound | None, Kind] = {"lower": "lower_bound", "upper": "upper_bound"}
_SYMBOLS = {"lower_bound": "≥", "upper_bound": "≤"}


@final
@dataclass(frozen=True)
class Estimate(Shown):
    """A value with its error, its kind and what it is a value of.

    Attributes:
        value: the number, in the unit of its quantity; `inf` when infinite.
        standard_error: its error, in that unit. For kind "exact" the rounding of a float64, for
            "numeric" a bound on the error, for "estimate" a standard error, `inf` when unresolved.
        interval: where the truth lies, in that unit: certain up to rounding for "exact", within the
            error bound for "numeric", with 95 % confidence for "estimate".
        quantity: what it is of, with direction, unit and sign.
        kind: how much the number may be trusted.
        method: how it was computed.
        n: draws or evaluations spent, if any were.
        notes: what a careful reader should know; the reason, when infinite or unresolved.

    Example:
        >>> from kullback.results.quantity import FORWARD_KL
        >>> print(Estimate.exact(0.127687, FORWARD_KL, method="closed form"))
        KL(p||q) = 0.127687 nats (exact, closed form)
    """

    derived: ClassVar[dict[str, str]] = {
        "quantity": "quantity.name", "direction": "direction", "unit": "unit", "reason": "reason"
    }  # fmt: skip

    value: float
    standard_error: float
    interval: tuple[float, float]
    quantity: Quantity = field(metadata=HIDDEN)
    kind: Kind
    method: str
    n: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def exact(
        cls, value: float, quantity: Quantity, *, method: str, n: int | None = None, notes: Notes = ()
    ) -> "Estimate":  # fmt: skip
        """Returns a value that is right up to the rounding of a float64."""
        error = abs(value) * 2.0**-52
        ends = (value - error, value + error)
        return cls(value, error, ends, quantity, "exact", method, n, notes)

    @classmethod
    def numeric(
        cls, value: float, error: float, quantity: Quantity, *, method: str, n: int | None = None,
        notes: Notes = (),
    ) -> "Estimate":  # fmt: skip
        """Returns a value with a bound on its numerical error."""
        ends = (value - error, value + error)
        return cls(value, error, ends, quantity, "numeric", method, n, notes)

    @classmethod
    def sampled(
        cls, value: float, standard_error: float, quantity: Quantity, *, method: str, n: int | None = None,
        notes: Notes = (), reason: str = "its standard error is not known",
    ) -> "Estimate":  # fmt: skip
        """Returns an average over draws; unresolved, with the reason, where its error is not finite.

        What cannot be negative is 0 where chance makes it so, unresolved where chance cannot.

        Example:
            >>> from kullback.results.quantity import FORWARD_KL
            >>> print(Estimate.sampled(-0.01, 0.02, FORWARD_KL, method="Monte Carlo"))
            KL(p||q) = 0.000 ± 0.020 nats (Monte Carlo)
            >>> print(Estimate.sampled(-0.31, 0.02, FORWARD_KL, method="Monte Carlo"))
            KL(p||q) unresolved: it cannot be negative, but came out as -0.31 ± 0.02 (Monte Carlo)
        """
        nonnegative = quantity.nonnegative
        if math.isfinite(value) and nonnegative and value < -4.0 * standard_error - 1e-6:
            said = "it cannot be negative, but came out as {:.3g} ± {:.2g}"
            reason = Sentence(said, value, standard_error, unit=quantity.unit)
            standard_error = math.inf
        if not (math.isfinite(value) and math.isfinite(standard_error)):
            return cls.unresolved(value, reason, quantity, method=method, n=n)
        least = 0.0 if nonnegative else -math.inf
        value, reach = max(value, least), 1.96 * standard_error
        ends = (max(value - reach, least), value + reach)
        kind = _BOUNDS.get(quantity.bound, "estimate")
        return cls(value, standard_error, ends, quantity, kind, method, n, notes)

    @classmethod
    def bounded(
        cls, at_least: float, standard_error: float, quantity: Quantity, *, method: str, n: int | None = None,
        notes: Notes = (),
    ) -> "Estimate":  # fmt: skip
        """Returns what the truth is at least, with 95 % confidence.

        Args:
            at_least: the limit itself.
            standard_error: of the estimate that it is the lower limit of.
            quantity: what is bounded.
            method, n, notes: as of an Estimate.

        Example:
            >>> from kullback.results.quantity import FORWARD_KL
            >>> print(Estimate.bounded(0.71, 0.02, FORWARD_KL, method="scores"))
            KL(p||q) ≥ 0.71 nats (95 % confidence, scores)
        """
        ends = (at_least, math.inf)
        return cls(at_least, standard_error, ends, quantity.below, "lower_bound", method, n, notes)

    @classmethod
    def infinite(
        cls, reason: str, quantity: Quantity, *, method: str, notes: tuple[str, ...] = ()
    ) -> "Estimate":
        """Returns plus infinity, with its reason."""
        ends = (math.inf, math.inf)
        return cls(math.inf, 0.0, ends, quantity, "infinite", method, None, (reason, *notes))

    @classmethod
    def unresolved(
        cls, value: float, reason: str, quantity: Quantity, *, method: str, n: int | None = None,
        notes: Notes = (), at_least: float = -math.inf,
    ) -> "Estimate":  # fmt: skip
        """Returns a number that may not be relied on, with the reason; its error is unknown.

        What the truth is at least, with 95 % confidence, is the lower end of the interval.
        """
        ends = (at_least, math.inf)
        return cls(value, math.inf, ends, quantity, "unresolved", method, n, (reason, *notes))

    @property
    def direction(self) -> str:
        """The quantity spelled out with its arguments, such as "KL(p||q)"."""
        return self.quantity.direction

    @property
    def unit(self) -> str:
        """Nats or bits; empty for quantities without a unit."""
        return self.quantity.unit

    def __float__(self) -> float:
        """The value, where it is one: what is unresolved is no number."""
        if self.kind == "unresolved":
            raise ValueError(f"{self}: it is no number; its value is {self.value:.4g}")
        return self.value

    def __format__(self, spec: str) -> str:
        """The value by a format such as ".3f"; without one the whole line."""
        return format(float(self), spec) if spec else str(self)

    def called(self, direction: str) -> "Estimate":
        """Returns the same number under another direction, as what was asked of (q, p)."""
        return replace(self, quantity=self.quantity.called(direction))

    @property
    def nats(self) -> "Estimate":
        """The same estimate in nats."""
        return self.in_unit("nats")

    @property
    def bits(self) -> "Estimate":
        """The same estimate in bits: nats / log 2."""
        return self.in_unit("bits")

    def in_unit(self, unit: Units) -> "Estimate":
        """Returns the same estimate in a unit, what its notes say included; as it is where it has no unit."""
        size, (low, high) = factor(self.unit, unit), self.interval
        return replace(
            self,
            value=self.value * size,
            standard_error=self.standard_error * size,
            interval=(low * size, high * size),
            quantity=self.quantity.in_unit(unit),
            notes=tuple(n.in_unit(unit) if isinstance(n, Sentence) else n for n in self.notes),
        )

    @property
    def reason(self) -> str | None:
        """Why the value is infinite or unresolved."""
        return self.notes[0] if self.kind in ("infinite", "unresolved") else None

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        count = "" if self.n is None else f", n = {self.n}"
        if self.kind == "infinite":
            return f"{self.direction} = infinite ({self.notes[0]})"
        low, high = self.interval
        if self.kind == "unresolved":
            least = f"; at least {low:.3g}{unit} (95 %)" if low > 0.0 else ""
            return f"{self.direction} unresolved: {self.notes[0]}{least} ({self.method}{count})"
        if self.kind == "lower_bound" and self.value == low and math.isinf(high):
            return f"{self.direction} ≥ {low:.3g}{unit} (95 % confidence, {self.method}{count})"
        symbol = _SYMBOLS.get(_BOUNDS.get(self.quantity.bound, self.kind), "=")
        if self.kind == "exact":
            return f"{self.direction} {symbol} {self.value:.6g}{unit} (exact, {self.method})"
        value, error = value_and_error(self.value, self.standard_error)
        label = f"{self.kind}, " if self.kind == "numeric" else ""
        return f"{self.direction} {symbol} {value} ± {error}{unit} ({label}{self.method}{count})"


def in_decimals(e: Estimate, *, signed: bool = False) -> str:
    """Returns value and error to two decimals, or to the first digit of an error that is smaller.

    Example:
        >>> from kullback.results.quantity import MEAN_SHIFT
        >>> in_decimals(Estimate.sampled(0.4512, 0.0031, MEAN_SHIFT, method="m"), signed=True)
        '+0.451 ± 0.003'
    """
    error, places = e.standard_error, 2
    if 0.0 < error < 0.005:
        places = min(-math.floor(math.log10(error) + 1e-9), 6)
    return f"{e.value:{'+' if signed else ''}.{places}f} ± {error:.{places}f}"


def value_and_error(value: float, error: float) -> tuple[str, str]:
    """Returns the value to the last digit that its error leaves, and the error to two digits, as they print."""
    if not math.isfinite(error) or error <= 0.0 or not math.isfinite(value):
        return f"{value:.6g}", f"{error:.2g}"
    if error < 1e-4 * abs(value) or abs(value) >= 1e6 or error < 1e-5:
        return f"{value:.10g}" if error < 1e-8 * abs(value) else f"{value:.6g}", f"{error:.1e}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f}", f"{error:.{digits}f}"


# What a method returns, before the question gives it its name.

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
    """Returns what a closed form says, with the rounding of a float64."""
    return Outcome(value, abs(value) * 2.0**-52, "exact", method, notes=notes)


def infinite(reason: str, method: str) -> Outcome:
    """Returns infinity, and why."""
    return Outcome(math.inf, 0.0, "infinite", method, notes=(reason,))


def unresolved(value: float, reason: str, method: str, n: int | None = None) -> Outcome:
    """Returns a value of which no error is known, and why; n draws."""
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
