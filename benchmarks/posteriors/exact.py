"""Answers in closed form or by one- and two-dimensional quadrature, with exact draws."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import gammaln, logsumexp

from benchmarks.posteriors.conjugate import GAUSSIANS, LOG_2PI, Gaussian
from benchmarks.posteriors.hierarchies import COUNTIES, EFFECTS, ERRORS, radon_data
from benchmarks.posteriors.shapes import DF, FUNNEL_SD, MODES

Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True, eq=False)
class Exact:
    """What is known without chance.

    Attributes:
        log_evidence: with `error`, that of the quadrature or 0.
        sample: exact draws.
        moments: means and sds, None where they come from `sample`.
        method: how it was found.
    """

    log_evidence: float
    error: float
    sample: Draw
    moments: tuple[np.ndarray, np.ndarray] | None
    method: str


def _gaussian(g: Gaussian) -> Exact:
    covariance = np.linalg.inv(g.precision)
    root = np.linalg.cholesky(covariance)

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        return g.mean + rng.standard_normal((n, len(g.mean))) @ root.T

    return Exact(g.log_evidence, 0.0, sample, (g.mean, np.sqrt(np.diag(covariance))), "closed form")


# ---- eight schools: given tau everything else is Gaussian


def _schools_marginal(log_tau: np.ndarray) -> np.ndarray:
    """Returns log p(y, log tau), mu and theta integrated out."""
    variance = ERRORS**2 + np.exp(2.0 * log_tau)[:, None]
    # covariance diag(variance) + 25 11': Sherman and Morrison
    inverse, linear = (1.0 / variance).sum(1), (EFFECTS / variance).sum(1)
    shrunk = 25.0 / (1.0 + 25.0 * inverse)
    quadratic = (EFFECTS**2 / variance).sum(1) - shrunk * linear**2
    log_det = np.log(variance).sum(1) + np.log1p(25.0 * inverse)
    prior = math.log(2.0 / (5.0 * math.pi)) - np.logaddexp(0.0, 2.0 * (log_tau - math.log(5.0)))
    return prior + log_tau - 0.5 * (8 * LOG_2PI + log_det + quadratic)


def _trapezoid(values: np.ndarray, step: float) -> float:
    return float(logsumexp(values) + math.log(step))


def _schools(*, centred: bool) -> Exact:
    grid = np.linspace(-45.0, 25.0, 140_001)
    log_p = _schools_marginal(grid)
    step = grid[1] - grid[0]
    evidence = _trapezoid(log_p, step)
    coarse = _trapezoid(log_p[::2], 2.0 * step)
    cdf = np.cumsum(np.exp(log_p - log_p.max()))
    cdf /= cdf[-1]

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        log_tau = np.interp(rng.uniform(size=n), cdf, grid + 0.5 * step)
        tau2 = np.exp(2.0 * log_tau)[:, None]
        precision = (1.0 / (ERRORS**2 + tau2)).sum(1) + 1.0 / 25.0
        mean = (EFFECTS / (ERRORS**2 + tau2)).sum(1) / precision
        mu = (mean + rng.standard_normal(n) / np.sqrt(precision))[:, None]
        z_precision = 1.0 + tau2 / ERRORS**2
        z_mean = np.sqrt(tau2) * (EFFECTS - mu) / ERRORS**2 / z_precision
        z = z_mean + rng.standard_normal((n, 8)) / np.sqrt(z_precision)
        last = mu + np.sqrt(tau2) * z if centred else z
        return np.column_stack([mu, log_tau, last])

    return Exact(evidence, abs(evidence - coarse), sample, None, "quadrature over tau")


# ---- radon: given the two scales everything else is Gaussian


class _RadonGivenScales:
    """y = Z w + noise with w = (mu, slope, effects): the Gaussian p(w, y | scales)."""

    def __init__(self) -> None:
        data = radon_data()
        z = np.zeros((len(data.level), 2 + COUNTIES))
        z[:, 1] = data.floor
        z[np.arange(len(z)), 2 + data.county] = 1.0
        self.gram, self.cross, self.square = z.T @ z, z.T @ data.level, data.level @ data.level
        self.n = len(z)
        # effects' prior: sum (effect - mu)² = w' contrast w
        contrast = np.eye(2 + COUNTIES)
        contrast[0, 0], contrast[1, 1] = COUNTIES, 0.0
        contrast[0, 2:] = contrast[2:, 0] = -1.0
        self.contrast = contrast

    def precision(self, log_spread: np.ndarray, log_noise: np.ndarray) -> np.ndarray:
        fixed = np.zeros_like(self.gram)
        fixed[0, 0] = fixed[1, 1] = 0.25
        spread, noise = np.exp(-2.0 * log_spread), np.exp(-2.0 * log_noise)
        return fixed + spread[:, None, None] * self.contrast + noise[:, None, None] * self.gram

    def log_joint(self, log_spread: np.ndarray, log_noise: np.ndarray) -> np.ndarray:
        root = np.linalg.cholesky(self.precision(log_spread, log_noise))
        cross = np.exp(-2.0 * log_noise)[:, None] * self.cross
        white = np.linalg.solve(root, cross[..., None])[..., 0]
        log_det = 2.0 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(1)
        prior_det = 2.0 * math.log(0.25) - 2.0 * COUNTIES * log_spread
        quadratic = np.exp(-2.0 * log_noise) * self.square - (white**2).sum(1)
        log_likelihood = -0.5 * (self.n * (LOG_2PI + 2.0 * log_noise) + quadratic)
        scales = sum(
            math.log(2.0) - 0.5 * LOG_2PI - 0.5 * np.exp(2.0 * s) + s
            for s in (log_spread, log_noise)
        )
        return scales + log_likelihood + 0.5 * (prior_det - log_det)

    def draw(self, rng: np.random.Generator, scales: np.ndarray) -> np.ndarray:
        found = []
        for part in np.array_split(scales, max(1, len(scales) // 2000)):
            root = np.linalg.cholesky(self.precision(part[:, 0], part[:, 1]))
            cross = np.exp(-2.0 * part[:, 1])[:, None] * self.cross
            white = np.linalg.solve(root, cross[..., None])
            white = white + rng.standard_normal(white.shape)
            found.append(np.linalg.solve(np.swapaxes(root, 1, 2), white)[..., 0])
        return np.column_stack([scales, np.concatenate(found)])


@cache
def _radon() -> Exact:
    model = _RadonGivenScales()
    # exp(log spread) may be near 0: the left tail falls only as exp(log spread)
    spread, noise = np.linspace(-16.0, 1.0, 681), np.linspace(-0.75, 0.25, 81)
    pairs = np.stack(np.meshgrid(spread, noise, indexing="ij"), -1).reshape(-1, 2)
    log_p = np.concatenate([model.log_joint(*part.T) for part in np.array_split(pairs, 40)])
    table = log_p.reshape(len(spread), len(noise))
    steps = (spread[1] - spread[0]) * (noise[1] - noise[0])
    evidence = _trapezoid(table, steps)
    coarse = _trapezoid(table[::2, ::2], 4.0 * steps)
    weights = np.exp(log_p - logsumexp(log_p))

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        # a cell, then a place in it, by rejection against the largest of the density nearby
        places = pairs[rng.choice(len(pairs), n, p=weights)]
        jitter = rng.uniform(-0.5, 0.5, (n, 2))
        places = places + jitter * [spread[1] - spread[0], noise[1] - noise[0]]
        return model.draw(rng, places)

    return Exact(evidence, abs(evidence - coarse), sample, None, "quadrature over two scales")


# ---- shapes


def _banana() -> Exact:
    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        x = rng.standard_normal(n)
        return np.column_stack([x, x**2 - 1.0 + 0.5 * rng.standard_normal(n)])

    moments = np.zeros(2), np.array([1.0, 1.5])
    return Exact(LOG_2PI - math.log(2.0), 0.0, sample, moments, "closed form")


def _funnel() -> Exact:
    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        v = FUNNEL_SD * rng.standard_normal((n, 1))
        return np.column_stack([v, np.exp(0.5 * v) * rng.standard_normal((n, 9))])

    sds = np.array([FUNNEL_SD, *[math.exp(FUNNEL_SD**2 / 4.0)] * 9])
    evidence = 5.0 * LOG_2PI + math.log(FUNNEL_SD)
    return Exact(evidence, 0.0, sample, (np.zeros(10), sds), "closed form")


def _student() -> Exact:
    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.standard_normal((n, 5)) / np.sqrt(rng.chisquare(DF, (n, 1)) / DF)

    evidence = gammaln(DF / 2) + 2.5 * math.log(DF * math.pi) - gammaln((DF + 5) / 2)
    moments = np.zeros(5), np.full(5, math.sqrt(DF / (DF - 2.0)))
    return Exact(float(evidence), 0.0, sample, moments, "closed form")


def _cauchy() -> Exact:
    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.standard_cauchy((n, 1))

    moments = np.full(1, math.nan), np.full(1, math.nan)
    return Exact(math.log(math.pi), 0.0, sample, moments, "closed form")


def _mode(name: str) -> Exact:
    m = MODES[name]
    mean = m.weights @ m.means
    variance = m.weights @ (m.means**2 + m.sds[:, None] ** 2) - mean**2
    return Exact(0.0, 0.0, m.sample, (mean, np.sqrt(variance)), "closed form")


_KNOWN: dict[str, Callable[[], Exact]] = {
    "schools_noncentred": lambda: _schools(centred=False),
    "schools_centred": lambda: _schools(centred=True),
    "radon": _radon,
    "banana": _banana,
    "funnel": _funnel,
    "student_5": _student,
    "cauchy": _cauchy,
}


def exact(name: str) -> Exact | None:
    """Returns the exact answer, None where there is none."""
    if name in GAUSSIANS:
        return _gaussian(GAUSSIANS[name])
    if name in MODES:
        return _mode(name)
    return _KNOWN[name]() if name in _KNOWN else None
