"""Log densities with known answers, by NumPy alone: nothing is compiled for them."""

import math

import numpy as np

from kullback.targets import Unconstrained


def target(evaluate, d, start=None, *, names=None):
    """A density of R^d whose parameters are its coordinates."""
    return Unconstrained(
        dimension=d,
        evaluate=evaluate,
        constrain=lambda u: {"x": u},
        log_jacobian=lambda u: np.zeros(len(u)),
        unconstrain=lambda values: np.asarray(values["x"]),
        start=np.full(d, 0.1) if start is None else np.asarray(start, dtype=float),
        coordinates=names or tuple(f"x[{i}]" for i in range(d)),
        bare=True,
        gradient="given",
        origin="NumPy function",
    )


def gaussian(mean, covariance, *, log_evidence=0.0, start=None):
    """exp(log_evidence) N(mean, covariance), normalised but for that."""
    mean, precision = np.asarray(mean, dtype=float), np.linalg.inv(covariance)
    d = len(mean)
    constant = log_evidence - 0.5 * (d * math.log(2.0 * math.pi) + np.linalg.slogdet(covariance)[1])

    def evaluate(u):
        pull = (u - mean) @ precision
        return constant - 0.5 * np.sum(pull * (u - mean), axis=1), -pull

    return target(evaluate, d, start)


def rotated(d, condition, seed=0):
    """A covariance with sds from 1 down to 1 / sqrt(condition), in random directions."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return (q / np.geomspace(1.0, condition, d)) @ q.T


def modes(places, weights, sd):
    """A mixture of normals of the line, with log evidence 0."""
    places, weights = np.asarray(places, dtype=float), np.asarray(weights, dtype=float)

    def evaluate(u):
        z = (u - places) / sd
        logs = np.log(weights) - 0.5 * z**2 - math.log(sd * math.sqrt(2.0 * math.pi))
        value = np.logaddexp.reduce(logs, axis=1)
        shares = np.exp(logs - value[:, None])
        return value, -np.sum(shares * z, axis=1, keepdims=True) / sd

    return target(evaluate, 1)


def funnel(d=10):
    """Neal's: x_0 ~ N(0, 3^2), the others N(0, exp(x_0)); log evidence 0."""

    def evaluate(u):
        v, x = u[:, 0], u[:, 1:]
        spread = np.exp(np.minimum(-v, 700.0))
        squares = np.sum(x**2, axis=1)
        value = -(v**2) / 18.0 - 0.5 * squares * spread - 0.5 * (d - 1) * v
        value = value - 0.5 * d * math.log(2.0 * math.pi) - math.log(3.0)
        by_v = -v / 9.0 + 0.5 * squares * spread - 0.5 * (d - 1)
        return value, np.column_stack([by_v, -x * spread[:, None]])

    return target(evaluate, d)


def banana():
    """x_0 ~ N(0, 2^2), x_1 ~ N(x_0^2 / 2, .5^2); log evidence 0."""

    def evaluate(u):
        a, b = u[:, 0], u[:, 1] - 0.5 * u[:, 0] ** 2
        value = -(a**2) / 8.0 - 2.0 * b**2 - math.log(2.0 * math.pi)
        return value, np.column_stack([-a / 4.0 + 4.0 * b * a, -4.0 * b])

    return target(evaluate, 2)


def student(d, freedom):
    """A multivariate t around 0; log evidence 0."""
    half = 0.5 * (freedom + d)
    constant = math.lgamma(half) - math.lgamma(0.5 * freedom)
    constant -= 0.5 * d * math.log(freedom * math.pi)

    def evaluate(u):
        squares = np.sum(u**2, axis=1)
        value = constant - half * np.log1p(squares / freedom)
        return value, -2.0 * half * u / (freedom + squares)[:, None]

    return target(evaluate, d)
