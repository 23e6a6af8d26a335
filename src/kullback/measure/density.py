"""Is a density one? Its mass, its sampler, its values where it is drawn: tests that assume nothing of its shape."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import scipy
from jaxtyping import Float
from scipy import special

from kullback.core.errors import DensityError
from kullback.distributions.base import Array, Distribution, Foreign
from kullback.distributions.compound import Mixture, Product, Transformed, Truncated
from kullback.measure.kinks import centers, kinks
from kullback.measure.support import in_units, unit_of
from kullback.solvers.quadrature import fill, integrate, slopes, tails, within
from kullback.solvers.series import add_up

#: Draws of q and as many of the references; half of q's place these and are not tested.
DRAWS = 8192
#: The chance that a right density fails any of the tests of a call.
LEVEL = 1e-5
#: A mass on the line may be off by this much: SciPy's own densities are, by up to 1e-7.
_MISSING = 1e-6
#: The reference of the whole space: a t with few degrees of freedom, wider than the draws.
_DEGREES, _WIDER = 5.0, 1.3


@final
@dataclass(frozen=True)
class Verdict:
    """What a check came to.

    Attributes:
        problems: what is wrong, in words; none if nothing is.
        remarks: what could not be checked, or limits what the numbers mean.
        mass: what the density integrates to, with its error; NaN where that is not known.
        error: of the mass: a standard error, or a bound where it is an integral.
        worst: the largest test statistic, in standard errors.
    """

    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    mass: float = math.nan
    error: float = math.nan
    worst: float = 0.0


def guard(d: Distribution, name: str, *, drawn: bool) -> tuple[str, ...]:
    """Returns remarks on whatever in a distribution is not evaluated by our own formulas.

    Args:
        d: the distribution.
        name: "p" or "q", for messages.
        drawn: whether its sampler is used.

    Raises:
        DensityError: it is no density, or its sampler is not of it.
    """
    remarks: list[str] = []
    for part in _strangers(d):
        verdict = _known(part, drawn=drawn)
        if verdict.problems:
            raise DensityError(f"{_title(part, name)}: {verdict.problems[0]}")
        remarks += [f"{_title(part, name)}: {remark}" for remark in verdict.remarks]
    return tuple(remarks)


def missing(d: Distribution) -> float:
    """Returns how far from 1 the mass of what is not ours in a scalar was found to be: its constant is as wrong."""
    found = [vars(part).get("_verdicts", {}).values() for part in _strangers(d)]
    gaps = [abs(v.mass - 1.0) for verdicts in found for v in verdicts if v.error < _MISSING]
    return max(gaps, default=0.0)


def _title(part: Foreign, name: str) -> str:
    return name if part.name in ("p", "q") else f"{name} ({part.name})"


def _strangers(d: Distribution) -> Iterator[Foreign]:
    """The pieces of a distribution whose densities are somebody else's."""
    match d:
        case Foreign() if d.normalized and not d.ours:
            yield d
        case Mixture():
            for part in d.components:
                yield from _strangers(part)
        case Product():
            for part in d.parts:
                yield from _strangers(part)
        case Transformed() | Truncated():
            yield from _strangers(d.base)
        case _:
            return


def _known(d: Foreign, *, drawn: bool) -> Verdict:
    """The verdict on an object, looked for once; the sampler only where it is used."""
    kept: dict[bool, Verdict] = vars(d).setdefault("_verdicts", {})
    on_sampler = drawn or d.support.dimension > 0
    if on_sampler not in kept:
        kept[on_sampler] = check(d, sampler=on_sampler)
    return kept[on_sampler]


def check(d: Distribution, *, sampler: bool = True, draws: int = DRAWS, key: int = 0) -> Verdict:
    """Returns the verdict on a density that claims to be normalised, and its sampler.

    Args:
        d: the distribution.
        sampler: whether draws are compared with the density.
        draws: of the sampler.
        key: randomness, an int.
    """
    try:
        verdict = Verdict() if d.support.dimension else _on_the_line(d)
        if not verdict.problems and sampler and _can_sample(d):
            verdict = _merged(verdict, _by_draws(d, draws, key))
        elif sampler and d.support.dimension:
            verdict = replace(verdict, remarks=(*verdict.remarks, _UNSEEN))
    except DensityError as error:
        return Verdict(problems=(str(error),))
    return verdict


_UNSEEN = "the density is not checked: it has no sampler"


def _can_sample(d: Distribution) -> bool:
    return not isinstance(d, Foreign) or d.sampler is not None


def _merged(first: Verdict, second: Verdict) -> Verdict:
    whole = second if math.isnan(first.mass) else first
    return replace(
        whole,
        problems=first.problems + second.problems,
        remarks=tuple(dict.fromkeys(first.remarks + second.remarks)),
        worst=second.worst,
    )


def _on_the_line(d: Distribution) -> Verdict:
    """The mass of a scalar, by quadrature or a sum."""
    if not d.support.discrete:
        d = in_units(d, unit_of(d))
    s = d.support
    if s.discrete:
        start = _middle(d)
        found = add_up(
            lambda x, factor: np.exp(d.log_prob(x) + factor)[:, None], start, s.low, s.high
        )
        whole, error = float(found.value[0]), float(found.beyond[0])
        looked = start + np.arange(-500.0, 501.0)
    else:
        points = np.concatenate([d.landmarks(), kinks(d)])
        points = points[(points > s.low) & (points < s.high)]
        if not len(points):
            points = np.array([within(s.low, s.high)])
        points = fill(points, s.low, s.high, centers(d))
        found = integrate(
            lambda x, speed: np.exp(d.log_prob(x) + speed)[:, None], points, s.low, s.high
        )
        whole, error = float(found.value[0]), float(found.error[0]) + _hidden(d, points)
        looked = np.concatenate([points, *(t(t.panels()) for t in tails(points, s.low, s.high))])
    remarks = _precision(d, looked[(looked >= s.low) & (looked <= s.high)])
    if not math.isfinite(whole):
        return Verdict(remarks=(*remarks, "the integral of the density overflows a float64"))
    if abs(whole - 1.0) > _MISSING + 4.0 * error:
        return Verdict((_integrates(whole, error),), remarks, whole, error)
    return Verdict((), remarks, whole, error)


def _hidden(d: Distribution, points: Float[np.ndarray, " m"]) -> float:
    """About how much mass is beyond what floats tell: of x^(b - 1) at an end x^b / b is below x; and far out."""
    hidden = 0.0
    for tail in slopes(points, d.support.low, d.support.high):
        if tail.factor == 0.0 or tail.seen <= 0.0:
            continue
        t, apart = np.array([0.5, 1.0]) * tail.seen, 0.5 * tail.seen
        with np.errstate(all="ignore"):
            sizes = d.log_prob(tail(t)) + tail.log_speed(t)
            decay = float(sizes[0] - sizes[1]) / apart
        if math.isfinite(decay) and decay < 0.7:
            hidden += math.exp(min(float(sizes[1]), 0.0)) / max(decay, 1e-3)
    return hidden


def _middle(d: Distribution) -> float:
    marks, s = d.landmarks(), d.support
    middle = float(np.floor(marks[len(marks) // 2])) if len(marks) else 0.0
    return min(max(middle, s.low), s.high)


def _integrates(whole: float, error: float) -> str:
    digits = f"{whole:.7g}" if error < 1e-7 else f"{whole:.3g}"
    return f"the density integrates to {digits} ± {error:.1g}, not to 1"


_SINGLE = "the log density is computed in float32, to 7 digits: a small divergence drowns in that"


def in_single(d: Foreign, x: Array) -> bool:
    """Whether a log density is computed in float32: it does not feel a step of 1e-10, but one of 1e-4.

    Args:
        d: the distribution; the answer is kept with it.
        x: events where it has mass.
    """
    if "_single" not in vars(d):
        x = x[:: max(len(x) // 256, 1)]
        with np.errstate(all="ignore"):
            here, near, far = (
                d.log_prob(x + step * (1.0 + np.abs(x))) for step in (0.0, 1e-10, 1e-4)
            )
        known = np.isfinite(here) & np.isfinite(near) & np.isfinite(far)
        still, moved = (here == near)[known], (here != far)[known]
        enough = len(still) > 16 and len(np.unique(here[known])) > 12
        vars(d)["_single"] = bool(enough and still.mean() > 0.8 and moved.mean() > 0.5)
    return vars(d)["_single"]


def _precision(d: Distribution, x: Array) -> tuple[str, ...]:
    if not isinstance(d, Foreign) or d.ours or d.support.discrete:
        return ()
    return (_SINGLE,) if in_single(d, x) else ()


# By draws.


@final
@dataclass(frozen=True)
class _Reference:
    """A density that is known: a t about a centre, or a normal inside an ellipsoid.

    Attributes:
        center, root: z = root^-1 (x - center).
        radius: of the ellipsoid; inf for the t.
    """

    center: Float[np.ndarray, " d"]
    root: Float[np.ndarray, "d d"]
    radius: float

    def whiten(self, x: Array) -> Array:
        return scipy.linalg.solve_triangular(self.root, (x - self.center).T, lower=True).T

    def log_prob(self, z: Array) -> Float[np.ndarray, " n"]:
        """The log density at root z + center; -inf outside of the ellipsoid."""
        d = z.shape[1]
        size = np.einsum("nd,nd->n", z, z)
        log_det = float(np.log(np.diag(self.root)).sum())
        if math.isinf(self.radius):
            constant = math.lgamma(0.5 * (_DEGREES + d)) - math.lgamma(0.5 * _DEGREES)
            constant -= 0.5 * d * math.log(math.pi * _DEGREES) + log_det
            return constant - 0.5 * (_DEGREES + d) * np.log1p(size / _DEGREES)
        inside = math.log(special.gammainc(0.5 * d, 0.5 * self.radius**2))
        value = -0.5 * size - 0.5 * d * math.log(2.0 * math.pi) - log_det - inside
        return np.where(size <= self.radius**2, value, -math.inf)

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """Returns n draws of z."""
        z = rng.standard_normal((n, len(self.center)))
        if math.isinf(self.radius):
            return z * np.sqrt(_DEGREES / rng.chisquare(_DEGREES, n))[:, None]
        d = len(self.center)
        u = rng.random(n) * special.gammainc(0.5 * d, 0.5 * self.radius**2)
        length = np.sqrt(2.0 * special.gammaincinv(0.5 * d, u))
        return z * (length / np.linalg.norm(z, axis=1))[:, None]


def _by_draws(d: Distribution, draws: int, key: int) -> Verdict:
    """Tests that hold for every density and its sampler, with the mass that fits best."""
    rng = np.random.default_rng([key, 17])
    x = d.sample(rng, draws)
    if not np.isfinite(x).all():
        at = int(np.argmin(np.isfinite(x.reshape(draws, -1)).all(axis=1)))
        return Verdict(problems=(f"the sampler draws {x[at]}",))
    log_q = d.log_prob(x)
    if np.isneginf(log_q).any():
        share = float(np.isneginf(log_q).mean())
        at = x[int(np.argmax(np.isneginf(log_q)))]
        return Verdict(
            problems=(f"the density is 0 at {share:.2g} of its own draws, such as {at}",)
        )
    remarks = _precision(d, x)
    if d.support.discrete or d.support.kind not in ("real", "interval"):
        return Verdict(remarks=(*remarks, f"the sampler is not checked on {d.support}"))
    rows = x.reshape(draws, -1)
    repeated = 1.0 - len(np.unique(rows[:, 0])) / draws
    half = draws // 2
    references = _references(rows[:half])
    if not references:
        return Verdict(remarks=(*remarks, "the draws span no volume: the density is not checked"))
    tests = [_tested(d, r, rows[half:], log_q[half:], rng) for r in references]
    count = sum(len(t.scores) for t in tests)
    limit = math.sqrt(2.0 * math.log(2.0 * count / LEVEL))
    worst = max(float(t.scores.max()) for t in tests)
    whole, error = min(((t.mass, t.error) for t in tests), key=lambda pair: pair[1] / pair[0])
    if worst <= limit:
        weak = error > 0.2 * whole
        said = (f"the check is weak: the density integrates to {whole:.2g} ± {error:.1g}",)
        return Verdict((), remarks + (said if weak else ()), whole, error, worst)
    if _on_a_surface(references[0].whiten(rows)):
        return Verdict(remarks=(*remarks, _SURFACE))
    constant = max(float(t.scores[0]) for t in tests) > limit
    problem = (
        f"the sampler is not of the density: its draws are {worst:.1f} standard errors from it"
        + (f" ({repeated:.0%} of them repeat)" if repeated > 0.01 else "")
    )
    if constant:
        problem = f"{_integrates(whole, error)}, as far as its own draws show"
    return Verdict((problem,), remarks, whole, error, worst)


_SURFACE = "the draws lie on a surface, where a density is not one of volume: it is not checked"
#: A cloud of neighbours is flat where it is so much thinner in one direction than in its widest.
_THIN = 0.05


def _on_a_surface(z: Float[np.ndarray, "n d"]) -> bool:
    """Whether draws, whitened, lie on a surface of fewer dimensions, as those of a softmax's logarithm do."""
    n, d = z.shape
    if d < 2:
        return False
    some, squares = z[:: max(n // 64, 1)], np.einsum("nd,nd->n", z, z)
    near = np.argpartition(squares - 2.0 * some @ z.T, 4 * d, axis=1)[:, : 4 * d]
    clouds = z[near] - z[near].mean(axis=1, keepdims=True)
    sizes = np.linalg.svd(clouds, compute_uv=False)
    return bool(np.median(sizes[:, -1] / sizes[:, 0]) < _THIN)


def _references(rows: Float[np.ndarray, "n d"]) -> list[_Reference]:
    """A normal inside the ellipsoid that holds half of the draws, and a t about them all."""
    center = np.median(rows, axis=0)
    # Robust against heavy tails: the covariance of the half that is closest in units of each coordinate's.
    spread = np.subtract(*np.quantile(rows, [0.75, 0.25], axis=0)) / 1.349
    if not (spread > 0.0).all():
        return []
    scaled = (rows - center) / spread
    distance = np.einsum("nd,nd->n", scaled, scaled)
    near = scaled[distance <= np.quantile(distance, 0.9)]
    covariance = near.T @ near / len(near)
    try:
        root = np.linalg.cholesky(covariance) * spread[:, None]
    except np.linalg.LinAlgError:
        return []
    if np.linalg.cond(root / spread[:, None]) > 1e7:
        return []
    z = scipy.linalg.solve_triangular(root, (rows - center).T, lower=True)
    radius = float(np.sqrt(np.median(np.einsum("dn,dn->n", z, z))))
    typical = radius / math.sqrt(2.0 * special.gammaincinv(0.5 * len(root), 0.5))
    return [
        _Reference(center, root * typical, radius / typical),
        _Reference(center, _WIDER * typical * root, math.inf),
    ]


@final
@dataclass(frozen=True)
class _Tests:
    """Test statistics in standard errors, that of the constant first, and the mass that fits best."""

    scores: Float[np.ndarray, " m"]
    mass: float
    error: float


def _tested(
    d: Distribution,
    r: _Reference,
    rows: Float[np.ndarray, "n d"],
    log_q: Float[np.ndarray, " n"],
    rng: np.random.Generator,
) -> _Tests:
    z = r.whiten(rows)
    mine = np.isfinite(r.log_prob(z))
    other = r.sample(rng, len(rows))
    events = r.center + other @ r.root.T
    if d.support.dimension == 0:
        events = events[:, 0]
    # log q - log r, of draws of q inside r's support and of draws of r.
    of_q = (log_q - r.log_prob(z))[mine]
    of_r = d.log_prob(events) - r.log_prob(other)
    features = [_features(points, r.radius) for points in (z[mine], other)]
    n = len(rows)

    def terms(log_mass: float) -> tuple[Array, Array]:
        return special.expit(log_mass - of_q), special.expit(of_r - log_mass)

    scores = _scores(*terms(0.0), *features)
    log_mass, error = _best_mass(terms, n)
    return _Tests(scores, math.exp(log_mass), error)


def _scores(
    left: Float[np.ndarray, " k"], right: Float[np.ndarray, " n"], of_left: Array, of_right: Array
) -> Float[np.ndarray, " m"]:
    """Differences of sums of bounded terms, so scaled that sqrt(2 log(2 / a)) is exceeded with chance a at most.

    The identity holds for the squares of the features as well, and gives the variance twice: from the draws of q and
    from those of the reference. The better of the two is taken, since where few draws count, a sum that is too small
    has a variance of its own that is too small. The rest is Bernstein's inequality.
    """
    sums, squares, blurs, largest = [], [], [], []
    for t, f in ((left[:, None], of_left), (right[:, None], of_right)):
        terms = t * f
        sums.append(terms.sum(axis=0))
        squares.append((terms * f).sum(axis=0))
        blurs.append(((terms * f) ** 2).sum(axis=0))
        largest.append(np.abs(terms).max(axis=0, initial=0.0))
    weight = (blurs[1] + 1e-300) / (blurs[0] + blurs[1] + 2e-300)
    second = weight * squares[0] + (1.0 - weight) * squares[1]
    variance = np.maximum(second - (sums[0] ** 2 + sums[1] ** 2) / len(right), 0.5 * second)
    gap = np.abs(sums[0] - sums[1])
    return gap / np.sqrt(np.maximum(variance + np.maximum(*largest) * gap / 3.0, 1e-12))


def _features(z: Array, radius: float) -> Float[np.ndarray, "n m"]:
    """1, the coordinates and their squares, bounded."""
    size = 3.0 if math.isinf(radius) else radius
    bounded = np.clip(z / size, -1.0, 1.0)
    length = np.minimum(
        np.linalg.norm(z, axis=1, keepdims=True) / (size * math.sqrt(z.shape[1])), 2.0
    )
    return np.concatenate([np.ones((len(z), 1)), bounded, bounded**2, length], axis=1)


def _best_mass(terms: Callable[[float], tuple[Array, Array]], n: int) -> tuple[float, float]:
    """Returns the log mass at which the draws of q and of the reference agree, and the mass's error."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        a, b = terms(middle)
        low, high = (middle, high) if a.sum() < b.sum() else (low, middle)
    a, b = terms(low)
    slope = float(np.sum(a * (1.0 - a)) + np.sum(b * (1.0 - b)))
    spread = float(a @ a - a.sum() ** 2 / n + b @ b - b.sum() ** 2 / n)
    return low, math.exp(low) * math.sqrt(max(spread, 0.0)) / max(slope, 1e-300)
