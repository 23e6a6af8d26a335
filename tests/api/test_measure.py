"""The verbs: what they return, and what they refuse."""

import math

import numpy as np
import pytest

from kullback.api.explain import explain
from kullback.api.fit import fit
from kullback.api.measure import cross_entropy, divergence, kl_divergence
from kullback.api.plan import plan
from kullback.core.errors import DensityError, InputError, KullbackError, UnsupportedError
from kullback.families import MeanField
from kullback.results.serialise import to_json
from kullback.targets import Counts, Known, LogDensity, Samples

THREE = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"
CLAIMED = "0.52*normal(-1.98, sd=0.41) + 0.48*normal(1.97, sd=0.42)"
REVERSE = "0.426*normal(-2.001, sd=0.299) + 0.574*normal(0.010, sd=0.418)"


@pytest.mark.parametrize(
    ("p", "q", "truth"),
    [
        ("normal(0, sd=1)", "normal(1e-8, sd=1)", 5e-17),
        ("normal(50, sd=0.01)", "normal(0, sd=1)", 1254.1052201859881),
        ("normal(0, sd=2)", "normal(0, sd=3)", math.log(1.5) + 2 / 9 - 0.5),
        ("normal(0, var=2)", "normal(0, var=3)", 0.5 * math.log(1.5) + 1 / 3 - 0.5),
    ],
)
def test_exact_values(p, q, truth):
    found = kl_divergence(p, q)
    assert found.kind == "exact"
    assert found.value == pytest.approx(truth, rel=1e-10, abs=0.0)


@pytest.mark.parametrize(
    ("p", "q", "truth"),
    [
        (THREE, CLAIMED, 2.70353303269),
        (CLAIMED, THREE, 0.57314205370),
        (REVERSE, THREE, 0.35241403806),
    ],
)
def test_mixtures_by_quadrature(p, q, truth):
    found = kl_divergence(p, q)
    assert found.kind == "numeric"
    assert abs(found.value - truth) <= found.standard_error + 1e-11


def test_the_order_of_the_arguments_is_the_direction():
    forward = kl_divergence("normal(0, sd=2)", "normal(0, sd=3)")
    reverse = kl_divergence("normal(0, sd=3)", "normal(0, sd=2)")
    assert forward.value == pytest.approx(0.127687, abs=1e-6)
    assert reverse.value == pytest.approx(0.219535, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "q", "reason"),
    [
        ("cauchy(0, scale=1)", "normal(0, sd=1)", "tails"),
        ("student_t(2, 0, scale=1)", "0.5*normal(0, sd=1) + 0.5*normal(1, sd=1)", "tails"),
        ("uniform(0, 2)", "uniform(0, 1)", "q is 0 on x > 1 where p has mass 0.5"),
        ("normal(0, sd=1)", "gamma(2, rate=1)", "q is 0 on x < 0 where p has mass 0.5"),
        ("poisson(3)", "normal(0, sd=1)", "p is discrete and q continuous"),
        ([0.5, 0.5], [1.0, 0.0], "q is 0 on 1 outcome"),
    ],
)
def test_infinite_with_its_reason(p, q, reason):
    found = kl_divergence(p, q)
    assert found.kind == "infinite"
    assert found.value == math.inf
    assert reason in (found.reason or "")


def test_the_k3_form_is_not_used_where_q_drops_a_mode():
    found = kl_divergence(REVERSE, THREE, method="monte carlo", n=20_000)
    assert found.kind == "estimate"
    assert found.standard_error < 8.8e-4 / 9
    assert abs(found.value - 0.35241403806) < 4.5 * found.standard_error


def test_stratified_draws_beat_plain_ones_where_a_mode_is_missed():
    found = kl_divergence(THREE, CLAIMED, method="monte carlo", n=20_000)
    assert found.standard_error < 2.8e-2 / 9
    assert abs(found.value - 2.70353303269) < 4.5 * found.standard_error


def test_monte_carlo_stops_at_the_tolerance():
    rng = np.random.default_rng(0)
    p = Known(lambda x: -np.abs(x) - math.log(2.0), lambda g, n: g.laplace(size=n))
    del rng
    found = kl_divergence(p, "normal(0, sd=1)", method="monte carlo", tolerance=2e-3)
    assert found.kind == "estimate"
    assert found.standard_error <= 2e-3
    assert abs(found.value - 0.22579135264) < 4.5 * found.standard_error


def test_same_key_same_number():
    values = [
        kl_divergence(THREE, CLAIMED, method="monte carlo", n=4000, key=k).value for k in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


def heavy(df):
    def sample(rng, n):
        return rng.standard_normal((n, 3)) / np.sqrt(rng.chisquare(df, (n, 1)) / df)

    def log_prob(x):
        constant = math.lgamma((df + 3) / 2) - math.lgamma(df / 2) - 1.5 * math.log(df * math.pi)
        return constant - (df + 3) / 2 * np.log1p(np.sum(x * x, axis=-1) / df)

    return Known(log_prob, sample, np.zeros(3))


def test_a_heavy_tail_is_unresolved():
    found = kl_divergence(heavy(3.0), "mvnormal([0, 0, 0], sd=[1, 1, 1])")
    assert found.kind == "unresolved"
    assert "variance may be infinite" in (found.reason or "")
    assert to_json(found)["standard_error"] is None


def test_unnormalised_on_the_line_is_normalised_and_beyond_it_labelled():
    on_line = kl_divergence(LogDensity(lambda x: 3.0 - 0.5 * x**2, 0.0), "normal(1, sd=2)")
    assert abs(on_line.value - 0.44314718056) <= on_line.standard_error + 1e-10
    q = LogDensity(lambda x: 1.0 - 0.5 * np.sum(np.square(x), axis=-1), np.zeros(2))
    beyond = kl_divergence("mvnormal([0, 0], sd=[1, 1])", q)
    assert beyond.quantity.name == "kl_up_to_constant"
    assert beyond.direction == "KL(p||q) - log Z_q"
    assert abs(beyond.value + 1.0 + math.log(2 * math.pi)) < 5 * beyond.standard_error + 1e-9


def test_grids_need_their_spacing():
    x = np.linspace(-10.0, 12.0, 2201)
    p, q = (
        np.exp(-0.5 * ((x - m) / s) ** 2) / s / math.sqrt(2 * math.pi) for m, s in ((0, 1), (1, 2))
    )
    found = kl_divergence(p, q, dx=0.01)
    assert abs(found.value - 0.44314718056) < 1e-6
    with pytest.raises(InputError, match="dx=... if this is a density on a grid"):
        kl_divergence(p, q)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.2, 0.2], "sums to 0.4, not 1: say normalize=True"),
        ([[0.2, 0.9]], r"shape \(1, 2\).*Samples"),
        ([-0.1, 1.1], r"p\[0\] is -0.1: probabilities must not be negative"),
        ([math.nan, 1.0], r"p\[0\] is nan"),
        ([math.inf, 1.0], r"p\[0\] is inf"),
        ([], "p is empty"),
        ("normal(0, 2)", "standard deviation or a variance"),
        ("nonsense(1)", "nonsense"),
        (lambda x: x, "p is a function: say what it is"),
        (object(), "is a object, which is not understood"),
        (LogDensity(lambda x: math.nan, 0.0), "log density is nan"),
        (LogDensity(lambda x: None, 0.0), "returned None"),
        (LogDensity(lambda x: np.zeros(3), 0.0), r"shape \(3,\)"),
        (
            LogDensity(lambda x: 1 / 0, 0.0),
            "division by zero .ZeroDivisionError raised by the log density of p",
        ),
    ],
)
def test_bad_input_gets_one_message(p, message):
    q = [0.5, 0.5] if isinstance(p, list) else "normal(0, sd=1)"
    with pytest.raises(InputError, match=message):
        kl_divergence(p, q)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, 'method="magic" is not known'),
        ({"n": 3}, "n=3: the number of draws"),
        ({"tolerance": -1.0}, "tolerance=-1.0"),
        ({"key": "a", "method": "monte carlo"}, "key='a' is not a key"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(KullbackError, match=message):
        kl_divergence(THREE, CLAIMED, **options)


def test_samples_have_a_cross_entropy_and_a_kl():
    x = np.random.default_rng(0).normal(size=4000)
    found = cross_entropy(Samples(x), "normal(0, sd=1)")
    assert found.quantity.name == "cross_entropy"
    assert abs(found.value - 0.5 * math.log(2 * math.pi * math.e)) < 4 * found.standard_error
    low, high = kl_divergence(Samples(x), "normal(0, sd=1)").interval
    assert low == 0.0
    assert high < 0.05


@pytest.mark.parametrize("kind", ["jensen_shannon", "squared_hellinger", "total_variation"])
def test_bounded_divergences_by_monte_carlo(kind):
    exact = divergence(THREE, REVERSE, kind=kind)
    drawn = divergence(THREE, REVERSE, kind=kind, method="monte carlo", n=20_000)
    assert abs(exact.value - drawn.value) < 4.5 * drawn.standard_error


def test_conventions_are_said():
    once = divergence(THREE, CLAIMED, kind="jensen_shannon")
    twice = divergence(THREE, CLAIMED, kind="jensen_shannon_sum")
    root = divergence(THREE, CLAIMED, kind="jensen_shannon_distance")
    assert twice.value == pytest.approx(2 * once.value)
    assert root.value == pytest.approx(math.sqrt(once.value))
    assert "at most log 2" in once.notes[-1]
    with pytest.raises(InputError, match="needs a finite alpha"):
        divergence(THREE, CLAIMED, kind="renyi")


def test_explain_adds_up():
    parts = explain(THREE, CLAIMED)
    assert len(parts.regions) == 3
    assert math.fsum(r.contribution.value for r in parts.regions) == pytest.approx(
        parts.total.value, abs=1e-12
    )
    assert parts.cross_entropy.value - parts.entropy.value == pytest.approx(
        parts.total.value, abs=1e-10
    )
    assert parts.regions[1].contribution.value > 0.9 * parts.total.value


_DRAWS = np.random.default_rng(0).normal(size=(300, 2))


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (Samples(_DRAWS[:, 0]), Samples(_DRAWS[:, 1])),
        (Samples(_DRAWS[:, 0] > 0.0), Samples(_DRAWS[:, 1] > 0.0)),
        (Samples(_DRAWS), Samples(_DRAWS[:, ::-1])),
        (Samples(_DRAWS[:, 0]), "normal(0, sd=1)"),
        (Samples(_DRAWS[:50, 0]), "normal(0, sd=1)"),
        ("normal(0, sd=1)", Samples(_DRAWS[:, 0])),
        (Counts({"a": 3, "b": 4}), Counts({"a": 5, "b": 4})),
        (Counts({"a": 3, "b": 4}), [0.5, 0.5]),
    ],
)
def test_plan_names_the_method_for_samples(p, q):
    found = plan(p, q)
    assert found.forward.method == kl_divergence(p, q).method
    assert [row.method for row in found.rows if row.forward] == [found.forward.method]
    with pytest.raises(UnsupportedError, match=f"measures it by '{found.forward.method}'"):
        explain(p, q)


def test_plan_computes_nothing_and_names_both_directions():
    found = plan(heavy(3.0), "mvnormal([0, 0, 0], sd=[1, 1, 1])")
    assert found.forward.method == "monte carlo"
    assert found.reverse.method == "monte carlo"
    assert "covers" in found.forward.does
    assert "seeks" in found.reverse.does


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: -0.5 * x[0] ** 2 - 0.5 * x[1] ** 2,
        lambda x: -0.5 * np.sum(x**2, axis=-1),
        lambda x: -0.5 * float(x @ x),
    ],
    ids=["one event", "vectorised", "a float"],
)
def test_a_log_density_may_take_one_event_or_many(fn):
    found = fit(LogDensity(fn, np.zeros(2)), MeanField(), direction="reverse", starts=1)
    assert found.q.covariance == pytest.approx(np.eye(2), abs=1e-5)


@pytest.mark.parametrize(
    "fn", [lambda x: 0.0 * x, lambda x: -np.log1p(np.abs(x)), lambda x: -np.maximum(x, 0.0)]
)
def test_an_improper_density_is_refused(fn):
    with pytest.raises(DensityError, match="does not integrate, towards"):
        kl_divergence("normal(0, sd=1)", LogDensity(fn, 0.0))


def test_a_rare_component_with_a_heavy_tail_is_seen():
    p = "0.9999*mvnormal([0, 0], sd=[1, 1]) + 0.0001*product(cauchy(0, scale=1), cauchy(0, scale=1))"
    assert kl_divergence(p, "mvnormal([0, 0], cov=[[1, 0.5], [0.5, 1]])").kind == "unresolved"
