"""KL of logits in torch: compiled, differentiated twice, forward, under vmap, far from 0."""

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F

from kullback import losses

# torch's transforms and its compiler use what torch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def naive(p, q):
    return (
        F.kl_div(F.log_softmax(q, -1), F.log_softmax(p, -1), reduction="none", log_target=True)
        .sum(-1)
        .mean()
    )


def ours(p, q):
    return losses.categorical_kl(p=p, q=q, reduction="mean")


def mixed(p, q):
    return losses.generalized_jensen_shannon(p=p, q=q, beta=0.3, reduction="mean")


def naive_mixed(p, q):
    a, b = F.softmax(p, -1), F.softmax(q, -1)
    m = 0.3 * a + 0.7 * b
    return ((a * (a / m).log()).sum(-1) / 0.7 + (b * (b / m).log()).sum(-1) / 0.3).mean()


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(4, 7, dtype=torch.float64, generator=generator) for _ in range(2)]


PAIRS = [pytest.param(ours, naive, id="kl"), pytest.param(mixed, naive_mixed, id="js")]


@pytest.mark.parametrize(("fn", "reference"), PAIRS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_penalty_on_the_gradient_has_the_right_gradient(logits, fn, reference, side):
    def penalised(f):
        sides = list(logits)
        sides[side] = sides[side].clone().requires_grad_()
        loss = f(*sides)
        (slope,) = torch.autograd.grad(loss, sides[side], create_graph=True)
        return torch.autograd.grad(loss + 10.0 * slope.pow(2).sum(), sides[side])[0]

    torch.testing.assert_close(penalised(fn), penalised(reference), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("fn", "reference"), PAIRS)
def test_transforms_of_torch_func(logits, fn, reference):
    p, q = logits
    for f, g in (
        (lambda q: fn(p, q), lambda q: reference(p, q)),
        (lambda p: fn(p, q), lambda p: reference(p, q)),
    ):
        torch.testing.assert_close(torch.func.grad(f)(q), torch.func.grad(g)(q))
        torch.testing.assert_close(torch.func.hessian(f)(q), torch.func.hessian(g)(q))
        torch.testing.assert_close(
            torch.func.jvp(f, (q,), (p,))[1], torch.func.jvp(g, (q,), (p,))[1]
        )
    rows = torch.func.vmap(fn)(p, q)
    torch.testing.assert_close(
        rows, torch.stack([reference(a, b) for a, b in zip(p, q, strict=True)])
    )


def test_forward_mode(logits):
    p, q = logits
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(q, p)
        found = torch.autograd.forward_ad.unpack_dual(ours(p, dual)).tangent
        wanted = torch.autograd.forward_ad.unpack_dual(naive(p, dual)).tangent
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, -1e4])
def test_an_offset_costs_no_digits(offset):
    generator = torch.Generator().manual_seed(1)
    p, q = (torch.randn(64, 512, generator=generator) for _ in range(2))
    p, q = p + offset, (q - offset).requires_grad_()
    exact = q.detach().double().requires_grad_()
    loss, truth = ours(p, q), naive(p.double(), exact)
    assert float(loss.detach()) == pytest.approx(float(truth.detach()), rel=3e-6)
    loss.backward()
    truth.backward()
    torch.testing.assert_close(q.grad.double(), exact.grad, rtol=1e-4, atol=1e-10)


@pytest.mark.slow
def test_it_compiles_whole_with_its_gradient():
    generator = torch.Generator().manual_seed(2)
    p, q = (torch.randn(8, 64, generator=generator) for _ in range(2))
    q = q.requires_grad_()
    compiled = torch.compile(ours, fullgraph=True)
    loss = compiled(p, q)
    loss.backward()
    (slope,) = torch.autograd.grad(naive(p, q), q)
    torch.testing.assert_close(loss, naive(p, q), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(q.grad, slope, rtol=1e-4, atol=1e-7)
