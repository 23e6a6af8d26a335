"""Ranks of true values: levels that hold exactly, directions that are right, sizes within their errors."""

import numpy as np
import pytest
from arviz_stats import ecdf_utils
from scipy import stats

from kullback.diagnostics.calibration import (
    calibrated,
    detectable,
    excursion_p_value,
    randomised_ranks,
    rank_band,
    sizes,
)


def ranks_of(rng, n, draws, *, shift=0.0, scale=1.0):
    """Of standard normal true values among draws of another normal."""
    truth = rng.standard_normal((n, 1))
    return np.array(
        [randomised_ranks(t, shift + scale * rng.standard_normal((draws, 1)), rng) for t in truth]
    )


def found_of(ranks, draws):
    (quantity,), _ = calibrated(["x"], ranks, np.full(len(ranks), float(draws)))
    return quantity


class TestBand:
    @pytest.mark.parametrize("n", [20, 100, pytest.param(300, marks=pytest.mark.slow)])
    def test_p_values_are_those_of_simulation(self, n):
        """Against a count of 4,000 uniform samples, at three levels, within 4 of its errors."""
        rng = np.random.default_rng(n)
        p = np.array([excursion_p_value(rng.uniform(size=n)) for _ in range(4000)])
        for level in (0.5, 0.1, 0.02):
            share = float(np.mean(p <= level))
            assert share <= level + 4.0 * np.sqrt(level * (1 - level) / len(p))
            assert share >= 0.75 * level - 4.0 * np.sqrt(level * (1 - level) / len(p))  # discrete

    @pytest.mark.parametrize("n", [50, 100])
    def test_the_band_is_that_of_arviz_within_a_count(self, n):
        """arviz-stats simulates the level, so that its band has an error, and another where counts are few."""
        band = rank_band(n, 0.05)
        within = ecdf_utils.simulate_confidence_bands(
            n, 1, band.at, 0.95, 5000, np.random.default_rng(0)
        )
        low, high = ecdf_utils.get_pointwise_confidence_band(within, n, band.at)
        assert np.abs(low - band.at - band.low).max() < 1.5 / n
        assert np.abs(high - band.at - band.high).max() < 1.5 / n

    def test_a_line_leaves_the_band_where_its_p_value_says_so(self):
        rng, band = np.random.default_rng(0), rank_band(60, 0.1)
        outside = []
        for _ in range(500):
            ranks = rng.uniform(size=60) ** rng.choice([1.0, 1.2])
            share = np.searchsorted(np.sort(ranks), band.at, side="right") / 60 - band.at
            left = bool(((share < band.low - 1e-12) | (share > band.high + 1e-12)).any())
            outside.append(left)
            assert left == (excursion_p_value(ranks) <= 0.1)
        assert 0.05 < np.mean(outside) < 0.6

    def test_the_published_shape(self):
        """Symmetric, narrow at the ends, and close to Kolmogorov's limit in the middle."""
        band = rank_band(1000, 0.05)
        np.testing.assert_allclose(band.low, -band.high[::-1], atol=1e-12)
        middle = band.high[len(band.at) // 2]
        assert stats.kstwobign.isf(0.05) / np.sqrt(1000) < middle < 0.052


class TestRanks:
    def test_they_are_uniform_for_few_draws_and_for_ties(self):
        rng = np.random.default_rng(1)
        few = ranks_of(rng, 4000, 3)[:, 0]
        whole = np.array(
            [randomised_ranks(rng.poisson(1.0, 1), rng.poisson(1.0, (9, 1)), rng)[0] for _ in range(4000)]
        )  # fmt: skip
        for ranks in (few, whole):
            assert stats.kstest(ranks, "uniform").pvalue > 1e-4


class TestFindings:
    @pytest.mark.parametrize(
        ("shift", "scale", "finding"),
        [
            (0.6, 1.0, "too high"),
            (-0.6, 1.0, "too low"),
            (0.0, 0.6, "too narrow"),
            (0.0, 0.05, "too narrow"),  # nearly all true values are beyond the draws
            (0.0, 1.7, "too wide"),
            (5.0, 1.0, "too high"),  # all of them are, on one side
        ],
    )
    def test_they_have_the_right_direction(self, shift, scale, finding):
        rng = np.random.default_rng(2)
        said = [
            found_of(ranks_of(rng, 100, 300, shift=shift, scale=scale), 300).findings
            for _ in range(20)
        ]
        assert np.mean([finding in s for s in said]) >= 0.95
        assert np.mean([s == (finding,) for s in said]) >= 0.9

    def test_both_may_be_wrong(self):
        ranks = ranks_of(np.random.default_rng(3), 200, 300, shift=1.0, scale=0.5)
        assert found_of(ranks, 300).finding == "too narrow, too high"

    def test_another_shape(self):
        """A law with mean 0 and variance 1 of scores that is no normal."""
        rng = np.random.default_rng(4)
        scores = rng.choice([-1.0, 1.0], 400) * 0.99 + 0.14 * rng.standard_normal(400)
        assert found_of(stats.norm.cdf(scores)[:, None], 1000).findings == ("another shape",)

    def test_what_is_said_to_be_detectable_is_found_in_four_of_five(self):
        rng = np.random.default_rng(5)
        shift, ratio = detectable(100, 1)
        by_shift = [
            bool(found_of(ranks_of(rng, 100, 500, shift=shift), 500).findings) for _ in range(200)
        ]
        narrow = [
            bool(found_of(ranks_of(rng, 100, 500, scale=ratio), 500).findings) for _ in range(200)
        ]
        for share in (np.mean(by_shift), np.mean(narrow)):
            assert 0.7 < share < 0.95


class TestSizes:
    @pytest.mark.parametrize(
        ("shift", "scale"), [(0.0, 1.0), (0.5, 1.0), (0.0, 0.4), (1.0, 0.3), (0.0, 1.8)]
    )
    def test_they_are_within_their_errors(self, shift, scale):
        """The draws have mean `shift` and sd `scale`, the truth 0 and 1; many values are beyond 200 draws."""
        rng, z = np.random.default_rng(6), []
        for _ in range(60):
            q = found_of(ranks_of(rng, 150, 200, shift=shift, scale=scale), 200)
            z.append(
                [
                    (e.value - true) / e.standard_error
                    for e, true in ((q.mean_shift, -shift / scale), (q.sd_ratio, scale))
                ]
            )
        z = np.array(z)
        assert (np.abs(z.mean(axis=0)) < 0.75).all()
        assert (np.abs(z) > 3.5).mean() < 0.02

    def test_where_all_are_beyond_nothing_is_told(self):
        ends = np.full(50, 2.0)
        for e in sizes(np.full(50, 2.5), ends):
            assert e.kind == "unresolved"
            assert "beyond all draws" in e.reason
