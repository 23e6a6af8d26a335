"""What a page says of a fit to samples: scores, errors, the choice, goodness of fit, what more rows give."""

from dataclasses import replace

import numpy as np
import pytest

from kullback.api.fit import fit as fit_fit
from kullback.families import FullRank, MeanField, Mixture
from kullback.render.html import render
from kullback.results.likelihood import Goodness
from kullback.targets import Samples
from kullback.views.fit import fit_document
from kullback.views.optima import parameter_table, rounded
from kullback.views.samples import histogram, learning, sample_sections, selection_blocks
from tests.render.pages import words_of

NASTY = '<script>alert("1")</script>'


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    first = rng.random(600) < 0.4
    x = np.where(first, rng.normal(-2.0, 0.5, 600), rng.normal(2.0, 1.0, 600))
    return Samples(np.column_stack([x, rng.normal(size=600)]), columns=("x", NASTY))


@pytest.fixture(scope="module")
def auto(rows):
    return fit_fit(rows, Mixture("auto"), direction="forward")


def test_the_page_holds_the_numbers(auto, rows):
    text = render(fit_document(auto, None, rows.values, rows.columns))
    words = words_of(text)
    assert NASTY not in text
    for c in auto.selection.candidates:
        assert f"{c.bic:.2f}" in words
        assert f"{c.icl:.2f}" in words
    for e in auto.likelihood.errors:
        assert rounded(e.value, e.standard_error) in words
    assert "KL(p||q), of the same q" in words
    assert f"{auto.likelihood.log_likelihood:.4f}" in words
    assert "assume that the model is well specified" in words
    assert "What more rows would give" in words


def test_other_fits_have_no_such_sections():
    fit = fit_fit("normal(0, sd=2)", MeanField(), direction="forward")
    assert sample_sections(fit) == []


def test_the_line_of_excess(auto):
    figure = learning(auto, auto.likelihood)
    line, bars, points, end = figure.series
    m, n = auto.likelihood.parameters, auto.likelihood.weight
    assert line.y * line.x == pytest.approx(m / 2.0)
    assert points.x.tolist() == [p.rows for p in auto.likelihood.learning]
    assert (end.x[0], end.y[0]) == (n, m / (2.0 * n))
    low, high = figure.y.span
    assert all(low <= v <= high for v in bars.y[np.isfinite(bars.y)])


def test_choices_are_drawn_by_their_number_of_components(auto):
    _, drawn = selection_blocks(auto.selection)
    (gallery,) = drawn.make()
    scores, bic = gallery.items
    ks = [float(k + 1) for k in range(len(auto.selection.candidates))]
    assert scores.series[0].x.tolist() == ks
    assert min(bic.series[0].y) == 0.0
    families = tuple(
        replace(c, family=f) for c, f in zip(auto.selection.candidates, "abcdefgh", strict=False)
    )
    assert len(selection_blocks(replace(auto.selection, candidates=families))) == 1


def test_histograms_have_the_mean_height_1():
    shares = tuple(np.full(20, 0.05))
    figure = histogram(Goodness("x", 0.01, 0.9, 400, shares))
    area, low, high = figure.series
    assert np.unique(area.y[1:-1]).tolist() == [1.0]
    assert low.y[0] < 1.0 < high.y[0] < figure.y.span[1]


def test_what_is_not_drawn_from_q_is_named():
    x = np.random.default_rng(0).gamma(1.0, size=(500, 3))
    fit = fit_fit(Samples(x), FullRank(), direction="forward")
    words = words_of(render(fit_document(fit, None, x, ("a", "b", "c"))))
    assert "Some marginal rejects q" in words
    assert words.count("rejected") == 3


@pytest.mark.parametrize(("d", "k"), [(1, 1), (2, 12), (12, 2)])
def test_pages_of_any_shape(d, k):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, d)) + 5.0 * rng.integers(0, k, (300, 1))
    columns = tuple(f"a rather long name of column {i}" for i in range(d))
    p = Samples(x, columns=columns)
    fit = fit_fit(p, Mixture(k, covariance="diagonal"), direction="forward")
    words = words_of(render(fit_document(fit, None, x, columns)))
    assert "Goodness of fit" in words
    table = parameter_table(fit, columns)
    assert len(table.rows) == k


@pytest.mark.slow
def test_the_page_of_a_table_with_gaps():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=200), rng.poisson(3.0, 200)])
    x[::9, 0] = np.nan
    p = Samples(x, columns=("x", "visits"), kinds={"visits": "count"}, missing=True)
    fit = fit_fit(p, Mixture(2, tails="student_t"), direction="forward", starts=2)
    whole = x[~np.isnan(x).any(axis=1)]
    words = words_of(render(fit_document(fit, None, whole, p.columns)))
    assert "200 rows of x, visits" in words
    assert "Student's t" in words
    assert "E_q[log q]" not in words


def test_what_was_not_measured_is_said(auto, rows):
    fit = replace(auto, likelihood=replace(auto.likelihood, learning=()))
    words = words_of(render(fit_document(fit, None, rows.values, rows.columns)))
    assert "It was not measured by fits to fewer rows" in words
