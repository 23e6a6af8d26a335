"""Fitting: the q of a family that is closest to p, in a direction that must be said."""

import time
from pathlib import Path
from typing import Literal

import numpy as np

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import Run, Watch
from kullback.distributions.base import Distribution
from kullback.families import (
    Auto,
    FullRank,
    Gaussians,
    LowRank,
    MeanField,
    Mixture,
    as_recipe,
    parse_family,
)
from kullback.inputs.given import distribution
from kullback.results.fit import Direction, Fit
from kullback.routes.known import _STARTS, _gaussians_to_density, _others_to_density
from kullback.routes.samples_forward import check_numbers, fit_family, fit_samples, in_memory
from kullback.routes.selection import best_of
from kullback.targets import LogDensity, Samples, Stream

#: Starts of each fit, where families are compared on rows left out.
_FOLD_STARTS = 3
Solver = Literal[
    "natural_gradient",
    "stick_the_landing",
    "reparameterization",
    "score_function",
    "plug_in",
    "adversarial",
]
_FOR_SAMPLES = ("plug_in", "adversarial")
#: Targets of which more is known than a log density and its gradient.
_NOT_BY_GRADIENTS = (str, np.ndarray, Samples, Stream, Distribution)


def fit(
    target: object,
    family: object,
    *,
    direction: Direction,
    starts: int | None = None,
    key: object = 0,
    watch: Watch | None = None,
    checkpoint: str | Path | None = None,
    solver: Solver | None = None,
) -> Fit:
    """Returns the member of a family that is closest to the target, and the other optima found.

    "forward" minimises KL(p||q): q must cover all of p, and p is needed by samples or as a density of
    one or two variables. "reverse" minimises KL(q||p): q seeks a part of p that it can match, and p is
    needed as a density, perhaps unnormalised.

    Args:
        target: `Samples`, or an array (n, d) of them; any distribution that `kl_divergence` takes;
            an unnormalised `LogDensity`, of any number of parameters in reverse; a model of PyMC, or
            what `kullback.interop.models` makes of one of NumPyro, Stan, torch or NumPy.
        family: MeanField(), FullRank(), LowRank(r), Mixture(k), a class of NumPyro with scalar events, or
            the name of one of these, such as "mixture:2" or "gamma". For reverse fits of log densities
            also "auto" and "mixture:auto", which take what is needed. For forward fits of samples also
            KernelDensity(), Categorical(), a list of families or "best": the one that predicts rows held out
            best, with the table of all in `selection`.
        direction: "forward" or "reverse"; there is no default.
        starts: descents from random starts; 60 for a mixture and a density.
        key: randomness, an int or a JAX key.
        watch: called with the number of descents done, or with words about what is being done.
        checkpoint: a file for what is found on the way, for reverse fits of log densities and forward fits
            to many rows: a killed run that is started again goes on from there, and ends with the same bits.
        solver: for reverse fits of log densities by one Gaussian: "natural_gradient", which needs no
            tuning, or an estimator of the ELBO's gradient for stochastic ascent: "stick_the_landing",
            "reparameterization" or "score_function". For reverse fits of samples: "plug_in", which fits
            p-hat first and minimises KL(q||p-hat), or "adversarial", a game against a critic.

    Raises:
        InputError: something given cannot be used.
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
    if starts is not None and starts < 1:
        raise InputError(f"starts={starts}: at least one start is needed")
    began = time.perf_counter()
    recipe = parse_family(family) if isinstance(family, str) else family
    told = watch or _silent
    if isinstance(target, LogDensity) and _is_integers(target.example):
        from kullback.routes.discrete_reverse import fit_discrete, is_discrete  # noqa: PLC0415

        if is_discrete(target):
            return fit_discrete(
                target, recipe, direction=direction, starts=starts, key=key, watch=told
            )
    by_gradients = direction == "reverse" and not isinstance(target, _NOT_BY_GRADIENTS)
    if isinstance(recipe, (MeanField, FullRank, Mixture, LowRank, Auto)) and by_gradients:
        # Here and not above: fits of tables and expressions never load JAX.
        from kullback.routes.log_density_reverse import fit_log_density, read  # noqa: PLC0415

        known = read(target)
        if known is not None:
            if solver == "plug_in" or solver == "adversarial":
                raise InputError(
                    f'solver="{solver}" is for samples: leave it out for a log density'
                )
            return fit_log_density(
                known,
                recipe,
                solver=solver or "natural_gradient",
                starts=starts,
                key=key,
                watch=told,
                checkpoint=checkpoint,
            )
    if isinstance(target, np.ndarray) and target.ndim >= 1:
        target = Samples(target)
    if isinstance(target, Stream) and direction == "reverse":
        target = in_memory(target)
    if isinstance(target, Samples) and direction == "reverse":
        return _reverse_to_samples(target, recipe, solver, starts, key, told, began)
    if solver not in (None, "natural_gradient"):
        kind = "samples" if solver in _FOR_SAMPLES else "log densities"
        raise InputError(
            f'solver="{solver}" is for reverse fits of {kind} by Gaussians; leave it out'
        )
    if isinstance(recipe, (list, tuple)) or recipe == "best":
        return _best_of(target, recipe, direction, key, told, began)
    mixture = Mixture("auto") if isinstance(recipe, Auto) else recipe
    if isinstance(target, (Samples, Stream)) and isinstance(
        mixture, (MeanField, FullRank, Mixture, LowRank)
    ):
        if not isinstance(mixture, Mixture):
            check_numbers(
                target, f"{mixture} is for", remedy="choose Mixture(1), which treats them"
            )
        return fit_samples(
            target,
            mixture,
            starts=starts,
            run=Run(key, told),
            checkpoint=checkpoint,
            began=began,
        )
    if isinstance(target, (Samples, Stream)):
        rows = in_memory(target)
        return fit_family(rows, recipe, key=key, watch=told, began=began)
    p = distribution(target, "target")
    if isinstance(recipe, Gaussians):
        return _gaussians_to_density(
            p, target, recipe, direction, starts or _STARTS, key, told, began
        )
    return _others_to_density(p, recipe, direction, told, began)


def _best_of(
    target: object, recipes: object, direction: Direction, key: object, watch: Watch, began: float
) -> Fit:
    if not isinstance(target, (Samples, Stream)) or direction != "forward":
        raise InputError(
            "several families are compared by how they predict rows of samples, in the forward direction: "
            "name one family"
        )

    def fit_one(p: Samples, recipe: Gaussians | LowRank) -> Fit:
        return fit(p, recipe, direction="forward", starts=_FOLD_STARTS, key=key)

    return best_of(in_memory(target), recipes, fit_one=fit_one, key=key, watch=watch, began=began)


def _reverse_to_samples(
    p: Samples,
    recipe: object,
    solver: Solver | None,
    starts: int | None,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    if not isinstance(recipe, Gaussians):
        raise UnsupportedError(
            f"family {as_recipe(recipe)} cannot be fitted to samples in reverse: choose full_rank, mean_field "
            'or mixture:2, or direction="forward"'
        )
    if solver not in (None, "plug_in", "adversarial"):
        raise InputError(
            f'solver="{solver}" needs a log density: for samples say "plug_in" or "adversarial"'
        )
    from kullback.routes.samples_reverse import reverse_from_samples  # noqa: PLC0415

    return reverse_from_samples(
        p, recipe, solver=solver or "plug_in", starts=starts, key=key, watch=watch, began=began
    )


def _silent(done: int | str) -> None:
    """Tells nobody."""
    del done


def _is_integers(example: object) -> bool:
    """Whether an example is an array of integers: then the latents may be discrete."""
    return isinstance(example, (np.ndarray, list)) and np.asarray(example).dtype.kind in "iub"
