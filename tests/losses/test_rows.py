"""Losses of logits: values against 50 digits, gradients against differences and torch, at any input."""

import pytest

pytest.importorskip("jax")

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
from scipy import special

from kullback.core.errors import InputError
from kullback.losses.categorical import (
    categorical_kl,
    generalized_jensen_shannon,
    label_cross_entropy,
    top_k_kl_lower_bound,
)

INF = np.inf


def ordinary(seed=0, n=4, v=37):
    return tuple(np.random.default_rng(seed).normal(size=(2, n, v)) * 2.0)


def equal():
    p = ordinary(1)[0]
    return p, p.copy()


def extreme():
    """Logits of +-1e4, probabilities of 0 and of 1, on both sides and on one."""
    p = np.array([
        [1e4, -1e4, 0.0, 1.0], [-INF, 0.0, 1.0, 2.0], [-INF, 0.5, 1.0, -1.0],
        [0.0, -INF, -INF, -INF], [1e4, 1e4, -1e4, 0.0], [0.0, -INF, -INF, -INF],
    ])  # fmt: skip
    q = np.array([
        [0.0, 1e4, -1e4, 1.0], [0.3, 0.0, 1.0, 0.5], [-INF, 0.0, 2.0, 1.0],
        [0.0, 1.0, 2.0, 0.0], [1e4, 1e4, -1e4, -1e4], [1e4, -1e4, 0.0, 0.0],
    ])  # fmt: skip
    return p, q


def kl(p, q):
    return categorical_kl(p=p, q=q, reduction="none")


def js(beta):
    return lambda p, q: generalized_jensen_shannon(p=p, q=q, beta=beta, reduction="none")


def top(k):
    return lambda p, q: top_k_kl_lower_bound(p=p, q=q, k=k, reduction="none")


LOSSES = {
    "kl": kl,
    "js.5": js(0.5),
    "js.1": js(0.1),
    "js.001": js(1e-3),
    "js.999": js(0.999),
    "top": top(2),
}
INPUTS = {"ordinary": ordinary, "equal": equal, "extreme": extreme}


def exact_kl(p, q):
    """From logits, in 50 digits."""
    with mpmath.workdps(50):
        a, b = (
            [mpmath.exp(mpmath.mpf(float(x))) if x > -INF else mpmath.mpf(0) for x in row]
            for row in (p, q)
        )
        a, b = ([x / mpmath.fsum(row) for x in row] for row in (a, b))
        if any(x > 0 and y == 0 for x, y in zip(a, b, strict=True)):
            return INF
        return float(mpmath.fsum(x * mpmath.log(x / y) for x, y in zip(a, b, strict=True) if x > 0))


@pytest.mark.parametrize("name", INPUTS)
def test_the_value_is_exact(name):
    p, q = INPUTS[name]()
    truth = [exact_kl(a, b) for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(kl(p, q), truth, rtol=1e-13, atol=1e-300)
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            kl(jnp.asarray(p), jnp.asarray(q)), truth, rtol=1e-13, atol=1e-300
        )


def test_no_digit_is_lost_where_p_is_close_to_q_and_nothing_is_negative():
    rng = np.random.default_rng(0)
    p = (rng.normal(size=(50, 300)) * 3).astype(np.float32)
    q = p + (1e-3 * rng.normal(size=p.shape)).astype(np.float32)
    truth = np.array([exact_kl(a, b) for a, b in zip(p[:5], q[:5], strict=True)])
    for found in (kl(p, q), kl(jnp.asarray(p), jnp.asarray(q))):
        assert found.dtype == np.float32
        assert np.all(np.asarray(found) >= 0.0)
        np.testing.assert_allclose(found[:5], truth, rtol=2e-4)
    naive = special.rel_entr(special.softmax(p[:5], -1), special.softmax(q[:5], -1)).sum(-1)
    assert np.abs(naive / truth - 1).max() > 1e-2  # what the usual formula makes of it in float32


def slopes_by_differences(loss, p, q, which, step=1e-3):
    """Column by column, in all rows at once, for they do not depend on each other."""
    out = np.zeros_like(p)
    for j in range(p.shape[1]):
        for k, weight in ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12)):
            moved = [p.copy(), q.copy()]
            moved[which][:, j] += k * step
            out[:, j] += weight * loss(*moved) / step
    return out


@pytest.mark.parametrize(
    "inputs",
    [pytest.param(n, marks=[pytest.mark.slow] if n != "ordinary" else []) for n in INPUTS],
)
@pytest.mark.parametrize(
    "name", [n if n in ("kl", "js.1") else pytest.param(n, marks=pytest.mark.slow) for n in LOSSES]
)
def test_gradients_against_differences_in_both_libraries(name, inputs):
    p, q = INPUTS[inputs]()
    if inputs == "ordinary":
        p, q = p[:, :7], q[:, :7]
    loss = LOSSES[name]
    keep = np.isfinite(loss(p, q))
    with jax.enable_x64(True):
        found = jax.grad(lambda p, q: loss(p, q).sum(), (0, 1))(jnp.asarray(p), jnp.asarray(q))
    for which in (0, 1):
        assert np.isfinite(found[which]).all()
        expected = slopes_by_differences(loss, p[keep], q[keep], which)
        np.testing.assert_allclose(found[which][keep], expected, rtol=1e-7, atol=2e-8)
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(x, requires_grad=True) for x in (p, q)]
    loss(*tensors).sum().backward()
    for which in (0, 1):
        np.testing.assert_allclose(
            tensors[which].grad.numpy(), found[which], rtol=1e-12, atol=1e-13
        )


def test_a_kl_that_is_infinite_still_has_a_finite_gradient_that_leads_out():
    p, q = jnp.zeros(3), jnp.array([0.0, 0.0, -INF])
    loss = lambda p, q: categorical_kl(p=p, q=q, reduction="sum")
    assert np.isinf(loss(p, q))
    to_p, to_q = jax.grad(loss, (0, 1))(p, q)
    np.testing.assert_allclose(to_q, [1 / 2 - 1 / 3, 1 / 2 - 1 / 3, -1 / 3], rtol=1e-6)
    assert np.isfinite(to_p).all()
    assert to_p[2] > 1.0  # descending takes mass from where q has none


def test_against_torch_s_own():
    torch = pytest.importorskip("torch")
    p, q = (torch.tensor(x, requires_grad=True) for x in ordinary())
    theirs = torch.nn.functional.kl_div(
        q.log_softmax(-1), p.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    expected = torch.autograd.grad(theirs, (p, q))
    ours = categorical_kl(teacher=p, student=q, direction="forward", reduction="mean")
    found = torch.autograd.grad(ours, (p, q))
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=0)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-15)
    labels = torch.tensor([3, 1, 0, 36])
    theirs = torch.nn.functional.cross_entropy(q, labels)
    mine = label_cross_entropy(q, labels, reduction="mean")
    torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(mine, q), torch.autograd.grad(theirs, q), rtol=1e-10, atol=1e-16
    )


@pytest.mark.parametrize("v", [1, 5, 16, 33, 4096])
def test_any_vocabulary_and_any_leading_shape(v):
    p, q = ordinary(2, n=6, v=v)
    whole = kl(p, q)
    assert np.asarray(kl(p.reshape(2, 3, v), q.reshape(2, 3, v))).shape == (2, 3)
    with jax.enable_x64(True):
        mapped = jax.jit(jax.vmap(kl))(jnp.asarray(p), jnp.asarray(q))
    np.testing.assert_allclose(mapped, whole, rtol=1e-12, atol=1e-300)
    assert kl(p[0], q[0]).shape == ()
    assert kl(p[:0], q[:0]).shape == (0,)


def test_directions_and_reductions():
    p, q = ordinary(3)
    forward = categorical_kl(teacher=p, student=q, direction="forward", reduction="none")
    np.testing.assert_array_equal(forward, kl(p, q))
    reverse = categorical_kl(teacher=p, student=q, direction="reverse", reduction="sum")
    np.testing.assert_allclose(reverse, kl(q, p).sum())
    assert categorical_kl(p=p, q=q, reduction="mean") == forward.mean()


@pytest.mark.parametrize("kind", ["jax", "torch"])
def test_half_precision_is_summed_in_float32(kind):
    p, q = ordinary(4, n=8, v=5000)
    if kind == "jax":
        half = [jnp.asarray(x).astype(jnp.bfloat16) for x in (p, q)]
        full = [np.asarray(x, dtype=np.float64) for x in half]
        slope = jax.grad(lambda q: categorical_kl(p=half[0], q=q, reduction="mean"))(half[1])
        assert slope.dtype == jnp.bfloat16
    else:
        torch = pytest.importorskip("torch")
        half = [torch.tensor(x).bfloat16() for x in (p, q)]
        full = [x.double().numpy() for x in half]
        half[1].requires_grad_()
        categorical_kl(p=half[0], q=half[1], reduction="mean").backward()
        assert half[1].grad.dtype == torch.bfloat16
        half[1] = half[1].detach()
    found = kl(*half)
    assert str(found.dtype).endswith("float32")
    np.testing.assert_allclose(np.asarray(found), kl(*full), rtol=3e-6)


@pytest.mark.slow
def test_second_derivatives_in_jax_and_vmap_in_torch():
    p, q = ordinary(5, n=1, v=5)
    with jax.enable_x64(True):
        a, b = jnp.asarray(p[0]), jnp.asarray(q[0])
        slope = jax.grad(lambda q: categorical_kl(p=a, q=q, reduction="sum"))
        found = jax.jacrev(slope)(b)
    mass = special.softmax(q[0])
    np.testing.assert_allclose(found, np.diag(mass) - np.outer(mass, mass), atol=1e-14)
    torch = pytest.importorskip("torch")
    left, right = (torch.tensor(x) for x in ordinary(6, n=3, v=5))
    fn = torch.func.grad(lambda p, q: categorical_kl(p=p, q=q, reduction="sum"), (0, 1))
    together = torch.func.vmap(fn)(left, right)
    for i in range(3):
        for one, other in zip(fn(left[i], right[i]), together, strict=True):
            torch.testing.assert_close(one, other[i])


def test_the_generalised_jensen_shannon_is_continuous_and_right():
    p, q = ordinary(7)
    a, b = special.softmax(p, -1), special.softmax(q, -1)
    for beta in (0.02, 0.5, 0.9):
        m = beta * a + (1 - beta) * b
        usual = beta * special.rel_entr(a, m).sum(-1) + (1 - beta) * special.rel_entr(b, m).sum(-1)
        np.testing.assert_allclose(js(beta)(p, q), usual / (beta * (1 - beta)), rtol=1e-11)
    for end, limit in ((0.0, kl(p, q)), (1.0, kl(q, p))):
        np.testing.assert_array_equal(js(end)(p, q), limit)
        for beta in (1e-9, 1e-6, 1e-4):
            near = js(abs(end - beta))(p, q)
            assert np.abs(near / limit - 1).max() < 60 * beta + 1e-6
    p32, q32 = p.astype(np.float32), q.astype(np.float32)
    np.testing.assert_allclose(js(1e-3)(p32, q32), js(1e-3)(p, q), rtol=1e-4)


def test_the_bucket_makes_a_lower_bound_where_truncation_makes_nothing():
    p = ordinary(8, n=200, v=50)[0]
    q = p + 0.05 * ordinary(9, n=200, v=50)[0]
    whole = kl(p, q)
    bounds = [top(k)(p, q) for k in (1, 5, 20, 49)]
    for below, above in zip(bounds, [*bounds[1:], whole], strict=True):
        assert np.all(below >= 0.0)
        assert np.all(below <= above * (1 + 1e-9) + 1e-15)
    np.testing.assert_allclose(bounds[-1], whole, rtol=1e-9)
    a, b = special.softmax(p, -1), special.softmax(q, -1)
    order = np.argsort(-a, -1)[:, :5]
    truncated = special.rel_entr(
        np.take_along_axis(a, order, -1), np.take_along_axis(b, order, -1)
    ).sum(-1)
    assert (truncated < 0).mean() > 0.2


def test_labels_are_forward_kl_of_a_point_mass():
    _, q = ordinary(10, n=3, v=6)
    labels = np.array([0, 5, 2])
    point = np.where(np.arange(6) == labels[:, None], 0.0, -INF)
    np.testing.assert_allclose(
        label_cross_entropy(q, labels, reduction="none"), kl(point, q), rtol=1e-12
    )
    wild = jnp.array([[1e4, -1e4, -INF]])
    slope = jax.grad(lambda x: label_cross_entropy(x, jnp.array([1]), reduction="sum"))(wild)
    np.testing.assert_array_equal(slope, [[1.0, -1.0, 0.0]])


def test_what_cannot_be():
    p, q = ordinary()
    with pytest.raises(InputError, match="their order is the direction"):
        categorical_kl(p=p, q=q, direction="forward", reduction="mean")
    with pytest.raises(InputError, match='say "forward" for'):
        categorical_kl(teacher=p, student=q, reduction="mean")
    with pytest.raises(InputError, match="give p= and q="):
        categorical_kl(p=p, student=q, reduction="mean")
    with pytest.raises(InputError, match="must have one shape"):
        categorical_kl(p=p, q=q[:1], reduction="mean")
    with pytest.raises(InputError, match="over rows"):
        categorical_kl(p=p, q=q, reduction="batchmean")
    with pytest.raises(InputError, match="from 0, which"):
        generalized_jensen_shannon(p=p, q=q, beta=1.5, reduction="mean")
    with pytest.raises(InputError, match="from 1 to V - 1"):
        top_k_kl_lower_bound(p=p, q=q, k=37, reduction="mean")
    with pytest.raises(InputError, match="without the last axis"):
        label_cross_entropy(q, np.zeros((4, 1), int), reduction="mean")
