"""Each parameter under q and under p."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from kullback.diagnostics._towards_p import Afar
from kullback.diagnostics._weights import Weighed
from kullback.results._diagnosis import Parameter
from kullback.results._estimate import Estimate

Array = np.ndarray
#: A column per coordinate, by name.
Columns = dict[str, Float[np.ndarray, " n"]]


def columns(values: Mapping[str, Array], *, bare: bool) -> Columns:
    """Returns parameters of shape (n, *shape) as columns with names such as "theta[3]"."""
    out: Columns = {}
    for name, array in values.items():
        shape = array.shape[1:]
        stem = "x" if bare else name
        for index in np.ndindex(*shape):
            label = stem + (f"[{','.join(map(str, index))}]" if index else "")
            out[label] = np.asarray(array[(slice(None), *index)], dtype=np.float64)
    return out


def by_weights(
    weighed: Weighed, everywhere: Columns, expected: Mapping[str, float]
) -> list[Parameter]:
    """Returns the parameters, p's moments being those of the weighed draws."""
    n, m = len(weighed.x), weighed.own
    weights = weighed.weights
    out = []
    for name, x in everywhere.items():
        own = x[:m]
        mean_q, sd_q = float(own.mean()), float(own.std())
        mean = float(np.mean(weights * x))
        moved = weights * (x - mean)
        variance = float(np.mean(weights * (x - mean) ** 2))
        spread = moved[:m] / n - (own - mean_q) / m
        error = math.sqrt(m * np.var(spread) + (n - m) * np.var(moved[m:]) / n**2)
        by_draw = weights * ((x - mean) ** 2 - variance)
        doubt = 0.5 * float(by_draw.std()) / math.sqrt(n) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, m, (mean, error), variance, doubt, expected, "weights")
        )
    return out


def by_tempering(
    weighed: Weighed, everywhere: Columns, afar: Afar, there: Columns, expected: Mapping[str, float]
) -> list[Parameter]:
    """Returns the parameters, p's moments being those of the tempered draws."""
    m = weighed.own
    out = []
    for name, x in everywhere.items():
        own, far = x[:m], there[name]
        mean_q, sd_q = float(own.mean()), float(own.std())
        chains = afar.by_chain(far)
        mean = float(chains.mean())
        error = math.hypot(float(chains.std(ddof=1)) / math.sqrt(len(chains)), sd_q / math.sqrt(m))
        squares = afar.by_chain((far - mean) ** 2)
        variance = float(squares.mean())
        doubt = 0.5 * float(squares.std(ddof=1)) / math.sqrt(len(squares)) / max(variance, 1e-300)
        out.append(
            _parameter(name, mean_q, sd_q, m, (mean, error), variance, doubt, expected, "tempering")
        )
    return out


def _parameter(
    name: str,
    mean_q: float,
    sd_q: float,
    m: int,
    mean_p: tuple[float, float],
    variance_p: float,
    doubt: float,
    expected: Mapping[str, float],
    method: str,
) -> Parameter:
    sd_p = math.sqrt(max(variance_p, 1e-300))
    ratio = sd_q / sd_p
    return Parameter(
        name,
        mean_q,
        sd_q,
        _number((mean_p[0] - mean_q) / sd_p, mean_p[1] / sd_p, "mean_shift", name, method),
        _number(
            ratio, ratio * math.hypot(doubt, 1.0 / math.sqrt(2.0 * m)), "sd_ratio", name, method
        ),
        expected.get(name),
    )


def _number(value: float, error: float, quantity: str, name: str, method: str) -> Estimate:
    reach = 1.96 * error
    return Estimate(
        value,
        error,
        (value - reach, value + reach),
        quantity,
        f"{quantity}({name})",
        "estimate",
        method,
        unit="",
    )
