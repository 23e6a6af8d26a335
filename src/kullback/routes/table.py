"""Two directions times what is known of p: how q is fitted. The one table of the product, as data.

It chooses the route of a fit, refuses what cannot be and options that are not used, says in `plan` how
a fit would be made, and is printed in the docs. What is not in it does not happen.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import final

from kullback.core.errors import InputError, UnsupportedError
from kullback.core.numerics import threads
from kullback.core.run import Run
from kullback.families import (
    Auto,
    Bernoulli,
    Categorical,
    Flow,
    FullRank,
    KernelDensity,
    LowRank,
    MeanField,
    Mixture,
    is_normal,
    words,
)
from kullback.inputs.passes import check_in_files
from kullback.inputs.target import KnownAs, Target
from kullback.results.fit import Direction, Fit

_ANY = 10**9


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be fitted, and what was asked of the fit.

    Attributes:
        target: p.
        family: a recipe for q.
        direction: "forward" or "reverse".
        starts: how many were asked for; None for as many as the route takes.
        solver: the one of the route.
        run: randomness, progress, checkpoint, clock.
        given: the columns that the others are conditioned on; () for a density of all.
        report: whether the fit is to be judged.
    """

    target: Target
    family: object
    direction: Direction
    starts: int | None
    solver: str
    run: Run
    given: tuple[str, ...] = ()
    report: bool = True


@final
@dataclass(frozen=True)
class Families:
    """Some of the recipes.

    Attributes:
        words: what they are called.
        hold: whether a recipe is one of them.
    """

    words: str
    hold: Callable[[object], bool]


@final
@dataclass(frozen=True)
class Route:
    """How one direction is minimised over some families, given what is known of p.

    Attributes:
        known: what is known of p.
        direction: which KL.
        families: of q.
        solver: its name, as in solver=.
        module: where `fit(problem)` of this route is; "" where there is none.
        needs: what is asked of p.
        gives: what the number is.
        options: of "starts", "checkpoint", "given", "report" and "executor", those that it uses; one that uses given
            needs it, one that uses report can do without its report, and executors pass over rows in files.
        most, least: coordinates at most, and at least.
        remedy: where there is no such route, why, and what to type instead.
    """

    known: KnownAs
    direction: Direction
    families: Families
    solver: str
    module: str
    needs: str
    gives: str
    options: frozenset[str] = frozenset()
    most: int = _ANY
    least: int = 1
    remedy: str = ""

    def reaches(self, target: Target) -> bool:
        """Whether p has no more coordinates, nor fewer and, where they are few, is a function that can be tabulated."""
        fitting = self.least <= target.dimension <= self.most
        return fitting and (self.most == _ANY or target.by_values)

    def fit(self, problem: Problem) -> Fit:
        """Returns the fit, by the module of this route, imported only now."""
        run = import_module(f"kullback.routes.{self.module}").fit
        with threads(problem.target.dimension):
            return run(problem)


def _is(*recipes: type) -> Callable[[object], bool]:
    return lambda family: isinstance(family, recipes)


def _is_list(family: object) -> bool:
    return isinstance(family, (list, tuple)) or family == "best"


def _is_scalar(family: object) -> bool:
    """Whether a family is one of scalars: a class of NumPyro, what makes one, or a name that is looked up."""
    return callable(family) or (isinstance(family, str) and family != "best")


_GAUSSIANS = Families("full_rank, mean_field, mixture:k", _is(FullRank, MeanField, Mixture))
_TABULATED = Families(
    "full_rank, mean_field, mixture:k",
    lambda f: (
        isinstance(f, (FullRank, MeanField))
        or (
            isinstance(f, Mixture)
            and f.k != "auto"
            and f.tails == "gaussian"
            and f.covariance in ("full", "diagonal")
        )
    ),
)
_ONE = Families("full_rank, mean_field", _is(FullRank, MeanField))
_CLOSED = Families(
    "full_rank, mean_field, normal",
    lambda f: (
        isinstance(f, (FullRank, MeanField))
        or (isinstance(f, Mixture) and f.k == 1)
        or is_normal(f)
    ),
)
_ONE_OF_ROWS = Families(
    "full_rank, mean_field, low_rank:r",
    lambda f: (
        isinstance(f, (FullRank, MeanField, LowRank)) or (isinstance(f, Mixture) and f.k == 1)
    ),
)
_MANY = Families("mixture:k, auto", _is(Mixture, Auto))
_ALL = Families(
    "full_rank, mean_field, low_rank:r, mixture:k, mixture:auto, auto",
    _is(FullRank, MeanField, LowRank, Mixture, Auto),
)
_AT_ONCE = Families(
    "full_rank, mean_field, low_rank:r, mixture:k, mixture:auto",
    _is(FullRank, MeanField, LowRank, Mixture),
)
_LADDER = Families("auto", _is(Auto))
_FLOWS = Families("flow", _is(Flow))
_SCALARS = Families("a family of the line or of counts, such as gamma or poisson", _is_scalar)
_ROWWISE = Families("kde, categorical", _is(KernelDensity, Categorical))
_LISTS = Families("a list of families, best", _is_list)
_LATENTS = Families(
    "bernoulli, categorical",
    lambda f: isinstance(f, (Bernoulli, Categorical, Auto, MeanField)) or f == "bernoulli",
)
_CODES = Families(
    "categorical, a family of counts such as poisson, a list of families, best",
    lambda f: isinstance(f, Categorical) or _is_scalar(f) or _is_list(f),
)
_REGRESSIONS = Families("full_rank, categorical", _is(FullRank, Categorical))
_EVERY = Families("any family", lambda f: True)

_STARTS, _CHECKPOINT = frozenset({"starts"}), frozenset({"checkpoint"})
_BOTH = _STARTS | _CHECKPOINT
_GIVEN, _SILENT = frozenset({"given"}), frozenset({"report"})
_ELSEWHERE = frozenset({"executor"})
_UP_TO = "the cross-entropy: KL(p||q) up to H(p)"
_OF_Y = "the cross-entropy of y given x, and mutual information"
_MEASURED = "KL in both directions, measured anew"
_REPORT = "ELBO, evidence and both KLs on fresh draws, with a verdict"

#: In each cell the first row that takes the family answers, unless solver= names another.
ROUTES = (
    Route(
        "samples", "forward", _ONE_OF_ROWS, "maximum_likelihood", "samples_forward", "rows", _UP_TO,
        _CHECKPOINT | _ELSEWHERE,
    ),
    Route("samples", "forward", _MANY, "em", "samples_forward", "rows", _UP_TO, _BOTH | _ELSEWHERE),
    Route(
        "samples", "forward", _FLOWS, "maximum_likelihood", "flow", "rows, in memory", _UP_TO, least=2,
    ),
    Route("samples", "forward", _ROWWISE, "maximum_likelihood", "samples_forward", "rows", _UP_TO),
    Route("samples", "forward", _LISTS, "held_out_scores", "selection", "rows", _UP_TO),
    Route("samples", "forward", _SCALARS, "maximum_likelihood", "samples_forward", "one column", _UP_TO),
    Route("samples", "forward", _REGRESSIONS, "conditional_likelihood", "conditional", "rows, given=", _OF_Y, _GIVEN),
    Route(
        "samples", "forward", _MANY, "conditional_likelihood", "conditional", "rows, given=", _OF_Y, _STARTS | _GIVEN,
    ),
    Route(
        "samples", "reverse", _GAUSSIANS, "plug_in", "samples_reverse", "rows, for p-hat",
        "an estimate of KL(q||p) that rests on p-hat", _STARTS,
    ),
    Route(
        "samples", "reverse", _GAUSSIANS, "adversarial", "samples_reverse", "rows, for a critic",
        "a lower bound of KL(q||p)", _STARTS,
    ),
    Route("counts", "forward", _CODES, "maximum_likelihood", "samples_forward", "counts of levels", _UP_TO),
    Route(
        "counts", "reverse", _EVERY, "", "", "", "",
        remedy="counts are no density: fit them forward, fit(counts, \"categorical\", direction=\"forward\"), "
        "and fit its q in reverse",
    ),
    Route("log density", "forward", _CLOSED, "moments", "known", "log p on the line or a plane", _MEASURED, most=2),
    Route(
        "log density", "forward", _TABULATED, "quadrature", "known", "log p on the line or a plane",
        _MEASURED, _STARTS, 2,
    ),
    Route(
        "log density", "forward", _SCALARS, "quadrature", "known", "log p on the line", _MEASURED, _STARTS, 1,
    ),
    Route(
        "log density", "forward", _ALL, "importance_sampling", "log_density_forward", "log p and its gradient",
        _REPORT, _BOTH | _SILENT,
    ),
    Route(
        "log density", "forward", _FLOWS, "importance_sampling", "flow", "log p and its gradient", _REPORT,
        _BOTH | _SILENT, least=2,
    ),
    Route(
        "log density", "reverse", _AT_ONCE, "natural_gradient", "log_density_reverse", "log p and its gradient",
        _REPORT, _BOTH | _SILENT,
    ),
    Route(
        "log density", "reverse", _LADDER, "natural_gradient", "log_density_reverse", "log p and its gradient",
        _REPORT, _BOTH,
    ),
    Route(
        "log density", "reverse", _FLOWS, "path_gradient", "flow", "log p, a function of JAX", _REPORT,
        _BOTH | _SILENT, least=2,
    ),
    *(
        Route(
            "log density", "reverse", _ONE, solver, "log_density_reverse", "log p and its gradient",
            _REPORT, _BOTH | _SILENT,
        )
        for solver in ("stick_the_landing", "reparameterization", "score_function")
    ),
    Route("log density", "reverse", _SCALARS, "quadrature", "known", "log p on the line", _MEASURED, _STARTS, 1),
    Route(
        "discrete log density", "reverse", _LATENTS, "coordinate_ascent", "discrete_reverse",
        "log p at every state", _REPORT, _STARTS,
    ),
    Route(
        "discrete log density", "forward", _EVERY, "", "", "", "",
        remedy="forward KL over discrete latents needs means under p: fit in reverse and look at "
        "fit.draws.tempered, direction=\"reverse\"",
    ),
    Route("density", "forward", _CLOSED, "moments", "known", "the density on the line or a plane", _MEASURED, most=2),
    Route("density", "forward", _CLOSED, "moments", "known_vectors", "moments or draws of p", _MEASURED),
    Route(
        "density", "forward", _GAUSSIANS, "quadrature", "known", "the density on the line or a plane",
        _MEASURED, _STARTS, 2,
    ),
    Route(
        "density", "forward", _GAUSSIANS, "em", "known_vectors", "draws of p", _MEASURED, _STARTS,
    ),
    Route("density", "forward", _SCALARS, "quadrature", "known", "the density on the line", _MEASURED, _STARTS),
    Route(
        "density", "reverse", _GAUSSIANS, "quadrature", "known", "the density on the line or a plane",
        _MEASURED, _STARTS, 2,
    ),
    Route(
        "density", "reverse", _ALL, "natural_gradient", "known_vectors", "log p and its gradient",
        _MEASURED, _BOTH,
    ),
    Route("density", "reverse", _SCALARS, "quadrature", "known", "the density on the line", _MEASURED, _STARTS),
)  # fmt: skip

_UNUSED = {
    "starts": "has one optimum and takes no search",
    "checkpoint": "keeps nothing on the way",
    "given": "fits a density of all columns",
    "report": "needs what it measures",
    "executor": "is computed in one process",
}
_OF = {
    "samples": "samples",
    "counts": "counts",
    "log density": "a log density",
    "discrete log density": "a log density over discrete latents",
    "density": "a known density",
}


def choose(
    target: Target, family: object, direction: Direction, solver: str | None = None, *, given: bool = False
) -> Route:  # fmt: skip
    """Returns the route of a fit, without fitting; where columns are given, one that conditions on them.

    Raises:
        InputError: there is no such solver here.
        UnsupportedError: no route takes this family in this direction from what is known of p; the
            message says which ones are taken, or what to do instead.
    """
    cell = [r for r in ROUTES if r.known == target.known and r.direction == direction]
    rows = [r for r in cell if r.families.hold(family) and r.reaches(target)]
    if solver is not None:
        _check_solver(solver, rows, cell, target, family, direction)
        rows = [r for r in rows if r.solver == solver]
    elif given:
        rows = [r for r in rows if "given" in r.options] or rows
    elif target.subsampled:
        rows = [r for r in rows if r.solver == "stick_the_landing"] or rows
    if not rows:
        taken = ", ".join(dict.fromkeys(r.families.words for r in cell if r.reaches(target)))
        raise UnsupportedError(
            f"family {words(family)} cannot be fitted to {_OF[target.known]} in the {direction} direction; "
            f"those that can: {taken}"
        )
    if rows[0].remedy:
        raise UnsupportedError(rows[0].remedy)
    return rows[0]


def check_options(route: Route, problem: Problem) -> None:
    """Raises InputError for an option that the route does not use."""
    asked = {
        "starts": problem.starts, "checkpoint": problem.run.place, "given": ",".join(problem.given) or None,
        "report": None if problem.report else False,
        "executor": None if problem.run.executor is None else type(problem.run.executor).__name__,
    }  # fmt: skip
    if "given" in route.options and not problem.given:
        raise InputError(
            f'solver="{route.solver}" is for a density given columns: say given=[...], or leave solver out'
        )
    for name, value in asked.items():
        if value is not None and name not in route.options:
            raise InputError(
                f"{name}={value}: {words(problem.family)} is fitted to {_OF[route.known]} by "
                f"{route.solver}, which {_UNUSED[name]}: leave {name} out"
            )
    if problem.run.executor is not None:
        check_in_files(problem.target.given)


def _check_solver(
    solver: str,
    rows: list[Route],
    cell: list[Route],
    target: Target,
    family: object,
    direction: Direction,
) -> None:
    here = [r.solver for r in rows if r.solver]
    if solver in here:
        if solver == "natural_gradient" and target.subsampled:
            raise InputError(
                'solver="natural_gradient" needs all rows of data at every step: leave out solver=, or '
                "subsample="
            )
        return
    others = [r.families.words for r in cell if r.solver == solver]
    close = difflib.get_close_matches(solver, here, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    for_family = f", it is for {others[0]}" if others else ""
    have = f"there is {', '.join(dict.fromkeys(here))}" if here else "no solver takes it"
    raise InputError(
        f'solver="{solver}" is not for {words(family)} and {_OF[target.known]} in the {direction} '
        f"direction{for_family}; {have}{hint}: or leave it out"
    )


#: What minimising each direction does to q, and under what the mean is taken.
DOES = {
    "forward": "covers: q must have mass wherever p has (zero-avoiding, mass-covering, inclusive)",
    "reverse": "seeks: q may leave parts of p out, not add to it (zero-forcing, mode-seeking, exclusive)",
}
NEEDS = {
    "forward": "draws of p (or its density on the line) and log q there; log p only for the constant H(p)",
    "reverse": "draws of q and log p there, up to a constant: samples of p give a p-hat, or a critic, instead",
}
EXPECTATION = {"forward": "the mean is taken under p", "reverse": "the mean is taken under q"}


def as_markdown() -> str:
    """Returns the table as docs/how-to-choose.md has it; a test compares the two."""
    head = "| known of p | direction | families | solver | needs | gives | options |\n|---|---|---|---|---|---|---|\n"
    lines = []
    for r in ROUTES:
        most = f", up to {r.most} coordinate(s)" if r.most < _ANY else ""
        most += f", {r.least} coordinates or more" if r.least > 1 else ""
        if r.remedy:
            cells = [f"{r.known}", r.direction, r.families.words, "none", "", r.remedy, ""]
        else:
            options = ", ".join(sorted(r.options))
            cells = [
                f"{r.known}{most}",
                r.direction,
                r.families.words,
                r.solver,
                r.needs,
                r.gives,
                options,
            ]
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return head + "\n".join(lines) + "\n"
