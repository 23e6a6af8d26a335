"""Densities with a neck or a bend: evidence and both KLs are within their errors, by draws that cover p."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import numpy as np

from kullback.api.fit import fit
from kullback.targets import LogDensity

LOG_2PI = float(np.log(2 * np.pi))


def funnel(z):
    """Neal's, of evidence 1."""
    v, x = z[0], z[1:]
    d = x.size
    return (
        -0.5 * (v / 3) ** 2
        - jnp.log(3.0)
        - 0.5 * LOG_2PI
        - 0.5 * jnp.sum(x**2) * jnp.exp(-v)
        - 0.5 * d * (v + LOG_2PI)
    )


def draws_of_funnel(rng, n, d):
    v = 3.0 * rng.standard_normal(n)
    return np.column_stack([v, np.exp(v / 2)[:, None] * rng.standard_normal((n, d - 1))])


def z_of(estimate, truth, error=0.0):
    return (estimate.value - truth) / np.hypot(estimate.standard_error, error)


def forward_kl(q, d):
    """KL(p||q) by quadrature on (v, x exp(-v / 2)), in two coordinates."""
    assert d == 2
    v, u = np.meshgrid(np.linspace(-15, 27, 1401), np.linspace(-8, 8, 801), indexing="ij")
    log_p = -0.5 * (v / 3) ** 2 - np.log(3.0) - 0.5 * u**2 - LOG_2PI
    log_q = q.log_prob(np.column_stack([v.ravel(), (u * np.exp(v / 2)).ravel()])).reshape(v.shape)
    return float(np.sum(np.exp(log_p) * (log_p - v / 2 - log_q)) * 0.03 * 0.02)


def of_keys(keys, family, d):
    found = []
    for key in keys:
        q = fit(LogDensity(funnel, np.zeros(d)), family, direction="reverse", key=key)
        drawn = q.sample(100_000, key=key + 100)
        log_p = -0.5 * (drawn[:, 0] / 3) ** 2 - np.log(3.0) - 0.5 * LOG_2PI
        log_p -= 0.5 * np.sum(drawn[:, 1:] ** 2, axis=1) * np.exp(-drawn[:, 0])
        log_p -= 0.5 * (d - 1) * (drawn[:, 0] + LOG_2PI)
        gap = q.log_prob(drawn) - log_p
        reverse = float(gap.mean()), float(gap.std()) / np.sqrt(len(gap))
        zs = [z_of(q.log_evidence, 0.0), z_of(q.reverse_kl, *reverse)]
        found.append([*zs, z_of(q.forward_kl, forward_kl(q, d))] if d == 2 else zs)
    return np.array(found)


@pytest.mark.slow
def test_a_funnel_in_the_plane():
    assert np.abs(of_keys([0], "mixture:3", 2)).max() < 3.5


@pytest.mark.slow
def test_a_funnel_in_ten_coordinates():
    """Its evidence was two nats too low, at ± .2."""
    found = of_keys([0, 1], "full_rank", 10)
    assert np.abs(found).max() < 3.5


@pytest.mark.slow
@pytest.mark.parametrize(("family", "d"), [("auto", 2), ("full_rank", 10)])
def test_funnels_over_keys(family, d):
    found = of_keys(range(7), family, d)
    assert np.abs(found).max() < 3.5
    assert (np.abs(found.mean(axis=0)) < 0.9 + 0.4).all()  # its own error is .4


@pytest.mark.slow
def test_a_centred_hierarchy():
    """Issue 982 of PyMC: log evidence by quadrature over log tau."""
    y = np.array([0.3, -0.5, 0.2, 0.9, -0.1, 0.4, -0.7, 0.1, 0.0, -0.2])

    def log_density(p):
        t, m = p["log_tau"], p["mu"]
        prior = (
            -0.5 * (t - 3) ** 2
            - 0.5 * LOG_2PI
            + jnp.sum(-0.5 * m**2 * jnp.exp(t) + 0.5 * t - 0.5 * LOG_2PI)
        )
        return prior + jnp.sum(-0.5 * (y - m) ** 2 - 0.5 * LOG_2PI)

    p = LogDensity(log_density, {"log_tau": 0.0, "mu": np.zeros(10)})
    found = [fit(p, "full_rank", direction="reverse", key=key).log_evidence for key in (1, 2)]
    assert max(abs(z_of(e, -10.403867)) for e in found) < 3.5
    assert max(e.standard_error for e in found) < 0.02  # it was .1 to .6


@pytest.mark.slow
def test_the_same_bits_after_a_kill(tmp_path):
    """Stages in a neck are kept, too."""

    def run(place=None):
        return fit(
            LogDensity(funnel, np.zeros(2)), "full_rank", direction="reverse", checkpoint=place
        )

    whole, kept = run(), run(tmp_path / "fit.checkpoint")
    again = run(tmp_path / "fit.checkpoint")
    for other in (kept, again):
        assert other.log_evidence == whole.log_evidence
        assert other.forward_kl == whole.forward_kl


def banana(bend, width):
    """N(0, 1) and, about the bent first coordinate, N(0, width^2); N(0, 1) further on."""

    def log_density(x):
        return -0.5 * (x[0] ** 2 + ((x[1] - bend * x[0] ** 2) / width) ** 2 + jnp.sum(x[2:] ** 2))

    return log_density


def truth_of_banana(q, bend, width, d, n=200_000):
    """KL(p||q) by draws of p, half of them with a first coordinate from N(0, 4), and its error."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    x[: n // 2, 0] *= 2.0
    weights = 2.0 / (1.0 + 0.5 * np.exp(0.375 * x[:, 0] ** 2))
    log_p = -0.5 * np.sum(x**2, axis=1) - 0.5 * d * LOG_2PI - np.log(width)
    x[:, 1] = bend * x[:, 0] ** 2 + width * x[:, 1]
    gaps = weights * (log_p - q.log_prob(x))
    return float(gaps.mean()), float(gaps.std()) / np.sqrt(n)


def zs_of_banana(bend, width, d, family, key):
    q = fit(LogDensity(banana(bend, width), np.zeros(d)), family, direction="reverse", key=key)
    log_evidence = 0.5 * d * LOG_2PI + np.log(width)
    drawn = q.sample(100_000, key=key + 100)
    last = np.sum(drawn[:, 2:] ** 2, axis=1)
    bent = drawn[:, 0] ** 2 + ((drawn[:, 1] - bend * drawn[:, 0] ** 2) / width) ** 2
    gap = q.log_prob(drawn) + 0.5 * (bent + last) + log_evidence
    reverse = float(gap.mean()), float(gap.std()) / np.sqrt(len(gap))
    forward = z_of(q.forward_kl, *truth_of_banana(q, bend, width, d))
    return [z_of(q.log_evidence, log_evidence), z_of(q.reverse_kl, *reverse), forward]


@pytest.mark.slow
def test_a_banana():
    """KL(p||q) was .026 ± .004 for .084, with "trust": its arms, which draws of q never enter, have most of it."""
    assert np.abs(zs_of_banana(0.3, 0.3, 2, "auto", 2)).max() < 3.5


@pytest.mark.slow
@pytest.mark.parametrize("family", ["auto", "full_rank"])
@pytest.mark.parametrize(("bend", "width", "d"), [(1.0, 0.3, 2), (0.5, 0.5, 2), (1.0, 0.3, 5)])
def test_bananas_over_keys(bend, width, d, family):
    found = np.array([zs_of_banana(bend, width, d, family, key) for key in range(4)])
    assert np.abs(found).max() < 3.5
    assert (np.abs(found.mean(axis=0)) < 0.9 + 0.5).all()  # its own error is .5


def with_another(w, at):
    """(1 - w) N(0, I) + w N((at, 0), .7^2 I), of evidence 1."""

    def log_density(x):
        first = jnp.log(1 - w) - 0.5 * jnp.sum(x**2)
        second = jnp.log(w) - 2 * jnp.log(0.7) - 0.5 * ((x[0] - at) ** 2 + x[1] ** 2) / 0.49
        return jnp.logaddexp(first, second) - LOG_2PI

    return log_density


@pytest.mark.parametrize(
    ("w", "at"), [pytest.param(0.008, 20.0, marks=pytest.mark.slow), (0.03, 8.0)]
)
def test_a_light_mode_far_away(w, at):
    """To draws of a Gaussian p was that Gaussian: KL(p||q) was 1e-8 ± 5e-8 for 1.56, with "trust"."""
    q = fit(LogDensity(with_another(w, at), np.zeros(2)), "full_rank", direction="reverse", key=0)
    rng, n = np.random.default_rng(1), 100_000
    gaps = []
    for mass, mean, sd in ((1 - w, 0.0, 1.0), (w, at, 0.7)):
        x = sd * rng.standard_normal((n, 2)) + [mean, 0.0]
        log_p = np.array(jnp.vectorize(with_another(w, at), signature="(d)->()")(x))
        gaps.append((mass, log_p - q.log_prob(x)))
    truth = sum(mass * float(gap.mean()) for mass, gap in gaps)
    error = np.sqrt(sum(mass**2 * float(gap.var()) / n for mass, gap in gaps))
    assert abs(z_of(q.forward_kl, truth, error)) < 3.5
    assert abs(z_of(q.log_evidence, 0.0)) < 3.5
    assert q.diagnosis.verdict != "trust"


ARMS = {"exp": (jnp.exp, 0.3), "cube": (lambda t: t**3, 0.5)}


def zs_of_arm(name, family, key, d=2):
    """Of N(0, 1), about a function of it N(0, width^2), and others that are N(0, 1) alone."""
    curve, width = ARMS[name]

    def log_density(x):
        off = (x[1] - curve(x[0])) / width
        squares = x[0] ** 2 + off**2 + jnp.sum(x[2:] ** 2)
        return -0.5 * (squares + d * LOG_2PI) - np.log(width)

    q = fit(LogDensity(log_density, np.zeros(d)), family, direction="reverse", key=key)
    rng, n = np.random.default_rng(0), 200_000
    x = rng.standard_normal((n, d))
    x[:, 0] *= 2.0
    weights = 2.0 * np.exp(-0.375 * x[:, 0] ** 2)
    log_p = -0.5 * (np.sum(x**2, axis=1) + d * LOG_2PI) - np.log(width)
    x[:, 1] = curve(x[:, 0]) + width * x[:, 1]
    gaps = weights * (log_p - q.log_prob(x))
    # Of "auto" one key in six comes as near as "trust" asks, below a tenth of a nat: .043, said .042 ± .001.
    assert q.diagnosis.verdict != "trust" or (family == "auto" and gaps.mean() < 0.1)
    return z_of(q.forward_kl, gaps.mean(), gaps.std() / np.sqrt(n)), z_of(q.log_evidence, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["full_rank", "auto"])
@pytest.mark.parametrize("name", ARMS)
def test_an_arm_that_steepens(name, family):
    """Draws went on along the arm, and stopped before its end: 8.6 ± 1.5 for 279, 1.03 ± .01 for 1.14."""
    found = np.array([zs_of_arm(name, family, key) for key in range(3)])
    assert np.abs(found).max() < 3.5
    assert np.abs(found.mean(axis=0)).max() < 2.0


@pytest.mark.slow
@pytest.mark.parametrize("key", [1, 2])
def test_an_arm_beside_other_coordinates(key):
    """The flow is p but for the arm far out: KL(p||q) was .0034 ± .0016 for 2.0, with "trust"."""
    assert np.abs(zs_of_arm("exp", "auto", key, 5)).max() < 3.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_modes_that_a_neck_keeps_apart(seed):
    """Three normals, the scale of a coordinate set by another one: draws through the neck lost a mode or two."""
    places, shares = np.random.default_rng(seed).normal(0.0, 4.0, (3, 4)), np.array([0.3, 0.3, 0.4])

    def log_p(x):
        z = x.at[1].multiply(jnp.exp(-0.6 * x[0]))
        logs = -0.5 * ((z - places) ** 2).sum(axis=1) + jnp.log(shares) - 2.0 * LOG_2PI
        return jax.scipy.special.logsumexp(logs) - 0.6 * x[0]

    q = fit(LogDensity(log_p, np.zeros(4)), "full_rank", direction="reverse", key=seed)
    rng = np.random.default_rng(9)
    x = places[rng.choice(3, 100_000, p=shares)] + rng.standard_normal((100_000, 4))
    x[:, 1] *= np.exp(0.6 * x[:, 0])
    with jax.enable_x64(True):
        ratio = np.asarray(jax.vmap(log_p)(jnp.asarray(x))) - q.log_prob(x)
    assert abs(z_of(q.log_evidence, 0.0)) < 4.0
    assert q.log_evidence.standard_error < 0.1
    assert abs(z_of(q.forward_kl, ratio.mean(), ratio.std() / np.sqrt(len(x)))) < 4.0
