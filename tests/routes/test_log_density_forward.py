"""Forward fits of log densities: against closed forms, in units of the errors that they report."""

import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from kullback.api.fit import fit
from kullback.api.store import load, save
from kullback.core.errors import UnsupportedError
from kullback.families import FullRank, LowRank, MeanField, Mixture
from kullback.views.fit import fit_document
from tests.posteriors import banana, funnel, gaussian, modes, rotated, student, target


def _forward(p, family, **options):
    return fit(p, family, direction="forward", progress=False, **options)


def _z(estimate, truth):
    return abs(estimate.value - truth) / max(estimate.standard_error, 1e-9)


def _kl_of_gaussian(entropy, mean, covariance, q):
    """KL(p||q) of a p of known moments and entropy."""
    s, moved = np.asarray(q.covariance), np.asarray(q.loc) - mean
    inside = np.trace(np.linalg.solve(s, covariance + np.outer(moved, moved)))
    return 0.5 * (np.linalg.slogdet(2.0 * np.pi * s)[1] + inside) - entropy


def _gaussian_entropy(d):
    return 0.5 * d * math.log(2.0 * math.pi * math.e)


def two_balls(d, share=0.3):
    """A mixture of N(0, I) and N(6 e_1, .7^2 I); log evidence 1.5."""
    far = np.zeros(d)
    far[0] = 6.0
    logs = np.log([share, 1.0 - share]) - 0.5 * d * np.log(2.0 * np.pi) - [0.0, d * np.log(0.7)]

    def evaluate(u):
        squares = np.sum(u**2, axis=1), np.sum((u - far) ** 2, axis=1) / 0.49
        both = np.array([a - 0.5 * s for a, s in zip(logs, squares, strict=True)])
        value = np.logaddexp.reduce(both, axis=0)
        first, second = np.exp(both - value)[:, :, None]
        return value + 1.5, -first * u - second * (u - far) / 0.49

    mean = (1.0 - share) * far
    covariance = (share + 0.49 * (1.0 - share)) * np.eye(d)
    covariance[0, 0] += 36.0 * share * (1.0 - share)
    return target(evaluate, d), mean, covariance


def skewed():
    """x_0 the log of a gamma(3) variable, four others N(x_0 / 2, .5^2): its moments and entropy."""

    def evaluate(u):
        moved = u[:, 1:] - 0.5 * u[:, :1]
        value = 3.0 * u[:, 0] - np.exp(u[:, 0]) - 2.0 * np.sum(moved**2, axis=1)
        by_first = 3.0 - np.exp(u[:, 0]) + 2.0 * moved.sum(axis=1)
        return value, np.column_stack([by_first, -4.0 * moved])

    variance = float(polygamma(1, 3))
    covariance = np.full((5, 5), 0.25 * variance) + 0.25 * np.eye(5)
    covariance[0] = covariance[:, 0] = 0.5 * variance
    covariance[0, 0] = variance
    first = float(digamma(3))
    entropy = 3.0 - 3.0 * first + math.log(2.0) + 4.0 * (_gaussian_entropy(1) + math.log(0.5))
    log_evidence = math.log(2.0) + 2.0 * math.log(2.0 * math.pi * 0.25)
    return (
        target(evaluate, 5),
        first * np.array([1.0, *[0.5] * 4]),
        covariance,
        entropy,
        log_evidence,
    )


class TestGaussians:
    """Where p is a Gaussian, q is p, exactly: no draw adds noise."""

    @pytest.mark.parametrize("d", [3, pytest.param(12, marks=pytest.mark.slow)])
    def test_full_rank_is_p(self, d):
        mean, covariance = np.arange(d) - 1.0, rotated(d, 100.0)
        found = _forward(gaussian(mean, covariance, log_evidence=2.5), "full_rank")
        assert np.asarray(found.q.base.loc) == pytest.approx(mean, abs=1e-5)
        assert np.asarray(found.q.base.covariance) == pytest.approx(covariance, abs=1e-5)
        assert found.divergence is found.forward_kl
        assert found.forward_kl.value == pytest.approx(0.0, abs=1e-6)
        assert found.reverse_kl.value == pytest.approx(0.0, abs=1e-6)
        assert _z(found.log_evidence, 2.5) < 4.0
        assert found.diagnosis.verdict == "trust"

    def test_mean_field_has_the_variances(self):
        covariance = rotated(4, 20.0)
        found = _forward(gaussian(np.zeros(4), covariance), MeanField())
        best = 0.5 * (np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1])
        assert np.asarray(found.q.base.covariance) == pytest.approx(
            np.diag(np.diag(covariance)), abs=1e-5
        )
        assert _z(found.forward_kl, best) < 4.0
        inside = np.trace(np.linalg.solve(covariance, np.diag(np.diag(covariance))))
        reverse = 0.5 * (
            inside - 4.0 - np.log(np.diag(covariance)).sum() + np.linalg.slogdet(covariance)[1]
        )
        assert _z(found.reverse_kl, reverse) < 4.0

    @pytest.mark.slow
    def test_low_rank_has_a_factor(self):
        covariance = np.diag([1.0, 2.0, 0.5, 1.5]) + 3.0 * np.outer(
            [1, 1, -1, 0.5], [1, 1, -1, 0.5]
        )
        found = _forward(gaussian(np.zeros(4), covariance), LowRank(1))
        assert np.asarray(found.q.base.covariance) == pytest.approx(covariance, rel=0.01, abs=0.01)
        assert found.forward_kl.value < 1e-3


class TestMoments:
    """Full rank has the mean and the covariance of p; its KL follows from p's entropy."""

    @pytest.mark.slow
    def test_skewed(self):
        p, mean, covariance, entropy, log_evidence = skewed()
        found = _forward(p, "full_rank")
        best = 0.5 * np.linalg.slogdet(2.0 * np.pi * np.e * covariance)[1] - entropy
        truth = _kl_of_gaussian(entropy, mean, covariance, found.q.base)
        assert truth - best < 1e-3
        assert found.forward_kl.standard_error < 0.005
        assert _z(found.forward_kl, truth) < 4.0
        assert _z(found.log_evidence, log_evidence) < 4.0

    @pytest.mark.slow
    @pytest.mark.parametrize("d", [2, 8])
    @pytest.mark.parametrize("key", [0, 1])
    def test_two_modes(self, d, key):
        p, mean, covariance = two_balls(d)
        found = _forward(p, "full_rank", key=key)
        assert np.asarray(found.q.base.loc) == pytest.approx(mean, abs=0.1)
        assert np.asarray(found.q.base.covariance) == pytest.approx(covariance, abs=0.4)
        assert _z(found.log_evidence, 1.5) < 4.0
        x = _balls(d, 200_000)
        log_ratio = p.evaluate(x)[0] - 1.5 - found.log_prob(x)
        truth, error = float(log_ratio.mean()), float(log_ratio.std()) / math.sqrt(len(x))
        both = math.hypot(error, found.forward_kl.standard_error)
        assert abs(found.forward_kl.value - truth) < 4.0 * both
        assert found.forward_kl.standard_error < 0.02

    @pytest.mark.slow
    def test_a_banana_and_the_error_of_its_tail(self):
        """x_1 is of fourth order in x_0: what decides KL(p||q) lies far out."""
        covariance = np.diag([4.0, 8.25])
        entropy = _gaussian_entropy(2) + math.log(2.0) + math.log(0.5)
        for key in range(3):
            found = _forward(banana(), "full_rank", key=key)
            truth = _kl_of_gaussian(entropy, np.array([0.0, 2.0]), covariance, found.q.base)
            best = 0.5 * np.linalg.slogdet(2.0 * np.pi * np.e * covariance)[1] - entropy
            assert truth - best < 0.02
            assert _z(found.forward_kl, truth) < 4.0
            assert _z(found.log_evidence, 0.0) < 4.0


def _balls(d, n):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((n, d))
    far = rng.random(n) < 0.7
    x[far] *= 0.7
    x[far, 0] += 6.0
    return x


class TestMixtures:
    @pytest.mark.parametrize("family", ["mixture:2", pytest.param("auto", marks=pytest.mark.slow)])
    def test_of_two_modes_is_p(self, family):
        found = _forward(two_balls(3)[0], family)
        assert found.family == Mixture(2)
        assert found.q.base.weights == pytest.approx([0.3, 0.7], abs=0.02)
        assert found.forward_kl.value < 0.01
        assert found.diagnosis.verdict == "trust"
        assert _z(found.log_evidence, 1.5) < 4.0

    @pytest.mark.slow
    def test_covariances_that_are_asked_for(self):
        found = _forward(two_balls(3)[0], Mixture(2, "spherical"))
        assert found.forward_kl.value < 0.01
        with pytest.raises(UnsupportedError, match="fit Gaussians"):
            _forward(two_balls(3)[0], Mixture(2, tails="student_t"))

    @pytest.mark.slow
    def test_of_the_line(self):
        p = modes([-3.0, 4.0], [0.4, 0.6], 1.0)
        found = _forward(p, "mixture:2", starts=13)
        assert found.starts >= 13
        assert found.forward_kl.value < 0.01
        assert _z(found.log_evidence, 0.0) < 4.0


class TestWhatWeightsDoNotTell:
    @pytest.mark.slow
    @pytest.mark.parametrize("d", [3, 10])
    def test_funnels_are_covered_by_their_errors_or_unresolved(self, d):
        covariance = np.diag([9.0, *[math.exp(4.5)] * (d - 1)])
        entropy = _gaussian_entropy(d) + math.log(3.0)
        for key in range(3):
            found = _forward(funnel(d), "full_rank", key=key)
            truth = _kl_of_gaussian(entropy, np.zeros(d), covariance, found.q.base)
            assert found.forward_kl.kind == "unresolved" or _z(found.forward_kl, truth) < 4.0
            assert found.log_evidence.kind == "unresolved" or _z(found.log_evidence, 0.0) < 4.0
            assert found.diagnosis.verdict != "trust"

    def test_without_a_variance_no_gaussian_is_near(self):
        with pytest.raises(UnsupportedError, match="no variance"):
            _forward(student(3, 1.5), "full_rank")


class TestTheRest:
    @pytest.mark.slow
    def test_the_report_says_which_kl_was_minimised(self):
        found = _forward(skewed()[0], FullRank())
        told = fit_document(found)
        assert "minimising KL(p||q)" in told.title
        assert [f.label for f in told.facts[:2]] == ["minimised", "of the same q"]
        assert told.values()["direction"] == "forward"
        assert found.citations()[-1].startswith("Owen, Zhou")

    def test_saved_and_read(self, tmp_path):
        found = _forward(two_balls(2)[0], "mixture:2")
        save(found, tmp_path / "fit")
        again = load(tmp_path / "fit")
        assert again.direction == "forward"
        assert again.forward_kl == found.forward_kl
        x = found.sample(5)
        assert again.log_prob(x).tolist() == found.log_prob(x).tolist()

    @pytest.mark.slow
    def test_the_same_key_has_the_same_bits_after_a_kill(self, tmp_path):
        p, kept = two_balls(2)[0], tmp_path / "kept"
        whole = _forward(p, "full_rank", checkpoint=kept)
        again = _forward(p, "full_rank", checkpoint=kept)
        bare = _forward(p, "full_rank")
        for other in (again, bare):
            assert np.array_equal(other.q.base.covariance, whole.q.base.covariance)
            assert other.forward_kl == whole.forward_kl
        assert again.evaluations == whole.evaluations
