"""Both directions of a divergence, each named by p and q as they were given."""

import re
from dataclasses import dataclass, replace
from typing import final

from kullback._core.errors import InputError, UnsupportedError
from kullback.api._measure import cross_entropy, divergence, entropy, kl_divergence
from kullback.cli._options import Measuring, Unit
from kullback.results._estimate import Estimate

_NAMES = re.compile(r"(?<![A-Za-z])[pq](?![A-Za-z])")


@final
@dataclass(frozen=True)
class Side:
    """One direction.

    Attributes:
        name: "forward" or "reverse".
        value: the divergence.
        cross_entropy, entropy: whose difference the KL is; None where they are not known.
    """

    name: str
    value: Estimate
    cross_entropy: Estimate | None = None
    entropy: Estimate | None = None

    def as_dict(self) -> dict[str, object]:
        """Returns plain JSON values."""
        parts = {"cross_entropy": self.cross_entropy, "entropy": self.entropy}
        known = {k: v.as_dict() for k, v in parts.items() if v is not None}
        return {**self.value.as_dict(), **({"split": known} if known else {})}


@final
@dataclass(frozen=True)
class Sides:
    """Both directions.

    Attributes:
        forward: of (p, q), as they were given.
        reverse: of (q, p); None where the divergence is symmetric or no method can tell.
        missing: why no method can tell.
    """

    forward: Side
    reverse: Side | None
    missing: str = ""

    @property
    def known(self) -> tuple[Side, ...]:
        """The one or two that there are."""
        return (self.forward,) if self.reverse is None else (self.forward, self.reverse)


def both(p: object, q: object, how: Measuring, unit: Unit) -> Sides:
    """Returns forward and reverse.

    Raises:
        UnsupportedError: no method can tell even the forward one.
    """
    forward = _side("forward", p, q, how, unit)
    if how.kind is not None and "||" not in forward.value.direction:
        return Sides(forward, None)
    try:
        reverse = _side("reverse", q, p, how, unit)
    except UnsupportedError as error:
        return Sides(forward, None, _exchanged(str(error)))
    parts = (reverse.value, reverse.cross_entropy, reverse.entropy)
    value, cross, own = (None if e is None else _renamed(e) for e in parts)
    assert value is not None
    return Sides(forward, Side("reverse", value, cross, own))


def _side(name: str, p: object, q: object, how: Measuring, unit: Unit) -> Side:
    method = None if how.method is None else how.method.replace("-", " ")
    if how.kind is not None:
        kind = how.kind.replace("-", "_")
        value = divergence(
            p,
            q,
            kind=kind,
            alpha=how.alpha,
            method=method,
            n=how.n,
            tolerance=how.tolerance,
            dx=how.dx,
            normalize=how.normalize,
            key=how.key,
        )
        return Side(name, unit.of(value))
    if how.alpha is not None:
        raise InputError(f"--alpha {how.alpha:g}: only --kind alpha and --kind renyi have an order")
    value = kl_divergence(
        p,
        q,
        method=method,
        n=how.n,
        tolerance=how.tolerance,
        dx=how.dx,
        normalize=how.normalize,
        key=how.key,
    )
    return Side(name, unit.of(value), *_split(p, q, how, unit))


def _split(
    p: object, q: object, how: Measuring, unit: Unit
) -> tuple[Estimate | None, Estimate | None]:
    """Cross-entropy and entropy by the methods that the plan chooses for each."""
    try:
        cross = cross_entropy(
            p, q, n=how.n, tolerance=how.tolerance, dx=how.dx, normalize=how.normalize, key=how.key
        )
        own = entropy(
            p, n=how.n, tolerance=how.tolerance, dx=how.dx, normalize=how.normalize, key=how.key
        )
    except UnsupportedError:
        return None, None
    return unit.of(cross), unit.of(own)


def _renamed(estimate: Estimate) -> Estimate:
    """What was computed with p and q exchanged says so: KL(p||q) of (q, p) is KL(q||p)."""
    notes = tuple(_exchanged(note) for note in estimate.notes)
    return replace(estimate, direction=_exchanged(estimate.direction), notes=notes)


def _exchanged(text: str) -> str:
    return _NAMES.sub(lambda name: "q" if name[0] == "p" else "p", text)
