"""Explaining gradients: what each estimator of the ELBO's gradient does on a target."""

import numpy as np

from kullback._core.errors import InputError
from kullback.api import _coerce, _reverse
from kullback.api._job import Job
from kullback.diagnostics import _gradients
from kullback.distributions._base import Distribution
from kullback.families import FullRank, MeanField, is_diagonal, parse_family
from kullback.fitting._reverse import reverse_fit
from kullback.fitting._run import Run
from kullback.interop._numpy_function import numpy_function
from kullback.results._gradients import Gradients
from kullback.targets import Unconstrained

_CLIMBS = 4


def explain_gradients(
    target: object, family: MeanField | FullRank | str = "mean_field", *, key: object = 0
) -> Gradients:
    """Returns bias, variance and cost of the estimators of the ELBO's gradient, measured on a target.

    The family is fitted first; then stick-the-landing, reparameterisation and the score function with
    and without its baseline are run at the optimum and one sd away from it. The last row forgets the
    entropy of q and is biased by its gradient: a common mistake.

    Args:
        target: a log density, as for `fit`, or a distribution or expression as for `kl_divergence`.
        family: MeanField(), FullRank() or the name of one.
        key: randomness, an int or a JAX key.

    Raises:
        InputError: the family is another, or the target cannot be used.
        DensityError: p is 0 at draws of q, or no log density at all.

    Example:
        >>> found = explain_gradients("normal(1, sd=2)")
        >>> [row.estimator for row in found.rows if row.biased]
        ['score_function_of_log_p', 'score_function_of_log_p']
    """
    recipe = parse_family(family) if isinstance(family, str) else family
    if not isinstance(recipe, MeanField | FullRank):
        raise InputError(
            f'family={family!r}: gradients are compared for "mean_field" or "full_rank"'
        )
    known = _reverse.log_density(target)
    if known is None:
        known = _unconstrained(_coerce.distribution(target, "target"))
    job = Job(known, Run(key, lambda _: None), _CLIMBS)
    q = reverse_fit(job.density, job.search, recipe, job.run).q
    rows, norms = [], []
    places = (("at the optimum", q), ("one sd away, 1.5 times as wide", _gradients.displaced(q)))
    for i, (place, there) in enumerate(places):
        made, norm = _gradients.compare(job.density, there, place, job.run.generator("compare", i))
        rows += made
        norms.append((place, norm))
    d = known.dimension
    parameters = 2 * d if is_diagonal(recipe) else d + d * (d + 1) // 2
    return Gradients(str(recipe), parameters, tuple(rows), tuple(norms), job.density.count)


def _unconstrained(p: Distribution) -> Unconstrained:
    """A distribution's log density over the whole space, by differences."""
    support = p.support
    if support.kind not in ("interval", "real"):
        raise InputError(f"gradients need a density over the reals; the target lives on {support}")
    scalar = support.dimension == 0

    def log_prob(x: np.ndarray) -> np.ndarray:
        events = np.atleast_1d(x) if scalar else np.atleast_2d(x)
        values = p.log_prob(events)
        return values if np.ndim(x) == events.ndim else values[0]

    draws = p.sample(np.random.default_rng(0), 200)
    example = np.median(draws, axis=0)
    ends = (
        (support.low, support.high)
        if scalar and np.isfinite([support.low, support.high]).any()
        else None
    )
    return numpy_function(log_prob, example, support=ends)
