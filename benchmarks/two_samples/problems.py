"""Pairs of distributions that are drawn from and whose divergence is known."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import integrate, stats

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """p and q, how to draw from them, and KL(p||q) in nats."""

    name: str
    p: Draw
    q: Draw
    kl: float
    columns: int


@dataclass(frozen=True)
class Mixed:
    """A mixture of frozen distributions of SciPy."""

    weights: tuple[float, ...]
    parts: tuple[object, ...]

    def pdf(self, x: np.ndarray) -> np.ndarray:
        return sum(w * c.pdf(x) for w, c in zip(self.weights, self.parts, strict=True))

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        return np.log(self.pdf(x))

    def rvs(self, n: int, random_state: np.random.Generator) -> np.ndarray:
        which = random_state.choice(len(self.weights), n, p=self.weights)
        return np.choose(which, [c.rvs(n, random_state=random_state) for c in self.parts])

    def ppf(self, share: float) -> float:
        ends = [c.ppf(share) for c in self.parts]
        low, high = min(ends) - 1e-9, max(ends) + 1e-9
        for _ in range(200):
            middle = 0.5 * (low + high)
            below = sum(w * c.cdf(middle) for w, c in zip(self.weights, self.parts, strict=True))
            low, high = (middle, high) if below < share else (low, middle)
        return 0.5 * (low + high)


def line() -> list[Problem]:
    """Returns pairs on the line: shifts, scales, warps, heavy tails, modes, edges, counts."""
    normal, t = stats.norm, stats.t
    two = Mixed((0.5, 0.5), (normal(-1.5, 0.5), normal(1.5, 0.5)))
    spike = Mixed((0.95, 0.05), (normal(0, 1), normal(1, 0.02)))
    pairs = {
        "no difference": (normal(0, 1), normal(0, 1)),
        "shift .1 sd": (normal(0, 1), normal(0.1, 1)),
        "shift .4 sd": (normal(0, 1), normal(0.4, 1)),
        "shift 1 sd": (normal(0, 1), normal(1, 1)),
        "shift 1.4 sd": (normal(0, 1), normal(1.414, 1)),
        "q twice as wide": (normal(0, 1), normal(0, 2)),
        "p twice as wide": (normal(0, 2), normal(0, 1)),
        "lognormal(0,2), (.5,1)": (stats.lognorm(2), stats.lognorm(1, scale=math.exp(0.5))),
        "two modes, one": (two, normal(0, 1.6)),
        "one mode, two": (normal(0, 1.6), two),
        "a spike of 5 %": (spike, normal(0, 1)),
        "t(3) shifted": (t(3), t(3, loc=1)),
        "Cauchy, scale 2": (stats.cauchy(0, 1), stats.cauchy(0, 2)),
        "normal, t(3)": (normal(0, 1), t(3)),
        "t(5), normal": (t(5), normal(0, 1.29)),
        "t(3), normal": (t(3), normal(0, 1.7)),
        "Laplace, normal": (stats.laplace(), normal(0, 1.4)),
        "exponential, scale 2": (stats.expon(), stats.expon(scale=2)),
        "exponential, scale .5": (stats.expon(scale=2), stats.expon()),
        "uniform, beta(2,2)": (stats.uniform(), stats.beta(2, 2)),
        "beta(2,5), uniform": (stats.beta(2, 5), stats.uniform()),
        "gamma(2), gamma(3)": (stats.gamma(2), stats.gamma(3)),
    }
    found = [_scalar(name, p, q) for name, (p, q) in pairs.items()]
    warp = _scalar("", normal(0, 1), normal(0.7, 1))
    found.append(
        Problem(
            "shift .7 sd, sinh of cubes",
            lambda g, n: np.sinh(warp.p(g, n) ** 3),
            lambda g, n: np.sinh(warp.q(g, n) ** 3),
            warp.kl,
            1,
        )
    )
    for a, b in ((3.0, 4.0), (30.0, 33.0)):
        found.append(
            Problem(
                f"Poisson {a:g}, {b:g}",
                lambda g, n, a=a: g.poisson(a, (n, 1)).astype(float),
                lambda g, n, b=b: g.poisson(b, (n, 1)).astype(float),
                a * math.log(a / b) - a + b,
                1,
            )
        )
    return found


def plane(d: int = 2) -> list[Problem]:
    """Returns pairs in several columns: shifts, correlations, warps, rings, heavy tails."""
    return [_shifted(d, 1.0), _shifted(d, 0.1), _same(d), *_correlated(d), _ring(d), _student(d)]


def _scalar(name: str, p: object, q: object) -> Problem:
    def draw(of: object) -> Draw:
        return lambda g, n: np.asarray(of.rvs(n, random_state=g)).reshape(-1, 1)

    def inner(x: float) -> float:
        return float(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)))

    shares = (1e-13, 1e-9, 1e-6, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    shares += tuple(1.0 - s for s in (1e-4, 1e-6, 1e-9, 1e-13))
    ends = [float(p.ppf(s)) for s in shares]
    pieces = itertools.pairwise(ends)
    kl = sum(integrate.quad(inner, a, b, limit=200, epsabs=1e-12)[0] for a, b in pieces)
    return Problem(name, draw(p), draw(q), kl, 1)


def _same(d: int) -> Problem:
    return Problem("no difference", _normal(d), _normal(d), 0.0, d)


def _normal(d: int, shift: float = 0.0) -> Draw:
    return lambda g, n: g.normal(size=(n, d)) + shift


def _shifted(d: int, kl: float) -> Problem:
    return Problem(f"shift, {kl:g} nats", _normal(d), _normal(d, math.sqrt(2.0 * kl / d)), kl, d)


def _correlated(d: int) -> list[Problem]:
    """A chain of normals that depend on their neighbours, 1 nat from independence; warped and reversed."""
    r = math.sqrt(1.0 - math.exp(-2.0 / (d - 1)))
    cov = r ** np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    root = np.linalg.cholesky(cov)

    def p(g: np.random.Generator, n: int) -> np.ndarray:
        return g.normal(size=(n, d)) @ root.T

    half = 0.6 if d == 2 else 0.3
    weak = half ** np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
    weak_root = np.linalg.cholesky(weak)
    back = 0.5 * (np.trace(np.linalg.inv(weak)) - d + np.linalg.slogdet(weak)[1])
    return [
        Problem("correlation, 1 nat", p, _normal(d), 1.0, d),
        Problem(
            "its sinh", lambda g, n: np.sinh(p(g, n)), lambda g, n: np.sinh(g.normal(size=(n, d))), 1.0, d
        ),
        Problem(
            "independence against correlation", _normal(d),
            lambda g, n: g.normal(size=(n, d)) @ weak_root.T, float(back), d,
        ),
    ]  # fmt: skip


def _ring(d: int) -> Problem:
    """Eight normals on a ring against one normal of the same spread; other columns are noise."""
    radius, sd = 2.0, 0.3
    angle = 2.0 * np.pi * np.arange(8) / 8.0
    centers = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    variance = 0.5 * radius**2 + sd**2

    def p(g: np.random.Generator, n: int) -> np.ndarray:
        x = g.normal(size=(n, d))
        x[:, :2] = centers[g.integers(8, size=n)] + sd * x[:, :2]
        return x

    def q(g: np.random.Generator, n: int) -> np.ndarray:
        x = g.normal(size=(n, d))
        x[:, :2] *= math.sqrt(variance)
        return x

    x = p(np.random.default_rng(1), 2_000_000)[:, :2]
    away = ((x[:, None] - centers) ** 2).sum(axis=2)
    log_p = np.log(np.mean(np.exp(-0.5 * away / sd**2), axis=1)) - math.log(2.0 * np.pi * sd**2)
    log_q = -0.5 * (x**2).sum(axis=1) / variance - math.log(2.0 * np.pi * variance)
    return Problem("ring of eight", p, q, float((log_p - log_q).mean()), d)


def _student(d: int) -> Problem:
    """Multivariate t(5), shifted."""
    shift = np.full(d, 0.8 / math.sqrt(d))

    def draw(at: np.ndarray) -> Draw:
        return lambda g, n: g.normal(size=(n, d)) / np.sqrt(g.chisquare(5, (n, 1)) / 5.0) + at

    density = stats.multivariate_t(np.zeros(d), np.eye(d), df=5)
    x = draw(np.zeros(d))(np.random.default_rng(1), 1_000_000)
    kl = float((density.logpdf(x) - density.logpdf(x - shift)).mean())
    return Problem("t(5) shifted", draw(np.zeros(d)), draw(shift), kl, d)
