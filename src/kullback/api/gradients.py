"""Explaining gradients: what each estimator of the ELBO's gradient does on a target."""

from kullback.core.errors import InputError
from kullback.core.run import Run
from kullback.diagnostics.gradients import compare, displaced
from kullback.families import FullRank, MeanField, is_diagonal, parse_family
from kullback.fitting.reverse import reverse_fit
from kullback.inputs.target import read
from kullback.results.loss_report import Gradients
from kullback.routes.job import Job

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
    known = read(target).unconstrained
    job = Job(known, Run(key), _CLIMBS)
    q = reverse_fit(job.density, job.search, recipe, job.run).q
    rows, norms = [], []
    places = (("at the optimum", q), ("one sd away, 1.5 times as wide", displaced(q)))
    for i, (place, there) in enumerate(places):
        made, norm = compare(job.density, there, place, job.run.generator("compare", i))
        rows += made
        norms.append((place, norm))
    d = known.dimension
    parameters = 2 * d if is_diagonal(recipe) else d + d * (d + 1) // 2
    return Gradients(str(recipe), parameters, tuple(rows), tuple(norms), job.density.count)
