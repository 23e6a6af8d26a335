"""Forward fits of some columns given others: maximum conditional likelihood, scored on rows left out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.run import Run
from kullback.diagnostics.goodness import uniformity
from kullback.distributions.base import Distribution
from kullback.distributions.conditional import Conditional, Softmax, marginal_of
from kullback.distributions.gaussian_mixture import (
    GaussianMixture,
    TableMixture,
    components_of,
    table_of,
)
from kullback.distributions.vector import Categorical as Shares
from kullback.families import Auto, Categorical, FullRank, Mixture
from kullback.fitting.conditional import SPREADS, ascend, linear, logistic
from kullback.fitting.cross_validation import FOLDS, folds, mean_score, moments
from kullback.fitting.scores import APART, SMALL
from kullback.measure.neighbours import step
from kullback.results.estimate import Estimate
from kullback.results.fit import Fit, Optimum
from kullback.results.likelihood import ConditionalFit, Goodness
from kullback.results.quantity import (
    CROSS_ENTROPY,
    LOG_PROB,
    LOG_PROB_DIFFERENCE,
    MUTUAL_INFORMATION,
)
from kullback.routes.families import check_numbers, in_memory, rows
from kullback.routes.lattice import ratings_as_categories
from kullback.routes.samples_forward import fit_samples, raced
from kullback.routes.table import Problem
from kullback.tables.kinds import likelihoods, listed
from kullback.targets import Samples, Stream

Array = np.ndarray
Values = Float[np.ndarray, " n"]
#: Numbers of components that "auto" tries, in order, until one is no better.
_SIZES = (1, 2, 3, 4, 6, 8, 12)
#: Rows a component, at least, that "auto" asks for.
_EACH = 40
#: With more rows than this, those of two of the ten folds are scored: their error is small enough.
_MANY = 5000
#: The p-value of one of two at which a density is rejected.
_REJECTED = 0.025
_HELD_OUT = "rows left out, each scored by a fit to nine tenths"
_TOO_FEW = f"fewer than {2 * FOLDS} distinct rows, of which none are left out"
Model = Conditional | Softmax


@final
@dataclass(frozen=True, eq=False)
class _Task:
    """What is fitted: rows, and which columns are given.

    Attributes:
        p: the rows.
        x, weights: their values.
        kinds: "continuous", "count" or "category", of each column.
        given, asked: numbers of the columns.
        run: randomness and someone to tell.
        starts: of the mixture that the ascent begins at.
    """

    p: Samples
    x: Float[np.ndarray, "n d"]
    weights: Values
    kinds: tuple[str, ...]
    given: tuple[int, ...]
    asked: tuple[int, ...]
    run: Run
    starts: int | None

    @cached_property
    def fold(self) -> Values | None:
        """The fold of each row, copies of one row in one fold; None where there are too few to leave any out."""
        which = np.arange(len(self.x))
        if "continuous" in self.kinds:
            which = np.unique(self.x, axis=0, return_inverse=True)[1].reshape(-1)
        count = int(which.max()) + 1
        if count < 2 * FOLDS:
            return None
        return folds(count, self.run.generator("folds"))[which]

    @cached_property
    def spread(self) -> Array:
        """The rows, with y spread over the steps to which it is rounded: a density has no more to say."""
        rows, rng = self.x.copy(), self.run.generator("steps of y")
        for j in self.asked:
            if self.kinds[j] == "continuous":
                rows[:, j] += step(rows[:, j]) * (rng.random(len(rows)) - 0.5)
        return rows


@final
@dataclass(frozen=True, eq=False)
class _Candidate:
    """A fit, and how it does on rows left out.

    Attributes:
        model: q(y|x), fitted to all rows.
        family: what it was chosen from.
        scores, marginal: log q(y|x) and log q(y) of rows left out, and NaN for rows not scored.
        uniform: q(Y <= y | x) and q(Y <= y) of these; None where y is not one column of numbers.
        evaluations: of the likelihood.
        apart: how far the scores of fits to as many rows are apart, and those of fits of y alone.
    """

    model: Model
    family: object
    scores: Values
    marginal: Values
    uniform: tuple[Values, Values] | None
    evaluations: int
    apart: tuple[float, float] = (0.0, 0.0)

    @property
    def mean(self) -> float:
        """The mean score; 0 where there are too few rows to leave any out."""
        scored = self.scores[~np.isnan(self.scores)]
        return float(np.mean(scored)) if len(scored) else 0.0


def fit(problem: Problem) -> Fit:
    """Returns the member of a family under which y is likeliest given x."""
    recipe, given = problem.family, problem.target.given
    assert isinstance(given, (Samples, Stream))
    p: Samples | Stream = in_memory(given)
    notes: tuple[str, ...] = ()
    if isinstance(recipe, FullRank):
        check_numbers(p, f"{recipe} is for", remedy="choose Mixture(2), which treats them")
    elif not isinstance(recipe, Categorical):
        p, notes = ratings_as_categories(p)
    assert isinstance(p, Samples)
    task = _task(p, problem)
    chosen, tried = _chosen(task, recipe)
    return _result(task, chosen, (*notes, *tried))


def _task(p: Samples, problem: Problem) -> _Task:
    """Returns the rows with the numbers of their columns. Raises InputError for names that there are not."""
    unknown = [name for name in problem.given if name not in p.columns]
    if unknown:
        near = get_close_matches(unknown[0], p.columns, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {listed(p.columns)}"
        raise InputError(f"given={unknown[0]!r}: there is no such column; {hint}")
    given = tuple(j for j, name in enumerate(p.columns) if name in problem.given)
    asked = tuple(j for j in range(len(p.columns)) if j not in given)
    if not asked:
        raise InputError("given= names every column: leave out those whose density is asked for")
    x, weights = rows(p)
    return _Task(
        p, x, weights, likelihoods(p.kinds), given, asked, problem.run, problem.starts
    )  # fmt: skip


def _chosen(task: _Task, recipe: object) -> tuple[_Candidate, tuple[str, ...]]:
    """Returns the fit, and what it was chosen from."""
    if isinstance(recipe, Categorical):
        if task.fold is None:
            return _logistic(task, recipe, 1.0), ()
        found = [_logistic(task, recipe, spread) for spread in SPREADS]
        best = max(found, key=lambda one: one.mean)
        spread = SPREADS[found.index(best)]
        said = f"the prior of the coefficients, sd {spread:g} of {SPREADS}, has the best score on rows left out"
        return best, (said,)
    if isinstance(recipe, FullRank):
        return _mixture(task, Mixture(1), recipe), ()
    mixture = Mixture("auto") if isinstance(recipe, Auto) else recipe
    assert isinstance(mixture, Mixture)
    full = mixture.covariance == "full" or isinstance(mixture.covariance, FullRank)
    if not full or mixture.tails == "student_t":
        raise UnsupportedError(
            f"{mixture}: given= takes mixtures of Gaussians with full covariances, such as Mixture({mixture.k!r})"
        )
    if mixture.k != "auto":
        return _mixture(task, mixture, mixture), ()
    tried: list[tuple[int, _Candidate]] = []
    for k in _SIZES:
        if k > 1 and len(task.x) < _EACH * k:
            break
        tried.append((k, _mixture(task, replace(mixture, k=k), replace(mixture, k=k))))
        best = max(one.mean for _, one in tried)
        if tried[-1][1].mean < best:
            break
    k, best_one = max(tried, key=lambda pair: pair[1].mean)
    sizes = ", ".join(str(size) for size, _ in tried)
    said = f"{k} component(s), of {sizes}, have the best score on rows left out, which is optimistic by the choice"
    return best_one, (said,)


# One family: a fit to all rows, and to those of each fold's complement.


def _mixture(task: _Task, recipe: Mixture, family: object) -> _Candidate:
    start = _table(task, recipe)
    spent = 0

    def fitted(x: Array, weights: Values, near: TableMixture, given: tuple[int, ...]) -> TableMixture:  # fmt: skip
        nonlocal spent
        if len(near.weights) == 1 and len(near.reals) == len(near.kinds):
            return linear(x, weights, near, given)
        found = ascend(near, x, weights, given)
        spent += found.evaluations
        return found.q

    whole = fitted(task.x, task.weights, start, task.given)
    alone = marginal_of(start, task.asked)
    of_y = tuple(task.asked)
    alone = fitted(task.x[:, of_y], task.weights, alone, ())

    anew = _anew(task, whole)

    def refitted(i: int, x: Array, weights: Values) -> tuple[Conditional, Conditional]:
        begun = _raced(task, recipe, i, x, weights) if anew else None
        y = x[:, of_y]

        def best(
            near: TableMixture, own: TableMixture | None, x: Array, given: tuple[int, ...]
        ) -> TableMixture:
            # The optimum of all rows has luck with the rows left out: see `fitting.scores.refitted`.
            new = None if own is None else fitted(x, weights, own, given)
            if new is None or _missed(near, new, x, weights, given):
                return fitted(x, weights, near, given)
            return new

        q = best(whole, begun, x, task.given)
        by_itself = best(alone, None if begun is None else marginal_of(begun, task.asked), y, ())
        return Conditional(q, task.given), Conditional(by_itself, ())

    scores, marginal, uniform = _left_out(task, refitted)
    model = Conditional(whole, task.given)
    apart = (_apart(task, whole), _apart(task, alone))
    return _Candidate(model, family, scores, marginal, uniform, spent, apart)


def _table(task: _Task, recipe: Mixture) -> TableMixture:
    """Returns the mixture over whole rows that the ascent begins at: that of greatest likelihood."""
    if recipe.k == 1 and all(kind == "continuous" for kind in task.kinds):
        _check_vary(task)
        return linear(task.x, task.weights)
    found = fit_samples(task.p, recipe, starts=task.starts, run=task.run, hold_out=False)
    return _as_table(found.q)


def _as_table(q: Distribution) -> TableMixture:
    q = components_of(q)
    return table_of(q) if isinstance(q, GaussianMixture) else q


def _raced(task: _Task, recipe: Mixture, i: int, x: Array, weights: Values) -> TableMixture | None:
    """Where the ascent of a fit to some rows begins, if no other row has a say; None where these admit no mixture."""
    p = task.p
    some = Samples(x, weights, columns=p.columns, kinds=p.kinds, labels=p.labels)
    try:
        return _as_table(raced(some, recipe, task.run, i))
    except InputError:  # a column that is constant here, or fewer distinct rows than components
        return None


def _size(q: TableMixture) -> int:
    """How many numbers describe a mixture."""
    k, d = q.means.shape
    return k * (1 + d + d * (d + 1) // 2) - 1 + q.rates.size + sum(t.size - k for t in q.tables)


def _apart(task: _Task, q: TableMixture) -> float:
    """How far the scores of fits to as many rows are apart: as `fitting.scores.held_out`."""
    return APART * _size(q) / float(task.weights.sum()) if len(q.weights) > 1 else 0.0


def _anew(task: _Task, whole: TableMixture) -> bool:
    """Whether refits must choose their optimum anew: as `fitting.scores.chosen_anew`."""
    if len(whole.weights) == 1 or len(task.x) > _MANY:
        return False
    _, error = moments(Conditional(whole, task.given).log_prob(task.x), task.weights)
    return _size(whole) > SMALL * error * float(task.weights.sum())


def _missed(
    near: TableMixture, new: TableMixture, x: Array, weights: Values, given: tuple[int, ...]
) -> bool:
    """Whether a fit that begins with these rows has missed what is there, by more than chance would make it."""
    pair = (near, new)
    scores = (Conditional(q, given).log_prob(x) if given else q.log_prob(x) for q in pair)
    before, after = (float(weights @ score) for score in scores)
    return before - after > _size(new)


def _check_vary(task: _Task) -> None:
    """Raises InputError for a column of one value, by which a density is infinite, or says nothing."""
    there = task.x[task.weights > 0.0]
    for j in np.flatnonzero(there.min(axis=0) == there.max(axis=0)):
        name = task.p.columns[j]
        raise InputError(f"column {name} is constant ({there[0, j]:g} in every row): leave it out")


def _logistic(task: _Task, recipe: Categorical, spread: float) -> _Candidate:
    (column, *more) = task.asked
    if more or task.kinds[column] != "category":
        names = listed([task.p.columns[j] for j in task.asked])
        raise UnsupportedError(
            f"{recipe}: given= takes one column of categories, not {names}: choose Mixture(k) or FullRank(), or say "
            'kinds={...: "category"}'
        )
    counted = [j for j in task.given if task.kinds[j] == "category"]
    sizes = {j: int(task.x[:, j].max()) + 1 for j in (*counted, column)}
    levels = tuple(sizes.get(j, 0) for j in task.given)
    codes = max(sizes[column], len(task.p.labels[column]))

    def fitted(x: Array, weights: Values, near: Softmax | None) -> Softmax:
        return logistic(x, weights, column, levels, codes, spread, near)

    whole = fitted(task.x, task.weights, None)

    def refitted(_: int, x: Array, weights: Values) -> tuple[Softmax, Shares]:
        counts = np.bincount(x[:, column].astype(np.int64), weights, minlength=codes)
        shares = Shares.from_probabilities((counts + 0.5) / (counts + 0.5).sum())
        return fitted(x, weights, whole), shares

    scores, marginal, _ = _left_out(task, refitted)
    return _Candidate(whole, recipe, scores, marginal, None, 0)


def _left_out(
    task: _Task,
    refitted: Callable[[int, Array, Values], tuple[Model, Conditional | Shares]],
) -> tuple[Values, Values, tuple[Values, Values] | None]:
    """Returns log q(y|x), log q(y), and both distribution functions, of rows by fits to the others.

    NaN for rows not scored, and None where y is not one column of numbers.
    """
    scores, marginal, given_x, alone = (np.full(len(task.x), np.nan) for _ in range(4))
    parts = FOLDS if len(task.x) <= _MANY else 2
    for i in range(parts if task.fold is not None else 0):
        out = task.fold == i
        model, of_y_alone = refitted(i, task.x[~out], task.weights[~out])
        rows_out = task.x[out]
        y = rows_out[:, list(task.asked)]
        scores[out] = model.log_prob(rows_out)
        if isinstance(model, Conditional) and isinstance(of_y_alone, Conditional):
            marginal[out] = of_y_alone.log_prob(y)
            spread = task.spread[out]
            values = (
                model.distribution_function(spread),
                of_y_alone.distribution_function(spread[:, list(task.asked)]),
            )
            given_x[out], alone[out] = (np.nan if v is None else v for v in values)
        else:
            marginal[out] = of_y_alone.log_prob(y[:, 0])
        task.run.watch(f"rows left out, part {i + 1}")
    return scores, marginal, None if np.isnan(given_x).all() else (given_x, alone)


# What is said of it.


def _result(task: _Task, chosen: _Candidate, notes: tuple[str, ...]) -> Fit:
    inside = chosen.model.log_prob(task.x)
    value, error = moments(-inside, task.weights)
    names = tuple(task.p.columns[j] for j in task.given)
    asked = tuple(task.p.columns[j] for j in task.asked)
    y, x = ", ".join(asked), ", ".join(names)
    divergence = Estimate.sampled(
        value, error, CROSS_ENTROPY.called(f"E_p[-log q({y} | {x})]"),
        method="mean over the rows fitted to", n=len(task.x),
    )  # fmt: skip
    scored = ~np.isnan(chosen.scores)
    known = (
        _mean(chosen.scores, scored, task, f"{y} | {x}", chosen.apart[0]),
        _mean(chosen.marginal, scored, task, y, chosen.apart[1]),
    )
    weights = task.weights[scored]
    checks = _checks(chosen, scored, weights, (f"{y} given {x}", y))
    information = _information(chosen, scored, weights, (y, x), checks)
    if information.quantity.name != MUTUAL_INFORMATION.name:
        notes = (*notes, *information.notes)
    conditional = ConditionalFit(names, asked, known[1], information, *(checks or (None, None)))
    optimum = Optimum(chosen.model, divergence, 1.0)
    return Fit(
        q=chosen.model, direction="forward", family=chosen.family,  # pyright: ignore[reportArgumentType]
        divergence=divergence, forward_kl=None, reverse_kl=None, held_out=known[0], optima=(optimum,), path=(),
        starts=task.starts or 1, evaluations=chosen.evaluations, seconds=task.run.seconds, notes=notes,
        columns=task.p.columns, labels=task.p.labels, conditional=conditional,
    )  # fmt: skip


def _mean(scores: Values, scored: Array, task: _Task, words: str, apart: float) -> Estimate:
    quantity = LOG_PROB.called(f"E_p[log q({words})]")
    if not scored.any():
        return Estimate.unresolved(math.nan, _TOO_FEW, quantity, method=_HELD_OUT)
    found = mean_score(scores[scored], task.weights[scored], _HELD_OUT)
    if found.kind == "infinite" or not apart:
        return replace(found, quantity=quantity)
    error = math.hypot(found.standard_error, apart)
    return Estimate.sampled(found.value, error, quantity, method=_HELD_OUT, n=found.n)


def _information(
    chosen: _Candidate,
    scored: Array,
    weights: Values,
    names: tuple[str, str],
    checks: tuple[Goodness, Goodness] | None,
) -> Estimate:
    """Returns by how much x makes y more probable a row: the mutual information, unless rows reject a density."""
    y, x = names
    quantity = MUTUAL_INFORMATION.called(f"I({y}; {x})")
    gains = (chosen.scores - chosen.marginal)[scored]
    note = "by two densities: less where q(y|x) misses something, more where q(y) does"
    method = f"log q(y|x) - log q(y), {_HELD_OUT}"
    if not (len(gains) and np.isfinite(gains).all()):
        reason = "a row left out has no density" if len(gains) else _TOO_FEW
        return Estimate.unresolved(math.nan, reason, quantity, method=method)
    value, error = moments(gains, weights)
    error = math.hypot(error, *chosen.apart)
    wrong = [f"q of {g.column}" for g in checks or () if g.p_value < _REJECTED]
    if wrong:
        quantity = LOG_PROB_DIFFERENCE.called(f"E_p[log q({y} | {x}) - log q({y})]")
        note = (
            f"not the mutual information: rows left out reject {' and '.join(wrong)}; choose a family that they do "
            'not reject, such as more components or Mixture("auto")'
        )
    return Estimate.sampled(value, error, quantity, method=method, n=len(gains), notes=(note,))


def _checks(
    chosen: _Candidate, scored: Array, weights: Values, names: tuple[str, str]
) -> tuple[Goodness, Goodness] | None:
    """Returns whether values under both distribution functions, each fitted without them, are uniform."""
    if chosen.uniform is None or not scored.any():
        return None
    share = weights / weights.sum()
    n = max(round(1.0 / float(share @ share)), 1)
    given_x, alone = (
        uniformity(name, values[scored], share, n)
        for values, name in zip(chosen.uniform, names, strict=True)
    )
    return given_x, alone
