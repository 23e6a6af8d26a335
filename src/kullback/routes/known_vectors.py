"""Fits of Gaussians to a known density of several coordinates, in either direction."""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from kullback.core.errors import UnsupportedError
from kullback.core.run import Run
from kullback.distributions.base import Distribution
from kullback.distributions.gaussian_mixture import GaussianMixture
from kullback.distributions.vector import MultivariateNormal
from kullback.families import Gaussians, MeanField, components
from kullback.measure.question import KL
from kullback.measure.table import Effort, choose, label
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.quantity import FORWARD_KL, REVERSE_KL
from kullback.routes import log_density_reverse
from kullback.routes.samples_forward import fit_samples
from kullback.routes.table import Problem
from kullback.targets import Samples

#: Draws of p where its moments are not known: what they add to KL is parameters / (2 draws), below 1e-3 nats
#: for 200 parameters. EM passes over them many times, so it has fewer.
_MOMENT_DRAWS, _EM_DRAWS = 200_000, 40_000


def fit(problem: Problem) -> Fit:
    """Returns the closest Gaussians to a normalised density, both KLs measured anew.

    Forward: p's moments, exact where they are known, else those of draws of p; for mixtures maximum
    likelihood on draws. Reverse: the natural gradient on the ELBO, whose evidence is 1.

    Raises:
        UnsupportedError: p lives elsewhere than on all of R^d, has no finite variance, or cannot be drawn.
    """
    p = problem.target.density
    if p.support.kind != "real":
        raise UnsupportedError(
            f"the target lives on {p.support}, a Gaussian everywhere: say where it lives, "
            'LogDensity(fn, example, support=...), and fit it with direction="reverse"'
        )
    made = (
        _forward(p, problem) if problem.direction == "forward" else log_density_reverse.fit(problem)
    )
    return _measured_anew(p, made, problem.run)


def _forward(p: Distribution, problem: Problem) -> Fit:
    recipe, run = problem.family, problem.run
    assert isinstance(recipe, Gaussians)
    if components(recipe) > 1:
        drawn = Samples(p.sample(run.generator("draws of p"), _EM_DRAWS))
        return fit_samples(drawn, recipe, starts=problem.starts, run=run, hold_out=False)
    found = moments(p)
    note = "the Gaussian with p's mean and covariance"
    if found is None:
        x = p.sample(run.generator("draws of p"), _MOMENT_DRAWS)
        _check_moments(p)
        found = x.mean(axis=0), np.cov(x.T)
        note = f"the Gaussian with the mean and covariance of {_MOMENT_DRAWS:,} draws of p"
    run.watch(1)
    mean, covariance = found
    if isinstance(recipe, MeanField):
        covariance = np.diag(np.diag(covariance))
    q = MultivariateNormal(mean, np.linalg.cholesky(covariance))
    unknown = Estimate.unresolved(
        math.nan, "not measured yet", quantity=FORWARD_KL, method="moments"
    )
    return Fit(
        q=q, direction="forward", family=recipe, divergence=unknown, forward_kl=None,
        reverse_kl=None, held_out=None, optima=(Optimum(q, unknown, 1.0),), path=(q,), starts=1,
        evaluations=1, seconds=run.seconds, notes=(note,),
    )  # fmt: skip


def moments(
    p: Distribution,
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]] | None:
    """Returns the mean and covariance of p where they are known exactly.

    Example:
        >>> moments(MultivariateNormal(np.zeros(2), np.eye(2)))[1].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if isinstance(p, MultivariateNormal):
        return np.asarray(p.loc), np.asarray(p.covariance)
    if isinstance(p, GaussianMixture):
        mean = p.weights @ p.means
        apart = p.means - mean
        return mean, np.einsum("k,kij->ij", p.weights, p.covariances) + (
            apart.T * p.weights
        ) @ apart
    return None


def _check_moments(p: Distribution) -> None:
    """Raises UnsupportedError where a Gaussian is infinitely far: p's variance is not finite."""
    d = p.support.dimension
    wide = MultivariateNormal(np.zeros(d), np.eye(d))
    outcome = choose(KL, p, wide)[1](Effort())
    if outcome.kind == "infinite" or (outcome.kind == "unresolved" and "tail" in outcome.notes[0]):
        raise UnsupportedError(
            f"KL(p||q) is infinite, or cannot be told from it, for every Gaussian q ({outcome.notes[0]}): "
            "choose direction='reverse', or draw from p and fit Mixture(k, tails=\"student_t\")"
        )


def _measured_anew(p: Distribution, made: Fit, run: Run) -> Fit:
    """Returns a fit whose KLs are measured by the table of methods, which knows nothing of the fit."""
    both = {"forward": _kl(p, made.q, "forward", run), "reverse": _kl(p, made.q, "reverse", run)}
    divergence = both[made.direction]
    first, *others = made.optima
    rest = tuple(replace(o, divergence=_kl(p, o.q, made.direction, run)) for o in others)
    return replace(
        made,
        divergence=divergence,
        forward_kl=both["forward"],
        reverse_kl=both["reverse"],
        optima=(replace(first, divergence=divergence), *rest),
        seconds=run.seconds,
    )


def _kl(p: Distribution, q: Distribution, direction: str, run: Run) -> Estimate:
    pair, quantity = ((p, q), FORWARD_KL) if direction == "forward" else ((q, p), REVERSE_KL)
    question = replace(KL, quantity=quantity)
    _, measure = choose(question, *pair)
    return label(question, measure(Effort(key=run.key)))
