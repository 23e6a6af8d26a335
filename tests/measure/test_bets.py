"""Bets against exchangeable rows: one known law, whatever the law of the rows and the size of the reference."""

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from kullback.measure.samples.bets import (
    bets_on,
    grouped,
    groups_of,
    is_start,
    stake,
    wealth,
)

NAMES = ("low", "middle", "high", "missing")
GAPS = np.array([3.0, 2.0, 4.0, 1.0])


def _urn(gaps, counts):
    """The probability of counts of rows that come under Polya's urn, term by term."""
    sequence = [g for g, n in enumerate(counts) for _ in range(n)]
    urn, p = list(gaps), 1.0
    for g in sequence:
        p *= urn[g] / sum(urn)
        urn[g] += 1.0
    ways = math.factorial(len(sequence)) / math.prod(map(math.factorial, counts))
    return p * ways


@pytest.mark.parametrize("values", [0, 3])
def test_the_mean_under_exchangeability_is_one_for_every_sequence_of_days(values):
    """The e-value of two days of three rows, summed over all that may come: 1, for each bet and their mean."""
    bets = bets_on(GAPS, values, NAMES)
    total, days = 0.0, [0, 1]
    possible = [c for c in itertools.product(range(4), repeat=4) if sum(c) == 3]
    stakes = np.array([stake(d) for d in days])
    for first in possible:
        before = _urn(GAPS, first)
        alone = wealth(GAPS, np.array([first]), stakes[:1], bets).log_value
        mean = 0.0
        for second in possible:
            p = _urn(GAPS + np.array(first), second)
            mean += p * math.exp(wealth(GAPS, np.array([first, second]), stakes, bets).log_value)
        # A martingale: what the second day makes of it is, in the mean, what there was.
        assert mean == pytest.approx(math.exp(alone), rel=1e-9)
        total += before * mean
    assert total == pytest.approx(1.0, rel=1e-9)


def test_stakes_are_all_there_is():
    days = [d for d in range(100_000) if is_start(d)]
    assert 0.99 < sum(map(stake, days)) < 1.0
    assert sum(bets_on(GAPS, 3, NAMES).stakes) == pytest.approx(1.0)
    assert len([d for d in days if d < 366]) < 100


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: np.minimum((rng.random(n) * 5).astype(np.int64), 4),
        lambda rng, n: (rng.random(n) < 0.9).astype(np.int64),
        lambda rng, n: np.full(n, 2),
    ],
    ids=["even", "rare", "one"],
)
def test_groups_are_an_urn_whatever_the_law_of_the_cells(draw):
    """Mean and variance of the counts of three rows after a reference of 12, over many references."""
    rng, shares = np.random.default_rng(0), np.array([2.0, 3.0, 1.0, 2.0, 0.0])
    found = []
    for _ in range(8000):
        rows = np.bincount(draw(rng, 12), minlength=5)
        gaps, ends, _ = groups_of(shares, rows, rng)
        found.append(grouped(np.bincount(draw(rng, 3), minlength=5), ends, rng))
    counts = np.array(found)
    law = stats.dirichlet_multinomial(gaps, 3)
    error = np.sqrt(np.diag(law.cov()) / len(counts))
    assert (np.abs(counts.mean(axis=0) - law.mean()) < 4.5 * error).all()
    p = np.array([law.pmf(c) for c in np.unique(counts, axis=0)])
    seen = np.unique(counts, axis=0, return_counts=True)[1]
    expected = p * len(counts)
    likely = expected > 5.0
    chi = float(np.sum((seen - expected)[likely] ** 2 / expected[likely]))
    assert chi < stats.chi2.isf(1e-5, likely.sum())


def test_shares_against_the_reference_would_be_no_martingale():
    """Why urns: many rows against shares that a small reference guessed make evidence of nothing."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(50):
        shares = np.bincount(rng.integers(0, 4, 40), minlength=4) / 40.0
        rows = np.bincount(rng.integers(0, 4, 4000), minlength=4)
        free = special.gammaln(4.0) - special.gammaln(4004.0) + special.gammaln(1.0 + rows).sum()
        alarms += free - rows @ np.log(np.maximum(shares, 1e-9)) > math.log(20.0)
    assert alarms > 25
    for seed in range(50):
        rng = np.random.default_rng(seed)
        gaps, ends, _ = groups_of(np.ones(4), np.bincount(rng.integers(0, 4, 40), minlength=4), rng)
        counts = grouped(np.bincount(rng.integers(0, 4, 4000), minlength=4), ends, rng)
        found = wealth(gaps, counts[None], np.array([stake(0)]), bets_on(gaps, 0, NAMES))
        alarms -= found.log_value > math.log(20.0)
    assert alarms > 25 - 8


def test_evidence_grows_at_the_divergence():
    """KL(current||reference) a row, while rows are few beside the reference."""
    rng = np.random.default_rng(2)
    edges = stats.norm.ppf(np.linspace(0.0, 1.0, 31)[1:-1])

    def cells(x):
        return np.bincount(np.searchsorted(edges, x), minlength=32)[:32]

    shares = np.append(np.full(30, 1.0), [0.0, 0.0])
    gaps, ends, at = groups_of(shares, cells(rng.normal(size=200_000)), rng)
    bets = bets_on(gaps, len(gaps) - 1, tuple(map(str, at)))
    values = []
    for n in (2000, 4000):
        counts = grouped(cells(rng.normal(0.5, 1.0, n)), ends, rng)
        values.append(wealth(gaps, counts[None], np.array([stake(0)]), bets).log_value)
    assert (values[1] - values[0]) / 2000 == pytest.approx(0.125, rel=0.15)
