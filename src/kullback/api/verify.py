"""Verifying: published numbers, recomputed and stamped."""

import itertools
import math
import tomllib
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from kullback.api.best import BestMembers, best_fit
from kullback.api.measure import cross_entropy, divergence, entropy, kl_divergence
from kullback.core.errors import InputError, KullbackError
from kullback.distributions.base import Distribution
from kullback.expressions.format import format_distribution
from kullback.expressions.parse import readings
from kullback.inputs.given import probabilities
from kullback.losses.divergences import KINDS
from kullback.results.estimate import Estimate
from kullback.results.quantity import Sentence, Units
from kullback.results.verification import ClaimFinding, Stamp, Verification

_KEYS = {
    "what", "quantity", "p", "q", "value", "unit", "tolerance", "digits", "of", "fit", "alpha",
}  # fmt: skip
#: Quantities beside the kinds of divergence; the entropy is of p alone.
_OF_LOGS = ("kl", "cross_entropy", "entropy")
_FIT_KEYS = {"target", "family", "direction", "kind"}

Claim = dict[str, object]
Reading = tuple[str, Distribution]


Bests = dict[tuple[str, str, str, str], BestMembers]


def examples() -> tuple[str, ...]:
    """Returns the names of the bundled claims: each may be given to `verify`."""
    names = [f.name for f in _folder().iterdir() if f.name.endswith(".toml")]
    return tuple(sorted(name.removesuffix(".toml") for name in names))


def _folder() -> Traversable:
    return resources.files("kullback") / "data" / "claims"


def verify(claims: str | Path | dict[str, object]) -> Verification:
    """Returns published numbers stamped confirmed, refuted or cannot tell, with what they should be.

    A claim names a quantity, its distributions as expressions and the published value; a number is
    confirmed if the recomputed one lies within half a unit of its last printed digit (or `tolerance`),
    give or take the recomputation's own error. An expression that can be read in two ways is computed
    in both. Where the claim is about a fit, it is asked whether there is a better one.

    Args:
        claims: a TOML file, the name of a bundled example, or what such a file holds.

    Raises:
        InputError: the claims cannot be read; the message names the claim and the key.

    Example:
        >>> claim = {"what": "a", "quantity": "kl", "p": "normal(0, sd=2)", "q": "normal(0, sd=3)"}
        >>> verify({"claim": [claim | {"value": "0.1277"}]}).findings[0].stamp
        'confirmed'
    """
    return judge(claims if isinstance(claims, dict) else read(claims), {})


def judge(content: Claim, bests: Bests) -> Verification:
    """Returns the verification of what a claims file holds.

    Args:
        content: as of `verify`.
        bests: fits that are known already, by target, family, direction and kind; others are added.
    """
    names = content.get("distributions", {})
    rows = content.get("claim", [])
    if not isinstance(names, dict) or not isinstance(rows, list) or not rows:
        raise InputError(
            "claims: there must be at least one [[claim]], and [distributions] be a table"
        )
    findings = [f for i, row in enumerate(rows) for f in _findings(row, names, i, bests)]
    title, source = str(content.get("title", "claims")), str(content.get("source", ""))
    return Verification(title, source, tuple(findings))


def read(claims: str | Path) -> Claim:
    """Returns what a claims file, or a bundled example, holds."""
    path = Path(claims)
    if str(claims) in examples():
        text = (_folder() / f"{claims}.toml").read_text("utf-8")
    elif path.is_file():
        text = path.read_text("utf-8", errors="replace")
    else:
        what = "this is a directory" if path.is_dir() else "there is no such file"
        raise InputError(f"{claims}: {what}; bundled examples are {', '.join(examples())}")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{claims}: not read: its values are nested too deeply") from None
    except ValueError as error:  # not valid, or a whole number of thousands of digits
        raise InputError(f"{claims}: not valid TOML: {error}") from None


def _findings(claim: object, names: dict[str, object], i: int, bests: Bests) -> list[ClaimFinding]:
    if not isinstance(claim, dict):
        raise InputError(f"claim {i + 1}: must be a table")
    what = str(claim.get("what", f"claim {i + 1}"))
    unknown = set(claim) - _KEYS
    if unknown:
        raise InputError(
            f'claim "{what}": unknown key(s) {", ".join(sorted(unknown))}; known are {", ".join(sorted(_KEYS))}'
        )
    match claim.get("quantity"):
        case "parameters":
            return _parameters(what, claim, names, bests)
        case "optimum":
            return [_optimum(what, claim, names, bests)]
        case str(quantity) if quantity in _OF_LOGS or quantity in KINDS:
            return _divergences(what, quantity, claim, names, bests)
    raise InputError(
        f'claim "{what}": quantity is missing or unknown; say "kl", "entropy", "cross_entropy", a kind of divergence, '
        '"optimum" or "parameters"'
    )


def _divergences(
    what: str, quantity: str, claim: Claim, names: dict[str, object], bests: Bests
) -> list[ClaimFinding]:
    """One finding for each way in which the distributions can be read."""
    sides = ("p", "p") if quantity == "entropy" else ("p", "q")
    pairs = itertools.product(*(_readings(claim, side, names, what) for side in sides))
    if quantity == "entropy":
        pairs = iter((a, a) for a in _readings(claim, "p", names, what))
    # An article reads all its numbers in one way: 2 and 3 are both sds or both variances.
    consistent = [(a, b) for a, b in pairs if _same_words(a[0], b[0])]
    found = [_divergence(what, quantity, claim, a, b) for a, b in consistent]
    if len(found) > 1 and any(f.stamp == "confirmed" for f in found):
        return [f if f.stamp == "confirmed" else replace(f, stamp="cannot tell") for f in found]
    remark = _better(claim, names, what, bests)
    return [replace(f, remark=_both(f.remark, remark)) for f in found]


def _divergence(what: str, quantity: str, claim: Claim, p: Reading, q: Reading) -> ClaimFinding:
    try:
        found = _measured(quantity, claim, p[1], q[1])
    except KullbackError as error:
        return ClaimFinding(what, None, "cannot tell", None, remark=str(error))
    reading = p[0] or q[0]
    reading = f"{p[0]}, {q[0]}" if p[0] and q[0] and p[0] != q[0] else reading
    found = found.in_unit(_unit(claim, what))
    if "value" not in claim:
        remark = "no number is claimed"
        return ClaimFinding(what, None, "cannot tell", found, reading, remark)
    claimed, tolerance = _claimed(claim, what)
    stamp = _stamp(claimed, found, tolerance)
    remark = ""
    if stamp == "refuted" and quantity == "kl":
        other = _measured("kl", claim, q[1], p[1]).in_unit(_unit(claim, what))
        same = _stamp(claimed, other, tolerance) == "confirmed"
        fits = "matches the claim" if same else "does not match either"
        remark = Sentence("the other direction is {}, which {}", _with_error(other), fits)
    if stamp == "refuted":
        remark = _both(_other_unit(found, claimed, tolerance), remark)
    sums = [
        f"{side} sums to {total:.6g} and was divided by that"
        for side in ("p", "q")
        if (total := _total(claim, side, what)) is not None and abs(total - 1.0) > 1e-9
    ]
    if sums:
        remark = _both(*sums, remark)
    return ClaimFinding(what, claimed, stamp, found, reading, remark, found.unit)


def _unit(claim: Claim, what: str) -> Units:
    """The unit that a claim is printed in: nats unless it says bits."""
    match claim.get("unit", "nats"):
        case "nats":
            return "nats"
        case "bits":
            return "bits"
        case unit:
            raise InputError(f'claim "{what}": unit = {unit!r}; say "nats" or "bits"')


def _other_unit(found: Estimate, claimed: float, tolerance: float) -> str:
    """Says so if the number is right in the unit that was not said."""
    if not found.unit:
        return ""
    other = found.in_unit("bits" if found.unit == "nats" else "nats")
    if _stamp(claimed, other, tolerance) != "confirmed":
        return ""
    return f'matches in {other.unit}: say unit = "{other.unit}"'


def _total(claim: Claim, side: str, what: str) -> float | None:
    """The sum of probabilities that are given as a list; None for an expression."""
    given = claim.get(side)
    if not isinstance(given, list):
        return None
    return math.fsum(_number(v, side, what) for v in given)


def _measured(quantity: str, claim: Claim, p: Distribution, q: Distribution) -> Estimate:
    if quantity == "kl":
        names = ("p", "q") if isinstance(claim["p"], list) else (claim["p"], claim["q"])
        return kl_divergence(p, q).called(f"KL({names[0]}||{names[1]})")
    if quantity in ("entropy", "cross_entropy"):
        return entropy(p) if quantity == "entropy" else cross_entropy(p, q)
    alpha = claim.get("alpha")
    order = None if alpha is None else _number(alpha, "alpha", str(claim.get("what", "")))
    return divergence(p, q, kind=quantity, alpha=order)


def _parameters(
    what: str, claim: Claim, names: dict[str, object], bests: Bests
) -> list[ClaimFinding]:
    """Compares the parameters of a claimed fit with those of every optimum of the best value."""
    best = _best(claim, names, what, bests)
    claimed = _one(claim, "q", names, what)
    digits = claim.get("digits")
    tolerance = 1e-3
    if digits is not None:
        tolerance = 0.5 * float(f"1e{-int(_number(digits, 'digits', what))}")
    rows = best.compare(claimed)
    estimates = [best.estimate_of(row.name, row.found) for row in rows]
    return [
        ClaimFinding(f"{what}: {row.name}", row.claimed, _stamp(row.claimed, e, tolerance), e)
        for row, e in zip(rows, estimates, strict=True)
    ]


def _optimum(what: str, claim: Claim, names: dict[str, object], bests: Bests) -> ClaimFinding:
    best = _best(claim, names, what, bests)
    claimed, tolerance = _claimed(claim, what)
    of = str(claim.get("of", "value"))
    found = best.divergence if of == "value" else best.parameter(of)
    return ClaimFinding(
        what, claimed, _stamp(claimed, found, tolerance), found, remark=best.words, unit=found.unit
    )


def _better(claim: Claim, names: dict[str, object], what: str, bests: Bests) -> str:
    """Says whether there is a better fit than the claimed one, where a claim is about a fit."""
    if "fit" not in claim:
        return ""
    best = _best(claim, names, what, bests)
    return Sentence("best fit found: {} at {}", _with_error(best.divergence), best.words)


def _best(claim: Claim, names: dict[str, object], what: str, bests: Bests) -> BestMembers:
    asked = claim.get("fit")
    if not isinstance(asked, dict) or not set(asked) <= _FIT_KEYS or "target" not in asked:
        raise InputError(
            f'claim "{what}": fit must be a table with target, family, and direction or kind'
        )
    target = _one({"p": asked["target"]}, "p", names, what)
    family, kind = str(asked.get("family", "gaussian")), asked.get("kind")
    direction = asked.get("direction")
    if (kind is None) == (direction is None):
        raise InputError(f'claim "{what}": fit needs direction = "forward" or "reverse", or a kind')
    if direction not in (None, "forward", "reverse"):
        raise InputError(f'claim "{what}": direction = {direction!r}; say "forward" or "reverse"')
    wanted = (format_distribution(target), family, str(direction or ""), str(kind or ""))
    if wanted not in bests:
        bests[wanted] = best_fit(target, family, direction, wanted[3])
    return bests[wanted]


def _readings(claim: Claim, side: str, names: dict[str, object], what: str) -> list[Reading]:
    if side not in claim:
        raise InputError(f'claim "{what}": {side} is missing')
    total = _total(claim, side, what)
    if total is not None:
        if not total > 0.0:
            raise InputError(f'claim "{what}": {side} sums to {total:g}: probabilities sum to 1')
        return [("", probabilities(claim[side], side, normalize=True))]
    text = str(claim[side])
    found = readings(str(names.get(text, text)))
    return [("", found[0][1])] if len(found) == 1 else found


def _one(claim: Claim, side: str, names: dict[str, object], what: str) -> Distribution:
    found = _readings(claim, side, names, what)
    if len(found) > 1:
        raise InputError(
            f'claim "{what}": {claim[side]} can be read in {len(found)} ways; say which'
        )
    return found[0][1]


def _same_words(a: str, b: str) -> bool:
    return not (a and b) or a.split(" ", maxsplit=1)[0] == b.split(" ", maxsplit=1)[0]


def _with_error(found: Estimate) -> Sentence:
    return Sentence("{:.4f} ± {:.1e}", found.value, found.standard_error, unit=found.unit)


def _both(*remarks: str) -> str:
    said = [remark for remark in remarks if remark]
    return Sentence("; ".join(["{}"] * len(said)), *said)


def _claimed(claim: Claim, what: str) -> tuple[float, float]:
    """Returns the published number and half a unit of its last digit."""
    text = str(claim.get("value", "")).strip()
    stated = claim.get("tolerance")
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return float(text), 0.5
    value = _number(text, "value", what)
    mantissa, _, exponent = text.lower().partition("e")
    if len(exponent) > 9:
        raise InputError(f'claim "{what}": value = {_cut(text)} is beyond what float64 can hold')
    unit = float(f"1e{int(exponent or 0) - len(mantissa.partition('.')[2])}")
    tolerance = 0.5 * unit if stated is None else _number(stated, "tolerance", what)
    if tolerance < 0.0:
        raise InputError(f'claim "{what}": tolerance = {stated!r} is negative')
    return value, tolerance


def _number(given: object, key: str, what: str) -> float:
    """Returns a number of a claim. Raises InputError if it is none, or none that float64 has."""
    text = str(given).strip()
    try:
        value = float(text)
    except ValueError:
        raise InputError(f'claim "{what}": {key} = {_cut(text)!r} is not a number') from None
    if not math.isfinite(value):
        raise InputError(f'claim "{what}": {key} = {_cut(text)} is beyond what float64 can hold')
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _stamp(claimed: float, found: Estimate, tolerance: float) -> Stamp:
    if found.kind == "unresolved":
        return "cannot tell"
    if found.kind == "infinite":
        return "confirmed" if math.isinf(claimed) else "refuted"
    low, high = found.interval
    slack = 1.02 * tolerance
    if low - slack <= claimed <= high + slack:
        wide = high - low > 2.0 * slack and found.kind == "estimate"
        return "cannot tell" if wide else "confirmed"
    return "refuted"
