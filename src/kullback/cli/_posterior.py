"""The trust report of a fit to a log density, as a page and as JSON: the verdict first."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from rich.table import Table
from rich.text import Text

from kullback.cli import _output
from kullback.cli._numbers import figure, near
from kullback.distributions._approximation import Approximation
from kullback.distributions._base import Distribution
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._vector import MultivariateNormal
from kullback.io import format_distribution
from kullback.results._diagnosis import Diagnosis, Parameter, Posterior
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit

_STYLES = {"trust": "bold green", "caution": "bold yellow", "do not use": "bold red"}
#: Parameters that are printed; the report and --json have all.
_MOST = 30
#: Remedies that are spelled for Python, and what they are here.
#: Up to this many coordinates q is written out as an expression.
_WRITTEN = 3
_TYPED = (
    (re.compile(r'family="([^"]+)"'), r"--family \1"),
    (re.compile(r"\buse (fit\.)"), r"use, in Python, \1"),
    (re.compile(r"with example=$"), "with example = ... in the file"),
)
_ROUTES = ("  route 1, which knows q", "  route 2, which does not")
_NO_TAIL = "no weight is far above their mean, so there is no tail to fit"


def as_typed(fit: Fit) -> Fit:
    """Returns a fit whose remedies are spelled as they are typed here."""
    if fit.posterior is None:
        return fit
    told = fit.posterior.diagnosis
    findings = tuple(replace(f, remedy=_typed(f.remedy)) for f in told.findings)
    made = Diagnosis(findings, _typed(told.unseen))
    return replace(fit, posterior=replace(fit.posterior, diagnosis=made))


def page(data: str, fit: Fit) -> Iterator[str | Text | Table]:
    """Yields the verdict, the numbers, the parameters, the ladder and the findings."""
    found = fit.posterior
    assert found is not None
    yield from _verdict(found.diagnosis)
    yield ""
    d = len(found.parameters)
    yield f"p: {data}, {d} parameter{'' if d == 1 else 's'}"
    yield f"q: {fit.family}, by minimising KL(q||p): q seeks a part of p that it can match"
    yield ""
    yield _numbers(fit, found)
    yield ""
    yield from _parameters(found)
    if len(found.ladder) > 1:
        yield ""
        yield "the ladder"
        yield _ladder(found)
    if len(fit.optima) > 1:
        yield ""
        others = ", ".join(figure(o.divergence, unit=False) for o in fit.optima[1:])
        yield _output.line(
            f"other optima of KL(q||p), which are no better: {others} {fit.divergence.unit}"
        )
    yield ""
    yield "what was looked at"
    yield _findings(found.diagnosis)
    yield ""
    nats, sds = found.fit_error
    yield (
        f"error of the fit itself: {nats:.1g} nats, {100.0 * sds:.1f} % of an sd; "
        f"{fit.evaluations} gradients, {fit.seconds:.1f} s"
    )
    for note in (*fit.notes, f"not knowable: {found.diagnosis.unseen}"):
        yield _output.line(f"note: {note}", indent="  ")


def as_dict(fit: Fit) -> dict[str, object]:
    """Returns plain JSON values, the verdict at the top and q by its numbers."""
    found = fit.posterior
    assert found is not None
    body = fit.as_dict(_described)
    told = found.diagnosis.as_dict()
    posterior = found.as_dict()
    if found.pareto_k == -math.inf:
        posterior["pareto_k_reason"] = _NO_TAIL
    return {
        "verdict": told["verdict"],
        "decided_by": told["decided_by"],
        "remedy": told["remedy"],
        **body,
        "posterior": posterior,
        "optima": [
            {"q": _described(o.q), "divergence": o.divergence.as_dict()} for o in fit.optima
        ],
        "gaussians": _gaussians(fit.q),
        "seconds": fit.seconds,
    }


def _verdict(told: Diagnosis) -> Iterator[str | Text]:
    decided = told.decided_by
    stamp = Text(told.verdict, style=_STYLES[told.verdict])
    if decided is None:
        looked = f": none of {len(told.findings)} findings speaks against this q"
        yield stamp + Text(looked)
        return
    named = decided.text.startswith(decided.name)
    text = decided.text if named else f"{decided.name}: {decided.text}"
    yield stamp + Text(f": {text}")
    if decided.remedy:
        yield _output.line(f"  {decided.remedy}", indent="  ")


def _numbers(fit: Fit, found: Posterior) -> Table:
    mass = found.outside
    rows = [
        ("ELBO", found.elbo),
        ("= E_q[log p]", found.energy),
        ("+ H(q)", found.entropy),
        ("log evidence", found.log_evidence),
        *zip(_ROUTES, found.routes, strict=True),
        ("  difference of the routes", found.agreement),
        ("KL(q||p), minimised", fit.reverse_kl),
        ("KL(p||q), of the same q", fit.forward_kl),
        (found.jeffreys.direction, found.jeffreys),
        ("EUBO - ELBO, a few steps from q", found.probe),
    ]
    cells = [[name, _value(e), _how(e)] for name, e in rows if e is not None]
    share = "unresolved" if mass.kind == "unresolved" else _percent(mass)
    cells.append(["p's mass outside q", share, _how(mass)])
    cells.append(["Pareto k of the weights", *_pareto(found.pareto_k)])
    return _output.table(("", fit.divergence.unit, "how"), cells)


def _value(e: Estimate) -> str:
    return figure(e, unit=False)


def _how(e: Estimate) -> str:
    count = "" if e.n is None else f", n = {e.n}"
    return e.reason or f"{e.method}{count}"


def _percent(mass: Estimate) -> str:
    return f"{100.0 * mass.value:.2f} ± {100.0 * mass.standard_error:.2f} %"


def _pareto(k: float) -> tuple[str, str]:
    if k == -math.inf:
        return "none", _NO_TAIL
    return f"{k:.2f}", "of q's own draws; above 0.7 they cannot be relied on"


def _parameters(found: Posterior) -> Iterator[str | Table]:
    shown = found.parameters[:_MOST]
    expected = any(p.expected_shrinkage is not None for p in shown)
    headers = ["parameter", "mean of q", "sd of q", "mean of p: shift, sds", "sd of q / sd of p"]
    yield _output.table(
        (*headers, *(["expected"] if expected else [])),
        [[*_row(p), *([_expected(p)] if expected else [])] for p in shown],
        right=(1, 2, 3, 4, 5) if expected else (1, 2, 3, 4),
    )
    left = len(found.parameters) - len(shown)
    if left:
        yield f"... {left} more: --json and the report have all"


def _row(p: Parameter) -> list[str]:
    return [p.name, _near(p.mean, p.sd), _near(p.sd, p.sd), _signed(p.mean_shift), _plain(p)]


def _near(value: float, scale: float) -> str:
    usual = 1e-6 < scale < 1e6 and abs(value) < 1e9
    return near(value, scale) if usual else f"{value:.6g}"


def _signed(shift: Estimate) -> str:
    return f"{shift.value:+.2f} ± {shift.standard_error:.2f}"


def _plain(p: Parameter) -> str:
    return f"{p.shrinkage.value:.2f} ± {p.shrinkage.standard_error:.2f}"


def _expected(p: Parameter) -> str:
    return "" if p.expected_shrinkage is None else f"{p.expected_shrinkage:.2f}"


def _ladder(found: Posterior) -> Table:
    best = -math.inf
    rows: list[list[str | Text]] = []
    for rung in found.ladder:
        gained = rung.elbo.value - best
        rows.append(
            [
                rung.family,
                _value(rung.elbo),
                f"{gained:+.3f}" if math.isfinite(gained) else "",
                _value(rung.reverse_kl),
                Text(rung.verdict, style=_STYLES[rung.verdict]),
                str(rung.evaluations),
            ]
        )
        best = max(best, rung.elbo.value)
    unit = found.elbo.unit
    headers = ("family", f"ELBO, {unit}", "gained", "KL(q||p)", "verdict", "gradients")
    return _output.table(headers, rows, right=(2, 5))


def _findings(told: Diagnosis) -> Table:
    rows = [
        [
            f.name,
            Text(f.verdict, style=_STYLES[f.verdict]),
            f.text.removeprefix(f"{f.name} = ") + (f"; {f.remedy}" if f.remedy else ""),
        ]
        for f in told.findings
    ]
    return _output.table(("finding", "verdict", "what was found"), rows)


def _described(q: Distribution) -> str:
    base, d = (
        (q.base, len(q.coordinates)) if isinstance(q, Approximation) else (q, q.support.dimension)
    )
    if base is q and d <= _WRITTEN:
        return format_distribution(q)
    k = len(base.weights) if isinstance(base, GaussianMixture) else 1
    what = "a Gaussian" if k == 1 else f"a mixture of {k} Gaussians"
    return f"{what} over {d} unconstrained coordinates"


def _gaussians(q: Distribution) -> dict[str, object] | None:
    """Weights, means and covariance roots over the unconstrained coordinates; None for others."""
    base = q.base if isinstance(q, Approximation) else q
    match base:
        case MultivariateNormal():
            weights, means, roots = np.ones(1), base.loc[None], base.scale_tril[None]
        case GaussianMixture():
            weights, means, roots = base.weights, base.means, base.scale_trils
        case _:
            return None
    plain = tuple(f"x[{i}]" for i in range(base.support.dimension)) or ("x",)
    names = q.coordinates if isinstance(q, Approximation) else plain
    return {
        "unconstrained_coordinates": list(names),
        "weights": weights.tolist(),
        "means": means.tolist(),
        "scale_trils": roots.tolist(),
    }


def _typed(text: str) -> str:
    for python, option in _TYPED:
        text = python.sub(option, text)
    return text
