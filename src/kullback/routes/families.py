"""Forward fits to samples that are not mixtures: families of scalars, kernel density, categories."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.run import Run, generator
from kullback.distributions.base import Distribution
from kullback.distributions.scalar import ScalarFamily, Values
from kullback.families import (
    Categorical,
    KernelDensity,
    Recipe,
    as_recipe,
)
from kullback.fitting.cross_validation import FOLDS, categorical, mean_score, moments
from kullback.fitting.cross_validation import held_out as cross_validation_held_out
from kullback.fitting.kernel_density import kernel_density
from kullback.fitting.rows import counts
from kullback.interop.families import scalar_family
from kullback.measure.question import CROSS_ENTROPY
from kullback.measure.table import label
from kullback.results.estimate import Estimate, Outcome
from kullback.results.fit import Fit, Optimum
from kullback.tables.kinds import Kind, Labels, check_whole, likelihoods
from kullback.targets import Counts, Samples, Stream

#: Counts of no more rows are written out: a count is as many rows, a weight is not.
_WRITTEN_OUT = 10_000_000
Watch = Callable[[int | str], None]

_FORWARD = "KL(p||q) up to H(p), which samples alone do not give"
_FOLDS = f"rows held out, {FOLDS}-fold"


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """A member of a family, and how it does on rows it has not seen.

    Attributes:
        family: the recipe, or the name of a family of scalars.
        q: the member.
        log_q: at the rows fitted to.
        scores: log scores of the rows held out, NaN where not computed; None for too few rows.
        method: how rows were held out.
        parameters: how many numbers were fitted.
        notes: what a careful reader should know.
        evaluations: spent.
    """

    family: Recipe
    q: Distribution
    log_q: Values
    scores: Values | None
    method: str
    parameters: int
    notes: tuple[str, ...]
    evaluations: int

    def held_out(self, weights: Values) -> Estimate | None:
        """Returns the mean score of the rows held out."""
        if self.scores is None:
            return None
        known = ~np.isnan(self.scores)
        return mean_score(self.scores[known], weights[known], self.method)


def fit_family(p: Samples, recipe: object, run: Run) -> Fit:
    """Returns the member of a family with the greatest likelihood of the samples.

    Args:
        p: one column for a family of scalars; codes for Categorical().
        recipe: KernelDensity(), Categorical(), a NumPyro class of scalars, or the name of a family.
        run: randomness (which rows are held out together), someone to tell.

    Raises:
        InputError: the rows do not fit the family; the message names a value, its row and what to do.
        UnsupportedError: the family has parameters that are not fitted here.

    Example:
        >>> p = Samples([1.0, 2.0, 6.0])
        >>> found = fit_family(p, "exponential", Run())
        >>> round(float(found.q.scale), 9)
        3.0
    """
    made = fitted(p, recipe, generator(run.key))
    run.watch(1)
    _, weights = rows(p)
    divergence = _cross_entropy(made.log_q, weights)
    return Fit(
        q=made.q,
        direction="forward",
        family=made.family,
        divergence=divergence,
        forward_kl=None,
        reverse_kl=None,
        held_out=made.held_out(weights),
        optima=(Optimum(made.q, divergence, 1.0),),
        path=(made.q,),
        starts=1,
        evaluations=made.evaluations,
        seconds=run.seconds,
        notes=made.notes,
        columns=p.columns,
        labels=p.labels,
    )


def fitted(p: Samples, recipe: object, rng: np.random.Generator) -> Fitted:
    """Returns the fit of one recipe, and its scores by row."""
    x, weights = rows(p)
    match recipe:
        case KernelDensity():
            return _smoothed(p, recipe, rng)
        case Categorical():
            return _shares(p, recipe)
    family = scalar_family(recipe)
    if x.shape[1] > 1:
        raise InputError(
            f"family {family.name} has scalar events, but the samples have {x.shape[1]} columns"
        )
    check_rows(p, family)
    best = family.maximise(x[:, 0], weights)
    return Fitted(
        as_recipe(recipe),
        best.q,
        best.log_prob(x[:, 0]),
        cross_validation_held_out(family, x[:, 0], weights, best, rng),
        _FOLDS,
        family.parameters,
        (f"maximum likelihood: {_FORWARD}", *best.notes),
        best.evaluations,
    )


def _smoothed(p: Samples, recipe: KernelDensity, rng: np.random.Generator) -> Fitted:
    x, weights = rows(p)
    check_spread(p, x)
    made = kernel_density(x, weights, recipe.bandwidth, rng, diagonal=recipe.spread == "diagonal")
    chosen = (
        "chosen by the held-out likelihood"
        if made.evaluations
        else "by the rule that was asked for"
    )
    note = f"bandwidth {made.q.bandwidth:.4g} times the spread of the rows, {chosen}"
    events = x[:, 0] if x.shape[1] == 1 else x
    notes = made.notes or (note,)
    return Fitted(
        recipe,
        made.q,
        made.q.log_prob(events),
        made.scores if len(x) > 2 else None,
        made.method,
        len(x),
        notes,
        made.evaluations,
    )


def _shares(p: Samples, recipe: Categorical) -> Fitted:
    x, weights = rows(p)
    for i, name in enumerate(p.columns):
        check_codes(p.values[:, i], name)
    sizes = tuple(
        max(len(names), int(column.max()) + 1) for names, column in zip(p.labels, x.T, strict=True)
    )
    made = categorical(x, weights, sizes, recipe.smoothing)
    events = x[:, 0] if len(sizes) == 1 else x
    added = (
        f"{recipe.smoothing:g} added to the count of each label"
        if recipe.smoothing
        else "no smoothing: a label that was never seen has probability 0"
    )
    return Fitted(
        recipe,
        made.q,
        made.q.log_prob(events),
        made.scores if len(x) > 2 else None,
        "each row by the counts of the others",
        made.parameters,
        (f"shares of the rows, {added}: {_FORWARD}",),
        1,
    )


def _cross_entropy(log_q: Values, weights: Values) -> Estimate:
    method = "mean over the rows fitted to"
    if np.isneginf(log_q).any():
        reason = "q has no mass at some rows fitted to"
        return Estimate.infinite(reason, CROSS_ENTROPY.quantity, method=method)
    value, error = moments(-log_q, weights)
    return label(CROSS_ENTROPY, Outcome(value, error, "estimate", method, len(log_q)))


# Whether rows are what a family takes: checked once, with the value, its row and what to do.


def as_rows(p: Counts, family: object) -> Samples:
    """Returns counts as rows that stand for as many: numbers for a family of counts, else codes of levels.

    Raises:
        InputError: a level is no number, and the family is of numbers.
    """
    if isinstance(family, Categorical):
        levels = np.arange(len(p.values), dtype=np.float64)
        labels: Labels = (p.labels,)
    else:
        levels, labels = _numbers(p), ()
    kinds: tuple[Kind, ...] = ("category",) if labels else ()
    values, weights = levels, p.values
    if np.all(p.values == np.floor(p.values)) and p.values.sum() <= _WRITTEN_OUT:
        values, weights = np.repeat(levels, p.values.astype(np.int64)), None
    return Samples(values, weights, columns=("level",), kinds=kinds, labels=labels)


def _numbers(p: Counts) -> Values:
    try:
        return np.array([float(name) for name in p.labels])
    except ValueError:
        raise InputError(
            f'the levels are {", ".join(p.labels[:4])} ..., not numbers: choose family="categorical"'
        ) from None


def in_memory(p: Samples | Stream) -> Samples:
    """Returns rows as an array: families that are no mixtures look at all of them at once."""
    if isinstance(p, Samples):
        return p
    pieces = list(p.read())
    weights = np.concatenate([np.ones(len(x)) if w is None else w for x, w in pieces])
    return Samples(
        np.concatenate([x for x, _ in pieces]),
        None if p.copies else weights,
        frequencies=weights if p.copies else None,
        columns=p.columns,
        kinds=p.kinds,
        labels=p.labels,
        missing=p.missing,
    )


def rows(p: Samples) -> tuple[Float[np.ndarray, "n d"], Values]:
    """Returns the rows that have a weight, and how many independent rows each counts for.

    Raises:
        InputError: a value is missing.
    """
    check_whole(p.values, p.columns, "which this family does not take")
    return counted(p)


def counted(p: Samples) -> tuple[Float[np.ndarray, "n d"], Values]:
    """Returns the same of rows with gaps, too."""
    weights = counts(p)
    return p.values[weights > 0.0], weights[weights > 0.0]


def check_numbers(p: Samples | Stream, why: str, *, remedy: str) -> None:
    """Raises InputError naming a column of categories or counts, which a Gaussian has no place for."""
    for name, kind in zip(p.columns, likelihoods(p.kinds), strict=True):
        if kind != "continuous":
            what = "categories" if kind == "category" else "counts"
            raise InputError(
                f"column {name} holds {what}, and {why} numbers on a continuous scale: {remedy}, or leave "
                f"{name} out"
            )


def check_rows(p: Samples, family: ScalarFamily) -> None:
    """Raises InputError where a family of scalars cannot have the rows, naming the first."""
    x, name = p.values[:, 0], p.columns[0]
    used = np.ones(len(x), dtype=bool) if p.rows.counts is None else p.rows.counts > 0.0
    bad = family.domain.outside(x) & used
    if bad.any():
        at = int(np.argmax(bad))
        more = int(bad.sum()) - 1
        others = f" (and {more} more)" if more else ""
        raise InputError(
            f"column {name}: the value {x[at]:g} at row {at}{others} is outside the support of {family.name}, "
            f"{family.domain}: {_remedy(family, x)}"
        )
    if not family.domain.integers and family.parameters > 1:
        check_spread(p, x[used, None])


def _remedy(family: ScalarFamily, x: Values) -> str:
    domain = family.domain
    if domain.integers and bool(np.any(x != np.floor(x))):
        return "round the values, or choose a family of real numbers, such as gamma or normal"
    if domain.high == 1.0:
        return "divide by the largest possible value, or choose gamma or normal"
    if domain.high < math.inf:
        return "give angles in radians, from -pi to pi"
    if x.min() == 0.0:
        return "drop or model zeros apart, or choose exponential or halfnormal, which take them"
    return "correct or drop such rows, or choose a family of the whole line, such as normal or student_t"


def check_spread(p: Samples, x: Float[np.ndarray, "n d"]) -> None:
    """Raises InputError naming a column that is constant."""
    constant = np.ptp(x, axis=0) == 0.0
    if constant.any():
        name = p.columns[int(np.argmax(constant))]
        raise InputError(
            f"column {name} is constant, so its density is infinite there; drop the column"
        )


def check_codes(x: Values, name: str) -> None:
    """Raises InputError unless values are codes of categories, naming the first that is not."""
    bad = (x < 0.0) | (x != np.floor(x))
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"column {name}: the value {x[at]:g} at row {at} is no code of a category: codes are 0, 1, 2, ...; "
            "give labels as a column of text, or choose a family of numbers"
        )
