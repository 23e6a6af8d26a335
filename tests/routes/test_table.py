"""The table of routes: every option is used or refused, in every cell; what is read is what is promised."""

import pytest

pytest.importorskip("jax")

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import scipy.stats as st

from kullback.api.fit import fit
from kullback.api.plan import plan
from kullback.core.errors import InputError, KullbackError, UnsupportedError
from kullback.core.run import Run
from kullback.families import Mixture, recipe_of
from kullback.inputs.target import read
from kullback.routes.table import ROUTES, Problem, as_markdown, check_options, choose
from kullback.targets import Counts, LogDensity, Samples, Stream, Subsample

RNG = np.random.default_rng(0)
ROWS = RNG.gamma(2.0, 1.0, 300)
PLANE = RNG.normal(size=(200, 2)) @ np.array([[1.0, 0.0], [0.5, 1.0]])


def _two(z):
    return jnp.sum(z * jnp.array([0.3, -0.2]))


TARGETS = {
    "samples": lambda: Samples(ROWS),
    "samples of two columns": lambda: Samples(PLANE),
    "counts": lambda: Counts({"0": 30, "1": 50, "2": 20}),
    "log density": lambda: LogDensity(lambda x: -0.5 * jnp.sum(x**2), np.zeros(2)),
    "log density of a scalar": lambda: LogDensity(lambda x: -0.5 * x**2, 0.0),
    "discrete log density": lambda: LogDensity(_two, np.zeros(2, int), support="binary"),
    "density": lambda: "0.5*normal(-1, sd=1) + 0.5*normal(2, sd=1)",
    "density of a count": lambda: "poisson(3)",
    "density of three coordinates": lambda: st.multivariate_normal(np.zeros(3), np.eye(3)),
}
FAMILIES = (
    "full_rank", "mean_field", "mixture:2", "mixture:1", "mixture:auto", "low_rank:1", "auto", "normal", "gamma",
    "poisson", "kde", "categorical", "bernoulli", "best", "gamma,lognormal", "flow",
)  # fmt: skip
EXECUTOR = ThreadPoolExecutor(1)  # never used


class _Nothing:
    def count(self):
        return 0

    def part(self, first, last):
        return lambda: iter(())


FILES = read(Stream(_Nothing().part(0, 0), ("x0",), ("continuous",), ((),), parts=_Nothing()))
SOLVERS = tuple(dict.fromkeys(r.solver for r in ROUTES if r.solver))


def _cells():
    for (name, make), family, direction in itertools.product(
        TARGETS.items(), FAMILIES, ("forward", "reverse")
    ):
        yield pytest.param(make, family, direction, id=f"{name}-{family}-{direction}")


@pytest.mark.parametrize(("make", "family", "direction"), list(_cells()))
def test_an_option_is_a_row_of_the_table_or_refused(make, family, direction, tmp_path):
    """Without fitting: what a route does not use is refused by name, and so is another route's solver."""
    p, recipe = read(make()), recipe_of(family)
    try:
        route = choose(p, recipe, direction)
    except KullbackError as error:
        # A refusal says what can be done instead.
        assert any(
            w in str(error) for w in ("those that can:", "draws", "fit in reverse", "fit them")
        )
        return
    options = (
        ("starts", 7),
        ("checkpoint", tmp_path / "kept"),
        ("given", ("x0",)),
        ("report", False),
        ("executor", EXECUTOR),
    )
    for option, value in options:
        run = Run(
            place=value if option == "checkpoint" else None,
            executor=value if option == "executor" else None,
        )
        starts = value if option == "starts" else None
        given = value if option == "given" else ()
        report = option != "report"
        problem = Problem(p, recipe, direction, starts, route.solver, run, given, report)
        if option == "executor" and option in route.options:
            # Rows that workers read for themselves: those in memory are refused.
            check_options(route, replace(problem, target=FILES))
            with pytest.raises(InputError, match="executor=: these rows are in memory"):
                check_options(route, problem)
        elif option in route.options:
            check_options(route, problem)
        else:
            with pytest.raises(InputError, match=f"{option}=.*leave {option} out"):
                check_options(route, problem)
    asked = choose(p, recipe, direction, given=True)
    problem = Problem(p, recipe, direction, None, asked.solver, Run(), ("x0",))
    if "given" in asked.options:
        check_options(asked, problem)
        with pytest.raises(InputError, match="say given="):
            check_options(asked, Problem(p, recipe, direction, None, asked.solver, Run()))
    else:
        with pytest.raises(InputError, match=r"given=.*leave given out"):
            check_options(asked, problem)
    here = {r.solver for r in ROUTES if _takes(r, p, recipe, direction)}
    for solver in SOLVERS:
        if solver in here:
            assert choose(p, recipe, direction, solver).solver == solver
        else:
            with pytest.raises(InputError, match=f'solver="{solver}" is not for'):
                choose(p, recipe, direction, solver)


def _takes(route, p, recipe, direction):
    cell = route.known == p.known and route.direction == direction
    return cell and route.families.hold(recipe) and route.least <= p.dimension <= route.most


#: One small fit for each route: its options reach what runs.
_USED = [
    ("samples", "mixture:2", "forward", None),
    ("samples of two columns", "full_rank", "forward", None),
    ("samples of two columns", "mixture:2", "forward", None),
    pytest.param("samples of two columns", "full_rank", "reverse", None, marks=pytest.mark.slow),
    pytest.param("log density", "full_rank", "reverse", None, marks=pytest.mark.slow),
    pytest.param("log density", "low_rank:1", "forward", None, marks=pytest.mark.slow),
    pytest.param(
        "log density", "mixture:2", "forward", "importance_sampling", marks=pytest.mark.slow
    ),
    pytest.param("discrete log density", "bernoulli", "reverse", None, marks=pytest.mark.slow),
    ("density", "normal", "reverse", None),
    pytest.param("density", "laplace", "reverse", None, marks=pytest.mark.slow),
    pytest.param("density", "mixture:2", "forward", None, marks=pytest.mark.slow),
    pytest.param(
        "density of three coordinates", "full_rank", "reverse", None, marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("name", "family", "direction", "solver"), _USED)
def test_starts_and_checkpoints_that_are_taken_are_used(name, family, direction, solver, tmp_path):
    target = TARGETS[name]()
    route = choose(read(target), recipe_of(family), direction, solver)
    asked = {"starts": 13} if "starts" in route.options else {}
    kept = tmp_path / "kept"
    if "checkpoint" in route.options:
        asked["checkpoint"] = kept
    found = fit(target, family, direction=direction, solver=solver, **asked)
    assert kept.exists() == ("checkpoint" in asked)
    if "starts" in asked:
        assert found.starts >= 13
    assert sum(o.share for o in found.optima if not np.isnan(o.share)) <= 1.0 + 1e-9


def test_a_solver_that_there_is_not_is_corrected():
    with pytest.raises(InputError, match=r"there is plug_in, adversarial; did you mean plug_in\?"):
        fit(Samples(ROWS), "mixture:2", direction="reverse", solver="plugin")


class TestWhatIsRead:
    """Whatever holds the same rows gives the same fit."""

    def test_frames_and_paths(self, tmp_path):
        polars, pandas = pytest.importorskip("polars"), pytest.importorskip("pandas")
        columns = {"a": PLANE[:, 0], "b": PLANE[:, 1]}
        polars.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
        wanted = fit(PLANE, "full_rank", direction="forward").divergence.value
        for given in (
            polars.DataFrame(columns), pandas.DataFrame(columns), tmp_path / "t.parquet",
            str(tmp_path / "t.parquet"),
        ):  # fmt: skip
            found = fit(given, "full_rank", direction="forward")
            assert found.divergence.value == pytest.approx(wanted, abs=1e-12)
            assert found.columns == ("a", "b")

    def test_a_table_of_arrow(self):
        arrow = pytest.importorskip("pyarrow")
        assert read(arrow.table({"a": PLANE[:, 0], "b": PLANE[:, 1]})).dimension == 2

    def test_the_posterior_of_an_arviz_tree(self):
        arviz = pytest.importorskip("arviz_base")
        draws = {"mu": RNG.normal(size=(4, 50)), "theta": RNG.normal(size=(4, 50, 2))}
        p = read(arviz.from_dict({"posterior": draws}))
        assert p.given.columns == ("mu", "theta[0]", "theta[1]")
        assert p.given.values.shape == (200, 3)

    def test_a_relation_of_duckdb(self):
        duckdb = pytest.importorskip("duckdb")
        relation = duckdb.sql(
            "select range::double as a, (range * 7 % 11)::double as b from range(50)"
        )
        assert read(relation).dimension == 2

    def test_counts_are_as_many_rows(self):
        counted = fit(Counts({"a": 30, "b": 70}), "categorical", direction="forward")
        share = np.array([30.5, 70.5]) / 101.0
        loss = -(0.3 * np.log(share[0]) + 0.7 * np.log(share[1]))
        error = abs(np.log(share[0] / share[1])) * np.sqrt(0.3 * 0.7 / 99.0)
        assert counted.divergence.value == pytest.approx(loss, abs=1e-12)
        assert counted.divergence.standard_error == pytest.approx(error, rel=0.02)
        numbers = fit(Counts([10, 20, 30, 5]), "poisson", direction="forward")
        assert float(numbers.q.rate) == pytest.approx((20 + 60 + 15) / 65)

    def test_a_path_that_is_not_there_is_told(self):
        with pytest.raises(InputError, match=r"nosuch\.parquet"):
            fit("nosuch.parquet", "mixture:2", direction="forward")

    def test_a_function_must_be_said_to_be_something(self):
        with pytest.raises(InputError, match="numpyro_model"):
            fit(lambda x: -0.5 * x**2, "auto", direction="reverse")


class TestKnownVectors:
    """Known distributions of several coordinates, against closed forms."""

    C = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 0.7]])

    @pytest.mark.slow
    def test_both_directions_of_a_gaussian(self):
        p = st.multivariate_normal([1, 0, -1], self.C)
        log_det = np.linalg.slogdet(self.C)[1]
        precise = np.log(np.diag(np.linalg.inv(self.C))).sum()
        best = {
            "reverse": 0.5 * (precise + log_det),
            "forward": 0.5 * (np.log(np.diag(self.C)).sum() - log_det),
        }
        for direction, value in best.items():
            whole = fit(p, "full_rank", direction=direction)
            assert whole.divergence.value == pytest.approx(0.0, abs=1e-6)
            diagonal = fit(p, "mean_field", direction=direction)
            assert diagonal.divergence.value == pytest.approx(value, abs=1e-3)
            assert diagonal.divergence.kind == "exact"
            assert diagonal.forward_kl is not None
            assert diagonal.reverse_kl is not None

    def test_forward_of_a_mixture_has_its_moments(self):
        p = (
            "0.4*mvnormal([0, 0, 0], cov=[[1, 0, 0], [0, 1, 0], [0, 0, 1]]) + "
            "0.6*mvnormal([2, 0, 1], cov=[[1, 0.5, 0], [0.5, 1, 0], [0, 0, 2]])"
        )
        q = fit(p, "full_rank", direction="forward").q
        apart = np.array([2.0, 0.0, 1.0])
        within = 0.4 * np.eye(3) + 0.6 * np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 2]])
        assert q.loc == pytest.approx(0.6 * apart, abs=0.02)
        assert np.asarray(q.covariance) == pytest.approx(
            within + 0.24 * np.outer(apart, apart), abs=0.05
        )

    def test_a_simplex_is_no_place_for_a_gaussian(self):
        with pytest.raises(UnsupportedError, match="support="):
            fit("dirichlet([2, 3, 4])", "full_rank", direction="forward")


def test_the_plan_says_how_a_fit_would_be_made():
    found = plan(PLANE, family="mixture:2")
    assert (found.forward.method, found.reverse.method) == ("em", "plug_in")
    both = plan(LogDensity(lambda x: -jnp.sum(x**2), np.zeros(5)), family="full_rank")
    assert both.reverse.method == "natural_gradient"
    assert both.forward.method == "importance_sampling"
    refused = plan(LogDensity(_two, np.zeros(2, int), support="binary"), family="bernoulli")
    assert refused.forward.method.startswith("none: forward KL over discrete latents needs means")
    with pytest.raises(InputError, match="give one of them"):
        plan("normal(0, sd=1)")


def test_a_plane_is_tabulated_only_where_its_values_are_all_there_is_of_it():
    """Names, supports and rows of data are part of p: quadrature over an array would leave them out."""
    plane = LogDensity(lambda x: -0.5 * jnp.sum(x**2), np.zeros(2))
    assert choose(read(plane), recipe_of("full_rank"), "forward").solver == "moments"
    for family in ("mixture:auto", "low_rank:1", Mixture(2, "spherical")):
        assert choose(read(plane), recipe_of(family), "forward").solver == "importance_sampling"
    named = LogDensity(lambda x: -(x["a"] ** 2) - x["b"] ** 2, {"a": 0.0, "b": 0.0})
    bounded = LogDensity(lambda x: -jnp.sum(x), np.ones(2), support="positive")
    few = Subsample(lambda x, row: -0.5 * (row - x[0]) ** 2, np.zeros(50), 5)
    rows = LogDensity(lambda x: -0.5 * jnp.sum(x**2), np.zeros(2), subsample=few)
    for p in (named, bounded, rows):
        assert choose(read(p), recipe_of("full_rank"), "forward").solver == "importance_sampling"


def test_the_docs_have_the_table():
    page = (Path(__file__).parents[2] / "docs" / "how-to-choose.md").read_text("utf-8")
    assert as_markdown() in page
