"""The live page of two distributions of the line, as a file and in a notebook."""

from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, final

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

if TYPE_CHECKING:
    from kullback.render.widget import PageWidget

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
class LivePage:
    """The page, which needs nothing but itself.

    In a notebook, and with the extra `notebook`, `p` and `q` are what is on the screen, and `move` changes that.

    Attributes:
        p, q: what it is set to, as expressions.
        units: nats or bits, likewise.
        html: the page.
        path: the file it was written to; None if it was not.

    Example:
        >>> live = explore("normal(0, sd=2)")
        >>> live.move(q="normal(1, sd=1)")
        >>> live.q
        'normal(1, sd=1)'
    """

    def __init__(self, p: str, q: str, units: Units, path: Path | None = None):
        self._state: dict[str, str] = {"p": p, "q": q, "unit": units}
        self._widget: PageWidget | None = None
        self.path = path

    @property
    def p(self) -> str:
        return self._now("p")

    @property
    def q(self) -> str:
        return self._now("q")

    @property
    def units(self) -> str:
        return self._now("unit")

    @property
    def html(self) -> str:
        return page(self.p, self.q, self.units)

    def _now(self, name: str) -> str:
        return self._state[name] if self._widget is None else getattr(self._widget, name)

    def move(self, p: object = None, q: object = None) -> None:
        """Sets the page to another p or q, on the screen too.

        Args:
            p, q: as of `explore`; None leaves one as it is.

        Raises:
            InputError: p or q cannot be used.
            UnsupportedError: the page has no formula for one of them.
        """
        given = (self.p if p is None else p, self.q if q is None else q)
        self._state |= zip(("p", "q"), _words(*given), strict=True)
        if self._widget is not None:
            with self._widget.hold_sync():
                self._widget.p, self._widget.q = self._state["p"], self._state["q"]

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        """Returns the page for a notebook: alive where widgets are, else in a frame of its own."""
        frame = (
            f'<iframe title="KL divergence of p and q" width="100%" height="{_HEIGHT}" '
            f'style="border:0" srcdoc="{escape(self.html, quote=True)}"></iframe>'
        )
        shown: dict[str, object] = {"text/plain": repr(self), "text/html": frame}
        if self._widget is None and find_spec("anywidget") is not None:
            from kullback.render.widget import PageWidget  # noqa: PLC0415 - the extra `notebook`

            self._widget = PageWidget(page=self.html, height=_HEIGHT, **self._state)
        alive = None if self._widget is None else self._widget._repr_mimebundle_()
        return shown | (alive[0] if isinstance(alive, tuple) else alive or {})

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
    live = LivePage(*_words(p, q), units)
    live.path = None if path is None else write_atomic(path, live.html)
    return live


def _words(p: object, q: object) -> tuple[str, str]:
    """Returns p and q as the page reads them."""
    left = _member(p, "p")
    right = _start(left) if q is None else _member(q, "q")
    if left.support.discrete != right.support.discrete:
        raise InputError("explore: p and q must both be densities, or both lists of probabilities")
    return _written(left, "p"), _written(right, "q")


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
