"""Fitting: the q of a family that is closest to p, in a direction that must be said."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from kullback.core.errors import InputError
from kullback.core.executor import Executor, check_executor
from kullback.core.run import Run
from kullback.distributions.base import Distribution
from kullback.families import recipe_of
from kullback.inputs.target import read
from kullback.render.progress import told
from kullback.results.fit import Direction, Fit
from kullback.routes.table import Problem, check_options, choose

Solver = Literal[
    "natural_gradient",
    "path_gradient",
    "stick_the_landing",
    "reparameterization",
    "score_function",
    "plug_in",
    "adversarial",
    "conditional_likelihood",
]


def fit(
    target: object,
    family: object,
    *,
    direction: Direction,
    starts: int | None = None,
    key: object = 0,
    progress: bool | Callable[[int | str], None] | None = None,
    checkpoint: str | Path | None = None,
    solver: Solver | None = None,
    given: str | Sequence[str] = (),
    report: bool = True,
    executor: Executor | None = None,
) -> Fit:
    """Returns the member of a family that is closest to the target, and the other optima found.

    "forward" minimises KL(p||q): q must cover all of p, and p is needed by samples or as a density.
    "reverse" minimises KL(q||p): q seeks a part of p that it can match, and p is needed as a density,
    perhaps unnormalised. Which route answers is a table: `plan(target, family=family)`.

    Args:
        target: `Samples`, an array (n, d) or a data frame of them, the path of a table, `Counts`; any
            distribution that `kl_divergence` takes; an unnormalised `LogDensity` of any number of
            parameters; a model of NumPyro, PyMC or Stan.
        family: MeanField(), FullRank(), LowRank(r), Mixture(k), a class of NumPyro with scalar events, or
            the name of one of these, such as "mixture:2" or "gamma". For fits of log densities also "auto" and
            "mixture:auto", which take what is needed, and for these and rows Flow(), which bends a Gaussian. For
            forward fits of samples also KernelDensity(), Categorical(), a list of families or "best": the one that
            predicts rows held out best, with the table of all in `selection`.
        direction: "forward" or "reverse"; there is no default.
        starts: restarts; 60 for a mixture and a density, 24 for one Gaussian, 12 for other families.
            They begin at optima of the families that this one contains, at p's modes and quantiles, and at
            random; restarts in those families come on top, and what is best is never worse than theirs.
            Refused where there is one optimum only.
        key: randomness, an int or a JAX key.
        progress: whether to say on a terminal what is being done; by default where somebody sits in
            front of one. Or a function that is called with the number of restarts done, or with words.
        checkpoint: a file for what is found on the way, for fits of log densities and forward fits
            of Gaussians to rows: a killed run that is started again goes on from there, and ends with the
            same bits.
        solver: for reverse fits of log densities by one Gaussian: "natural_gradient", which needs no
            tuning, or an estimator of the ELBO's gradient for stochastic ascent: "stick_the_landing",
            "reparameterization" or "score_function". For reverse fits of samples: "plug_in", which fits
            p-hat first and minimises KL(q||p-hat), or "adversarial", a game against a critic.
        given: for forward fits of samples: columns x; q is then a density of the others given x, of greatest
            conditional likelihood. FullRank() is linear regression, Categorical() logistic regression, Mixture(k) a
            mixture of regressions whose weights depend on x. `fit.conditional` has the mutual information.
        report: for fits of log densities: False leaves the report out, for many small fits: what is there is q and
            its ELBO, which is `divergence`; KLs, evidence and verdict are None, and a q that misses a part of p
            is not found out. Refused by family="auto", which climbs by verdicts.
        executor: for forward fits of Gaussians to .parquet files: where passes over the rows are made, with the same
            bits as without: a `concurrent.futures` pool of processes (started by "spawn"), Dask's
            `client.get_executor(retries=2)`, or whatever else has such a `map`.

    Raises:
        InputError: something given cannot be used, or an option would not be used.
        WorkerError: a worker of the executor ended before its work was done.
        UnsupportedError: this direction cannot be fitted from what is known, with what to do instead.

    Example:
        >>> found = fit("uniform(0, 1)", "gaussian", direction="forward")
        >>> round(found.q.loc, 6), round(found.q.scale, 6)
        (0.5, 0.288675)
    """
    if direction not in ("forward", "reverse"):
        raise InputError(
            f'direction={direction!r}: say "forward", which minimises KL(p||q), or "reverse", KL(q||p)'
        )
    if starts is not None and (
        isinstance(starts, bool) or not isinstance(starts, int) or starts < 1
    ):
        raise InputError(f"starts={starts!r}: at least one start is needed, a whole number")
    names = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise InputError(
            f"given={given!r}: give the names of columns; those of an array are x1, x2, ..."
        )
    check_executor(executor)
    recipe, p = recipe_of(family), read(target, in_pieces=executor is not None)
    route = choose(p, recipe, direction, solver, given=bool(names))
    run = Run(key, place=None if checkpoint is None else Path(checkpoint), executor=executor)
    problem = Problem(p, recipe, direction, starts, route.solver, run, names, bool(report))
    check_options(route, problem)
    with told("fitting", progress) as watch:
        fitted = route.fit(replace(problem, run=replace(run, watch=watch)))
    return replace(fitted, target=p.given) if isinstance(p.given, Distribution) else fitted
