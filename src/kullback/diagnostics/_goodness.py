"""Whether rows look like draws of q: column by column, and by their log density."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from kullback.distributions._base import Distribution
from kullback.distributions._table_mixture import TableMixture
from kullback.estimators._nearest_neighbours import step
from kullback.fitting._final_climb import final_climb
from kullback.fitting._rows import Rows
from kullback.fitting._scores import Score
from kullback.fitting._structures import Components
from kullback.results._estimate import Estimate
from kullback.results._likelihood import Goodness

Values = Float[np.ndarray, " n"]
#: With so many times as many rows as are tested, the parameters are as good as known.
_MANY = 10
_BARS = 20
_DRAWS = 20_000
#: Points that a rounded value is spread over.
_PARTS = 8
_TOLERANCE, _PASSES = 0.1, 200


def goodness(
    family: Any,
    q: Any,
    rows: Rows,
    sample: Rows,
    rng: np.random.Generator,
    *,
    kept_prior: tuple[int, ...],
) -> tuple[Goodness, ...]:
    """Returns tests of each continuous column against the marginal density of q.

    A q fitted to the very rows looks too good. So q is fitted anew to a random half of them and tested
    on all: what the half it saw gains is what the other half loses, and the p-values are those of a q
    that was known beforehand (Durbin 1973; Stephens 1978).

    Args:
        family: of the mixtures.
        q: the fit, in scaled coordinates.
        rows: all.
        sample: some of them, in memory: those that are tested.
        rng: randomness.
        kept_prior: components that have the prior.

    Source: Stephens (1978), On the half-sample method for goodness-of-fit.
    """
    if rows.n < _MANY * sample.n:
        q = _refitted(family, q, _half(sample, rng), kept_prior=kept_prior)
    x, weights = sample.whole()
    worth = sample.effective if sample.n == rows.n else min(sample.effective, float(sample.n))
    reals = [j for j, kind in enumerate(rows.kinds) if kind == "continuous"]
    found = []
    for at, j in enumerate(reals):
        there = ~np.isnan(x[j]) & (weights > 0.0)
        column, held = x[j, there], weights[there]
        n = round(worth * float(held.sum()) / sample.total)
        if n < 1:
            continue
        uniform, share = _transformed(q, at, column, held / held.sum(), rng)
        distance = _distance(uniform, share)
        p_value = float(stats.kstwo.sf(distance, n))
        bars = np.histogram(uniform, bins=_BARS, range=(0.0, 1.0), weights=share)[0]
        name = rows.source.columns[j]
        found.append(Goodness(name, distance, p_value, n, tuple(float(b) for b in bars)))
    return tuple(found)


def gap(q: Distribution, left_out: Score, rng: np.random.Generator) -> Estimate:
    """Returns E_q[log q] - E_p[log q]: 0 if q is p, positive where rows are less likely than draws of q.

    For a Gaussian q it is what p's cross-entropy exceeds q's entropy by. The error is that of a q known
    beforehand: of one fitted to the rows it is less, and the gap smaller (about parameters / rows).

    Args:
        q: the fit.
        left_out: the score of rows left out.
        rng: randomness.
    """
    drawn = q.log_prob(q.sample(rng, _DRAWS))
    error = math.hypot(left_out.standard_error, float(np.std(drawn)) / math.sqrt(_DRAWS))
    return Estimate.sampled(
        float(np.mean(drawn)) - left_out.mean,
        error,
        quantity="log_prob",
        direction="E_q[log q] - E_p[log q]",
        method=f"{_DRAWS} draws of q, rows held out",
        n=left_out.rows,
    )


def marginal(q: Any, at: int, x: Values) -> Values:
    """Returns q's distribution function of its continuous column number `at`.

    Args:
        q: `Components` or `TableMixture`.
        at: counted among continuous columns.
        x: points, in q's coordinates.
    """
    means, sds = q.means[:, at], np.sqrt(np.sum(q.roots[:, at] ** 2, axis=1))
    df = q.df if isinstance(q, TableMixture) else np.full(len(q.weights), np.inf)
    total = np.zeros_like(x)
    for weight, mean, sd, tail in zip(q.weights, means, sds, df, strict=True):
        z = (x - mean) / sd
        total += weight * (special.ndtr(z) if math.isinf(tail) else special.stdtr(tail, z))
    return np.clip(total, 0.0, 1.0)


def _transformed(
    q: Components | TableMixture, at: int, column: Values, share: Values, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """The column under q's distribution function, with shares; rounded values spread over their steps."""
    # Equal rows were counted together: the lightest stands for one.
    width = step(column, 1.0 / float(share.min()))
    if not width:
        return marginal(q, at, column), share
    offsets = (np.arange(_PARTS) + rng.random((len(column), _PARTS))) / _PARTS - 0.5
    spread = (column[:, None] + width * offsets).ravel()
    return marginal(q, at, spread), np.repeat(share / _PARTS, _PARTS)


def _distance(uniform: Values, share: Values) -> float:
    """The largest distance of the weighted empirical distribution function from the diagonal."""
    order = np.argsort(uniform)
    u, after = uniform[order], np.cumsum(share[order])
    before = after - share[order]
    return float(max(np.max(after - u), np.max(u - before)))


def _half(sample: Rows, rng: np.random.Generator) -> Rows:
    """Half of the rows; of rows that are counted several times, half of these."""
    x, weights = sample.whole()
    if (weights == np.floor(weights)).all():
        kept = rng.binomial(weights.astype(np.int64), 0.5).astype(np.float64)
    else:
        kept = weights * (rng.random(len(weights)) < 0.5)
    held = kept > 0.0
    assert held.any()
    values = x[:, held].T * sample.scale + sample.center
    return sample.subset(values, kept[held])


def _refitted(family: Any, q: Any, rows: Rows, *, kept_prior: tuple[int, ...]) -> Any:
    """The fit to other rows that a climb from q ends at."""
    end = final_climb(family, rows, q, kept=kept_prior, tolerance=_TOLERANCE, passes=_PASSES).end
    if end.interrupted:
        raise KeyboardInterrupt
    return end.at
