"""Explaining: where a divergence is paid."""

from kullback._core.errors import UnsupportedError
from kullback.api import _sampled_plan
from kullback.api._extremes import extremes_told
from kullback.api._measure import label, pair
from kullback.api._two_samples import is_sampled
from kullback.diagnostics._contributions import regions
from kullback.estimators import _select
from kullback.estimators._question import CROSS_ENTROPY, ENTROPY, KL
from kullback.results._contributions import Contributions, Region


def explain(p: object, q: object, *, normalize: bool = False) -> Contributions:
    """Returns KL(p||q) cut into regions of x: where p log(p/q) is paid, with both masses.

    A region may add a negative amount, where q has more than p; the sum is the divergence.

    Args:
        p, q: as in `kl_divergence`.
        normalize: divide probabilities by their sum.

    Raises:
        InputError: p or q cannot be used.
        UnsupportedError: there are no regions to speak of: a vector that is neither a product nor
            a mixture, or samples.

    Example:
        >>> parts = explain([0.5, 0.5], [0.9, 0.1])
        >>> [round(r.contribution.value, 4) for r in parts.regions]
        [-0.2939, 0.8047]
    """
    if is_sampled(p, q):
        named = _sampled_plan.method(p, q, normalize=normalize)
        raise UnsupportedError(
            "explain cuts densities into regions, and p or q is known by draws only: kl_divergence(p, q) "
            f"measures it by {named!r}, and diff(p, q) of two tables has the regions of each column"
        )
    with extremes_told(p=p, q=q):
        left, right = pair(p, q, normalize=normalize)
        found = tuple(
            Region(name, low, high, mass_p, mass_q, label(KL, outcome))
            for name, low, high, mass_p, mass_q, outcome in regions(left, right)
        )
        total, cross, own = (
            label(question, _select.choose(question, left, other)[1](_select.Effort()))
            for question, other in ((KL, right), (CROSS_ENTROPY, right), (ENTROPY, left))
        )
    return Contributions(total, found, cross, own)
