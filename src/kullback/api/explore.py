"""The live page of two distributions of the line, as a file and in a notebook."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import final

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import generator
from kullback.distributions.base import Distribution
from kullback.distributions.bounded import Uniform
from kullback.distributions.compound import Mixture
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.real import Laplace, Logistic, Normal, StudentT
from kullback.distributions.vector import Categorical, MultivariateNormal
from kullback.expressions.format import format_distribution
from kullback.expressions.parse import mix
from kullback.files.atomic import write_atomic
from kullback.inputs.given import distribution
from kullback.render.document import Live
from kullback.render.explore import page
from kullback.results.fit import Fit
from kullback.results.quantity import Units

#: What the page evaluates by formulas of its own.
_FAMILIES = (Normal, StudentT, Laplace, Logistic, Uniform)
_MOST_COMPONENTS, _MOST_OUTCOMES = 5, 40
#: As many as tell a float from all others within 1e-15 of it, and 0.3 stays 0.3.
_DIGITS = 15
#: Three modes, to be fitted by two components in both directions.
TARGET = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"
#: An article's fit to the three modes, which is far from the best of its family.
_CLAIM = "0.52*normal(-1.98, sd=0.41) + 0.48*normal(1.97, sd=0.42)"
_HEIGHT = 900


@final
@dataclass(frozen=True)
class LivePage:
    """The page, which needs nothing but itself.

    Attributes:
        p, q: what it is set to, as expressions.
        html: the page.
        path: the file it was written to; None if it was not.
    """

    p: str
    q: str
    html: str
    path: Path | None

    def _repr_html_(self) -> str:
        """Returns the page in a frame of its own, for a notebook."""
        return (
            f'<iframe title="KL divergence of p and q" width="100%" height="{_HEIGHT}" '
            f'style="border:0" srcdoc="{escape(self.html, quote=True)}"></iframe>'
        )

    def __repr__(self) -> str:
        where = "not written" if self.path is None else str(self.path)
        return f"<live page of p = {self.p} and q = {self.q}: {where}>"


def explore(
    p: object = None, q: object = None, *, path: str | Path | None = None, units: Units = "nats"
) -> LivePage:
    """Returns a page that shows both divergences of p and q while either is moved.

    It holds both curves with a handle for each parameter, both integrands, optima in both directions, two
    samples with the maximum-likelihood fit to each, and k1, k2, k3; its numbers are those of `kl_divergence`.

    Args:
        p, q: distributions of the line as in `kl_divergence`, or a `Fit`, whose q is meant; mixtures of up to
            five normals, Student's t, Laplace, logistic or uniform distributions, or up to 40 probabilities.
            A fit alone to a p that it knows is p and q. Without q it is a normal with p's median and spread;
            without both, an article's experiment.
        path: of a file to write; none by default.
        units: nats or bits, to begin with.

    Raises:
        InputError: p or q cannot be used.
        UnsupportedError: the page has no formula for one of them.

    Example:
        >>> explore("normal(0, sd=2)", "normal(0, sd=3)")
        <live page of p = normal(0, sd=2) and q = normal(0, sd=3): not written>
    """
    if p is None:
        p, q = TARGET, _CLAIM if q is None else q
    if isinstance(p, Fit) and p.target is not None and q is None:
        p, q = p.target, p.q
    left = _member(p, "p")
    right = _start(left) if q is None else _member(q, "q")
    if left.support.discrete != right.support.discrete:
        raise InputError("explore: p and q must both be densities, or both lists of probabilities")
    words = _written(left, "p"), _written(right, "q")
    html = page(*words, units)
    return LivePage(*words, html, None if path is None else write_atomic(path, html))


def live_of(p: Distribution, q: Distribution, unit: str) -> Live | None:
    """Returns what a report says of p and q to the live page; None if they have no place on it."""
    try:
        left, right = _on_the_line(p), _on_the_line(q)
        if left.support.discrete != right.support.discrete:
            return None
        return Live(_written(left, "p"), _written(right, "q"), unit or "nats")
    except (InputError, UnsupportedError):
        return None


def _member(thing: object, name: str) -> Distribution:
    given = thing.q if isinstance(thing, Fit) else thing
    return _on_the_line(distribution(given, name))


def _on_the_line(d: Distribution) -> Distribution:
    """Returns a Gaussian or a mixture of Gaussians in one column as one of the line; nested mixtures flat."""
    match d:
        case MultivariateNormal() if len(d.loc) == 1:
            return Normal(float(d.loc[0]), float(d.scale_tril[0, 0]))
        case GaussianMixture() if d.means.shape[1] == 1:
            parts = [
                Normal(float(m[0]), float(s[0, 0]))
                for m, s in zip(d.means, d.scale_trils, strict=True)
            ]
            return mix(list(zip(map(float, d.weights), parts, strict=True)))
        case Mixture():
            return mix(list(zip(map(float, d.weights), d.components, strict=True)))
        case _:
            return d


def _start(p: Distribution) -> Distribution:
    """A normal with p's median and the half of what its middle two thirds span; equal shares of outcomes."""
    if isinstance(p, Categorical):
        k = len(p.probabilities)
        return Categorical.from_probabilities(np.full(k, 1.0 / k))
    _written(p, "p")
    low, middle, high = np.quantile(p.sample(generator(0), 4001), [0.16, 0.5, 0.84])
    return Normal(float(f"{middle:.3g}"), float(f"{0.5 * (high - low):.3g}"))


def _written(d: Distribution, name: str) -> str:
    parts = d.components if isinstance(d, Mixture) else (d,)
    if isinstance(d, Categorical) and len(d.probabilities) <= _MOST_OUTCOMES:
        return format_distribution(d, digits=_DIGITS)
    strange = next((c for c in parts if not isinstance(c, _FAMILIES)), None)
    if strange is not None or len(parts) > _MOST_COMPONENTS:
        what = f"{len(parts)} components" if strange is None else format_distribution(strange)
        raise UnsupportedError(
            f"explore: {name} has {what}; the page has mixtures of up to {_MOST_COMPONENTS} normal, student_t, "
            f"cauchy, laplace, logistic and uniform distributions, and up to {_MOST_OUTCOMES} probabilities. "
            "kl_divergence and its report take any"
        )
    return format_distribution(d, digits=_DIGITS)
