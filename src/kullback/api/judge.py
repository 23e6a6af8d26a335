"""Judging: how far anyone's draws, or any density, are from a log density."""

from collections.abc import Callable

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import Run
from kullback.distributions.base import Distribution
from kullback.inputs.draws import holds_draws, read_draws
from kullback.inputs.given import distribution
from kullback.inputs.target import read
from kullback.render.progress import told
from kullback.results.fit import Fit
from kullback.results.judgement import Judgement
from kullback.routes.judging import judge_target


def judge(
    p: object,
    q: object,
    *,
    key: object = 0,
    progress: bool | Callable[[int | str], None] | None = None,
) -> Judgement:
    """Returns how far draws, or a density, are from a log density: evidence, both KLs, missed mass, a verdict.

    Of draws, which have no density, both KLs are bounded from below, by a mixture fitted to half of them and measured
    on the others. Every error allows for what draws of a chain share with those before. What is known of p without
    the draws comes from climbs to its modes and from tempered SMC.

    Args:
        p: a `LogDensity`, a model of NumPyro, PyMC or Stan, a density: as of `fit`, but not rows.
        q: draws of p's parameters: arrays by parameter, (n, *shape) or (chains, n, *shape); an array (n, d) or
            (chains, n, d); a data frame, an ArviZ tree, `Samples` (with `cluster=` chains and `order=`), or a file
            (.csv, .parquet, .npy, .nc). Or a density over p's parameters: a fit of p, any distribution that
            `kl_divergence` takes, `Known`.
        key: randomness, an int or a JAX key.
        progress: as of `fit`.

    Raises:
        InputError: draws lack parameters, are outside their support, have weights, or are too few.
        UnsupportedError: p is known by rows, or q is over something else than p.
        DensityError: p, or q, is no density.

    Example:
        >>> import numpy as np
        >>> draws = np.random.default_rng(0).normal(-3.0, 1.0, 2000)
        >>> print(judge("0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)", draws).diagnosis)
        do not use: misses mass: ...
    """
    target = read(p)
    if target.known not in ("log density", "density"):
        instead = (
            'a fit of it is judged as it is made, fit(p, "bernoulli", direction="reverse")'
            if target.known == "discrete log density"
            else "two sets of rows are compared by diff(a, b) and kl_divergence(Samples(a), Samples(b))"
        )
        raise UnsupportedError(
            f"p is known by {target.known}, and judging takes a log density over the reals: {instead}"
        )
    judged = q.q if isinstance(q, Fit) else q
    with told("judging", progress) as watch:
        run = Run(key, watch)
        if not isinstance(judged, Distribution) and holds_draws(judged):
            drawn = read_draws(judged, target.unconstrained)
            return judge_target(target.unconstrained, drawn, run)
        density = distribution(judged, "q")
        if not density.normalized:
            raise InputError(
                "q is a log density up to a constant: give its draws, or a density that is normalised"
            )
        return judge_target(target.unconstrained, density, run)
