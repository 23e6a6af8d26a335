"""Infinite and bounds are proofs: ends by arithmetic, masses left out, underflow, kinks, heavy sums, verdicts on tails."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats as st
from mpmath import mp
from scipy.integrate import quad

import kullback as kb
from kullback.distributions.bounded import ContinuousBernoulli
from kullback.distributions.compound import Mixture
from kullback.distributions.counting import Binomial, Chance, NegativeBinomial
from kullback.distributions.vector import Categorical
from kullback.inputs.given import distribution
from kullback.interop import as_distribution
from kullback.measure.kinks import kinks
from kullback.measure.tails import rounding
from kullback.solvers.series import add_up


def holds(estimate, truth, slack=1e-15):
    assert estimate.kind in ("exact", "numeric")
    assert abs(estimate.value - truth) <= estimate.standard_error + slack * max(abs(truth), 1e-300)


@pytest.mark.parametrize("seed", range(12))
def test_ends_by_arithmetic_are_ends(seed):
    rng = np.random.default_rng(seed)
    loc, scale = rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.5)
    p = st.truncnorm((0 - loc) / scale, (1 - loc) / scale, loc, scale)
    x, w = np.polynomial.legendre.leggauss(400)
    x = 0.5 + 0.5 * x
    with mp.workdps(20):
        truth = 0.5 * float(w @ (p.pdf(x) * (p.logpdf(x) - np.log(6 * x * (1 - x)))))
    holds(kb.kl_divergence(p, st.beta(2, 2)), truth, 1e-4)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (st.uniform(0.1, 0.2), "uniform(0.1, 0.3)"),
        (st.uniform(2.7, 0.3), st.uniform(2.7, 0.1 * 3)),
        (st.expon(0.1 * 3 - 0.3), st.expon()),
        (st.expon(), st.expon(0.1 * 3 - 0.3)),
    ],
)
def test_one_law_in_two_spellings(p, q):
    estimate = kb.kl_divergence(p, q)
    assert estimate.kind in ("exact", "numeric")
    assert abs(estimate.value) < 1e-14


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ("uniform(0, 1)", "uniform(1e-9, 1)"),
        ("beta(0.01, 1)", "uniform(1e-16, 1)"),
        ("exponential(rate=1)", "pareto(scale=1e-20, shape=1)"),
        ("normal(0, sd=1)", "truncated(normal(0, sd=1), -10, 10)"),
    ],
)
def test_mass_that_is_no_rounding_makes_it_infinite(p, q):
    estimate = kb.kl_divergence(p, q)
    assert estimate.kind == "infinite"
    assert "mass" in estimate.reason


@pytest.mark.parametrize(("cut", "truth"), [(6.2, 5.646316e-10), (7.0, 2.559625e-12)])
def test_mass_of_q_outside_p_is_part_of_the_answer(cut, truth):
    estimate = kb.kl_divergence(f"truncated(normal(0, sd=1), -{cut}, {cut})", "normal(0, sd=1)")
    holds(estimate, truth, 1e-6)
    assert estimate.standard_error < 1e-6 * truth


def test_mass_of_q_outside_p_on_the_integers():
    p = [math.comb(8, i) / 2**8 for i in range(9)]
    q = [math.comb(9, i) * 0.1**i * 0.9 ** (9 - i) for i in range(9)]
    truth = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    holds(kb.kl_divergence(st.binom(8, 0.5), st.binom(9, 0.1)), truth)


def test_a_mass_that_underflows_outside_is_a_mass():
    assert kb.kl_divergence(st.logser(0.1247), st.zipfian(2.15, 390)).kind == "infinite"


def test_masses_that_scipy_lets_underflow():
    planck = math.log(0.4 / -math.expm1(-2.0)) + 1.5 * math.log(0.6) + 5
    holds(kb.kl_divergence(st.geom(0.4), st.planck(2.0)), planck)
    n = np.arange(1, 3000)
    log_p, log_q = (
        (n - 1) * np.log(0.7) + np.log(0.3),
        n * np.log(0.7) - np.log(n) - np.log(-np.log1p(-0.7)),
    )
    holds(
        kb.kl_divergence(st.geom(0.3), st.logser(0.7)), math.fsum(np.exp(log_p) * (log_p - log_q))
    )


def test_the_crossing_of_two_densities_is_a_cut():
    p, q = (
        st.norm(-0.9076010584831238, 0.6043565273284912),
        st.laplace(1.0174791812896729, 0.5119174122810364),
    )
    holds(kb.divergence(p, q, kind="total_variation"), 0.869046332035118, 1e-13)


def test_kinks_of_foreign_densities_are_found():
    np.testing.assert_allclose(kinks(distribution(st.triang(0.35), "q")), [0.35], rtol=1e-8)
    assert len(kinks(distribution(st.norminvgauss(1.0, 0.3), "q"))) == 0
    p = st.gumbel_r(-0.6912940075569611, 0.9476575879358253)
    q = st.laplace_asymmetric(0.769193113199148, scale=0.4260910408912064)
    holds(kb.kl_divergence(p, q), 0.7686562403262056, 2e-15)


@pytest.mark.parametrize("power", [1.1, 1.5, 2.0, 3.0])
def test_heavy_sums_are_summed_by_blocks_that_double(power):
    def terms(k, factor):
        return math.exp(factor) * np.stack([k**-power, k**-power * np.log(k)], axis=1)

    total = add_up(terms, 1.0, 1.0, math.inf)
    truth = [float(mp.zeta(power)), -float(mp.zeta(power, 1, 1))]
    assert np.abs(total.value - truth) == pytest.approx(0.0, abs=1e-12)
    assert total.terms < 200_000


@pytest.mark.parametrize("scale", [1.1, 1.5, 1.9])
def test_a_sum_that_diverges_far_out_is_infinite(scale):
    assert kb.kl_divergence(st.zipf(scale), st.dlaplace(0.6)).kind == "infinite"


@pytest.mark.parametrize("power", [2.02, 2.04, 2.1, 2.5])
def test_terms_that_underflow_far_out_still_add_up(power):
    """Terms of k^(1 - power): for 2.04 a ten-thousandth of the sum lies where p's mass is below 1e-100."""
    p, success = st.zipf(power), 0.8
    zeta = mp.zeta(power)
    log_ratio = -power * -mp.zeta(power, 1, 1) / zeta - mp.log(zeta) - mp.log(success)
    truth = log_ratio - (mp.zeta(power - 1) / zeta - 1) * mp.log(1 - mp.mpf(success))
    found = kb.kl_divergence(p, st.geom(success))
    holds(found, float(truth))
    assert found.standard_error < 1e-4 * found.value


@pytest.mark.parametrize(
    "p",
    [
        st.skewcauchy(-0.99999),
        st.skewcauchy(0.999999),
        st.kappa3(1.2329),
        st.cauchy(0.0, 1e-7),
        st.t(1.5),
    ],
    ids=["skewcauchy-", "skewcauchy+", "kappa3", "cauchy", "t"],
)
def test_an_overflow_far_out_is_no_end_of_a_tail(p):
    """At 1e150 the square in SciPy's skewcauchy overflows, and its density seems to be 0."""
    q = st.crystalball(1.4, 3.4)  # its right side is a normal's
    assert kb.kl_divergence(p, q).kind == "infinite"
    assert kb.kl_divergence(p, st.nakagami(2.49, loc=-1e9)).kind == "infinite"


def test_a_component_that_overflows_far_out_is_no_end_of_a_mixtures_tail():
    """SciPy's nct is 0 from 1e144 on, where the other component has a log all the same."""
    heavy = st.nct(1.16, 1.4)
    for p in (heavy, mixed(0.27, heavy, st.gumbel_l(scale=10.9))):
        assert kb.kl_divergence(p, st.exponnorm(2.7, scale=0.33)).kind == "infinite"


def test_a_component_of_q_that_overflows_far_out_is_no_divergence():
    """p falls as x^-1.9 and q as x^-3.8: finite, though q seems to fall as exp(-x) where its component is lost."""
    q = mixed(2.4e-8, st.nct(2.78, 0.56, -0.9, 1.28), st.recipinvgauss(1.34, scale=4.9))
    assert kb.kl_divergence(st.alpha(0.914, scale=2.37), q).kind == "unresolved"


def test_zipf_against_zipf():
    truth = 1.5 * (-mp.zeta(1.5, 1, 1) / mp.zeta(1.5)) + mp.log(mp.zeta(3) / mp.zeta(1.5))
    holds(kb.kl_divergence(st.zipf(1.5), st.zipf(3.0)), float(truth), 1e-13)


def test_a_heavy_count_where_scipys_beta_function_is_off():
    a, p = 1.2574891361121279, 0.6510631628474443
    holds(kb.kl_divergence(st.yulesimon(a), st.geom(p)), 2.79858829514358602699928196328)


def banana(x):
    return -0.5 * x[..., 0] ** 2 - 0.5 * (x[..., 1] - x[..., 0] ** 2) ** 2 - np.log(2 * np.pi)


def banana_draws(rng, n):
    z = rng.normal(size=(n, 2))
    return np.column_stack([z[:, 0], z[:, 1] + z[:, 0] ** 2])


def test_the_verdict_on_a_tail_does_not_hang_on_the_key():
    p, q = (
        kb.Known(banana, banana_draws, np.zeros(2)),
        st.multivariate_normal([0, 1], [[1.5, 0], [0, 4]]),
    )
    found = [kb.kl_divergence(p, q, key=key, n=8192) for key in range(6)]
    assert {e.kind for e in found} == {"estimate"}
    assert max(abs(e.value - 0.60421307) / e.standard_error for e in found) < 4.5


def test_a_tail_without_variance_is_unresolved_for_every_key():
    t = st.multivariate_t(np.zeros(2), np.eye(2), df=2.5)
    p = kb.Known(t.logpdf, lambda rng, n: t.rvs(n, random_state=rng), np.zeros(2))
    kinds = {
        kb.kl_divergence(p, st.multivariate_normal(np.zeros(2)), key=k, n=4096).kind
        for k in range(4)
    }
    assert kinds == {"unresolved"}


@pytest.mark.parametrize(("df", "finite"), [(1.0, False), (2.0, False), (2.5, True), (30.0, True)])
def test_a_t_against_a_gaussian(df, finite):
    p, q = st.multivariate_t([0.0], [[2.0]], df), st.multivariate_normal([1.0], [[0.7]])
    there, line = kb.kl_divergence(p, q), st.t(df, 0, math.sqrt(2.0))
    assert (there.kind == "infinite") != finite
    if finite:
        assert there.value == pytest.approx(
            kb.kl_divergence(line, "normal(1, var=0.7)").value, rel=1e-10
        )
    back = kb.kl_divergence(q, p)
    holds(back, kb.kl_divergence("normal(1, var=0.7)", line).value, 1e-12)


def test_maps_of_matrices_are_left_out():
    found = kb.kl_divergence(st.invwishart(7, np.eye(3)), st.invwishart(5.5, np.eye(3)))
    assert found.value == pytest.approx(0.38370481969862, abs=1e-12)


def test_a_tolerance_that_is_not_reached_is_said():
    found = kb.kl_divergence(
        "normal(0, sd=1)", "student_t(3)", method="monte carlo", tolerance=1e-300
    )
    assert any("tolerance not reached" in note for note in found.notes)


def test_a_density_that_changes_its_argument_cannot():
    def log_prob(x):
        x -= 1.0
        return -0.5 * x**2 - 0.5 * np.log(2 * np.pi)

    p = kb.Known(log_prob, lambda rng, n: rng.normal(1, 1, n))
    holds(kb.kl_divergence(p, "normal(0, sd=2)"), math.log(2) + 0.25 - 0.5, 1e-12)


def mixed(weight, *parts):
    return Mixture(np.array([weight, 1.0 - weight]), tuple(as_distribution(d) for d in parts))


def new(family, scale, loc, **shapes):
    return st.make_distribution(family)(**shapes) * scale + loc


#: Found by benchmarks/pairs, one of each kind; the values are in 30 digits.
KINDS = {
    "a component begins inside p's support": (
        st.betaprime(0.4684394447336903, 1.9615465591312715, 0, 0.2841353964676415),
        mixed(0.3298314549131863, st.halflogistic(0, 0.5451111407862261),
              st.halfgennorm(1.4661889382922184, 2.4605316779998607, 0.6509410779057675)),
        2.8241953953374135,
    ),
    "a kink behind a map": (
        st.johnsonsb(-0.3597931455633848, 1.6199902676002476, 0.10000000000000009, 0.2),
        new(st.triang, 0.2, 0.1, c=0.26007467345893853),
        0.41793908695828763,
    ),
    "a curvature that jumps": (
        st.crystalball(2.9725084995325033, 3.128588173199306, 2.9249795805407706, 1.8425425538637386),
        st.skewcauchy(0.26836666254773545, -0.6709653762322224, 3.75338842713041),
        0.9190246368163667,
    ),
    "poles of somebody else's density": (
        mixed(0.1635768242966429, new(st.dweibull, 0.7771342262383664, 0.5818586215310839, c=0.47300164897409874),
              st.gennorm(1.0947804017334866, 0, 0.9934552854667626)),
        mixed(0.6973734106566143, new(st.loggamma, 0.8981583793639385, 0.0, c=4.623845244023942),
              st.dweibull(1.0331167907714744, 0, 0.8813373883481785)),
        0.6621087722784618,
    ),
    "SciPy's log of what underflows: rice": (
        st.rel_breitwigner(0.939205653584379, 0, 0.5928978973790163),
        st.rice(0.6762560795481624, 0, 0.49735835319852273),
        0.2653448570823005,
    ),
    "SciPy's log of what underflows: johnsonsb": (
        st.trapezoid(0.8956609161000397, 0.9009429336231788),
        st.johnsonsb(-1.4146932155368472, 2.935175571887235),
        4.70070796565537,
    ),
    "SciPy's log of what underflows: johnsonsu": (
        st.invweibull(0.41862803034909507, 0.0187980404874987, 0.2792184627638564),
        st.johnsonsu(1.0314118937181456, 0.5331626615294013, 0.9134784006639771, 0.40210883908535866),
        2.7637769395224288,
    ),
    "SciPy's infinity less infinity": (
        st.exponpow(2.4481653446755747, 0, 0.0008896852950205466),
        st.rice(1.5535022630807402, 0, 1.4805537598575035e-17),
        1.1363466086005291e27,
    ),
    "SciPy's cancellation": (
        st.jf_skew_t(1.174516455043799, 1.8670456272844254, 0.7152400388125011, 5.315748929687534),
        st.logistic(-1.8001791605056117, 1.4762306596656194),
        1.6960751169597275,
    ),
    "an end at 0 and a scale of 1e40": (
        st.mielke(0.8761435479129407, 12.0, 0, 4.281057235653478e40),
        st.nakagami(1.588266160446235, 0, 5.837372190983995e29),
        2.772036646134292e21,
    ),
    "a law too narrow for the floats around it": (
        st.t(18.86113043534618, 27605.127051402917, 5.7422107399518785e-31),
        st.laplace_asymmetric(2.400471122718942, -3.5848424441554494, 0.12251774598255584),
        541000.2896937332,
    ),
    "mass closer to an end than floats are to each other": (
        new(st.gengamma, 1.1662793052501569e70, 5207737.969935584, a=0.009548546196693077, c=3.4101502221171685),
        st.laplace(0.28577815073089724, 3.9671221666724824e33),
        8.361804143396094e34,
    ),
    "the same, of SciPy's own density": (
        st.betaprime(0.05313963989015055, 1.0834778870849455, 15.302347608294122, 6.939885908492091e43),
        st.pareto(0.3701635351553451, 1.2965074004375932, 4.495798587250757),
        26.946523861758013,
    ),
    "a NaN of SciPy's own far out": (
        st.gennorm(0.4785548995741367, 229751.7550516871, 0.021531794081275108),
        st.powernorm(0.5310646218654018, 0.8825768425683851, 4.791359519137654e-21),
        6.105401022603882e50,
    ),
    "ends by arithmetic, and a pole at one": (
        st.johnsonsb(-0.8375224776540144, 1.1707541911750639, 0.1, 0.19999999999999998),
        st.powerlaw(0.9629666326694806, 0.1, 0.2),
        0.42276541796829803,
    ),
    "a component's feature between two nodes": (
        mixed(0.4426284083345373, st.gumbel_r(18327.374696019364, 0.1547730252294228),
              st.johnsonsu(0.09032036166876822, 0.4430993625382278, 0.11120854434968547, 0.00011739204334480037)),
        mixed(0.23152529800487248, st.exponnorm(3.8308172910377416, -0.20782493099969432, 8.648265975613935e-05),
              new(st.dgamma, 14957107255.912014, 21552815.010710053, a=2.390101120395406)),
        36.234581239125355,
    ),
    "a share of a scale of 1e26 underflows": (
        st.rel_breitwigner(0.15, 0.0, 0.650687852843471),
        mixed(0.4795137461248861, st.ncx2(0.8591441458588509, 0.9650573301645508, 0.0, 3.246367637668734e26),
              st.recipinvgauss(0.39661933490915724, 0.0, 0.0964581361449479)),
        2.888594866185103,
    ),
    "SciPy's logarithm of a power that vanishes": (
        st.betaprime(3.7124285758711086, 10.731131233847712, 0.0, 51.715929971295914),
        st.exponweib(0.18672278662568081, 1.5597552573411824, 0.0, 8.199280864705368e64),
        42.992220719033966,
    ),
    "blocks of a sum towards a pole at its end": (
        st.nbinom(0.06373104528352995, 3.794016531182019e-06),
        st.nbinom(1.4015424104981085, 2.973930189644934e-05),
        7.814968593633796,
    ),
    "a pole in the middle": (
        st.dweibull(0.19153214144794473, -28976.732914995115, 16261.543629801263),
        st.genhyperbolic(2.538134055210018, 2.906987485465992, -2.9061637298339744, 321946.0498467668, 1.9876273941442355e31),
        82.13274588185051,
    ),
    "a log ratio of 1e21, times the rounding of p": (
        st.chi2(94.13855887596768, 0, 8.76992578978661e31),
        st.exponweib(0.6089655765492177, 0.7446574593014517, 0, 69753.47154392042),
        4.453462737760415e21,
    ),
    "a zero of q between its lobes": (
        st.dweibull(0.8601642974164557, -1.3477152293162562, 1.751256254287337),
        st.dweibull(1.9799446776258094, -0.3350464223190386, 1.3228518783009315),
        3.223841598422999,
    ),
    "a zero of the log ratio close to an end": (
        st.genextreme(0.8464370519015241, 3.2908448299141715, 6.761183541118945),
        st.powernorm(0.7849878207105129, 0.1238788399263166, 3.6086154829768917),
        0.9176188461678041,
    ),
    "a component of 2e-6 with a pole at an end": (
        mixed(1.157059892155731e-09, st.argus(1.317457360138148), new(st.powerlaw, 1, 0, a=1.0300642930700195)),
        mixed(2.0398790397332134e-06, st.beta(3.375967096865202, 0.655035016124857),
              new(st.powerlaw, 1, 0, a=1.727746750775157)),
        0.16012306062455897,
    ),
    "a double exponential, and p's location far from where it counts": (
        st.laplace_asymmetric(1.5923330164446177, -498.94350391689784, 0.5771535916211372),
        new(st.loggamma, 8.789350176418823, 0, c=0.458022922706515),
        27.614392555542473,
    ),
    "SciPy's density where it knows that there is none": (
        st.ncf(1.076680557555539, 2.7881902887097088, 0.4261682359869039, 0, 4.813163411697961e-97),
        st.powerlognorm(2.109206436112618, 0.7040960616196673, 0, 376.86238386874464),
        52482.30662774655,
    ),
    "an end of a component within rounding of another": (
        st.uniform(0.1, 0.20000000000000004),
        mixed(0.3379464075512777, st.beta(1.1365451888374436, 0.7499937061996542, 0.10000000000000009, 0.2),
              st.johnsonsb(-2.10043471260307, 2.111095354244814, 0.1, 0.19999999999999998)),
        0.49235909918948056,
    ),
    "a curvature that jumps by little": (
        ContinuousBernoulli(-0.6045255710394191),
        mixed(8.570890319510624e-07, st.laplace_asymmetric(0.6405673303048773, -0.07012629247796566, 0.811856941267607),
              st.skewcauchy(-0.046043339855930565, 0.6884129439716148, 0.4927339993329372)),
        0.8223809606922774,
    ),
    "log ratios just below .03": (
        st.triang(0.6308470160253332, 0.1, 0.20000000000000004),
        st.trapezoid(0.5511668510569614, 0.6619688488594313, 0.1, 0.2),
        0.0006242235232438464,
    ),
    "a chance that rounds to 1": (
        st.zipfian(1.9467436561603804, 514, -1), st.planck(162.18817998219066), 599.6530768482257
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(KINDS))
def test_kinds_of_faults_that_random_pairs_found(kind):
    p, q, truth = KINDS[kind]
    estimate = kb.kl_divergence(p, q)
    holds(estimate, truth)
    assert estimate.standard_error < 1e-6 * truth


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150, 1e200])
@pytest.mark.parametrize("family", [st.burr12, st.gompertz])
def test_units_of_any_size(family, scale):
    shapes = ((2.0, 3.0), (3.0, 3.0)) if family is st.burr12 else ((0.3,), (0.7,))
    plain = kb.kl_divergence(*(family(*s) for s in shapes))
    holds(kb.kl_divergence(*(family(*s, 0, scale) for s in shapes)), plain.value, 1e-11)


def test_a_tail_that_wins_only_beyond_all_floats():
    # exp(-x^.81) against exp(-exp(x / 2e4)): p's mass where the log ratio grows is below 1e-(1e27).
    q = st.gumbel_r(6.086655211358672, 22857.373400528082)
    narrow = lambda power: st.gennorm(power, 0, 0.0062633064381628035)
    assert kb.kl_divergence(narrow(0.81), q).kind == "infinite"
    assert kb.kl_divergence(narrow(1.2), q).kind == "numeric"
    assert kb.kl_divergence(st.expon(), st.exponpow(1.1, 0, 50.0)).kind == "infinite"
    assert kb.kl_divergence(st.expon(), st.exponpow(0.9, 0, 50.0)).kind == "numeric"
    # The growth begins at 1e8, where p is long gone.
    far = st.loggamma(1.5064228065046055, 97375061.90031917, 0.8825630586304972)
    assert kb.kl_divergence(st.dweibull(0.405, -78.0, 0.51), far).kind == "infinite"
    assert kb.kl_divergence(st.dweibull(1.1, -78.0, 0.51), far).kind == "numeric"


def test_an_overflow_from_one_float_to_the_next_is_infinite():
    # -log q is exp(1e26 (.29 - x)): p falls like a power of log x.
    p = st.johnsonsu(0.3529566056655031, 0.8764894540242124, 155360.3425148668, 3.254800890984769)
    assert (
        kb.kl_divergence(p, st.gumbel_r(0.28998864389384943, 5.2247191503878775e-27)).kind
        == "infinite"
    )


def test_a_pole_of_p_stays_where_floats_are_fine_beside_a_narrow_q():
    p = st.gamma(0.004731220193207264, scale=1 / 2067.5133929374624)
    estimate = kb.kl_divergence(
        p, st.mielke(1.2118178435182039, 1.1645981229951696, -1.0227909630558556, 2.3266925e-26)
    )
    assert estimate.kind == "numeric"


def test_the_integral_of_one_over_x_diverges_however_small():
    # p rises like x from 0, and -log q like 1 / x^2.
    p = st.triang(0.00022068888109741017, 0, 5.704404905196978e31)
    assert (
        kb.kl_divergence(p, st.alpha(0.4774347144791004, 0, 0.3387506834266099)).kind == "infinite"
    )
    assert kb.kl_divergence(p, st.invgamma(0.4774347144791004, 0, 0.338750683)).kind == "numeric"


@pytest.mark.parametrize("logit", [40.0, 100.0, 750.0])
def test_a_chance_that_a_float_cannot_tell_from_1_or_0(logit):
    half = 0.3 * math.log(0.3) + 0.7 * math.log(0.7)
    close, far = (Binomial(1.0, Chance(logit=sign * logit)) for sign in (1, -1))
    holds(kb.kl_divergence(st.bernoulli(0.3), close), half + 0.7 * logit)
    holds(kb.kl_divergence(st.bernoulli(0.3), far), half + 0.3 * logit)
    with mp.workdps(400):
        mass = [mp.exp(-3) * mp.mpf(3) ** k / mp.factorial(k) for k in range(80)]
        log_rest, log_chance = -mp.log1p(mp.exp(logit)), -mp.log1p(mp.exp(-logit))
        truth = sum(
            m * (mp.log(m / mp.binomial(k + 2, k)) - 3 * log_rest - k * log_chance)
            for k, m in enumerate(mass)
        )
    q = NegativeBinomial(3.0, Chance(logit=logit))
    holds(kb.kl_divergence(st.poisson(3), q), float(truth), 1e-14)


def test_a_geometric_that_is_wide_is_not_heavy():
    # E[log k!] exists; k is an exponential of mean e^40, to rounding.
    with mp.workdps(30):
        p = 1 / (1 + mp.exp(40))
        mean = (1 - p) / p
        logs = mp.quad(
            lambda u: mp.exp(-u) * mp.loggamma(u * mean + 1), [0, 1e-6, 1e-3, 1, 5, 20, 60, 120]
        )
        truth = mp.log(p) + mean * mp.log(1 - p) + 3 - mean * mp.log(3) + logs
    estimate = kb.kl_divergence(st.geom(float(p), -1), st.poisson(3))
    assert estimate.kind == "numeric"
    assert abs(estimate.value / truth - 1) < 1e-12
    for wide in (st.geom(1e-300, -1), st.nbinom(0.5, 1e-250)):
        assert kb.kl_divergence(wide, st.poisson(3)).kind != "infinite"


def test_sums_whose_tail_of_q_is_beyond_squares_of_floats():
    with mp.workdps(30):
        chance = mp.mpf(0.99)
        log_p = lambda k: k * mp.log(chance) - mp.log(k) - mp.log(-mp.log1p(-chance))
        log_zeta = mp.log(mp.zeta(mp.mpf(1.01)))
        terms = (
            mp.exp(log_p(k)) * (log_p(k) + mp.mpf(1.01) * mp.log(k) + log_zeta)
            for k in range(1, 9000)
        )
        truth = float(mp.fsum(terms))
    holds(kb.kl_divergence(st.logser(0.99), st.zipf(1.01)), truth)


def test_masses_that_bend_in_the_middle_do_not_scatter():
    estimate = kb.kl_divergence(st.skellam(3, 2), st.dlaplace(0.5))
    holds(estimate, 0.138945274437408505)  # by mpmath's Bessel functions, in 30 digits
    assert estimate.standard_error < 1e-11


@pytest.mark.parametrize("power", [3.0, 30.0, 1000.0])
def test_a_density_that_falls_off_faster_than_it_is_wide(power):
    with mp.workdps(30):
        b = mp.mpf(power)
        truth = mp.log(b / 2) - mp.loggamma(1 / b) - 1 / b + mp.log(2 * mp.pi) / 2
        truth = float(truth + mp.gamma(3 / b) / mp.gamma(1 / b) / 2)
    estimate = kb.kl_divergence(st.gennorm(power), st.norm())
    holds(estimate, truth)
    assert estimate.standard_error < 1e-12


def test_a_share_that_underflows_is_a_share():
    p, q = (Categorical.from_logits(np.array(v)) for v in ([-800.0, 0.0], [-800.0, 0.0, 0.0]))
    sure = Categorical.from_probabilities(np.array([0.0, 1.0]))
    assert kb.kl_divergence(p, sure).kind == "infinite"
    one, most = (Categorical.from_logits(np.array(v)) for v in ([0.0, -np.inf], [0.0, -1.0]))
    holds(kb.kl_divergence(one, most), math.log1p(math.exp(-1.0)))
    holds(kb.kl_divergence(p, q), math.log(2.0))
    holds(kb.kl_divergence(st.randint(0, 31), st.randint(0, 36)), math.log(36 / 31))
    even = Categorical.from_probabilities(np.array([0.5, 0.5]))
    holds(kb.kl_divergence(even, q), 400.0)  # log 2 of both shares cancels


def test_draws_of_a_count_without_a_mean_are_drawn():
    rng = np.random.default_rng(0)
    x = as_distribution(st.betanbinom(3, 0.01, 2.0)).sample(rng, 4000)
    assert np.isfinite(x).all()
    assert (x == np.rint(x)).all()
    for k in (0, 5):
        chance = st.betanbinom(3, 2.5, 2.0).cdf(k)
        share = np.mean(as_distribution(st.betanbinom(3, 2.5, 2.0)).sample(rng, 40_000) <= k)
        assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / 40_000)


def test_an_infinity_says_the_mass_at_an_end():
    assert "mass 0.7" in str(kb.kl_divergence(st.bernoulli(0.3), st.bernoulli(1.0)))


@pytest.mark.parametrize("power", [0.9, 1.0253189251083494])
def test_a_tail_that_rises_from_below_everything(power):
    # p falls like 1 / x^2, -log q grows like (x / 1e22)^power.
    wide = new(st.halfgennorm, 1.6897778791679875e22, 0.0, beta=power)
    q = mixed(0.4704227878985159, st.chi2(38.044238801461134, 0, 0.008865795963412304), wide)
    p = mixed(0.679656178562469, st.exponweib(1.4731288827093614, 2.0121821427468913, 0, 7.486004006657121e-39),
              st.halfcauchy(0, 2.5502967834472656))  # fmt: skip
    assert kb.kl_divergence(p, q).kind == ("infinite" if power > 1.0 else "numeric")


def test_a_sum_of_logs_is_not_called_infinite():
    # E[log k] of zipf(1.0001) is finite, and of the size of 1e4.
    assert kb.kl_divergence(st.zipf(1.0001), st.zipf(1.001)).kind == "unresolved"
    assert kb.kl_divergence(st.zipf(2.0), st.geom(0.5)).kind == "infinite"
    assert kb.kl_divergence(st.zipf(2.0), st.poisson(1.1, 1)).kind == "infinite"
    # The sum of k^-2.001 k is finite, whatever it does over the first 2^40 terms.
    for heavy in (st.zipf(2.001), st.zipf(2.01)):
        assert kb.kl_divergence(heavy, st.geom(0.5)).kind != "infinite"
    law = st.betanbinom(10, 1.0264885727010669, 5.102614407163571)
    holds(
        kb.kl_divergence(law, st.poisson(float(np.float32(1.1443135738372803)))), 79418.25716060426
    )


def test_an_empty_bin_is_empty():
    histogram = st.rv_histogram(([1, 0, 1], [0, 1, 2, 3]))
    holds(kb.kl_divergence(histogram, st.uniform(0, 3)), math.log(1.5))
    assert kb.kl_divergence(st.uniform(0, 3), histogram).kind == "infinite"


def test_a_truncated_pareto_that_rises():
    # p is proportional to x^b on (1, c).
    b, c = 1.8, 3.0
    norm = (c ** (b + 1) - 1) / (b + 1)
    mean_log = (c ** (b + 1) * (math.log(c) / (b + 1) - 1 / (b + 1) ** 2) + 1 / (b + 1) ** 2) / norm
    truth = b * mean_log - math.log(norm) + math.log(c - 1)
    holds(kb.kl_divergence(st.truncpareto(-b - 1, c), st.uniform(1, c - 1)), truth, 1e-13)


@pytest.mark.parametrize("away", [1e-15, 1e-8, 1e-3, 0.2, 0.6, 3.0, 1e8])
def test_normals_to_the_rounding_that_is_said(away):
    rng = np.random.default_rng(0)
    for sign, move in itertools.product((-1.0, 1.0), (0.0, 1e-9, 1e-2, 3.0)):
        loc, scale = rng.normal(), np.exp(rng.normal())
        other = scale * (1.0 + sign * away) if sign * away > -1.0 else scale / (1.0 + away)
        numbers = (loc, scale, loc + move * scale, other)
        with mp.workdps(60):
            a, s, b, t = map(mp.mpf, numbers)
            truth = ((s / t) ** 2 - 1 - 2 * mp.log(s / t) + ((a - b) / t) ** 2) / 2
        p, q = st.norm(*numbers[:2]), st.norm(*numbers[2:])
        alone, batch = kb.kl_divergence(p, q), kb.kl_divergence(st.norm([loc], [scale]), q)
        for value, error in (
            (alone.value, alone.standard_error),
            (batch.value[0], batch.standard_error[0]),
        ):
            assert abs(mp.mpf(float(value)) - truth) <= error
            assert error <= 1e-14 * value


def test_gaussian_vectors_far_apart_and_close():
    rng = np.random.default_rng(0)
    d = 40
    root = np.tril(rng.normal(size=(d, d))) * 0.1 + np.diag(np.exp(rng.normal(size=d) * 0.2))
    covariance = root @ root.T
    for step in (1e-9, 1e-3, 0.1, 3.0):
        other = covariance * (1.0 + step)
        truth = 0.5 * d * (math.log1p(step) - step / (1.0 + step))
        p = st.multivariate_normal(np.zeros(d), covariance)
        q = st.multivariate_normal(np.zeros(d), other)
        estimate = kb.kl_divergence(p, q)
        assert abs(estimate.value / truth - 1.0) < (1e-10 if step > 1e-4 else 1e-5)


def test_integers_of_which_one_law_knows_more():
    holds(kb.kl_divergence(st.randint(0, 5), st.randint(0, 41)), math.log(41 / 5))
    holds(kb.cross_entropy(st.randint(0, 5), st.randint(0, 41)), math.log(41))
    assert kb.kl_divergence(st.randint(0, 41), st.randint(0, 5)).kind == "infinite"


def test_a_formula_that_cancels_is_as_good_as_it_scatters():
    """A density of somebody else's whose log is off by 1e-9 at random: the error says so."""

    def rough(noise):
        def log_prob(x):
            wave = np.sin(1e12 * np.modf(x * 1e3)[0])
            return -0.5 * x * x - 0.5 * np.log(2.0 * np.pi) + noise * wave

        return kb.Known(log_prob, lambda rng, n: rng.normal(size=n))

    truth = -math.log(1.2) + 0.5 * (1.2**2 + 0.25) - 0.5
    for noise in (1e-9, 1e-6):
        found = kb.kl_divergence("normal(0.5, sd=1.2)", rough(noise))
        assert abs(found.value - truth) <= found.standard_error
        assert 0.1 * noise < found.standard_error < 20.0 * noise
    assert kb.kl_divergence("normal(0.5, sd=1.2)", rough(0.0)).standard_error < 1e-13


@pytest.mark.parametrize(
    ("d", "log_mass", "at"),
    [
        (st.betabinom(91, 0.033, 3.6, loc=-2), lambda k: _beta_binomial(91, 0.033, 3.6, k + 2), [-2, 5, 40, 89]),
        (st.betanbinom(32, 0.655, 2.737, loc=1), lambda k: _beta_negative(32, 0.655, 2.737, k - 1), [1, 31, 10**5 + 1, 10**9 + 1]),
        (st.hypergeom(789, 69, 363, loc=-2), lambda k: _subsets(789, 69, 363, k + 2), [-2, 28, 60]),
    ],
    ids=["betabinom", "betanbinom", "hypergeom"],
)  # fmt: skip
def test_log_masses_are_as_exact_as_they_say(d, log_mass, at):
    """Moved by an integer, too: SciPy's own were off by 1e-8 there."""
    q, x = distribution(d, "q"), np.array(at, dtype=np.float64)
    with mp.workdps(40):
        truth = np.array([float(log_mass(k)) for k in at])
    found = q.log_prob(x)
    assert (np.abs(found - truth) <= rounding(q, x, found)).all()
    assert np.abs(found - truth).max() < 3e-12


def test_the_excess_feels_the_rounding_of_q_where_p_has_no_mass():
    """The hypergeometric part is good to 1e-12 around 300, where no mass of p is."""
    p = Mixture(np.array([0.3, 0.7]), tuple(as_distribution(st.poisson(r)) for r in (4.0, 7.0)))
    far, heavy = as_distribution(st.hypergeom(1798, 805, 693)), as_distribution(st.yulesimon(1.8))
    q = Mixture(np.array([0.9, 0.1]), (far, heavy))
    with mp.workdps(40):
        every, truth = mp.binomial(1798, 693), mp.mpf(0)
        for k in range(150):
            a = sum(
                w * mp.exp(k * mp.log(r) - r - mp.loggamma(k + 1))
                for w, r in ((mp.mpf(0.3), mp.mpf(4)), (mp.mpf(0.7), mp.mpf(7)))
            )
            b = mp.mpf(0.9) * mp.binomial(805, k) * mp.binomial(993, 693 - k) / every
            b += mp.mpf(0.1) * (mp.mpf(1.8) * mp.beta(k, mp.mpf(2.8)) if k else 0)
            truth += a * mp.log(a / b)
    holds(kb.kl_divergence(p, q), float(truth))


def _log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + b)


def _beta_binomial(n, a, b, k):
    return (
        mp.log(mp.binomial(n, k))
        + _log_beta(mp.mpf(a) + k, mp.mpf(b) + n - k)
        - _log_beta(mp.mpf(a), mp.mpf(b))
    )


def _beta_negative(n, a, b, k):
    rising = mp.loggamma(n + k) - mp.loggamma(n) - mp.loggamma(k + 1)
    return rising + _log_beta(mp.mpf(a) + n, mp.mpf(b) + k) - _log_beta(mp.mpf(a), mp.mpf(b))


def _subsets(total, successes, draws, k):
    chosen = mp.binomial(successes, k) * mp.binomial(total - successes, draws - k)
    return mp.log(chosen / mp.binomial(total, draws))


def test_a_quantile_function_that_fails_is_none():
    """SciPy's search for quantiles of norminvgauss fails for some shapes: the density is looked at instead."""
    d = st.make_distribution(st.norminvgauss)(a=1.4420270580906094, b=0.9662437559015298)
    found = kb.kl_divergence("normal(1, sd=1)", d)
    assert found.kind == "numeric"
    moved = kb.kl_divergence(st.bernoulli(0.3, loc=2), st.bernoulli(0.5, loc=2))
    assert moved.value == pytest.approx(0.3 * math.log(0.6) + 0.7 * math.log(1.4), abs=1e-15)


def test_a_uniform_far_out_is_as_wide_as_it_was_given():
    """SciPy gives a scale of .0115 at 12,174: two ends, as floats, would be 6e-11 wider."""
    p, q = st.uniform(12174.332390796118, 0.011528848767475609), st.norm(12174.33, 0.02)
    found = kb.kl_divergence(p, q)
    with mp.workdps(30):
        low, width = mp.mpf(12174.332390796118), mp.mpf(0.011528848767475609)
        middle = low + width / 2 - mp.mpf(12174.33)
        square = (middle**2 + width**2 / 12) / mp.mpf(0.02) ** 2
        truth = -mp.log(width) + mp.log(mp.mpf(0.02)) + mp.log(2 * mp.pi) / 2 + square / 2
    assert abs(found.value - float(truth)) <= found.standard_error + 1e-15


@pytest.mark.parametrize("step", [1e-4, 1e-7])
def test_families_in_other_parameters_are_exact_near_each_other(step):
    """1 / b and log(scale), rounded, would change a divergence of 1e-8 by 1e-20, and its answer is called exact."""
    a, b, c = 0.9757996406380611, 1.6275614301272117, 2.7
    found = kb.kl_divergence(st.johnsonsb(a, b), st.johnsonsb(a * (1 + step), b * (1 + step)))
    with mp.workdps(40):
        ratio = mp.mpf(b) / mp.mpf(b * (1 + step))
        shift = mp.mpf(a * (1 + step)) - mp.mpf(a) / ratio
        truth = float(mp.log(ratio) + (1 / ratio**2 + shift**2 - 1) / 2)
    assert found.value == pytest.approx(truth, rel=1e-14)
    found = kb.kl_divergence(st.loglaplace(c), st.loglaplace(c * (1 + step)))
    with mp.workdps(40):
        ratio = mp.mpf(c * (1 + step)) / mp.mpf(c)
        truth = float(ratio - 1 - mp.log(ratio))
    assert found.value == pytest.approx(truth, rel=1e-14)


def test_a_law_of_negative_skewness_ends():
    """SciPy's pearson3 says that it lives on the whole line; beyond its end p has next to no mass, but some."""
    q = st.pearson3(-2.3, 2.0, 1e-3)
    assert (
        kb.kl_divergence(st.make_distribution(st.dgamma)(a=4.7) * 1e-40 - 0.8, q).kind == "infinite"
    )


@pytest.mark.parametrize("shape", [0.03, 0.05])
def test_a_pole_goes_on_below_the_smallest_of_floats(shape):
    """A mass of 1e-10 below 1e-300, where the log ratio is 1,400."""
    a, b, chi = mp.mpf(shape), mp.mpf(2), mp.mpf("1.2")
    with mp.workdps(40):
        norm = mp.gammainc(mp.mpf("1.5"), 0, chi**2 / 2, regularized=True)
        logs = 3 * mp.log(chi) - mp.log(mp.sqrt(2 * mp.pi)) - mp.log(norm / 2)
        # x = u^(1/a) has no pole.
        rest = mp.quad(
            lambda u: (
                (1 - u ** (1 / a)) ** (b - 1)
                * (mp.log1p(-(u ** (2 / a))) - chi**2 * (1 - u ** (2 / a)))
                / 2
            ),
            [0, 0.2, 0.5, 0.8, 0.95, 1],
        ) / (a * mp.beta(a, b))
        log_x, log_1x = (mp.digamma(v) - mp.digamma(a + b) for v in (a, b))
        entropy = (a - 1) * log_x + (b - 1) * log_1x - mp.log(mp.beta(a, b))
        truth = float(entropy - log_x - logs - rest)
    holds(kb.kl_divergence(st.beta(shape, 2.0), st.argus(1.2)), truth)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (st.moyal(-0.56, 0.15), st.skewcauchy(-0.9998, 0.0, 0.22)),
        (st.hypsecant(0.77, 0.14), st.nct(1.2, 0.85, -2.7, 1.1)),
        (st.t(9.0), st.nct(0.45, 1.28, -500.0, 1e-20)),
    ],
    ids=["skewcauchy", "nct", "nct that raises"],
)
def test_a_q_that_is_lost_where_p_has_no_mass_is_resolved(p, q):
    """SciPy squares a distance of 1e154, or raises; where p is, nothing is lost."""
    low, high = p.ppf(1e-16), p.isf(1e-16)
    truth, error = quad(
        lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)),
        low,
        high,
        points=list(p.ppf([0.01, 0.1, 0.5, 0.9, 0.99])),
        epsabs=1e-12,
        limit=500,
    )
    found = kb.kl_divergence(p, q)
    assert found.kind == "numeric"
    assert abs(found.value - truth) <= found.standard_error + error + 1e-11


@pytest.mark.parametrize(("a", "b"), [(1.6, 0.58), (3.0, 0.3), (1.6, 0.9)])
def test_a_pole_of_q_within_a_mixture_is_a_point(a, b):
    """A node of quadrature is 1 itself, where a beta density is infinite and its integral is not."""
    q = Mixture(
        np.array([0.7, 0.3]), (as_distribution(st.beta(a, b)), as_distribution(st.uniform(0, 3)))
    )
    with mp.workdps(30):
        norm = mp.mpf("0.7") / mp.beta(a, b)

        def cost(u, weight):  # of 1 - x = u^5
            x = 1 - u**5
            return weight(x) * mp.log(norm * x ** (a - 1) * u ** (5 * (b - 1)) + mp.mpf("0.1"))

        inside = mp.quad(lambda u: cost(u, lambda x: 5 * u**4 / 2), [0, 0.25, 0.5, 0.75, 0.9, 1])
        truth = float(-mp.log(2) - inside - mp.log(mp.mpf("0.1")) / 2)
    holds(kb.kl_divergence(st.uniform(0, 2), q), truth)


@pytest.mark.parametrize("shape", [2.043, 2.5])
def test_a_heavy_moment_is_followed_to_where_floats_end(shape):
    """E 1/x^2 of a gamma of shape near 2: its last digits are at x = 1e-154, where 1/x^2 overflows."""
    a, s = 1.1, 0.1
    p, q = st.gamma(shape, scale=2.0), st.alpha(a, scale=s)
    with mp.workdps(30):
        k, b = mp.mpf(shape), mp.mpf(2)
        log_x, one, two = (
            mp.digamma(k) + mp.log(b),
            1 / (b * (k - 1)),
            1 / (b**2 * (k - 1) * (k - 2)),
        )
        log_p = (k - 1) * log_x - k - mp.loggamma(k) - k * mp.log(b)
        log_q = mp.log(s) - 2 * log_x - mp.log(mp.ncdf(a)) - mp.log(2 * mp.pi) / 2
        log_q -= (mp.mpf(a) ** 2 - 2 * mp.mpf(a) * s * one + mp.mpf(s) ** 2 * two) / 2
        truth = float(log_p - log_q)
    holds(kb.kl_divergence(p, q), truth)


def test_what_is_positive_everywhere_is_beyond_every_end():
    """Its log density overflows there, and its mass is below anything; the KL is infinite all the same."""
    p = st.make_distribution(st.exponpow)(b=2.5) * 0.005
    found = kb.kl_divergence(p, st.rdist(0.8, loc=-5e6, scale=5e8))
    assert found.kind == "infinite"
    assert "mass below 1e-300" in str(found)


def test_a_hole_between_the_parts_of_q_is_infinite_however_little_mass_is_there():
    q = "0.5*uniform(-9, -1) + 0.5*uniform(1, 9)"
    assert "x < -9" in str(kb.kl_divergence("normal(0, sd=1)", q))
    found = kb.kl_divergence("normal(0.257, sd=1e-6) ", "0.5*uniform(0, 1) + 0.5*uniform(1e3, 2e3)")
    assert found.kind == "infinite"
    assert "1 < x < 1000 where p has mass below 1e-300" in str(found)
    # p has the same hole; nothing is between 1 and 1.
    inside = kb.kl_divergence("0.5*uniform(-9, -2) + 0.5*uniform(2, 9)", q)
    assert inside.value == pytest.approx(math.log(8 / 7), abs=1e-12)
    assert kb.kl_divergence("uniform(0, 2)", "0.5*uniform(0, 1) + 0.5*uniform(1, 2)").value < 1e-12


def test_an_end_that_is_the_edge_of_a_hole_up_to_rounding_is_no_infinity():
    """.1 + .2 is a unit of rounding above .3, where q's hole begins: of one p, and of a p with the same hole."""

    def uniforms(*ends):
        parts = tuple(as_distribution(st.uniform(a, width)) for a, width in ends)
        return Mixture(np.full(len(parts), 1.0 / len(parts)), parts)

    q = uniforms((0.1, 0.2), (0.5, 0.2))
    exact = uniforms((0.1, 0.19999999999999998), (0.5, 0.19999999999999996))
    assert q.components[0].support.high > exact.components[0].support.high
    for one in (st.uniform(0.1, 0.2), st.uniform(0.5, 0.2)):
        holds(kb.kl_divergence(one, exact), math.log(2.0), 1e-14)
    assert kb.kl_divergence(q, exact).value < 1e-14
    # A hundredth of the hole is no rounding.
    found = kb.kl_divergence(st.uniform(0.1, 0.202), exact)
    assert found.kind == "infinite"
    assert "0.3 < x < 0.5 where p has mass 0.0099" in str(found)


@pytest.mark.parametrize("far", [0.0, -1e3, -1e6])
def test_of_two_that_grow_alike_the_steeper_wins(far):
    """E exp(x / s) of a Laplace law of scale 1 is infinite below s = 1, however little mass decides it."""
    p = st.laplace(far, 1.0)
    assert kb.kl_divergence(p, st.gumbel_l(0.0, 0.5)).kind == "infinite"
    found = kb.kl_divergence(p, st.gumbel_l(0.0, 2.0))
    holds(found, -1.0 - far / 2.0 + math.exp(far / 2.0) / (1.0 - 0.25))
