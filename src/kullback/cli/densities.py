"""`kullback kl`: two distributions, in both directions."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kullback.api.explain import explain
from kullback.api.measure import cross_entropy, divergence, entropy, kl_divergence
from kullback.cli.answer import answer, report_file
from kullback.cli.inputs import Given, check_place, given
from kullback.cli.options import Measuring, Output, Unit
from kullback.core.errors import InputError, UnsupportedError
from kullback.distributions.base import Distribution
from kullback.inputs.given import distribution
from kullback.results.contributions import Contributions
from kullback.results.directions import Side, Sides
from kullback.results.estimate import Estimate
from kullback.views.measure import Pair, kl_document
from kullback.views.numbers import exchanged, swapped


def kl(
    p: str, q: str, how: Measuring, *, max_kl: float | None, report: Path | None, unit: Unit, output: Output
) -> int:  # fmt: skip
    """Prints both directions and returns the exit code."""
    _check(how, max_kl, report)
    check_place(report, inputs=(p, q))
    left, right = given(p, "p"), given(q, "q")
    sides = replace(both(left.value, right.value, how, unit), max_kl=max_kl)
    if report is not None and sides.reverse is None:
        raise InputError(f"--report: it needs both directions, but {sides.missing}")
    document = kl_document(
        (left.words, right.words),
        sides,
        pair=None if report is None else lambda: _pair(left, right, sides, how, unit),
        key=how.key,
        seconds=time.process_time(),
    )
    return answer("kl", document, output, files=(report_file(report),), status=sides.status)


def _check(how: Measuring, max_kl: float | None, report: Path | None) -> None:
    if max_kl is not None and not max_kl >= 0.0:
        raise InputError(f"--max-kl {max_kl:g}: the largest KL allowed is 0 or more")
    if max_kl is not None and how.kind is not None:
        raise InputError("--max-kl is about KL(p||q): leave out --kind")
    if report is not None and (how.kind is not None or how.dx is not None):
        raise InputError("--report is about KL between distributions: leave out --kind and --dx")


def _pair(left: Given, right: Given, sides: Sides, how: Measuring, unit: Unit) -> Pair:
    """What is drawn of p and q, and which regions contribute to each divergence."""
    assert sides.reverse is not None
    p = distribution(left.value, "p", normalize=how.normalize)
    q = distribution(right.value, "q", normalize=how.normalize)
    return p, q, _parts(p, q, sides.forward, unit), _parts(q, p, sides.reverse, unit)


def _parts(p: Distribution, q: Distribution, side: Side, unit: Unit) -> Contributions | Estimate:
    """The regions where there are any, else the divergence as it was printed."""
    try:
        return unit.of(explain(p, q))
    except UnsupportedError:
        return side.value


# Both directions of a divergence, each named by p and q as they were given.


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
        return Sides(forward, None, swapped(str(error)))
    parts = (reverse.value, reverse.cross_entropy, reverse.entropy)
    value, cross, own = (None if e is None else exchanged(e) for e in parts)
    assert value is not None
    return Sides(forward, Side("reverse", value, cross, own))


def _side(name: str, p: object, q: object, how: Measuring, unit: Unit) -> Side:
    method = None if how.method is None else how.method.replace("-", " ")
    if how.kind is not None:
        kind = how.kind.replace("-", "_")
        value = divergence(p, q, kind=kind, alpha=how.alpha, method=method, **_options(how))
        return Side(name, unit.of(value))
    if how.alpha is not None:
        raise InputError(f"--alpha {how.alpha:g}: only --kind alpha and --kind renyi have an order")
    value = kl_divergence(p, q, method=method, **_options(how))
    try:  # cross-entropy and entropy by the methods that the plan chooses for each
        cross, own = cross_entropy(p, q, **_options(how)), entropy(p, **_options(how))
    except UnsupportedError:
        return Side(name, unit.of(value))
    return Side(name, unit.of(value), unit.of(cross), unit.of(own))


def _options(how: Measuring) -> dict[str, Any]:
    return {name: getattr(how, name) for name in ("n", "tolerance", "dx", "normalize", "key")}
