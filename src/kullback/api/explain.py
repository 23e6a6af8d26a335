"""Explaining: which regions contribute to a divergence."""

from kullback.api.extremes import extremes_told
from kullback.api.measure import pair
from kullback.core.errors import UnsupportedError
from kullback.diagnostics.contributions import regions
from kullback.inputs.given import is_sampled
from kullback.inputs.target import sampled
from kullback.measure.question import CROSS_ENTROPY, ENTROPY, KL
from kullback.measure.table import Effort, choose, label
from kullback.results.contributions import Contributions, Region


def explain(p: object, q: object, *, normalize: bool = False) -> Contributions:
    """Returns KL(p||q) cut into regions of x: what p log(p/q) adds in each, with both masses.

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
    p, q = sampled(p, "p"), sampled(q, "q")
    if is_sampled(p, q):
        from kullback.measure.samples.table import method  # noqa: PLC0415 - it loads classifiers

        named = method(p, q, normalize=normalize)
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
            label(question, choose(question, left, other)[1](Effort()))
            for question, other in ((KL, right), (CROSS_ENTROPY, right), (ENTROPY, left))
        )
    return Contributions(total, found, cross, own)
