import numpy as np
import pytest

nd = pytest.importorskip("numpyro.distributions")
import scipy.stats as st

import kullback as kb

MEANS = np.linspace(-2.0, 2.0, 5)
TRUTH = np.log(2.0) + (1.0 + MEANS**2) / 8.0 - 0.5


@pytest.mark.parametrize(
    "p", [nd.Normal(MEANS, 1.0), st.norm(MEANS, 1.0), st.Normal(mu=MEANS, sigma=np.ones(5))]
)
def test_normals(p):
    found = kb.kl_divergence(p, "normal(0, sd=2)")
    np.testing.assert_allclose(found.value, TRUTH, rtol=1e-12)
    assert set(found.kind) == {"exact"}
    assert found[1].value == found.value[1]
    assert str(found[1]) == str(kb.kl_divergence(st.norm(MEANS[1], 1.0), "normal(0, sd=2)"))
    assert len(found[:2]) == 2
    np.testing.assert_allclose(found.bits.value, TRUTH / np.log(2.0), rtol=1e-12)


def test_each_element_is_what_it_is_alone():
    shapes = np.array([[0.5, 1.5], [3.0, 40.0]])
    found = kb.kl_divergence(st.gamma(shapes), st.expon(scale=[1.0, 2.0]))
    for at in np.ndindex(2, 2):
        alone = kb.kl_divergence(st.gamma(shapes[at]), st.expon(scale=[1.0, 2.0][at[1]]))
        assert found[at] == alone


def test_elements_of_every_kind_are_what_they_are_alone():
    # Infinite, numeric, and by draws: an interval that is not 1.96 errors wide, a count, notes.
    p = nd.StudentT(np.array([3.0, 30.0]), 0.0, 1.0)
    pairs = [(p, "normal(0, sd=1)"), (st.norm([0.0, 1.0], 1.0), "laplace(0, scale=1)")]
    for many, q in pairs:
        found = kb.kl_divergence(many, q)
        for i in range(2):
            one = (
                nd.StudentT(float(p.df[i]), 0.0, 1.0) if many is p else st.norm([0.0, 1.0][i], 1.0)
            )
            assert found[i] == kb.kl_divergence(one, q)
            assert found.bits[i] == kb.kl_divergence(one, q).bits
    drawn = kb.kl_divergence(p, "normal(0, sd=1)", method="monte carlo", n=4096)
    alone = kb.kl_divergence(
        nd.StudentT(30.0, 0.0, 1.0), "normal(0, sd=1)", method="monte carlo", n=4096
    )
    assert drawn[1] == alone
    assert drawn[::-1][0] == alone
    assert drawn.n[1] == alone.n


def test_a_batch_is_shown_as_one_number_is():
    found = kb.kl_divergence(st.norm(MEANS, 1.0), "normal(0, sd=2)")
    page = found._repr_html_()
    assert "KL(p||q)" in page
    assert page.count("closed form") >= 1


def test_near_normals_do_not_cancel():
    p, q = st.norm([0.0, 1e-9], 1.0), st.norm(0.0, [1.0 + 1e-9, 1.0])
    np.testing.assert_allclose(kb.kl_divergence(p, q).value, [1e-18, 0.5e-18], rtol=1e-6)


def test_rows_of_probabilities():
    p, q = (
        np.array([[0.2, 0.8], [0.5, 0.5], [0.5, 0.5]]),
        np.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]),
    )
    found = kb.kl_divergence(p, q)
    np.testing.assert_allclose(
        found.value[:2], [0.2 * np.log(0.4) + 0.8 * np.log(1.6), 0.0], atol=1e-15
    )
    assert list(found.kind) == ["exact", "exact", "infinite"]
    assert "infinite" in str(found)


def test_rows_against_one_row_close_to_some_of_them():
    rows = np.array([[0.5, 0.5], [0.1, 0.9], [0.51, 0.49]])
    many, back = kb.kl_divergence(rows, [0.5, 0.5]), kb.kl_divergence([0.5, 0.5], rows)
    for i, row in enumerate(rows):
        for found, one in (
            (many[i], kb.kl_divergence(row, [0.5, 0.5])),
            (back[i], kb.kl_divergence([0.5, 0.5], row)),
        ):
            assert abs(found.value - one.value) <= found.standard_error + one.standard_error


def test_a_histogram_of_two_coordinates_is_no_batch():
    table = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(3, 4)
    with pytest.raises(kb.InputError, match=r"p\.ravel\(\)"):
        kb.kl_divergence(table, table)


def test_shapes_that_do_not_fit():
    with pytest.raises(kb.InputError, match=r"shape \(5,\) and q of shape \(3,\)"):
        kb.kl_divergence(nd.Normal(MEANS, 1.0), nd.Normal(np.zeros(3), 1.0))


def test_float_of_an_estimate():
    assert float(kb.kl_divergence("normal(0, sd=1)", "normal(1, sd=1)")) == 0.5
    assert float(kb.kl_divergence("normal(0, sd=1)", "uniform(0, 1)")) == np.inf
