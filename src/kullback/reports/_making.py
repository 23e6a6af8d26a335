"""What a report says of its own making, and of what was fitted."""

import math

from kullback._version import __version__
from kullback.distributions._table_mixture import TableMixture
from kullback.reports._components import components
from kullback.reports._figures import Fact, Role
from kullback.reports._numbers import error_of, interval_of, kind_of, percent, value_of
from kullback.results._demo import Coverage, ModeCover
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit


def fact(e: Estimate, role: Role = "neutral", label: str = "") -> Fact:
    """Returns an estimate as a number to take away: its name, value, error and kind."""
    unit = "" if e.kind in ("infinite", "unresolved") or not e.unit else f" {e.unit}"
    details = [error_of(e), interval_of(e), kind_of(e)]
    return Fact(label or e.direction, value_of(e) + unit, "; ".join(d for d in details if d), role)


def made(
    *, key: object, seconds: float, clock: str, fits: tuple[Fit, ...] = ()
) -> tuple[tuple[str, str], ...]:
    """Returns what the foot of a page says: version, key, time, and what the fits took."""
    rows = [("kullback", __version__)]
    if key is not None:
        rows.append(("key", str(key)))
    if fits:
        rows.append(("starts", " + ".join(str(f.starts) for f in fits)))
        rows.append(("evaluations", f"{sum(f.evaluations for f in fits):,}".replace(",", " ")))
    if seconds > 0.0:
        rows.append((f"{clock} seconds", f"{seconds:.1f}"))
    rows.append(
        ("numbers", "nats, float64; ± is an error bound (numeric) or a standard error (estimate)")
    )
    return tuple(rows)


def family(fit: Fit) -> str:
    """Returns what q was chosen from, in words: "a mixture of 2 Gaussians"."""
    found = components(fit.q)
    if isinstance(fit.q, TableMixture):
        k = len(fit.q.weights)
        what = (
            "Gaussians with counts and categories"
            if math.isinf(fit.q.df[0])
            else "Student's t distributions"
        )
        return f"a mixture of {k} {what}"
    if found is None:
        article = "an" if fit.family[:1] in "AEIOU" else "a"
        return f"{article} {fit.family} distribution"
    k = len(found.weights)
    return "a Gaussian" if k == 1 else f"a mixture of {k} Gaussians"


def covers(cover: Coverage) -> str:
    """Returns what a fit does with the modes: "covers all 3 modes of p"."""
    total = len(cover.modes)
    parts = []
    for verdict, verb in (("covered", "covers"), ("thin", "holds thinly"), ("dropped", "drops")):
        modes = [m for m in cover.modes if m.verdict == verdict]
        if len(modes) == total:
            return f"{verb} all {total} modes of p" if total > 1 else f"{verb} the only mode of p"
        if modes:
            parts.append(f"{verb} {_named(modes, verdict)}")
    return " and ".join(parts)


def _named(modes: list[ModeCover], verdict: str) -> str:
    if verdict == "covered":
        return "one mode of p" if len(modes) == 1 else f"{len(modes)} modes of p"
    names = ", ".join(f"the {m.name}" for m in modes)
    return f"{names} ({percent(sum(m.mass_p for m in modes))} of p)"
