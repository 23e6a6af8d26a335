"""Fits in both directions, against what is known of their optima."""

import math

import numpy as np
import pytest

from kullback.api.fit import fit
from kullback.api.measure import kl_divergence
from kullback.core.errors import InputError, KullbackError
from kullback.families import FullRank, MeanField, Mixture
from kullback.inputs import dataset
from kullback.targets import LogDensity, Samples

THREE = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"


@pytest.fixture(scope="module")
def forward():
    return fit(THREE, Mixture(2), direction="forward", starts=40)


@pytest.fixture(scope="module")
def reverse():
    return fit(THREE, Mixture(2), direction="reverse", starts=60)


def table(q):
    return [(w, c.loc, c.scale) for w, c in zip(q.weights, q.components, strict=True)]


def test_the_forward_optimum(forward):
    assert forward.divergence.direction == "KL(p||q)"
    assert forward.divergence.value == pytest.approx(0.2702, abs=5e-5)
    rows = sorted(table(forward.q), key=lambda r: r[2])
    assert rows[0] == pytest.approx((0.273, math.copysign(2.027, rows[0][1]), 0.274), abs=6e-4)
    assert rows[1] == pytest.approx((0.727, math.copysign(0.763, rows[1][1]), 1.144), abs=6e-4)


def test_the_reverse_optima(reverse):
    values = sorted({round(o.divergence.value, 4) for o in reverse.optima})
    assert values == [0.3524, 0.3697, 0.5033, 0.5872]
    assert sum(o.share for o in reverse.optima) == pytest.approx(1.0)
    assert "not unique" in reverse.notes[0]
    rows = sorted(table(reverse.q), key=lambda r: r[2])
    assert rows[0] == pytest.approx((0.426, math.copysign(2.001, rows[0][1]), 0.299), abs=6e-4)


def test_each_fit_is_measured_in_both_directions(forward, reverse):
    assert forward.forward_kl.value == forward.divergence.value
    assert reverse.reverse_kl.value == reverse.divergence.value
    assert reverse.forward_kl.value > 2.0 > forward.forward_kl.value


def test_reverse_kl_has_no_false_optimum(reverse):
    assert min(o.divergence.value for o in reverse.optima) > 0.35


def test_forward_gaussian_matches_moments():
    found = fit(THREE, FullRank(), direction="forward")
    assert found.q.loc == pytest.approx(0.0, abs=1e-6)
    assert found.q.scale**2 == pytest.approx(0.3 * 0.09 * 2 + 0.4 * 0.16 + 2.4, rel=1e-6)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_a_gaussian_is_found_exactly_in_two_variables(direction):
    covariance = np.array([[2.0, 0.9], [0.9, 1.0]])
    precision = np.linalg.inv(covariance)

    def log_p(x):
        moved = x - np.array([3.0, -1.0])
        return 7.0 - 0.5 * np.einsum("...i,ij,...j", moved, precision, moved)

    found = fit(LogDensity(log_p, np.zeros(2)), FullRank(), direction=direction)
    assert found.q.loc == pytest.approx([3.0, -1.0], abs=1e-5)
    assert found.q.covariance == pytest.approx(covariance, abs=1e-4)
    assert abs(found.divergence.value) < 1e-6


def test_mean_field_reverse_is_too_narrow_by_the_known_factor():
    p = "mvnormal([0, 0], cov=[[1, 0.8], [0.8, 1]])"
    found = fit(p, MeanField(), direction="reverse")
    assert np.diag(found.q.covariance) == pytest.approx([0.36, 0.36], abs=1e-4)
    wide = fit(p, MeanField(), direction="forward")
    assert np.diag(wide.q.covariance) == pytest.approx([1.0, 1.0], abs=1e-4)


@pytest.mark.slow
def test_a_numpyro_family():
    forward = fit("weibull(2, scale=3)", "gamma", direction="forward")
    reverse = fit("weibull(2, scale=3)", "gamma", direction="reverse")
    assert 0 < forward.divergence.value < kl_divergence("weibull(2, scale=3)", reverse.q).value
    assert 0 < reverse.divergence.value < kl_divergence(forward.q, "weibull(2, scale=3)").value


def test_samples_by_maximum_likelihood():
    x = np.random.default_rng(0).normal(3.0, 2.0, 500)
    found = fit(Samples(x), FullRank(), direction="forward")
    assert found.q.loc == pytest.approx(x.mean())
    assert found.q.scale == pytest.approx(x.std(), rel=1e-5)
    assert found.divergence.quantity.name == "cross_entropy"
    assert found.forward_kl.kind == "estimate"
    assert found.forward_kl.value < 3.0 * found.forward_kl.standard_error


def test_old_faithful():
    data = dataset("faithful")
    found = fit(Samples(data.values, columns=data.columns), Mixture(2), direction="forward")
    assert found.divergence.value * len(data.values) == pytest.approx(1130.264, abs=0.01)
    assert found.held_out.value == pytest.approx(
        -found.divergence.value, abs=3 * found.held_out.standard_error
    )
    assert 0.03 < found.held_out.standard_error < 0.2


def test_frequencies_are_repeated_rows():
    x = np.random.default_rng(1).normal(size=(60, 2))
    repeats = np.arange(60) % 3 + 1
    a = fit(Samples(x, frequencies=repeats), FullRank(), direction="forward").q
    b = fit(Samples(np.repeat(x, repeats, axis=0)), FullRank(), direction="forward").q
    assert a.covariance == pytest.approx(b.covariance, rel=1e-10)


@pytest.mark.parametrize(
    ("target", "family", "direction", "message"),
    [
        ("cauchy(0, scale=1)", FullRank(), "forward", "infinite for every Gaussian"),
        ("gamma(2, rate=1)", FullRank(), "reverse", "infinite for every Gaussian"),
        (
            Samples([1.0, 2.0]),
            Mixture(3),
            "forward",
            "more components than there are samples",
        ),
        (Samples(np.zeros((5, 1))), FullRank(), "forward", "column x0 is constant"),
        (Samples([1.0, 2.0, 4.0]), FullRank(), "reverse", "at least 10 rows a column"),
        (THREE, Mixture(2), "sideways", 'say "forward"'),
        (THREE, "nonsense", "forward", '"nonsense" is not known'),
        (THREE, "mixture:x", "forward", "such as mixture:2"),
        ("poisson(3)", FullRank(), "forward", "discrete target"),
    ],
)
def test_what_cannot_be_fitted(target, family, direction, message):
    with pytest.raises(KullbackError, match=message):
        fit(target, family, direction=direction)


def test_bad_samples():
    with pytest.raises(InputError, match="column x1 has 1 NaN.*row 2"):
        Samples([[1.0, 2.0], [1.0, 3.0], [1.0, math.nan]])
    with pytest.raises(InputError, match="samples are empty"):
        Samples([])
    with pytest.raises(InputError, match="k must be a positive integer"):
        Mixture(0)
    with pytest.raises(InputError, match="weights must be finite"):
        Samples([1.0, 2.0], [-1.0, 1.0])


def test_ctrl_c_keeps_what_there_is():
    def stop(done):
        if done == 3:
            raise KeyboardInterrupt

    found = fit(THREE, Mixture(2), direction="reverse", progress=stop)
    assert found.starts == 3
    assert math.isfinite(found.divergence.value)


def test_ctrl_c_while_rows_are_held_out_keeps_the_fit():
    def stop(words):
        if str(words).startswith("rows left out"):
            raise KeyboardInterrupt

    x = np.random.default_rng(0).normal(size=(80, 2))
    found = fit(Samples(x), Mixture(2), direction="forward", starts=3, progress=stop)
    assert found.starts == 3
    assert found.held_out is None
    assert found.interrupted


def test_an_interrupted_fit_says_so():
    def stop(done):
        if done == 2:
            raise KeyboardInterrupt

    found = fit(THREE, Mixture(2), direction="forward", progress=stop)
    assert found.interrupted
    assert found.notes[-1] == "interrupted after 2 of 60 starts"


@pytest.mark.parametrize(
    ("target", "best"),
    [
        ("cauchy(0, scale=1)", 0.18276),
        ("0.9*normal(-20, sd=0.01) + 0.1*normal(20, sd=10)", 0.10536),
        ("0.7*normal(0, sd=0.001) + 0.3*normal(0.5, sd=1)", 0.35540),
    ],
)
def test_reverse_fits_of_heavy_tails_and_narrow_modes(target, best):
    found = fit(target, FullRank(), direction="reverse")
    assert found.divergence.value == pytest.approx(best, abs=2e-5)


@pytest.mark.parametrize(
    ("target", "best"),
    [
        # By sums over dense grids of x with SciPy's densities, and Nelder-Mead from several starts.
        ("0.6*normal(-3, sd=0.7) + 0.4*normal(3, sd=1)", 0.5104135545),
        ("0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)", 0.688768995855),
        ("0.6*normal(-5, sd=0.7) + 0.4*normal(5, sd=1)", 0.51082562),
        ("0.01*normal(-4, sd=0.05) + 0.99*normal(2, sd=1)", -math.log(0.99)),
        ("0.9*normal(-4, sd=0.05) + 0.1*normal(2, sd=3)", 0.1044972503),
    ],
)
def test_one_normal_ends_at_one_of_two_modes(target, best):
    found = fit(target, "normal", direction="reverse")
    assert found.divergence.value == pytest.approx(best, abs=2e-5)
    assert found.starts == 24
    assert sum(o.share for o in found.optima) <= 1.0 + 1e-12


@pytest.mark.parametrize(
    ("target", "family", "direction", "best"),
    [
        # By the same; sums with SciPy's grid are right to 1e-6 at the kink of Laplace's density.
        ("0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)", "laplace", "reverse", 0.7180053345),
        pytest.param(
            "0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)",
            "gumbel",
            "reverse",
            0.6435345977,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)",
            "laplace",
            "forward",
            0.6837777401,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "0.6*gamma(3, rate=1) + 0.4*gamma(80, rate=5)",
            "lognormal",
            "reverse",
            0.4807439027,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "0.6*gamma(3, rate=1) + 0.4*gamma(80, rate=5)",
            "weibull",
            "forward",
            0.5105721931,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "0.5*beta(5, 30) + 0.5*beta(20, 4)",
            "beta",
            "reverse",
            0.6930278961,
            marks=pytest.mark.slow,
        ),
        ("0.5*poisson(2) + 0.5*poisson(30)", "poisson", "reverse", 0.6930869463),
    ],
)
def test_families_of_scalars_at_two_modes(target, family, direction, best):
    found = fit(target, family, direction=direction, starts=6)
    assert found.divergence.value == pytest.approx(best, abs=2e-6)
    assert found.starts == 6


@pytest.mark.parametrize(
    ("target", "small", "large", "direction"),
    [
        pytest.param(
            "0.9*normal(-2, sd=0.1) + 0.1*normal(4, sd=2)",
            "normal",
            "mixture:2",
            "reverse",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "0.3*gamma(2, rate=4) + 0.7*gamma(50, rate=5)",
            "exponential",
            "gamma",
            "reverse",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "0.3*gamma(2, rate=4) + 0.7*gamma(50, rate=5)",
            "exponential",
            "weibull",
            "forward",
            marks=pytest.mark.slow,
        ),
        pytest.param("normal(0, sd=1)", "normal", "student_t", "reverse", marks=pytest.mark.slow),
        pytest.param(
            "0.2*poisson(1) + 0.8*poisson(20)",
            "poisson",
            "negative_binomial2",
            "reverse",
            marks=pytest.mark.slow,
        ),
        ("mvnormal([0, 0], cov=[[1, 0.8], [0.8, 1]])", "mean_field", "full_rank", "reverse"),
    ],
)
def test_a_family_is_never_worse_than_one_that_it_contains(target, small, large, direction):
    inner = fit(target, small, direction=direction, starts=3)
    outer = fit(target, large, direction=direction, starts=3)
    assert outer.divergence.value <= inner.divergence.value + 1e-8


@pytest.mark.parametrize("family", ["normal", "laplace", "mixture:2"])
def test_as_many_starts_as_asked_for(family):
    told = []
    p = "0.5*normal(-3, sd=1) + 0.5*normal(3, sd=1)"
    found = fit(p, family, direction="reverse", starts=15, progress=told.append)
    assert found.starts == 15
    assert [done for done in told if isinstance(done, int)] == list(range(1, 16))
    assert sum(o.share for o in found.optima) <= 1.0 + 1e-12


def test_starts_of_a_closed_form_are_refused():
    with pytest.raises(InputError, match="takes no search: leave starts out"):
        fit(THREE, "normal", direction="forward", starts=40)


def test_ctrl_c_keeps_a_family_of_scalars():
    def stop(done):
        if done == 2:
            raise KeyboardInterrupt

    found = fit(THREE, "laplace", direction="reverse", progress=stop)
    assert (found.starts, found.interrupted) == (2, True)


def test_ctrl_c_in_a_contained_family_keeps_what_there_is():
    def stop(done):
        if done == "smaller families: 3 starts":
            raise KeyboardInterrupt

    found = fit(THREE, "mixture:2", direction="reverse", progress=stop)
    assert found.interrupted
    assert found.divergence.value < 1.21
