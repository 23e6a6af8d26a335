"""Fitting: the q of a family that is closest to p, in a direction that must be said."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from kullback._core.errors import InputError, UnsupportedError
from kullback._core.threads import one_thread
from kullback.api import _coerce, _families, _samples
from kullback.api._admission import check_numbers, in_memory
from kullback.api._best_of import best_of as _best_of_families
from kullback.api._measure import label
from kullback.distributions._base import Distribution
from kullback.estimators import _select
from kullback.estimators._question import KL, Question
from kullback.families import (
    Auto,
    FullRank,
    Gaussians,
    LowRank,
    MeanField,
    Mixture,
    components,
    is_diagonal,
    parse_family,
)
from kullback.fitting import _gaussians, _nodes, _parametric
from kullback.fitting._multistart import Search
from kullback.fitting._nodes import Nodes
from kullback.fitting._optima import Basin
from kullback.fitting._run import Run
from kullback.interop._parametric_families import family_of
from kullback.objectives import Layout
from kullback.results._estimate import Estimate
from kullback.results._fit import Direction, Fit, Optimum
from kullback.targets import LogDensity, Samples, Stream

#: Told what is being done, in words, or how many descents are done.
Watch = Callable[[int | str], None]
#: Starts for a mixture, unless said: every local optimum worth knowing should be met.
_STARTS = 60
#: Starts for one Gaussian, and for a family of scalars: more than there are modes and runs of modes, mostly.
_STARTS_OF_ONE, _STARTS_OF_SCALARS = 24, 12
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
#: Local optima reported.
_MOST = 12


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
        starts: descents made; 60 for a mixture and a density, 24 for one Gaussian, 12 for other families.
            They begin at optima of the families that this one contains, at p's modes and quantiles, and at
            random; descents in those families come on top, and what is best is never worse than theirs.
            One Gaussian in "forward" needs none: it has p's moments.
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
        from kullback.api import _discrete  # noqa: PLC0415

        if _discrete.is_discrete(target):
            return _discrete.fit_discrete(
                target, recipe, direction=direction, starts=starts, key=key, watch=told
            )
    by_gradients = direction == "reverse" and not isinstance(target, _NOT_BY_GRADIENTS)
    if isinstance(recipe, (MeanField, FullRank, Mixture, LowRank, Auto)) and by_gradients:
        # Here and not above: fits of tables and expressions never load JAX.
        from kullback.api import _reverse  # noqa: PLC0415

        known = _reverse.read(target)
        if known is not None:
            if solver == "plug_in" or solver == "adversarial":
                raise InputError(
                    f'solver="{solver}" is for samples: leave it out for a log density'
                )
            return _reverse.fit_log_density(
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
        return _samples.fit_samples(
            target,
            mixture,
            starts=starts,
            run=Run(key, told),
            checkpoint=checkpoint,
            began=began,
        )
    if isinstance(target, (Samples, Stream)):
        rows = in_memory(target)
        return _families.fit_family(rows, recipe, key=key, watch=told, began=began)
    p = _coerce.distribution(target, "target")
    if isinstance(recipe, Gaussians):
        return _gaussians_to_density(
            p, target, recipe, direction, starts, key, told, began, family=_words(recipe)
        )
    if _is_normal(recipe) and not p.support.dimension and not p.support.discrete:
        return _gaussians_to_density(
            p, target, FullRank(), direction, starts, key, told, began, family=_words(recipe)
        )
    return _others_to_density(p, recipe, direction, starts, key, told, began)


def _gaussians_to_density(
    p: Distribution,
    target: object,
    recipe: Gaussians,
    direction: Direction,
    starts: int | None,
    key: object,
    watch: Watch,
    began: float,
    *,
    family: str,
) -> Fit:
    scalar = p.support.dimension == 0
    example = (
        np.asarray(target.example, dtype=np.float64) if isinstance(target, LogDensity) else None
    )
    nodes = _nodes.of_density(p, example)
    layout = Layout(components(recipe), nodes.x.shape[1], is_diagonal(recipe))
    asked = starts or (_STARTS if layout.k > 1 else _STARTS_OF_ONE)
    if direction == "forward":
        _refuse_heavy(p)
    if direction == "forward" and layout.k == 1:
        _refuse_starts(starts)
        q = _gaussians.member(_gaussians.moment_matched(nodes, layout), scalar=scalar)
        watch(1)
        optima = (Optimum(q, _measured(p, q, direction, nodes), 1.0, 0.0),)
        return _fit(p, optima, (q,), direction, family, 1, 1, began, nodes)
    with one_thread():
        found = _gaussians.descents(p, nodes, layout, direction, starts=asked, key=key, watch=watch)

    def measured(basin: Basin) -> tuple[Distribution, Estimate]:
        q = _gaussians.member(layout.unpack(basin.best.at), scalar=scalar)
        return q, _measured(p, q, direction, nodes)

    # Mirror images are equal but for rounding: the one that starts further left comes first.
    ends = sorted(
        ((*measured(b), b) for b in found.basins[:_MOST]),
        key=lambda e: (*_height(e[1], e[2]), float(layout.unpack(e[2].best.at).means.min())),
    )
    optima = tuple(Optimum(q, d, b.count / max(found.starts, 1), b.spread) for q, d, b in ends)
    path = tuple(
        _gaussians.member(layout.unpack(v), scalar=scalar) for v in _thinned(ends[0][2].best.path)
    )
    made = _fit(p, optima, path, direction, family, found.starts, found.evaluations, began, nodes)
    return _stopped(made, found, asked)


def _others_to_density(
    p: Distribution,
    recipe: object,
    direction: Direction,
    starts: int | None,
    key: object,
    watch: Watch,
    began: float,
) -> Fit:
    if p.support.dimension:
        raise UnsupportedError(
            f"family {recipe!r} has scalar events, but the target lives on {p.support}"
        )
    family, asked = family_of(recipe), starts or _STARTS_OF_SCALARS
    objective = _parametric.Divergence(KL, p, first=direction == "forward")
    with one_thread():
        found = _parametric.closest(family, p, objective, starts=asked, key=key, watch=watch)
    ends = []
    for basin in found.basins[:_MOST]:
        q = family.exactly(basin.best.at)
        ends.append((q, _measured(p, q, direction, None), basin))
    ends.sort(key=lambda e: _height(e[1], e[2]))
    optima = tuple(Optimum(q, d, b.count / max(found.starts, 1), b.spread) for q, d, b in ends)
    path = tuple(family.build(v) for v in _thinned(ends[0][2].best.path))
    made = _fit(
        p, optima, path, direction, _words(recipe), found.starts, found.evaluations, began, None
    )
    return _stopped(made, found, asked)


def _height(divergence: Estimate, basin: Basin) -> tuple[bool, float]:
    """Sorts optima by what was measured, by the search's own value where that is an estimate with noise."""
    told = divergence.kind in ("exact", "numeric", "infinite")
    noisy = divergence.kind == "estimate"
    return not (told or noisy), round(basin.best.value if noisy else divergence.value, 8)


def _stopped(made: Fit, found: Search, asked: int) -> Fit:
    if not found.interrupted:
        return made
    return replace(made, notes=(*made.notes, _interrupted(found.starts, asked)))


def _refuse_starts(starts: int | None) -> None:
    if starts is not None and starts > 1:
        raise InputError(
            f"starts={starts}: the Gaussian closest in KL(p||q) is the one with p's mean and covariance, "
            "and takes no search: leave starts out"
        )


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

    return _best_of_families(
        in_memory(target), recipes, fit_one=fit_one, key=key, watch=watch, began=began
    )


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
            f"family {_words(recipe)} cannot be fitted to samples in reverse: choose full_rank, mean_field "
            'or mixture:2, or direction="forward"'
        )
    if solver not in (None, "plug_in", "adversarial"):
        raise InputError(
            f'solver="{solver}" needs a log density: for samples say "plug_in" or "adversarial"'
        )
    from kullback.api import _from_samples  # noqa: PLC0415

    return _from_samples.reverse_from_samples(
        p, recipe, solver=solver or "plug_in", starts=starts, key=key, watch=watch, began=began
    )


def _fit(
    p: Distribution,
    optima: tuple[Optimum, ...],
    path: tuple[Distribution, ...],
    direction: Direction,
    family: str,
    starts: int,
    evaluations: int,
    began: float,
    nodes: Nodes | None,
) -> Fit:
    best = optima[0]
    if not math.isfinite(best.divergence.value):
        raise UnsupportedError(
            f"the divergence is infinite at every q that was reached ({best.divergence.reason}): if p ends "
            "somewhere, say where with support=, or choose a family on that support"
        )
    other: Direction = "reverse" if direction == "forward" else "forward"
    both = {direction: best.divergence, other: _measured(p, best.q, other, nodes)}
    same = sum(o.divergence.value - best.divergence.value < 1e-6 for o in optima) - 1
    notes = [f"{same} other optimum(s) of the same value: the best q is not unique"] if same else []
    return Fit(
        q=best.q,
        direction=direction,
        family=family,
        divergence=best.divergence,
        forward_kl=both["forward"],
        reverse_kl=both["reverse"],
        held_out=None,
        optima=optima,
        path=path,
        starts=starts,
        evaluations=evaluations,
        seconds=time.perf_counter() - began,
        notes=tuple(notes),
    )


def _measured(
    p: Distribution, q: Distribution, direction: Direction, nodes: Nodes | None
) -> Estimate:
    """Measures the divergence anew, by a method that knows nothing of the fit."""
    pair = (p, q) if direction == "forward" else (q, p)
    name = "KL(p||q)" if direction == "forward" else "KL(q||p)"
    question = Question(KL.quantity, name, KL.contribution, KL.nonnegative)
    if p.support.dimension == 2 and nodes is not None and not p.normalized:
        return label(question, _nodes.kl(p, q, nodes, direction))
    _, run = _select.choose(question, *pair)
    return label(question, run(_select.Effort()))


def _refuse_heavy(p: Distribution) -> None:
    """A Gaussian q is never close in forward KL to a p without a variance."""
    if p.support.dimension:
        return
    wide = _coerce.distribution("normal(0, sd=1)", "q")
    outcome = _select.choose(KL, p, wide)[1](_select.Effort())
    if outcome.kind == "infinite":
        raise UnsupportedError(
            f"KL(p||q) is infinite for every Gaussian q ({outcome.notes[0]}): choose a heavier family, "
            "such as numpyro.distributions.StudentT, or direction='reverse'"
        )


def _interrupted(done: int, asked: int) -> str:
    """What `notes` say of a fit that was stopped."""
    return f"interrupted after {done} of {asked} starts"


def _silent(done: int | str) -> None:
    """Tells nobody."""
    del done


def _thinned(path: tuple[Float[np.ndarray, " m"], ...]) -> list[Float[np.ndarray, " m"]]:
    index = np.unique(np.linspace(0, len(path) - 1, min(len(path), 40)).astype(int))
    return [path[i] for i in index]


def _is_normal(recipe: object) -> bool:
    """Whether a family of scalars is the Gaussians by another name, for which gradients are known."""
    if isinstance(recipe, str):
        return recipe.strip().lower() == "normal"
    module = str(getattr(recipe, "__module__", ""))
    return module.startswith("numpyro.") and getattr(recipe, "__name__", "") == "Normal"


def _words(recipe: object) -> str:
    return recipe.__name__ if isinstance(recipe, type) else str(recipe)


def _is_integers(example: object) -> bool:
    """Whether an example is an array of integers: then the latents may be discrete."""
    return isinstance(example, (np.ndarray, list)) and np.asarray(example).dtype.kind in "iub"
