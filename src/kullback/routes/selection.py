"""The best of several families, by how they do on rows they have not seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from kullback.core.errors import InputError, KullbackError
from kullback.core.run import Run, generator
from kullback.distributions.base import Distribution
from kullback.distributions.registry import living_on
from kullback.distributions.scalar import Values
from kullback.families import (
    Categorical,
    FullRank,
    Gaussians,
    LowRank,
    MeanField,
    Mixture,
    as_recipe,
    parse_family,
)
from kullback.fitting.cross_validation import FOLDS, difference, folds
from kullback.results.fit import Fit
from kullback.results.likelihood import Candidate, Selection
from kullback.results.quantity import Sentence
from kullback.routes.families import Fitted, as_rows, counted, fit_family, fitted, in_memory, rows
from kullback.routes.samples_forward import fit_samples
from kullback.routes.table import Problem
from kullback.targets import Counts, Samples, Stream

Vectors = Gaussians | LowRank
#: Starts of each fit, where families are compared on rows left out.
_FOLD_STARTS = 3
#: Fits one recipe of Gaussians to samples.
FitOne = Callable[[Samples, Vectors], Fit]

_BY_SCORE = (
    "the greatest mean log score of rows held out; of those within one standard error of the difference, "
    "the one with the fewest parameters"
)
_BY_BIC = "the smallest BIC: there are too few rows to hold any out, or no score is finite"
_COUNTS = (
    "all rows are whole numbers from 0, so families of counts were compared; name families, such as "
    "gamma,lognormal, to take them for measurements"
)


@final
@dataclass(frozen=True, eq=False)
class _Contender:
    recipe: object
    fitted: Fitted
    fit: Fit | None = None


def fit(problem: Problem) -> Fit:
    """Returns the fit of the family that predicts rows held out best."""
    given, recipes = problem.target.given, problem.family
    if isinstance(given, Counts):
        p = as_rows(given, "poisson" if _are_numbers(given.labels) else Categorical())
    else:
        assert isinstance(given, (Samples, Stream))
        p = in_memory(given)
    return best_of(p, recipes, problem.run)


def _are_numbers(labels: tuple[str, ...]) -> bool:
    return all(name.removeprefix("-").replace(".", "", 1).isdigit() for name in labels)


def best_of(p: Samples, recipes: object, run: Run) -> Fit:
    """Returns the fit of the family that predicts rows held out best, with the table of all that were tried.

    Args:
        p: one column, or several for families of vectors.
        recipes: families as `fit` takes them, or "best": all of ours that live where the rows do.
        run: randomness (which rows are held out together, the same for every family), someone to tell.

    Raises:
        InputError: none of the families can be fitted to the rows, with the reasons.

    Source: Vehtari, Gelman, Gabry (2017), section 5, for the paired standard error.
    """
    given = recipes if isinstance(recipes, (list, tuple)) else []
    wanted = [_parsed(r) for r in given] or _all_for(p)
    contenders, skipped = [], []
    within = Run(run.key)

    def fit_one(rows: Samples, recipe: Vectors) -> Fit:
        return fit_samples(rows, recipe, starts=_FOLD_STARTS, run=within)

    for i, recipe in enumerate(wanted):
        try:
            contenders.append(_contender(p, recipe, fit_one, run.key))
        except KullbackError as error:
            skipped.append(f"{as_recipe(recipe)}: {error}")
        run.watch(i + 1)
    if not contenders:
        raise InputError("none of these families fits the rows: " + "; ".join(skipped))
    _, weights = counted(p)
    order, selection = _selected(contenders, weights, tuple(skipped))
    taken = order[selection.chosen]
    found = taken.fit or fit_family(p, taken.recipe, within)
    notes = [*found.notes, _said(selection)]
    notes += [_COUNTS] if recipes == "best" and _is_counts(p) else []
    # The same rows were held out for all: the score of the table, which a fit of its own may hold out otherwise.
    held_out = taken.fitted.held_out(weights)
    return replace(
        found, held_out=held_out, notes=tuple(notes), seconds=run.seconds, selection=selection
    )


def _all_for(p: Samples) -> list[object]:
    if p.values.shape[1] > 1:
        raise InputError(
            f'family "best" is for one column, but the samples have {p.values.shape[1]}: list families of '
            "vectors, such as full_rank,mixture:2,kde"
        )
    if p.kinds[0] == "category":
        return [Categorical()]
    return [row.name for row in living_on(rows(p)[0][:, 0])]


def _is_counts(p: Samples) -> bool:
    x = p.values[:, 0]
    whole = p.values.shape[1] == 1 and bool(np.all((x >= 0.0) & (x == np.floor(x))))
    return whole and p.kinds[0] in ("integer", "constant")


def _parsed(recipe: object) -> object:
    return parse_family(recipe) if isinstance(recipe, str) else recipe


def _contender(p: Samples, recipe: object, fit_one: FitOne, key: object) -> _Contender:
    rng = generator(key)
    if not isinstance(recipe, (MeanField, FullRank, Mixture, LowRank)):
        return _Contender(recipe, fitted(p, recipe, rng))
    x, _ = counted(p)
    found = fit_one(p, recipe)
    made = Fitted(
        recipe,
        found.q,
        _log_prob(found.q, x),
        _gaussian_scores(p, recipe, fit_one, rng),
        f"rows held out, {FOLDS}-fold",
        0 if found.likelihood is None else found.likelihood.parameters,
        (),
        found.evaluations,
    )
    return _Contender(recipe, made, found)


def _gaussian_scores(
    p: Samples, recipe: Vectors, fit_one: FitOne, rng: np.random.Generator
) -> Values | None:
    """Returns the log score of every row by Gaussians fitted to the other folds."""
    x, weights = counted(p)
    if len(x) < 2 * FOLDS:
        return None
    fold, scores = folds(len(x), rng), np.empty(len(x))
    for i in range(FOLDS):
        out = fold == i
        part = Samples(
            x[~out],
            weights[~out],
            columns=p.columns,
            kinds=p.kinds,
            labels=p.labels,
            missing=p.missing,
        )
        scores[out] = _log_prob(fit_one(part, recipe).q, x[out])
    return scores


def _log_prob(q: Distribution, x: np.ndarray) -> Values:
    # Of one column that may have gaps Gaussians are of vectors, too.
    return q.log_prob(x if q.support.dimension else x[:, 0])


def _selected(
    contenders: list[_Contender], weights: Values, skipped: tuple[str, ...]
) -> tuple[list[_Contender], Selection]:
    scored = all(c.fitted.scores is not None for c in contenders)
    means = [_mean(c.fitted.scores, weights) for c in contenders]
    ranks = sorted(range(len(contenders)), key=lambda i: -means[i])
    if not (scored and math.isfinite(means[ranks[0]])):
        ranks = sorted(ranks, key=lambda i: _bic(contenders[i].fitted, weights))
        order = [contenders[i] for i in ranks]
        rows = tuple(_candidate(c.fitted, None, weights) for c in order)
        return order, Selection(rows, 0, _BY_BIC, skipped)
    order = [contenders[i] for i in ranks]
    rows = tuple(_candidate(c.fitted, order[0].fitted, weights) for c in order)
    tied = [
        i
        for i, r in enumerate(rows)
        if r.behind is None or r.behind.value <= r.behind.standard_error
    ]
    chosen = min(tied, key=lambda i: (rows[i].parameters, i))
    return order, Selection(rows, chosen, _BY_SCORE, skipped)


def _candidate(made: Fitted, best: Fitted | None, weights: Values) -> Candidate:
    behind = None
    if best is not None and best is not made:
        assert best.scores is not None
        assert made.scores is not None
        known = ~(np.isnan(best.scores) | np.isnan(made.scores))
        pair = best.scores[known], made.scores[known]
        behind = difference(*pair, weights[known], "the same rows held out")
    return Candidate(
        family=made.family,
        parameters=made.parameters,
        log_likelihood=float(weights @ made.log_q),
        bic=_bic(made, weights),
        held_out=made.held_out(weights),
        behind=behind,
    )


def _mean(scores: Values | None, weights: Values) -> float:
    if scores is None:
        return -math.inf
    known = ~np.isnan(scores)
    return float(weights[known] @ scores[known]) / float(weights[known].sum())


def _bic(made: Fitted, weights: Values) -> float:
    return made.parameters * math.log(weights.sum()) - 2.0 * float(weights @ made.log_q)


def _said(selection: Selection) -> str:
    taken, first = selection.best, selection.candidates[0]
    words = f"{taken.family} of {len(selection.candidates)} families, by {selection.rule}"
    if taken is first or taken.behind is None:
        return words
    return Sentence(
        "{}; {} scores {:.2g} ± {:.2g} {unit} a row more with {} parameters to {}: a tie", words,
        first.family, taken.behind.value, taken.behind.standard_error, first.parameters, taken.parameters,
    )  # fmt: skip
