"""What is known and recomputed: the experiment of three modes, and exact values for an installation."""

import math
import time
from collections.abc import Callable
from functools import partial

from kullback.api.best import of_fit
from kullback.api.explain import explain
from kullback.api.explore import TARGET
from kullback.api.fit import fit
from kullback.api.measure import divergence, entropy, kl_divergence
from kullback.api.verify import judge, read
from kullback.core.errors import KullbackError
from kullback.diagnostics.contributions import coverage
from kullback.distributions.compound import Mixture
from kullback.expressions.format import format_distribution
from kullback.expressions.parse import parse
from kullback.families import Mixture as MixtureRecipe
from kullback.results.contributions import Coverage
from kullback.results.demo import Demo
from kullback.results.estimate import Estimate
from kullback.results.quantity import FORWARD_KL
from kullback.results.verification import Check


def demo(
    *, starts: int = 60, key: object = 0, watch: Callable[[int | str], None] | None = None
) -> Demo:
    """Returns the experiment: both fits, all optima, what they cover, what the article claimed.

    Args:
        starts: restarts in each direction.
        key: randomness of the starts.
        watch: called with the number of restarts done in the current direction.
    """
    began = time.process_time()
    target = parse(TARGET)
    assert isinstance(target, Mixture)
    two, progress = MixtureRecipe(2), watch or False
    forward = fit(target, two, direction="forward", starts=starts, key=key, progress=progress)
    # Who has stopped the one does not want to wait for the other.
    left = 3 if forward.interrupted else starts
    reverse = fit(target, two, direction="reverse", starts=left, key=key, progress=progress)
    claims = read("three-modes")
    named = format_distribution(target)
    bests = {(named, "mixture:2", f.direction, ""): of_fit(f) for f in (forward, reverse)}
    covers = coverage(target, forward.q), coverage(target, reverse.q)
    return Demo(
        target=target,
        forward=forward,
        reverse=reverse,
        forward_cover=covers[0],
        reverse_cover=covers[1],
        forward_parts=explain(target, forward.q),
        reverse_parts=explain(reverse.q, target),
        price=_price(target, covers[1]),
        claims=judge(claims, bests),
        seconds=time.process_time() - began,
    )


def _price(target: Mixture, cover: Coverage) -> Estimate:
    """KL(p_A||p) = -log p(A), where A is all of p but the components whose modes q drops."""
    lost = 0.0
    for weight, component in zip(target.weights, target.components, strict=True):
        where = float(component.landmarks()[len(component.landmarks()) // 2])
        gone = any(m.verdict == "dropped" and m.low < where < m.high for m in cover.modes)
        lost += float(weight) if gone else 0.0
    return Estimate.exact(
        -math.log1p(-lost),
        FORWARD_KL.called("KL(p without the dropped mode||p)"),
        method="-log of the mass that is kept",
    )


# A dozen exact values that an installation must reproduce.

_TWO = "0.52*normal(-1.98, sd=0.41) + 0.48*normal(1.97, sd=0.42)"

#: The float 1.000001 less 1, which is not 1e-6.
_NEAR = 1.000001 - 1.0

# p, q, KL(p||q): closed forms by hand, the last ones by quadrature to 30 digits.
_KL = (
    ("normal(0, sd=2)", "normal(0, sd=3)", math.log(1.5) + 2.0 / 9.0 - 0.5),
    ("normal(0, sd=1)", "normal(1e-8, sd=1)", 5e-17),
    ("exponential(rate=1)", "exponential(rate=1.000001)", _NEAR**2 / 2 - _NEAR**3 / 3),
    ("normal(50, sd=0.01)", "normal(0, sd=1)", 1254.1052201859881),
    ("gamma(2, rate=1)", "gamma(3, rate=1)", math.log(2.0) - 0.42278433509846714),
    ("poisson(3)", "poisson(5)", 2.0 - 3.0 * math.log(5.0 / 3.0)),
    ("categorical([0.5, 0.5])", "categorical([0.9, 0.1])", 0.5 * math.log(25.0 / 9.0)),
    ("laplace(0, scale=1)", "normal(0, sd=1)", 0.5 * math.log(2.0 * math.pi) - math.log(2.0)),
    ("cauchy(0, scale=1)", "normal(0, sd=1)", math.inf),
    ("uniform(0, 2)", "uniform(0, 1)", math.inf),
    (TARGET, _TWO, 2.7035330326913023),
    (_TWO, TARGET, 0.5731420536966545),
)


def doctor() -> tuple[Check, ...]:
    """Returns the checks: a dozen divergences, an entropy and a Jensen-Shannon divergence."""
    far = ("normal(-50, sd=1)", "normal(50, sd=1)")
    values: list[tuple[str, float, Callable[[], Estimate]]] = [
        (f"KL({p} || {q})", value, partial(kl_divergence, p, q)) for p, q, value in _KL
    ]
    values += [
        ("H(bernoulli(0.5))", math.log(2.0), partial(entropy, "bernoulli(0.5)")),
        ("JS of two far normals", math.log(2.0), partial(divergence, *far, kind="jensen_shannon")),
    ]
    return tuple(_check(*value) for value in values)


def _check(name: str, expected: float, compute: Callable[[], Estimate]) -> Check:
    try:
        estimate = compute()
    except KullbackError as error:
        return Check(name, expected, None, passed=False, detail=str(error))
    passed = abs(estimate.value - expected) <= 1e-10 * abs(expected) + 1e-300
    passed = estimate.kind == "infinite" if math.isinf(expected) else passed
    return Check(name, expected, estimate, passed=passed, detail=estimate.method)
