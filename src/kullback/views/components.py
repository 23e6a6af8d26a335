"""What the components of a mixture say of each column."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._version import __version__
from kullback.core.errors import UnsupportedError
from kullback.distributions.base import Distribution
from kullback.distributions.compound import Mixture
from kullback.distributions.flow import CouplingFlow
from kullback.distributions.gaussian_mixture import (
    GaussianMixture,
    TableMixture,
    components_of,
    table_of,
)
from kullback.distributions.real import Normal
from kullback.distributions.transported import Approximation
from kullback.distributions.vector import MultivariateNormal
from kullback.expressions.format import format_distribution
from kullback.families import Flow, FullRank, LowRank, MeanField, Recipe
from kullback.families import Mixture as MixtureRecipe
from kullback.render.document import Fact, Role
from kullback.results.contributions import Coverage, ModeCover
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit
from kullback.views.numbers import error_of, interval_of, kind_of, percent, value_of

#: Labels of a category written out.
_MOST_LABELS = 3


@final
@dataclass(frozen=True)
class ComponentColumn:
    """One column of one component.

    Attributes:
        component: from 1.
        weight: of the component.
        column: its name.
        mean: None for categories; of a count its rate.
        sd: None for categories; infinite for Student's t of no more than two degrees of freedom.
        df: degrees of freedom of the component; infinite for a Gaussian.
        labels: the most probable ones with their probabilities; empty for numbers.
    """

    component: int
    weight: float
    column: str
    mean: float | None
    sd: float | None
    df: float
    labels: str


def parts(
    q: Distribution, names: tuple[str, ...], labels: tuple[tuple[str, ...], ...] = ()
) -> list[ComponentColumn]:
    """Returns the columns of all components, in order; none if q is no mixture of such.

    Args:
        q: any distribution.
        names: of its columns.
        labels: of its categories, () for numbers.
    """
    try:
        mixture = components_of(q)
    except UnsupportedError:
        return []
    if isinstance(mixture, GaussianMixture):
        mixture = table_of(mixture)
    labels = labels if len(labels) == len(names) else ((),) * len(names)
    return [
        p for i in range(len(mixture.weights)) for p in _of_component(mixture, i, names, labels)
    ]


def _of_component(
    q: TableMixture, i: int, names: tuple[str, ...], labels: tuple[tuple[str, ...], ...]
) -> list[ComponentColumn]:
    df = float(q.df[i])
    stretch = math.sqrt(df / (df - 2.0)) if 2.0 < df < math.inf else 1.0
    sds = np.sqrt(np.sum(q.roots[i] ** 2, axis=1)) * (stretch if df > 2.0 else math.inf)
    reals = {j: (float(m), float(s)) for j, m, s in zip(q.reals, q.means[i], sds, strict=True)}
    counts = {j: (float(r), math.sqrt(r)) for j, r in zip(q.counts, q.rates[i], strict=True)}
    tables = {j: t[i] for j, t in zip(q.categories, q.tables, strict=True)}
    columns = []
    for j, name in enumerate(names):
        mean, sd = (reals | counts).get(j, (None, None))
        words = _likeliest(tables[j], labels[j]) if j in tables else ""
        columns.append(ComponentColumn(i + 1, float(q.weights[i]), name, mean, sd, df, words))
    return columns


def _likeliest(table: Float[np.ndarray, " l"], labels: tuple[str, ...]) -> str:
    order = np.argsort(-table, kind="stable")
    shown = [f"{labels[j] if j < len(labels) else j} {table[j]:.3f}" for j in order[:_MOST_LABELS]]
    return ", ".join(shown) + (", …" if len(order) > _MOST_LABELS else "")


# Distributions in words and, where they are Gaussians or mixtures of them, in numbers.

#: Longer descriptions would not be read.
_LONGEST = 160


@final
@dataclass(frozen=True, eq=False)
class Gaussians:
    """Weights, means and covariances of a mixture of Gaussians, by the first mean."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    covariances: Float[np.ndarray, "k d d"]

    @property
    def sds(self) -> Float[np.ndarray, "k d"]:
        return np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))


def components(d: Distribution) -> Gaussians | None:
    """Returns the Gaussian components of a distribution; None if it has none."""
    match d:
        case Normal(loc, scale):
            parts = ([1.0], [[float(loc)]], [[[float(scale) ** 2]]])
        case MultivariateNormal():
            parts = ([1.0], d.loc[None], d.covariance[None])
        case GaussianMixture():
            parts = (d.weights, d.means, d.covariances)
        case Mixture() if all(isinstance(c, Normal | MultivariateNormal) for c in d.components):
            inner = [c for part in d.components if (c := components(part)) is not None]
            means, covariances = (
                [getattr(c, of) for c in inner] for of in ("means", "covariances")
            )
            parts = (d.weights, np.concatenate(means), np.concatenate(covariances))
        case _:
            return None
    weights, means, covariances = (np.asarray(a, dtype=np.float64) for a in parts)
    order = np.argsort(means[:, 0], kind="stable")
    return Gaussians(weights[order], means[order], covariances[order])


def describe(d: Distribution) -> str:
    """Returns a distribution as a short expression.

    Example:
        >>> describe(Normal(0.0, 2.0))
        'normal(0, sd=2)'
    """
    text = format_distribution(d, digits=4)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# Facts, provenance, and what was fitted, in words.


def fact(e: Estimate, role: Role = "neutral", label: str = "", *, repeated: bool = False) -> Fact:
    """Returns an estimate as a number to take away: its name, value, error and kind."""
    unit = "" if e.kind in ("infinite", "unresolved") or not e.unit else f" {e.unit}"
    details = "; ".join(d for d in (error_of(e), interval_of(e), kind_of(e)) if d)
    return Fact(label, e.direction, value_of(e) + unit, details, str(e), role, repeated)


def provenance(
    *, key: object, seconds: float, clock: str, fits: tuple[Fit, ...] = ()
) -> tuple[tuple[str, str], ...]:
    """Returns the foot of a page: version, key, time, and what the fits took."""
    rows = [("kullback", __version__)]
    if key is not None:
        rows.append(("key", str(key)))
    if fits:
        rows.append(("starts", " + ".join(str(f.starts) for f in fits)))
        rows.append(("evaluations", f"{sum(f.evaluations for f in fits):,}".replace(",", " ")))
    if seconds > 0.0:
        rows.append((f"{clock} seconds", f"{seconds:.1f}"))
    numbers = "float64; ± is an error bound (numeric) or a standard error (estimate)"
    return (*rows, ("numbers", numbers))


def family(fit: Fit) -> str:
    """Returns what q was chosen from, in words: "a mixture of 2 Gaussians"."""
    gaussians = components(fit.q)
    if isinstance(fit.q, TableMixture):
        gaussian = math.isinf(fit.q.df[0])
        what = "Gaussians with counts and categories" if gaussian else "Student's t distributions"
        return f"a mixture of {len(fit.q.weights)} {what}"
    if gaussians is None:
        name = str(fit.family)
        return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name} distribution"
    k = len(gaussians.weights)
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


def in_words(family: Recipe, *, full: bool = False) -> str:
    """Returns a family's name as short words, or as those of a sentence.

    Example:
        >>> in_words(MixtureRecipe(4)), in_words(LowRank(5)), in_words(MixtureRecipe(4), full=True)
        ('mixture of 4', 'low rank, 5', 'a mixture of 4 Gaussians')
    """
    match family:
        case MeanField():
            return "a mean-field Gaussian" if full else "mean field"
        case FullRank():
            return "a full-rank Gaussian" if full else "full rank"
        case LowRank(r):
            return f"a Gaussian of low rank, {r}" if full else f"low rank, {r}"
        case Flow():
            return "a flow" if full else "flow"
        case MixtureRecipe(k):
            return f"a mixture of {k} Gaussians" if full else f"mixture of {k}"
    return str(family)


# A q of many coordinates, for JSON.

#: Up to this many coordinates q is written out as an expression.
_WRITTEN = 3


def described(q: Distribution) -> str:
    """Returns a fitted q as an expression or, of many coordinates, in words."""
    base, d = (
        (q.base, len(q.coordinates)) if isinstance(q, Approximation) else (q, q.support.dimension)
    )
    if base is q and d <= _WRITTEN:
        return format_distribution(q)
    if isinstance(base, CouplingFlow):
        return f"a {base}"
    k = len(base.weights) if isinstance(base, GaussianMixture) else 1
    what = "a Gaussian" if k == 1 else f"a mixture of {k} Gaussians"
    return f"{what} over {d} unconstrained coordinates"


def gaussian_values(q: Distribution) -> dict[str, object] | None:
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
