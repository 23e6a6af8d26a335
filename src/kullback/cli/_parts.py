"""What the components of a mixture say of each column."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback._core.errors import UnsupportedError
from kullback.distributions._base import Distribution
from kullback.distributions._components import components_of
from kullback.distributions._gaussian_mixture import GaussianMixture
from kullback.distributions._table_mixture import TableMixture

#: Labels of a category written out.
_MOST_LABELS = 3


@final
@dataclass(frozen=True)
class Part:
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
) -> list[Part]:
    """Returns the columns of all components, in order; none if q is no mixture of such.

    Args:
        q: any distribution.
        names: of its columns.
        labels: of its categories, () for numbers.
    """
    try:
        found = components_of(q)
    except UnsupportedError:
        return []
    if isinstance(found, GaussianMixture):
        found = _table(found)
    known = labels if len(labels) == len(names) else ((),) * len(names)
    return [
        part for i in range(len(found.weights)) for part in _of_component(found, i, names, known)
    ]


def _table(q: GaussianMixture) -> TableMixture:
    k, d = q.means.shape
    normal = np.full(k, np.inf)
    return TableMixture(
        ("continuous",) * d, q.weights, q.means, q.scale_trils, normal, np.empty((k, 0)), ()
    )


def _of_component(
    q: TableMixture, i: int, names: tuple[str, ...], labels: tuple[tuple[str, ...], ...]
) -> list[Part]:
    df = float(q.df[i])
    stretch = math.sqrt(df / (df - 2.0)) if 2.0 < df < math.inf else 1.0
    sds = np.sqrt(np.sum(q.roots[i] ** 2, axis=1)) * (stretch if df > 2.0 else math.inf)
    reals = {j: (float(m), float(s)) for j, m, s in zip(q.reals, q.means[i], sds, strict=True)}
    counts = {j: (float(r), math.sqrt(r)) for j, r in zip(q.counts, q.rates[i], strict=True)}
    tables = {j: t[i] for j, t in zip(q.categories, q.tables, strict=True)}
    made = []
    for j, name in enumerate(names):
        mean, sd = (reals | counts).get(j, (None, None))
        words = _likeliest(tables[j], labels[j]) if j in tables else ""
        made.append(Part(i + 1, float(q.weights[i]), name, mean, sd, df, words))
    return made


def _likeliest(table: Float[np.ndarray, " l"], labels: tuple[str, ...]) -> str:
    order = np.argsort(-table, kind="stable")
    shown = [f"{labels[j] if j < len(labels) else j} {table[j]:.3f}" for j in order[:_MOST_LABELS]]
    return ", ".join(shown) + (", …" if len(order) > _MOST_LABELS else "")
