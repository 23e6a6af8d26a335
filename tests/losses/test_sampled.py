"""Estimators, surrogates, bounds and games: means and gradients by enumeration, the table of the guide."""

import pytest

pytest.importorskip("jax")

import itertools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special, stats

from kullback import losses
from kullback.api.check_loss import check_loss
from kullback.core.errors import InputError
from kullback.losses.adversarial import critic_loss, generator_loss, non_saturating_generator_loss
from kullback.losses.gaussian import full_gaussian_kl, gaussian_kl
from kullback.losses.sampled import (
    elbo,
    iwae,
    k1,
    k2,
    reverse_kl_surrogate,
    score_function_loss,
    stick_the_landing_loss,
)
from kullback.losses.sampled import k3 as sampled_k3

ROOT = Path(__file__).parent.parent.parent


def pair(seed=0, v=4):
    return np.random.default_rng(seed).normal(size=(2, v))


def kl(a, b):
    p, q = special.softmax(a), special.softmax(b)
    return float(special.rel_entr(p, q).sum())


def gradient(direction, a, b):
    """Of KL(p||q) or KL(q||p) with respect to the logits of q."""
    p, q = special.softmax(a), special.softmax(b)
    if direction == "forward":
        return q - p
    gap = np.log(q / p)
    return q * (gap - q @ gap)


def enumerated(loss, a, b, sampler=None):
    """Mean value and mean gradient of a loss over tokens drawn from q, or from another policy."""
    with jax.enable_x64(True):
        a, b = jnp.asarray(a), jnp.asarray(b)
        log_p, drawn = (
            jax.nn.log_softmax(a),
            jax.nn.log_softmax(b if sampler is None else jnp.asarray(sampler)),
        )
        value, slope = 0.0, 0.0
        for x in range(len(a)):
            one = lambda b, x=x: loss(
                log_p[x : x + 1], jax.nn.log_softmax(b)[x : x + 1], drawn[x : x + 1]
            ).sum()
            found, grad = jax.value_and_grad(one)(b)
            value += jnp.exp(drawn[x]) * found
            slope += jnp.exp(drawn[x]) * grad
        return float(value), np.asarray(slope)


ESTIMATORS = {
    "k1": lambda p, q, s: k1(log_p=p, log_q=q),
    "k2": lambda p, q, s: k2(log_p=p, log_q=q),
    "k3": lambda p, q, s: sampled_k3(log_p=p, log_q=q),
}


def test_the_table_in_the_guide_is_what_comes_out():
    a, b = pair()
    other = pair(1)[0]
    said = {}
    for line in (ROOT / "docs/guides/a-loss.md").read_text().splitlines():
        cells = [c.strip().replace("\\", "") for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.match(r"k[123] =", cells[0]):
            said[cells[0][:2]] = cells[1:]
    named = {"KL(q||p)": "reverse", "KL(p||q)": "forward"}
    values = {"reverse": kl(b, a), "forward": kl(a, b)}
    assert sorted(said) == ["k1", "k2", "k3"]
    for name, (value, slope, off) in said.items():
        mean, found = enumerated(ESTIMATORS[name], a, b)
        if value in named:
            assert mean == pytest.approx(values[named[value]], rel=1e-12)
        else:
            assert all(abs(mean / v - 1) > 0.01 for v in values.values())
        expected = np.zeros(4) if slope == "zero" else gradient(named[slope], a, b)
        np.testing.assert_allclose(found, expected, atol=1e-14)
        assert off == "neither, neither"
        mean, found = enumerated(ESTIMATORS[name], a, b, sampler=other)
        for direction in ("forward", "reverse"):
            assert abs(mean - values[direction]) > 1e-3
            assert np.abs(found - gradient(direction, a, b)).max() > 1e-3


@pytest.mark.parametrize("policy", ["q", "p", "other"])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_surrogates_have_the_value_and_the_gradient_whoever_draws(direction, policy):
    a, b = pair(2)
    sampler = {"q": b, "p": a, "other": pair(3)[0]}[policy]
    surrogate = getattr(losses, f"{direction}_kl_surrogate")
    loss = lambda p, q, s: surrogate(log_p=p, log_q=q, log_sampler=s)
    mean, found = enumerated(loss, a, b, sampler)
    assert mean == pytest.approx(kl(a, b) if direction == "forward" else kl(b, a), rel=1e-12)
    np.testing.assert_allclose(found, gradient(direction, a, b), atol=1e-14)


def test_a_baseline_changes_no_mean():
    a, b = pair(4)
    loss = lambda p, q, s: reverse_kl_surrogate(log_p=p, log_q=q, baseline=0.7)
    np.testing.assert_allclose(enumerated(loss, a, b)[1], gradient("reverse", a, b), atol=1e-14)


def test_per_sequence_and_masks():
    log_p, log_q = np.log(np.random.default_rng(5).uniform(0.1, 1.0, size=(2, 3, 4)))
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    log_q[0, 3] = np.nan
    tokens = k1(log_p=log_p, log_q=log_q, mask=mask)
    assert tokens[0, 3] == tokens[2, 0] == 0.0
    sequence = k1(log_p=log_p, log_q=log_q, mask=mask, per="sequence")
    np.testing.assert_allclose(sequence, tokens.sum(-1))
    np.testing.assert_allclose(
        k2(log_p=log_p, log_q=log_q, mask=mask, per="sequence"), sequence**2 / 2
    )
    k3 = sampled_k3(log_p=log_p, log_q=log_q, mask=mask, per="sequence")
    np.testing.assert_allclose(k3, np.exp(-sequence) - 1 + sequence, rtol=1e-12)


def test_k3_keeps_its_digits_where_p_is_close_to_q():
    gap = np.array([1e-8, -1e-5, 1e-3])
    np.testing.assert_allclose(
        sampled_k3(log_p=gap, log_q=np.zeros(3)), gap**2 / 2 * (1 + gap / 3), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["k1", "k2", "k3", "reverse_kl_surrogate", "forward_kl_surrogate"])
def test_torch_and_jax_agree_at_any_ratio(name):
    torch = pytest.importorskip("torch")
    log_p, log_q = np.array([[-1.0, -0.1, -2.0, -30.0, -1e4], [-1.5, -0.1, -30.0, -2.0, -1.0]])
    loss = getattr(losses, name)
    with jax.enable_x64(True):
        theirs = jax.value_and_grad(lambda q: loss(log_p=jnp.asarray(log_p), log_q=q).sum())(
            jnp.asarray(log_q)
        )
    tensor = torch.tensor(log_q, requires_grad=True)
    value = loss(log_p=torch.tensor(log_p), log_q=tensor).sum()
    value.backward()
    assert np.isfinite(tensor.grad.numpy()).all()
    np.testing.assert_allclose(value.item(), theirs[0], rtol=1e-13)
    np.testing.assert_allclose(tensor.grad.numpy(), theirs[1], rtol=1e-13)
    single = loss(log_p=jnp.asarray(log_p, jnp.bfloat16), log_q=jnp.asarray(log_q, jnp.bfloat16))
    assert single.dtype == jnp.float32


@pytest.mark.slow
def test_the_score_function_with_a_baseline_is_unbiased_and_quieter():
    a, b = pair(6, v=3)
    log_p, q = special.log_softmax(a), special.softmax(b)

    def moments(baseline):
        mean, square = 0.0, 0.0
        with jax.enable_x64(True):
            for draw in itertools.product(range(3), repeat=3):
                x = np.array(draw)
                loss = lambda b, x=x: score_function_loss(
                    log_p=jnp.asarray(log_p[x]) + 5.0,
                    log_q=jax.nn.log_softmax(b)[x],
                    baseline=baseline,
                )
                slope = np.asarray(jax.grad(loss)(jnp.asarray(b)))
                mean, square = mean + q[x].prod() * slope, square + q[x].prod() * slope**2
        return mean, (square - mean**2).sum()

    (with_it, quiet), (without, loud) = moments("leave_one_out"), moments("none")
    np.testing.assert_allclose(with_it, gradient("reverse", a, b), atol=1e-13)
    np.testing.assert_allclose(without, gradient("reverse", a, b), atol=1e-13)
    assert quiet < 0.5 * loud  # of three draws, the mean of two as the baseline


def test_bounds_and_sticking_the_landing():
    rng = np.random.default_rng(7)
    z = rng.normal(size=100_000)
    log_q = stats.norm.logpdf(z)
    log_p = stats.norm.logpdf(z, 0.3, 1.2) + 2.0  # evidence exp(2)
    exact = 2.0 - (np.log(1.2) + (1 + 0.09) / (2 * 1.44) - 0.5)
    assert elbo(log_p=log_p, log_q=log_q) == pytest.approx(exact, abs=4e-3)
    many = iwae(log_p=log_p.reshape(-1, 10), log_q=log_q.reshape(-1, 10)).mean()
    assert exact < many < 2.0 + 4e-3
    np.testing.assert_allclose(
        iwae(log_p=log_p[:3, None], log_q=log_q[:3, None]), (log_p - log_q)[:3]
    )

    def loss(parameters, make):
        m, s = parameters
        draws = m + jnp.exp(s) * jnp.asarray(z[:1000])
        density = lambda parameters, x: (
            -0.5 * ((x - parameters[0]) / jnp.exp(parameters[1])) ** 2 - parameters[1]
        )
        return make(lambda x: -0.5 * x**2, density, parameters, draws)

    stick = lambda p, q, parameters, x: stick_the_landing_loss(p, q, parameters=parameters, z=x)
    plain = lambda p, q, parameters, x: jnp.mean(q(parameters, x) - p(x))
    with jax.enable_x64(True):
        at = (jnp.array(0.0), jnp.array(0.0))
        assert all(abs(g) < 1e-12 for g in jax.grad(loss)(at, stick))  # no noise where q is p
        assert any(abs(g) > 1e-3 for g in jax.grad(loss)(at, plain))
        away = (jnp.array(1.0), jnp.array(0.5))
        for one, other in zip(
            jax.grad(loss)(away, stick), jax.grad(loss)(away, plain), strict=True
        ):
            assert float(one) == pytest.approx(float(other), abs=0.15)


@pytest.mark.slow
def test_full_gaussians_against_numpyro_and_their_own_diagonal():
    import numpyro.distributions as dist

    rng = np.random.default_rng(8)
    means = rng.normal(size=(2, 3, 4))
    roots = np.tril(rng.normal(size=(2, 3, 4, 4)), -1) + np.exp(rng.normal(size=(2, 3, 4)))[
        ..., None
    ] * np.eye(4)
    found = full_gaussian_kl((means[0], roots[0]), (means[1], roots[1]))
    with jax.enable_x64(True):
        p, q = (
            dist.MultivariateNormal(jnp.asarray(m), scale_tril=jnp.asarray(r))
            for m, r in zip(means, roots, strict=True)
        )
        np.testing.assert_allclose(found, dist.kl_divergence(p, q), rtol=1e-9)
    standard = full_gaussian_kl((means[0], roots[0]))
    eye = (np.zeros((3, 4)), np.broadcast_to(np.eye(4), (3, 4, 4)))
    np.testing.assert_allclose(standard, full_gaussian_kl((means[0], roots[0]), eye), rtol=1e-12)
    widths = np.exp(0.3 * rng.normal(size=(3, 4)))
    diagonal = gaussian_kl((means[0], 2 * np.log(widths)))
    np.testing.assert_allclose(
        full_gaussian_kl((means[0], widths[..., None] * np.eye(4))), diagonal, rtol=1e-12
    )
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(x, requires_grad=True) for x in (means[0], roots[0])]
    full_gaussian_kl(
        tuple(tensors), (torch.tensor(means[1]), torch.tensor(roots[1]))
    ).sum().backward()
    with jax.enable_x64(True):
        slopes = jax.grad(
            lambda p: full_gaussian_kl(p, (jnp.asarray(means[1]), jnp.asarray(roots[1]))).sum()
        )((jnp.asarray(means[0]), jnp.asarray(roots[0])))
    for tensor, slope in zip(tensors, slopes, strict=True):
        np.testing.assert_allclose(
            np.tril(tensor.grad.numpy()), np.tril(slope), rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize(("kind", "name", "scale"), [("gan", "jensen_shannon", 2), ("pearson_chi2", "alpha", 2),
                                                     ("squared_hellinger", "alpha", 0.25), ("forward_kl", "forward", 1)])  # fmt: skip
def test_games_stand_for_their_divergence(kind, name, scale):
    def critic(at_real, at_fake):
        return critic_loss(kind, at_p=at_real, at_q=at_fake)

    report = check_loss(critic, roles={"at_real": "real", "at_fake": "fake"})
    assert (report.gradient.name, report.value.name) == (name, name)
    assert report.gradient.scale == pytest.approx(scale, rel=1e-4)


def test_generators():
    report = check_loss(lambda fake: generator_loss("gan", at_q=fake))
    assert (report.gradient.name, report.gradient.scale_words) == ("jensen_shannon", "2")
    report = check_loss(lambda fake: non_saturating_generator_loss(at_q=fake))
    assert report.gradient.label == "KL(q||p) - 2 JS(p,q)"


def test_what_cannot_be():
    with pytest.raises(InputError, match="of the same tokens"):
        k1(log_p=np.zeros(2), log_q=np.zeros(3))
    with pytest.raises(InputError, match='say "token" or "sequence"'):
        sampled_k3(log_p=np.zeros(2), log_q=np.zeros(2), per="batch")
    with pytest.raises(InputError, match="two draws or more"):
        score_function_loss(log_p=np.zeros(1), log_q=np.zeros(1))
    with pytest.raises(InputError, match="Cholesky factors"):
        full_gaussian_kl((np.zeros(2), np.eye(3)))
