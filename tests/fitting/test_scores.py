"""The score of rows left out is that of a fit which has not seen them, with an error that says how far off it may be."""

import numpy as np
import pytest

import kullback as kb
from kullback.core.run import Run
from kullback.fitting.covariances import Structure
from kullback.fitting.mixture_family import family_of
from kullback.fitting.mixtures import fit_mixture
from kullback.fitting.rows import distinct, rows_of
from kullback.fitting.scores import chosen_anew, held_out


def _normal(n, rng):
    return rng.normal(size=(n, 2))


def _two(n, rng):
    return rng.normal(size=(n, 1)) + 2.0 * (rng.random((n, 1)) < 0.5)


def _far(n, rng):
    return rng.normal(size=(n, 1)) + 8.0 * (rng.random((n, 1)) < 0.5)


def _fitted(x, k, key=0):
    rows = distinct(rows_of(kb.Samples(x)))
    family = family_of(Structure("full", x.shape[1]), rows, k)
    rng = np.random.default_rng(key)
    told = {"rng": rng, "watch": lambda _: None}
    mixed = fit_mixture(family, rows, rows, k, starts=6, offspring="none", **told)
    return family, mixed.end.at, rows, mixed.kept_prior


def _score(q, fresh):
    return float(q.log_prob(fresh[:, 0] if fresh.shape[1] == 1 else fresh).mean())


def _unbiased(said, error, true):
    apart = np.array(said) - np.array(true)
    assert abs(apart.mean()) < 3.0 * apart.std(ddof=1) / np.sqrt(len(apart))
    assert 0.4 < np.sqrt(np.mean((apart / np.array(error)) ** 2)) < 1.6


@pytest.mark.slow
def test_refits_score_rows_left_out_as_they_score_fresh_rows():
    # Of refits that begin at the fit to all rows, rms 3.
    said, error, true = [], [], []
    for key in range(8):
        rng = np.random.default_rng([17, key])
        x, fresh = _normal(60, rng), _normal(4000, rng)
        family, q, rows, kept = _fitted(x, 5, key)
        found = held_out(family, q, rows, Run(key=key), kept_prior=kept)
        said.append(found.mean)
        error.append(found.standard_error)
        refits = [family.distribution(at, rows) for at, _ in found.parts]
        true.append(np.mean([_score(refit, fresh) for refit in refits]))
    _unbiased(said, error, true)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "n", "k", "sets"), [(_normal, 60, 5, 24), (_normal, 500, 5, 10), (_two, 60, 2, 48)]
)
def test_scores_of_rows_left_out_are_true_of_the_fit(made, n, k, sets):
    said, error, true = [], [], []
    for key in range(sets):
        rng = np.random.default_rng([17, key])
        x, fresh = made(n, rng), made(4000, rng)
        fit = kb.fit(kb.Samples(x), kb.Mixture(k), direction="forward", key=key)
        said.append(fit.held_out.value)
        error.append(fit.held_out.standard_error)
        true.append(_score(fit.q, fresh))
    _unbiased(said, error, true)


@pytest.mark.parametrize(
    ("n", "k", "anew"), [(60, 2, True), (300, 5, True), (5000, 2, False), (60, 1, False)]
)
def test_optima_are_chosen_anew_where_the_choice_matters(n, k, anew):
    family, q, rows, _ = _fitted(_normal(n, np.random.default_rng(0)), k)
    assert chosen_anew(family, q, rows) == anew


def test_a_search_finds_what_is_there():
    # Groups far apart are one optimum of every part of the rows: refits that begin at the fit end there, too.
    x = _far(200, np.random.default_rng(3))
    family, q, rows, kept = _fitted(x, 2)
    found = held_out(family, q, rows, Run(key=5), kept_prior=kept)
    again = held_out(family, q, rows, Run(key=5), kept_prior=kept)
    other = held_out(family, q, rows, Run(key=6), kept_prior=kept)
    assert again.mean == found.mean
    assert other.mean == pytest.approx(found.mean, abs=1e-3)
    for at, _ in found.parts:
        assert np.sort(at.means[:, 0]) == pytest.approx(np.sort(q.means[:, 0]), abs=0.1)


def test_fewer_rows_than_components_leave_the_fit_as_it_is():
    x = _two(20, np.random.default_rng(4))
    found = kb.fit(kb.Samples(x), kb.Mixture(19), direction="forward", starts=2)
    assert np.isfinite(found.held_out.value)
