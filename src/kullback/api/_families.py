"""Forward fits to samples that are not mixtures: families of scalars, kernel density, categories."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from kullback._core import randomness
from kullback._core.errors import InputError
from kullback.api._admission import check_codes, check_rows, check_spread, rows
from kullback.api._measure import label
from kullback.distributions._base import Distribution
from kullback.estimators._outcome import Outcome
from kullback.estimators._question import CROSS_ENTROPY
from kullback.families import Categorical, KernelDensity
from kullback.fitting import _row_scores
from kullback.fitting._categorical import categorical
from kullback.fitting._kernel_density import kernel_density
from kullback.fitting._scalar_family import Values
from kullback.interop._parametric_families import scalar_family
from kullback.results._estimate import Estimate
from kullback.results._fit import Fit, Optimum
from kullback.targets import Samples

Watch = Callable[[int | str], None]

_FORWARD = "KL(p||q) up to H(p), which samples alone do not give"
_FOLDS = f"rows held out, {_row_scores.FOLDS}-fold"


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """A member of a family, and how it does on rows it has not seen.

    Attributes:
        family: in words.
        q: the member.
        log_q: at the rows fitted to.
        scores: log scores of the rows held out, NaN where not computed; None for too few rows.
        method: how rows were held out.
        parameters: how many numbers were fitted.
        notes: what a careful reader should know.
        evaluations: spent.
    """

    family: str
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
        return _row_scores.mean_score(self.scores[known], weights[known], self.method)


def fit_family(p: Samples, recipe: object, *, key: object, watch: Watch, began: float) -> Fit:
    """Returns the member of a family with the greatest likelihood of the samples.

    Args:
        p: one column for a family of scalars; codes for Categorical().
        recipe: KernelDensity(), Categorical(), a NumPyro class of scalars, or the name of a family.
        key: randomness: which rows are held out together.
        watch: told what is being done.
        began: when, by time.perf_counter().

    Raises:
        InputError: the rows do not fit the family; the message names a value, its row and what to do.
        UnsupportedError: the family has parameters that are not fitted here.

    Example:
        >>> p = Samples([1.0, 2.0, 6.0])
        >>> found = fit_family(p, "exponential", key=0, watch=lambda _: None, began=0.0)
        >>> round(float(found.q.scale), 9)
        3.0
    """
    made = fitted(p, recipe, randomness.generator(key))
    watch(1)
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
        seconds=time.perf_counter() - began,
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
        _words(recipe),
        best.q,
        best.log_prob(x[:, 0]),
        _row_scores.held_out(family, x[:, 0], weights, best, rng),
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
        str(recipe),
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
        str(recipe),
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
        return Estimate.infinite(
            reason, quantity="cross_entropy", direction=CROSS_ENTROPY.label, method=method
        )
    value, error = _row_scores.moments(-log_q, weights)
    return label(CROSS_ENTROPY, Outcome(value, error, "estimate", method, len(log_q)))


def _words(recipe: object) -> str:
    return str(getattr(recipe, "__name__", recipe))
