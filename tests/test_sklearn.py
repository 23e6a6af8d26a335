"""The estimators are scikit-learn's in all that its own checks see, and score at least as high."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from kullback.api.fit import fit
from kullback.families import LowRank, Mixture
from kullback.sklearn.conditional import ConditionalDensity
from kullback.sklearn.estimators import BestDensity, KernelDensity, MixtureDensity
from kullback.targets import Samples

#: The check fits 15 rows of 30 columns, which determine none of these densities.
_REFUSED = "check_sample_weight_equivalence_on_dense_data"
_FEW_ROWS = {
    "full": "15 rows of 30 columns determine no full covariance, so it is refused by name",
    "tied": "15 rows of 30 columns determine no tied covariance, so it is refused by name",
    "low_rank:1": "columns that determine each other are refused by name",
}


def _refusals(estimator) -> dict[str, str]:
    why = _FEW_ROWS.get(getattr(estimator, "covariance", None))
    return {} if why is None else {_REFUSED: why}


@parametrize_with_checks(
    [
        MixtureDensity(),
        MixtureDensity(2, covariance="full", starts=1),
        KernelDensity(),
    ],
    expected_failed_checks=_refusals,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        MixtureDensity(2, covariance="tied", starts=1),
        MixtureDensity(2, covariance="diagonal", starts=2),
        MixtureDensity(covariance="low_rank:1"),
        MixtureDensity(tails="student_t"),
        MixtureDensity(missing=True),
        BestDensity(("mean_field", "kde")),
        ConditionalDensity(),
    ],
    expected_failed_checks=_refusals,
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_scikit_learns_own_checks_of_other_recipes(estimator, check):
    check(estimator)


_TYPES = (
    ("full", "full"),
    ("diag", "diagonal"),
    ("tied", "tied"),
    ("spherical", "spherical"),
)


@pytest.mark.slow
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
@pytest.mark.parametrize(("theirs", "ours"), _TYPES)
def test_scores_are_at_least_scikit_learns(load, theirs, ours):
    x = load().data
    for k in (1, 2, 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = GaussianMixture(k, covariance_type=theirs, n_init=10, random_state=0).fit(x)
        starts = 10 if len(x) < 200 else 4
        found = MixtureDensity(k, covariance=ours, starts=starts, random_state=0).fit(x)
        assert found.score(x) > peer.score(x) - 1e-9
        assert found.covariances_.shape == peer.covariances_.shape
        assert found.converged_
        assert found.score_samples(x) == pytest.approx(found.fit_.log_prob(x), abs=1e-8)
        assert found.bic(x) - found.aic(x) == pytest.approx(
            found.fit_.likelihood.parameters * (np.log(len(x)) - 2.0)
        )
        assert found.fit_.likelihood.parameters == peer._n_parameters()


def test_the_density_is_the_one_the_attributes_describe():
    x = load_iris().data
    found = MixtureDensity(3, covariance="full", random_state=0).fit(x)
    peer = GaussianMixture(3).fit(x)
    peer.weights_, peer.means_, peer.covariances_ = (
        found.weights_,
        found.means_,
        found.covariances_,
    )
    peer.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(found.covariances_)).transpose(
        0, 2, 1
    )
    assert found.score_samples(x) == pytest.approx(peer.score_samples(x), abs=1e-8)
    assert found.predict_proba(x) == pytest.approx(peer.predict_proba(x), abs=1e-8)
    assert found.predict(x).tolist() == peer.predict(x).tolist()
    assert found.bic(x) == pytest.approx(peer.bic(x), abs=1e-6)
    assert found.aic(x) == pytest.approx(peer.aic(x), abs=1e-6)
    assert found.lower_bound_ == pytest.approx(found.score(x), abs=1e-10)


def test_a_key_is_the_key_of_fit():
    x = load_iris().data
    found = MixtureDensity(2, covariance="full", random_state=5, held_out=True).fit(x)
    same = fit(Samples(x), Mixture(2), direction="forward", key=5)
    assert np.array_equal(found.fit_.q.means, same.q.means)
    assert found.fit_.held_out.value == same.held_out.value
    assert MixtureDensity(2).fit(x).fit_.held_out is None


@pytest.mark.slow
def test_a_weight_is_a_number_of_rows():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(80, 2)), rng.integers(0, 4, 80)
    one = MixtureDensity("auto", random_state=0).fit(x, sample_weight=weights)
    two = MixtureDensity("auto", random_state=0).fit(np.repeat(x, weights, axis=0))
    assert np.array_equal(one.score_samples(x), two.score_samples(x))


def test_copies_of_rows_determine_no_covariance():
    x = np.random.default_rng(0).normal(size=(4, 5))
    found = MixtureDensity(random_state=0).fit(np.repeat(x, 10, axis=0))
    assert found.covariance_ == "diagonal"
    assert MixtureDensity().fit(np.random.default_rng(0).normal(size=(6, 5))).covariance_ == "full"
    assert np.count_nonzero(KernelDensity().fit(x).covariance_) == 5
    with pytest.raises(ValueError, match="spread='diagonal'"):
        KernelDensity(spread="full").fit(x)


@pytest.mark.slow
def test_pipelines_and_grids():
    x = load_iris().data
    pipeline = make_pipeline(StandardScaler(), MixtureDensity(random_state=0, starts=2))
    pipeline.set_output(transform="pandas")
    grid = GridSearchCV(
        pipeline,
        {
            "mixturedensity__n_components": np.arange(1, 3),
            "mixturedensity__covariance": ["full", "tied", LowRank(1), "low_rank:1"],
        },
        cv=2,
    ).fit(x)
    table = grid.cv_results_
    assert np.isfinite(table["mean_test_score"]).all()
    assert grid.best_params_["mixturedensity__n_components"] >= 1
    by_name = np.array([str(c) for c in table["param_mixturedensity__covariance"]])
    recipe, name = by_name == "LowRank(r=1)", by_name == "low_rank:1"
    assert table["mean_test_score"][recipe].tolist() == table["mean_test_score"][name].tolist()
    assert grid.best_estimator_[-1].feature_names_in_.tolist() == ["x0", "x1", "x2", "x3"]
    assert np.isfinite(cross_val_score(KernelDensity(), x, cv=3)).all()


def _frames():
    x = load_iris().data
    names = ["a", "b", "c", "d"]
    yield pd.DataFrame(x, columns=names)
    yield pl.DataFrame(x, schema=names)
    try:
        import pyarrow as pa
    except ImportError:
        return
    yield pa.table(dict(zip(names, x.T, strict=True)))


@pytest.mark.parametrize("frame", list(_frames()), ids=lambda f: type(f).__module__)
def test_data_frames(frame):
    x = load_iris().data
    found = MixtureDensity(2, random_state=0).fit(frame)
    assert found.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert found.fit_.columns == ("a", "b", "c", "d")
    plain = MixtureDensity(2, random_state=0).fit(x)
    assert np.array_equal(found.score_samples(frame), plain.score_samples(x))
    with pytest.raises(ValueError, match="feature names should match"):
        found.score_samples(
            frame[["b", "a", "c", "d"]]
            if hasattr(frame, "loc")
            else frame.select(["b", "a", "c", "d"])
        )
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        found.score_samples(x)


def test_messages_name_the_columns_of_a_frame():
    frame = pd.DataFrame({"height": [1.0, 2.0, 4.0, 3.0], "unit": [1.0, 1.0, 1.0, 1.0]})
    with pytest.raises(ValueError, match="column unit is constant"):
        MixtureDensity().fit(frame)


def test_missing_values():
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0.0, 5.0], [[1.0, 0.8], [0.8, 1.0]], 300)
    gaps = x.copy()
    gaps[::3, 1] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        MixtureDensity().fit(gaps)
    found = MixtureDensity(missing=True, random_state=0, starts=2).fit(gaps)
    scores = found.score_samples(gaps)
    sd = np.sqrt(found.covariances_[0, 0, 0])
    z = (gaps[::3, 0] - found.means_[0, 0]) / sd
    assert scores[::3] == pytest.approx(-0.5 * z**2 - np.log(sd) - 0.5 * np.log(2 * np.pi))
    whole = found.score_samples(x)
    assert np.array_equal(scores[1::3], whole[1::3])
    assert found.predict_proba(gaps).tolist() == [[1.0]] * 300


@pytest.mark.parametrize("tails", ["gaussian", "student_t"])
@pytest.mark.parametrize("d", [1, 2])
def test_draws_have_the_moments_of_their_components(tails, d):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(-2.0, 1.0, (300, d)), rng.normal(2.0, 0.5, (100, d))])
    found = MixtureDensity(2, tails=tails, random_state=0, starts=3).fit(x)
    draws, labels = found.sample(40_000)
    assert draws.shape == (40_000, d)
    assert set(labels.tolist()) == {0, 1}
    for k in (0, 1):
        part = draws[labels == k]
        assert len(part) / 40_000 == pytest.approx(found.weights_[k], abs=0.01)
        error = np.sqrt(np.diag(found.covariances_[k]) / len(part))
        assert (np.abs(part.mean(axis=0) - found.means_[k]) < 5.0 * error).all()
        assert np.cov(part.T).reshape(d, d) == pytest.approx(
            found.covariances_[k], rel=0.1, abs=0.1
        )
    again, _ = found.sample(40_000)
    assert np.array_equal(draws, again)
    assert np.isinf(found.df_).all() == (tails == "gaussian")


def test_no_more_components_are_tried_than_distinct_rows_can_bear():
    x = np.repeat([[1.0, 3.0], [2.0, 1.0], [3.0, 3.0], [4.0, 1.0]], 10, axis=0)
    assert len(MixtureDensity("auto", random_state=0).fit(x).weights_) <= 2


@pytest.mark.slow
def test_number_of_components_by_bic():
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(c, 0.5, (100, 2)) for c in (-4.0, 0.0, 4.0)])
    found = MixtureDensity("auto", random_state=0).fit(x)
    assert len(found.weights_) == 3
    assert found.fit_.selection.best.family.k == 3
    assert (found.fit_predict(x) == found.predict(x)).all()


def test_kernels_and_the_best_family():
    rng = np.random.default_rng(3)
    x = rng.gamma(3.0, 2.0, (400, 1))
    best = BestDensity(("gamma", "normal", "lognormal"), random_state=0).fit(x)
    assert best.family_ == "gamma"
    assert len(best.fit_.selection.candidates) == 3
    assert BestDensity("gamma").fit(x).score(x) == pytest.approx(best.score(x))
    assert best.sample(7).shape == (7, 1)
    kernels = KernelDensity(random_state=0).fit(x)
    assert kernels.bandwidth_ > 0.0
    assert kernels.score(x) == pytest.approx(kernels.fit_.q.log_prob(x[:, 0]).mean())
    assert kernels.sample(7).shape == (7, 1)
    pairs = BestDensity(("mean_field", "full_rank"), random_state=0)
    z = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]], 200)
    assert "Full" in pairs.fit(z).family_


def test_clones_and_pickles():
    x = load_iris().data
    found = MixtureDensity(2, covariance=LowRank(1), random_state=0).fit(x)
    copy = clone(found)
    assert copy.get_params() == found.get_params()
    with pytest.raises(NotFittedError):
        copy.sample()
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.score_samples(x), found.score_samples(x))
    assert found.covariances_.shape == (2, 4, 4)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"n_components": 0}, "k must be a positive integer"),
        ({"n_components": True}, "k must be a positive integer"),
        ({"n_components": 200}, "more components than there are samples"),
        ({"covariance": "diag"}, "choose full, diagonal"),
        ({"covariance": "low_rank"}, "say how many directions"),
        ({"tails": "cauchy"}, "choose gaussian or student_t"),
        ({"starts": 0}, "at least one start"),
        ({"random_state": "x"}, "cannot be used to seed"),
    ],
)
def test_wrong_parameters_are_value_errors(wrong, says):
    with pytest.raises(ValueError, match=says):
        MixtureDensity(**wrong).fit(load_iris().data)


def test_wrong_numbers_of_draws():
    found = MixtureDensity().fit(load_iris().data)
    for n in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="at least"):
            found.sample(n)


def test_ctrl_c_is_not_swallowed(monkeypatch):
    from kullback.fitting import em_search

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        em_search, "climb_together", stop
    )  # what every search of full rows begins with
    with pytest.raises(KeyboardInterrupt):
        MixtureDensity(2).fit(load_iris().data)


class TestConditionalDensity:
    """q(y | x), where y is a number and where it is a label."""

    def test_numbers(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 2))
        y = x[:, 0] - 2.0 * x[:, 1] + 0.5 * rng.normal(size=400)
        found = ConditionalDensity(random_state=0).fit(x[:300], y[:300])
        assert found.classes_ is None
        sure = -0.5 * np.log(2.0 * np.pi * 0.25) - 0.5
        assert found.score(x[300:], y[300:]) == pytest.approx(sure, abs=0.15)
        assert np.std(found.sample(x) - (x[:, 0] - 2.0 * x[:, 1])) == pytest.approx(0.5, abs=0.06)
        with pytest.raises(AttributeError, match="no category"):
            found.predict_log_proba(x)

    def test_labels(self):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(500, 2))
        y = np.where(2.0 * x[:, 0] + rng.logistic(size=500) > 0.0, "yes", "no")
        for k in (1, 2):
            found = ConditionalDensity(k, random_state=0).fit(x, y)
            assert found.classes_ is not None
            assert found.classes_.tolist() == ["no", "yes"]
            shares = found.predict_proba(x)
            assert shares.sum(axis=1) == pytest.approx(1.0)
            assert shares[:, 1] == pytest.approx(1.0 / (1.0 + np.exp(-2.0 * x[:, 0])), abs=0.2)
            logs = found.predict_log_proba(x)[np.arange(500), (y == "yes").astype(int)]
            assert found.score(x, y) == pytest.approx(logs.mean())
            assert set(found.sample(x)) == {"no", "yes"}
        assert found.log_density(x[:1], np.array(["maybe"]))[0] == -np.inf

    @pytest.mark.slow
    def test_a_search_over_components(self):
        rng = np.random.default_rng(2)
        x = rng.normal(size=(200, 1))
        y = np.abs(2.0 * x[:, 0]) + 0.3 * rng.normal(size=200)
        search = GridSearchCV(ConditionalDensity(random_state=0), {"n_components": [1, 3]}, cv=3)
        assert search.fit(x, y).best_params_ == {"n_components": 3}
