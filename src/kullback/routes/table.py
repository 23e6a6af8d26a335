"""Two directions times what is known of p: the table that the product is about, as data."""

from dataclasses import dataclass
from typing import Literal, final

from kullback.distributions.base import Distribution, Foreign

Known = Literal["samples", "unnormalised log-density", "normalised density"]


@final
@dataclass(frozen=True)
class Route:
    """How one direction is minimised, given what is known of p."""

    known: Known
    forward: str
    reverse: str


ROUTES = (
    Route(
        "samples",
        "maximum likelihood, which is the cross-entropy: KL up to H(p)",
        "not computable directly, it needs log p at draws of q: minimise to a p-hat that is fitted first "
        "(plug-in, an estimate), or play against a critic (adversarial, a lower bound)",
    ),
    Route(
        "unnormalised log-density",
        "needs means under p: quadrature in one or two variables, draws of p beyond",
        "the ELBO: KL up to the log-evidence, at draws of q",
    ),
    Route(
        "normalised density",
        "maximum likelihood on as many draws as wanted, or quadrature",
        "as the ELBO, and the KL itself, not only up to a constant",
    ),
)

#: What minimising each direction does to q, and under what the mean is taken.
DOES = {
    "forward": "covers: q must have mass wherever p has (zero-avoiding, mass-covering, inclusive)",
    "reverse": "seeks: q may leave parts of p out, not add to it (zero-forcing, mode-seeking, exclusive)",
}
NEEDS = {
    "forward": "draws of p (or its density on the line) and log q there; log p only for the constant H(p)",
    "reverse": "draws of q and log p there, up to a constant: samples of p give a p-hat, or a critic, instead",
}
EXPECTATION = {"forward": "the mean is taken under p", "reverse": "the mean is taken under q"}


def known_of(p: Distribution) -> Known:
    """Returns the row of the table that a distribution is in."""
    if isinstance(p, Foreign) and not p.normalized:
        return "unnormalised log-density"
    return "normalised density"
