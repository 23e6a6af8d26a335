"""A dozen exact values that an installation must reproduce."""

import math
from collections.abc import Callable

from kullback._core.errors import KullbackError
from kullback.api._measure import divergence, entropy, kl_divergence
from kullback.results._check import Check
from kullback.results._estimate import Estimate

_THREE = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"
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
    (_THREE, _TWO, 2.7035330326913023),
    (_TWO, _THREE, 0.5731420536966545),
)


def doctor() -> tuple[Check, ...]:
    """Returns the checks: a dozen divergences, an entropy and a Jensen-Shannon divergence."""
    found = [_check(f"KL({p} || {q})", value, kl_divergence, p, q) for p, q, value in _KL]
    bit = entropy("bernoulli(0.5)")
    found.append(_judged("H(bernoulli(0.5))", math.log(2.0), bit))
    far = divergence("normal(-50, sd=1)", "normal(50, sd=1)", kind="jensen_shannon")
    found.append(_judged("JS of two far normals", math.log(2.0), far))
    return tuple(found)


def _check(
    name: str, expected: float, verb: Callable[[str, str], Estimate], p: str, q: str
) -> Check:
    try:
        return _judged(name, expected, verb(p, q))
    except KullbackError as error:
        return Check(name, expected, None, passed=False, detail=str(error))


def _judged(name: str, expected: float, found: Estimate) -> Check:
    if math.isinf(expected):
        return Check(name, expected, found, passed=found.kind == "infinite", detail=found.method)
    right = abs(found.value - expected) <= 1e-10 * abs(expected) + 1e-300
    return Check(name, expected, found, passed=right, detail=found.method)
