"""Results as frames, figures and pages: in Python, without the command."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from scipy import stats

import kullback as kb
from kullback.core.errors import InputError, UnsupportedError
from kullback.render.document import Figure
from kullback.render.plot import figures
from kullback.views.documents import document_of
from tests.render.pages import words_of

P, Q = "0.3*normal(-2, sd=0.3) + 0.7*normal(1, sd=0.5)", "normal(0, sd=1.5)"


@pytest.fixture(scope="module")
def results():
    rows = np.random.default_rng(0).normal(size=(80, 2))
    return {
        "estimate": kb.kl_divergence(P, Q),
        "many": kb.kl_divergence(np.array([[0.5, 0.5], [0.1, 0.9]]), [0.5, 0.5]),
        "fit": kb.fit(P, kb.Mixture(2), direction="reverse", starts=6),
        "rows": kb.fit(kb.Samples(rows), kb.FullRank(), direction="forward"),
        "gamma": kb.fit(np.abs(rows[:, 0]), "gamma", direction="forward"),
        "diff": kb.diff(rows, rows + np.array([2.0, 0.0]), joint=False),
        "explain": kb.explain(P, Q),
        "plan": kb.plan(P, Q),
        "verify": kb.verify("two-gaussians"),
        "score": kb.score(kb.fit(rows, kb.FullRank(), direction="forward"), rows),
        "density": kb.check_density(stats.skewnorm(2.0)),
        "profile": kb.profile(rows),
        "watch": kb.watch(rows).update(rows + np.array([2.0, 0.0])),
        "loss": kb.check_loss(lambda p, q: np.sum(p * np.log(p / q)), roles={"p": "p probs", "q": "q probs"}),
    }  # fmt: skip


NAMES = ["estimate", "many", "fit", "rows", "gamma", "diff", "explain", "plan", "verify", "score", "density", "profile", "watch", "loss"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_result_is_a_page_an_element_and_a_frame(results, name, tmp_path):
    result = results[name]
    place = result.report(tmp_path / "x.html")
    assert place == tmp_path / "x.html"
    assert len(words_of(place.read_text(encoding="utf-8"))) > 20
    assert result._repr_html_().startswith('<div class="kullback">')
    frame = result.to_frame()
    assert isinstance(frame, pl.DataFrame)
    assert frame.height >= 1


def test_frames_hold_the_numbers(results):
    e = results["estimate"]
    row = e.to_frame().row(0, named=True)
    assert (row["value"], row["low"], row["kind"]) == (e.value, e.interval[0], e.kind)
    optima = results["fit"].to_frame("optima")
    assert optima["divergence"].to_list() == [o.divergence.value for o in results["fit"].optima]
    errors = results["rows"].to_frame()
    assert errors.filter(pl.col("name") == "mean")["standard_error"].is_between(0.05, 0.3).all()
    shape = results["gamma"].to_frame().filter(pl.col("name") == "shape")["value"][0]
    assert shape > 0.0
    columns = results["diff"].to_frame()
    assert columns["name"].to_list() == [c.name for c in results["diff"].columns]
    assert columns["certified_high"].to_list() == [math.inf] * 2
    regions = results["explain"].to_frame()
    assert regions["contribution"].sum() == pytest.approx(results["explain"].total.value, rel=1e-9)
    assert results["explain"].to_frame("estimates")["name"].to_list() == [
        "total",
        "cross_entropy",
        "entropy",
    ]
    assert results["many"].to_frame()["value"][0] == 0.0


def test_frames_are_of_the_library_that_is_asked_for(results):
    pandas = pytest.importorskip("pandas")
    assert isinstance(results["fit"].to_frame("optima", library="pandas"), pandas.DataFrame)
    with pytest.raises(InputError, match="polars, pandas, pyarrow"):
        results["fit"].to_frame(library="excel")
    with pytest.raises(InputError, match="a Fit has no 'regions'; it has parameters, optima"):
        results["fit"].to_frame("regions")


def test_estimates_have_formats(results):
    e = results["estimate"]
    assert f"{e:.3f}" == f"{e.value:.3f}"
    assert f"{e}" == str(e)
    assert f"{e.bits:.4f}" == f"{e.value / math.log(2.0):.4f}"
    unresolved = dataclasses.replace(e, kind="unresolved", notes=("why",))
    with pytest.raises(ValueError, match="it is no number"):
        f"{unresolved:.3f}"


# Pictures.


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_figure_of_a_fit_is_the_data_of_its_page(results, pyplot):
    first = next(figures(document_of(results["fit"])))
    assert isinstance(first, Figure)
    ax = results["fit"].plot()
    assert ax.get_title(loc="left") == first.title == "p and the fitted q"
    drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    q = next(s for s in first.series if s.name.startswith("q"))
    assert np.array_equal(drawn[q.name], q.y)
    assert ax.get_ylim() == pytest.approx(first.y.span)


def test_figures_are_drawn_where_one_says_and_saved_as_one_likes(results, pyplot, tmp_path):
    ax = pyplot.subplots()[1]
    assert results["fit"].plot(ax, figure="log(p/q)") is ax
    for kind in ("svg", "png", "pdf"):
        ax.figure.savefig(tmp_path / f"x.{kind}")
        assert (tmp_path / f"x.{kind}").stat().st_size > 1000


def test_all_figures_can_be_drawn(results, pyplot):
    drawn = 0
    for result in results.values():
        for i, _ in enumerate(figures(document_of(result))):
            ax = result.plot(figure=i)
            getattr(ax, "figure", None) or ax[0][0].figure.canvas.draw()
            pyplot.close("all")
            drawn += 1
    assert drawn > 10


def test_what_has_no_figure_says_so(results):
    with pytest.raises(UnsupportedError, match=r"has no figure; its numbers are in to_frame\(\)"):
        results["plan"].plot()
    with pytest.raises(UnsupportedError, match="there are 0: p and the fitted q; 1: "):
        results["fit"].plot(figure="nothing")


def test_a_fit_knows_its_p_and_keeps_it(results, tmp_path):
    fit = results["fit"]
    assert fit.target is not None
    kb.save(fit, tmp_path / "fit.kb")
    again = kb.load(tmp_path / "fit.kb")
    x = np.linspace(-4.0, 4.0, 9)
    assert np.array_equal(again.target.log_prob(x), fit.target.log_prob(x))
    foreign = kb.fit(stats.skewnorm(2.0), kb.FullRank(), direction="reverse")
    kb.save(foreign, tmp_path / "foreign.kb")
    assert kb.load(tmp_path / "foreign.kb").target is None


def test_looking_costs_nothing_before_one_looks():
    code = (
        "import sys, kullback as kb; e = kb.kl_divergence('normal(0, sd=2)', 'normal(0, sd=3)'); f'{e:.3f}'; print(e.bits);"
        "print([m for m in ('matplotlib', 'pandas', 'polars', 'narwhals', 'kullback.views', 'kullback.render.html') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_corner_is_an_array_of_axes(pyplot):
    from kullback.render.document import Axis, Corner, Document, Section, Series
    from kullback.render.plot import plot

    draws, x = np.random.default_rng(0).normal(size=(50, 2)), np.linspace(-3.0, 3.0, 20)
    margins = tuple((Series("q", x, np.exp(-(x**2)), "q"),) for _ in range(2))
    axes = (Axis("a", (-3.0, 3.0)), Axis("b", (-2.0, 2.0)))
    corner = Corner("pairs", "", axes, margins, (("q", "q", draws),))
    document = Document("t", dict, sections=(Section("s", "", (corner,)),))
    grid = plot(document, None, 0)
    assert grid.shape == (2, 2)
    assert not grid[0][1].get_visible()
    assert grid[1][0].get_ylim() == (-2.0, 2.0)
    assert len(grid[1][0].get_lines()[0].get_xdata()) == 50
    with pytest.raises(InputError, match="several axes"):
        plot(document, pyplot.subplots()[1], 0)


@pytest.mark.slow
def test_a_selection_prints_as_a_table():
    rows = np.random.default_rng(0).gamma(2.0, 1.5, 300)
    selection = kb.fit(rows, ["gamma", "lognormal", "beta"], direction="forward").selection
    lines = str(selection).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert lines[0].startswith("gamma, chosen from 2 candidate(s), by the greatest mean log score")
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["family", "parameters"])
    best, other = (line.split() for line in lines[start + 1 : start + 3])
    score = selection.best.held_out
    assert best[:4] == ["*", "gamma", "2", f"{selection.best.bic:.2f}"]
    assert float(best[4]) == pytest.approx(score.value, abs=0.1 * score.standard_error)
    assert float(best[6]) == pytest.approx(score.standard_error, rel=0.05)
    assert other[0] == "lognormal"
    assert float(other[-3]) == pytest.approx(selection.candidates[1].behind.value, rel=0.1)
    assert lines[start + 3].startswith("left out: beta: ")
    mixed = kb.fit(rows, kb.Mixture("auto"), direction="forward").selection
    assert all(len(line) <= 100 for line in str(mixed).splitlines())
    assert sum(line.startswith("* Mixture(k=") for line in str(mixed).splitlines()) == 1
