"""The live page as an API and a command: what it takes, what it refuses, what it writes."""

import pytest

import kullback as kb
from kullback.api.explore import live_of
from kullback.core.errors import InputError, UnsupportedError
from kullback.expressions.parse import parse


def test_the_page_is_set_to_what_was_given(tmp_path):
    place = tmp_path / "page.html"
    live = kb.explore(
        "normal(0, sd=2)",
        "0.25*laplace(1, scale=0.3) + 0.75*cauchy(0, scale=1)",
        path=place,
        units="bits",
    )
    assert live.q == "0.25*laplace(1, scale=0.3) + 0.75*cauchy(0, scale=1)"
    assert place.read_text(encoding="utf-8") == live.html
    assert '"unit": "bits"' in live.html
    assert live._repr_mimebundle_()["text/html"].startswith("<iframe ")
    assert str(place) in repr(live)


def test_it_is_moved_by_hand_and_by_the_screen():
    live = kb.explore("normal(0, sd=2)", "normal(1, sd=1)")
    live.move(q="laplace(0, scale=2)")
    assert (live.p, live.q, live.units) == ("normal(0, sd=2)", "laplace(0, scale=2)", "nats")
    assert '"q": "laplace(0, scale=2)"' in live.html
    with pytest.raises(UnsupportedError, match="q has gamma"):
        live.move(q="gamma(2, rate=1)")
    with pytest.raises(InputError, match="both be densities"):
        live.move(q=[0.5, 0.5])
    assert live.q == "laplace(0, scale=2)"


def test_in_a_notebook_it_is_a_widget():
    pytest.importorskip("anywidget")
    live = kb.explore("normal(0, sd=2)", "normal(1, sd=1)")
    shown = live._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    widget = live._widget
    assert live._repr_mimebundle_().keys() == shown.keys()
    assert live._widget is widget  # shown twice, it is one
    widget.set_state({"p": "normal(3, sd=1)", "unit": "bits"})  # what the screen sends
    assert (live.p, live.units) == ("normal(3, sd=1)", "bits")
    live.move([0.2, 0.8], [0.5, 0.5])
    assert (widget.p, widget.q) == ("categorical([0.2, 0.8])", "categorical([0.5, 0.5])")


def test_expressions_keep_the_digits_that_matter():
    live = kb.explore("normal(0.1, sd=0.3)", "normal(0.3333333333333333, var=2)")
    assert live.p == "normal(0.1, sd=0.3)"
    assert kb.kl_divergence(live.p, live.q).value == pytest.approx(
        kb.kl_divergence("normal(0.1, sd=0.3)", "normal(0.3333333333333333, var=2)").value,
        rel=1e-13,
    )


def test_without_q_it_begins_near_p():
    assert kb.explore().p.startswith("0.3*normal(-2")
    q = parse(kb.explore("normal(5, sd=2)").q)
    assert float(q.loc) == pytest.approx(5.0, abs=0.2)
    assert float(q.scale) == pytest.approx(2.0, abs=0.2)
    assert kb.explore([0.1, 0.9]).q == "categorical([0.5, 0.5])"


def test_a_fit_stands_for_its_q(tmp_path, monkeypatch):
    rows = [[0.1], [0.7], [1.9], [4.0], [4.4], [5.1]]
    fit = kb.fit(kb.Samples(rows), kb.FullRank(), direction="forward")
    assert kb.explore("normal(0, sd=1)", fit).q.startswith("normal(2.7")


def test_a_fit_to_a_known_p_is_both(tmp_path):
    fit = kb.fit("normal(3, sd=2)", kb.FullRank(), direction="reverse")
    kb.save(fit, tmp_path / "fit.kb")
    live = kb.explore(kb.load(tmp_path / "fit.kb"))
    assert live.p == "normal(3, sd=2)"
    assert live.q.startswith("normal(")


@pytest.mark.parametrize(
    ("p", "q", "error", "words"),
    [
        ("gamma(2, rate=1)", None, UnsupportedError, r"p has gamma\(2, rate=1\)"),
        ("normal(0, sd=1)", "poisson(3)", InputError, "both be densities"),
        ("normal(0, sd=1)", " + ".join(["0.125*normal(0, sd=1)"] * 8), UnsupportedError, "q has 8 components"),
        ("mvnormal([0, 0], sd=[1, 1])", "normal(0, sd=1)", UnsupportedError, "p has mvnormal"),
    ],
)  # fmt: skip
def test_what_the_page_does_not_have_is_refused(p, q, error, words):
    with pytest.raises(error, match=words):
        kb.explore(p, q)


def test_reports_have_what_has_a_place_on_the_page():
    live = live_of(parse("normal(0, sd=1)"), parse("normal(1, sd=1)"), "bits")
    assert (live.p, live.q, live.unit) == ("normal(0, sd=1)", "normal(1, sd=1)", "bits")
    assert live_of(parse("normal(0, sd=1)"), parse("gamma(2, rate=1)"), "nats") is None
    assert live_of(parse("normal(0, sd=1)"), parse("poisson(1)"), "nats") is None
