"""Forward fits of mixtures to samples: maximum likelihood, the score on rows left out, and its error."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from jaxtyping import Float

from kullback.core.errors import InputError
from kullback.core.numerics import one_thread
from kullback.core.run import Memo, Run, generator
from kullback.diagnostics.goodness import Checked, check
from kullback.distributions.base import Distribution
from kullback.distributions.gaussian_mixture import GaussianMixture, components_of
from kullback.distributions.scalar import ScalarFamily, Values
from kullback.families import (
    Auto,
    Categorical,
    FullRank,
    KernelDensity,
    LowRank,
    MeanField,
    Mixture,
    Recipe,
    as_recipe,
)
from kullback.files.archive import resumed
from kullback.fitting.components import Components, order_of
from kullback.fitting.covariances import Structure
from kullback.fitting.cross_validation import FOLDS, categorical, mean_score, moments
from kullback.fitting.cross_validation import held_out as cross_validation_held_out
from kullback.fitting.em_climb import Climb
from kullback.fitting.em_search import distinct_ends
from kullback.fitting.kernel_density import kernel_density
from kullback.fitting.mixture_family import MixtureFamily, family_of
from kullback.fitting.mixtures import (
    SAMPLE,
    Mixed,
    choose,
    errors,
    estimate,
    fit_mixture,
    held_out,
    score,
)
from kullback.fitting.rows import Rows, distinct, rows_of
from kullback.interop.families import scalar_family
from kullback.measure.question import CROSS_ENTROPY
from kullback.measure.table import label
from kullback.results.estimate import Estimate, Outcome
from kullback.results.fit import Fit, Likelihood, Optimum, ParameterError, Selection
from kullback.results.quantity import Sentence
from kullback.routes.table import Problem
from kullback.tables.kinds import Kind, Labels, is_lattice, likelihoods
from kullback.targets import Counts, Samples, Stream

MixtureRecipe = MeanField | FullRank | LowRank | Mixture
_STARTS = 10
#: Parameters whose standard errors are given: where the score of rows left out is had, and where it is not.
_MANY, _FEW = 600, 100
#: Products of blocks with no more features are done before several threads have begun.
_NARROW = 100
#: Counts of no more rows are written out: a count is as many rows, a weight is not.
_WRITTEN_OUT = 10_000_000
_UP_TO = "maximum likelihood: KL(p||q) up to H(p), which samples alone do not give"


@final
@dataclass(frozen=True, eq=False)
class _Job:
    """What is fitted, to what."""

    recipe: MixtureRecipe
    rows: Rows
    sample: Rows
    family: MixtureFamily
    starts: int
    run: Run

    def of(self, k: int) -> MixtureRecipe:
        """The family with k components."""
        return replace(self.recipe, k=k) if isinstance(self.recipe, Mixture) else self.recipe


def fit(problem: Problem) -> Fit:
    """Returns the member of a family with the greatest likelihood of rows, or of counts."""
    p, recipe = problem.target.given, problem.family
    if isinstance(p, Counts):
        return fit_family(as_rows(p, recipe), recipe, problem.run)
    assert isinstance(p, (Samples, Stream))
    if isinstance(recipe, (MeanField, FullRank, LowRank)):
        check_numbers(p, f"{recipe} is for", remedy="choose Mixture(1), which treats them")
    mixture = Mixture("auto") if isinstance(recipe, Auto) else recipe
    if isinstance(mixture, Mixture):
        p, notes = ratings_as_categories(p)
        found = fit_samples(p, mixture, starts=problem.starts, run=problem.run)
        return replace(found, notes=(*notes, *found.notes))
    if isinstance(mixture, (MeanField, FullRank, LowRank)):
        return fit_samples(p, mixture, starts=problem.starts, run=problem.run)
    return fit_family(in_memory(p), recipe, problem.run)


def fit_samples(
    p: Samples | Stream,
    recipe: MixtureRecipe,
    *,
    starts: int | None,
    run: Run,
    hold_out: bool = True,
) -> Fit:
    """Returns the Gaussians that maximise the likelihood of rows.

    Args:
        p: the rows.
        recipe: the family.
        starts: how many; 10 unless said.
        run: randomness, someone to tell, and where what passes over many rows returned is kept.
        hold_out: whether the score of rows left out is had, by refits, with tests and the path of the fit.

    Raises:
        InputError: the rows do not admit such a density: too few, a constant column, columns that
            determine each other.
    """
    job = _job(p, recipe, starts or _STARTS, run)
    narrow = job.rows.n <= SAMPLE or job.family.structure.width <= _NARROW
    with one_thread() if narrow else nullcontext():
        return _answer(job, p, hold_out=hold_out)


def _answer(job: _Job, p: Samples | Stream, *, hold_out: bool) -> Fit:
    run = job.run
    mixed, selection = _fitted(job)
    left_out, checked = None, Checked()
    if hold_out and not mixed.interrupted:
        try:
            kept = mixed.kept_prior
            left_out = held_out(job.family, mixed.end.at, job.rows, run.watch, kept_prior=kept)
            given = (job.family, mixed.end.at, job.rows, job.sample, left_out, run)
            checked = check(*given, kept_prior=kept)
        except KeyboardInterrupt:
            mixed = replace(mixed, interrupted=True)
    optima = _optima(job, mixed)
    spikes = narrow(p, optima[0].q)
    return Fit(
        q=optima[0].q,
        direction="forward",
        family=job.of(len(mixed.end.at.weights)),
        divergence=optima[0].divergence,
        forward_kl=checked.forward_kl,
        reverse_kl=None,
        held_out=None if left_out is None else estimate(left_out),
        optima=optima,
        path=tuple(_member(job, q) for q in mixed.end.path) if hold_out else (),
        starts=mixed.found.starts,
        evaluations=mixed.passes + mixed.found.passes,
        seconds=run.seconds,
        notes=(*(_SPIKE.format(name) for name in spikes), *_notes(job, mixed), *checked.notes),
        columns=p.columns,
        labels=p.labels,
        selection=selection,
        likelihood=checked.added_to(
            replace(
                _likelihood(job, mixed, optima[0].divergence, most=_MANY if hold_out else _FEW),
                spikes=spikes,
            )
        ),
        interrupted=mixed.interrupted,
    )


def _job(p: Samples | Stream, recipe: MixtureRecipe, starts: int, run: Run) -> _Job:
    k = recipe.k if isinstance(recipe, Mixture) else 1
    structure = _structure(recipe, likelihoods(p.kinds).count("continuous"))
    rows = rows_of(p, common_scale=structure.name == "spherical")
    if k != "auto" and k > rows.n:
        raise InputError(f"Mixture(k={k}) has more components than there are samples, n={rows.n}")
    d = structure.d
    if structure.name in ("full", "tied") and rows.n <= d:
        raise InputError(
            f"{rows.n} sample(s) of {d} columns: a covariance needs more rows than columns; choose a "
            'mixture with covariance="diagonal" or "spherical", or MeanField()'
        )
    sample = distinct(rows.sample(SAMPLE, run.generator("rows for starts")))
    memo = _memo(rows, recipe, starts, run)
    rows = sample if rows.n <= SAMPLE else replace(rows, memo=memo)
    first = 1 if k == "auto" else k
    heavy = isinstance(recipe, Mixture) and recipe.tails == "student_t"
    family = family_of(structure, sample, first, heavy=heavy)
    return _Job(recipe, rows, sample, family, starts, run)


def _memo(rows: Rows, recipe: MixtureRecipe, starts: int, run: Run) -> Memo:
    """What passes returned to an earlier run of this fit; passes over few rows are not kept, but the fit is known."""
    mark = {
        "columns": rows.source.columns,
        "family": str(recipe),
        "starts": starts,
        "key": str(run.key),
        "rows": (rows.n, rows.total, *map(float, rows.center), *map(float, rows.scale)),
    }
    kept = resumed(run.place, mark)
    if rows.n <= SAMPLE:
        kept.on_the_way("passes", ())
    return Memo(kept)


def _structure(recipe: MixtureRecipe, d: int) -> Structure:
    covariance = recipe.covariance if isinstance(recipe, Mixture) else recipe
    if isinstance(covariance, LowRank):
        return (
            Structure("low_rank", d, min(covariance.r, d))
            if d > covariance.r
            else Structure("full", d)
        )
    if isinstance(covariance, MeanField):
        return Structure("diagonal", d)
    return Structure("full" if isinstance(covariance, (FullRank, Mixture)) else covariance, d)


def _fitted(job: _Job) -> tuple[Mixed, Selection | None]:
    if isinstance(job.recipe, Mixture) and job.recipe.k == "auto":
        return choose(job.family, job.rows, job.sample, starts=job.starts, run=job.run, of=job.of)
    k = job.recipe.k if isinstance(job.recipe, Mixture) else 1
    assert k != "auto"
    made = fit_mixture(
        job.family,
        job.rows,
        job.sample,
        k,
        starts=job.starts,
        rng=job.run.generator("starts"),
        watch=job.run.watch,
    )
    return made, None


def _member(job: _Job, q: Components) -> Distribution:
    return job.family.distribution(q, job.rows)


def _optima(job: _Job, mixed: Mixed) -> tuple[Optimum, ...]:
    """The fit, then other optima that climbs ended in, as they were on the rows searched."""
    best = Optimum(_member(job, mixed.end.at), _loss(job, mixed.end, job.rows), mixed.share)
    ends = mixed.found.ends
    others = [
        Optimum(
            _member(job, end.at),
            _loss(job, end, job.sample),
            sum(abs(e.value - end.value) < 1e-9 for e in ends) / len(ends),
        )
        for end in distinct_ends(ends)[1:]
    ]
    return (best, *others)


def _loss(job: _Job, end: Climb, rows: Rows) -> Estimate:
    found = score(job.family.final, end.at, rows)
    return Estimate.sampled(
        -found.mean,
        found.standard_error,
        CROSS_ENTROPY.quantity,
        method="mean over the rows fitted to",
        n=rows.n,
    )


def _likelihood(job: _Job, mixed: Mixed, loss: Estimate, *, most: int) -> Likelihood:
    rows = job.rows
    at = mixed.end.at
    return Likelihood(
        rows=rows.n,
        weight=rows.total,
        log_likelihood=-rows.total * loss.value,
        parameters=job.family.parameters(len(at.weights)),
        remaining=mixed.end.remaining,
        floor_cost=mixed.floor_cost,
        reached=mixed.share,
        starts=mixed.found.starts,
        passes=mixed.passes,
        sample_rows=job.sample.n,
        sample_passes=mixed.found.passes,
        errors=_errors(job, mixed, most),
    )


def _errors(job: _Job, mixed: Mixed, most: int) -> tuple[ParameterError, ...]:
    q, rows = mixed.end.at, job.rows
    if not isinstance(q, Components):
        return ()
    found = errors(job.family.final, q, rows, job.sample, most=most)
    if found is None:
        return ()
    means = rows.center + rows.scale * q.means
    sds = rows.scale * np.sqrt(np.sum(q.roots**2, axis=2))
    made = []
    for at, i in enumerate(order_of(means, rows.scale[:, None] * q.roots)):
        weight = (float(q.weights[i]), float(found.weights[i]))
        made.append(ParameterError(at + 1, "weight", "", *weight))
        for j, name in enumerate(rows.source.columns):
            unit = rows.scale[j]
            made.append(
                ParameterError(
                    at + 1, "mean", name, float(means[i, j]), float(found.means[i, j] * unit)
                )
            )
            made.append(
                ParameterError(at + 1, "sd", name, float(sds[i, j]), float(found.sds[i, j] * unit))
            )
    return tuple(made)


def _notes(job: _Job, mixed: Mixed) -> tuple[str, ...]:
    notes: list[str] = [_UP_TO]
    if mixed.interrupted:
        notes.insert(0, f"interrupted after {mixed.found.starts} of {job.starts} starts")
    if mixed.kept_prior:
        notes.append(
            Sentence(
                "{} component(s) hold too few rows for a covariance of their own: a weak prior was kept, which "
                "costs about {:.2g} {unit} over all rows; ask for fewer components",
                len(mixed.kept_prior),
                mixed.floor_cost,
            )
        )
    elif mixed.floor_cost > 0.01:
        notes.append(
            Sentence(
                "some component is almost a point or a line (values that repeat exactly?): the floor under its "
                "spread bounds the density there, and took {:.2g} {unit}",
                mixed.floor_cost,
            )
        )
    if mixed.end.remaining > 0.01:
        notes.append(
            Sentence(
                "not converged: about {:.2g} {unit} over all rows are left to gain",
                mixed.end.remaining,
            )
        )
    return tuple(notes)


# Forward fits to samples that are not mixtures: families of scalars, kernel density, categories.

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
    weights = [np.ones(len(x)) if w is None else w for x, w in pieces]
    return Samples(
        np.concatenate([x for x, _ in pieces]),
        np.concatenate(weights),
        columns=p.columns,
        kinds=p.kinds,
        labels=p.labels,
        missing=p.missing,
    )


def rows(p: Samples) -> tuple[Float[np.ndarray, "n d"], Values]:
    """Returns the rows that have a weight, and the weights.

    Raises:
        InputError: a value is missing.
    """
    weights = np.ones(len(p.values)) if p.weights is None else p.weights
    lost = np.isnan(p.values).sum(axis=0)
    if lost.any():
        at = int(np.argmax(lost))
        raise InputError(
            f"column {p.columns[at]} has {lost[at]} missing value(s), which this family does not take: drop or "
            "fill these rows"
        )
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


_SPIKE = (
    "not to be used: a component is narrower than the step of the whole numbers in column {0}, so its density "
    'there is a spike; ask for fewer components, or say kinds={{"{0}": "category"}} or "count"'
)
#: A Gaussian of this sd, in steps of whole numbers, has the density 1 at its mean: no number has more mass.
_NARROWEST = 1.0 / math.sqrt(2.0 * math.pi)


def ratings_as_categories(p: Samples | Stream) -> tuple[Samples | Stream, tuple[str, ...]]:
    """Returns rows whose columns of few whole numbers are categories, and what is said of them.

    The density of a mixture of Gaussians at such numbers grows without bound as components shrink onto them.

    Raises:
        InputError: there is no other column, so that a mixture of categories is but their shares.
    """
    if isinstance(p, Stream):
        return p, ()
    ratings = [
        name for i, name in enumerate(p.columns)
        if p.kinds[i] == "integer" and is_lattice(p.values[:, i])
    ]  # fmt: skip
    if not ratings:
        return p, ()
    named = ", ".join(ratings)
    if len(p.columns) == 1:
        raise InputError(
            f"column {named} holds a few whole numbers, each of them often, and a mixture of Gaussians would be "
            'spikes at them: choose family="categorical" for the share of each, or "poisson"; for a scale that '
            f'is continuous all the same, say kinds={{"{named}": "continuous"}}'
        )
    kinds = {
        name: "category" if name in ratings else kind
        for name, kind in zip(p.columns, p.kinds, strict=True)
    }
    made = Samples(
        p.values, p.weights, columns=p.columns, kinds=kinds, labels=p.labels, missing=p.missing  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    said = (
        f"{named}: a few whole numbers, each of them often, so they are fitted as categories; for a continuous "
        'scale, say kinds={...: "continuous"}'
    )
    return made, (said,)


def narrow(p: Samples | Stream, q: Distribution) -> tuple[str, ...]:
    """Returns the columns of whole numbers in which a component of a mixture is narrower than their step."""
    whole = [i for i, kind in enumerate(p.kinds) if kind == "integer"]
    if not whole:
        return ()
    mixture = components_of(q)
    if isinstance(mixture, GaussianMixture):
        spread, reals = (
            np.sqrt(np.diagonal(mixture.covariances, axis1=1, axis2=2)),
            range(len(p.columns)),
        )
    else:
        spread, reals = np.sqrt(np.sum(mixture.roots**2, axis=2)), mixture.reals.tolist()
    least = dict(zip(reals, spread.min(axis=0), strict=True))
    return tuple(p.columns[i] for i in whole if i in least and least[i] < _NARROWEST * _step(p, i))


def _step(p: Samples | Stream, i: int) -> float:
    """Returns the smallest distance of two values of a column of whole numbers."""
    if isinstance(p, Stream):
        return 1.0
    distances = np.diff(np.unique(p.values[~np.isnan(p.values[:, i]), i]))
    return float(distances.min()) if len(distances) else 1.0


def check_rows(p: Samples, family: ScalarFamily) -> None:
    """Raises InputError where a family of scalars cannot have the rows, naming the first."""
    x, name = p.values[:, 0], p.columns[0]
    used = np.ones(len(x), dtype=bool) if p.weights is None else p.weights > 0.0
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
