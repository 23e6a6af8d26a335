"""The report on a fit to a log density: sound, with the numbers, and nothing drawn that is not known."""

import pytest

pytest.importorskip("jax")

import math
import re
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from kullback.api.fit import fit as fit_fit
from kullback.families import FullRank, MeanField, Mixture
from kullback.render.document import Corner, Figure
from kullback.render.html import render
from kullback.render.svg import draw_corner
from kullback.results.estimate import Estimate
from kullback.results.posterior import Diagnosis, Finding, Rung
from kullback.results.quantity import FORWARD_KL
from kullback.targets import LogDensity
from kullback.views.fit import fit_document
from kullback.views.planes import MOST_PARAMETERS, pictures, worst
from kullback.views.posterior import ladder, sandwich, upper_bound
from tests.render.pages import words_of

NASTY = '<script>alert("1")</script>'


def _two_modes(x):
    a = x[NASTY]
    modes = jnp.logaddexp(-0.5 * jnp.sum((a - 4.0) ** 2), -0.5 * jnp.sum((a + 4.0) ** 2))
    return modes - 0.5 * jnp.log(x["scale"]) ** 2 / 0.25


@pytest.fixture(scope="module")
def fit():
    """A mean-field fit to two modes: one of them is missed."""
    target = LogDensity(
        _two_modes, {NASTY: np.zeros(2), "scale": 1.0}, support={"scale": "positive"}
    )
    return fit_fit(target, "mean_field", direction="reverse")


@pytest.fixture
def trusted(fit):
    fine = Finding("KL(q||p)", "trust", "KL(q||p) = 0.01 ± 0.001 nats")
    return _with(fit, diagnosis=Diagnosis((fine,), "no more"))


def _with(fit, **changes):
    return replace(fit, posterior=replace(fit.posterior, **changes))


def _unresolved(direction):
    return Estimate.unresolved(
        math.nan, "no draws arrived", FORWARD_KL.called(direction), method="m"
    )


def test_the_page_is_sound_and_has_the_numbers(fit):
    text = render(fit_document(fit, key=11))
    words = words_of(text)
    assert NASTY not in text
    assert "&lt;script&gt;" in text
    found = fit.posterior
    assert found.diagnosis.verdict == "do not use"
    assert "✗ do not use" in words
    assert found.diagnosis.decided_by.remedy in words.replace('" ', '"')
    for finding in found.diagnosis.findings:
        assert finding.name in words
        assert finding.text.removeprefix(f"{finding.name} = ") in words
    for e in (found.elbo, fit.reverse_kl, fit.forward_kl):
        assert f"{e.value:.3g}"[:3] in words
    assert all(p.name in words for p in found.parameters)
    assert found.diagnosis.unseen in words
    assert "a mean-field Gaussian" in words
    assert "MeanField()" not in words
    assert "start" in words
    assert len(text) < 300_000


def test_a_fit_that_may_be_trusted_says_so_and_asks_for_nothing(trusted):
    words = words_of(render(fit_document(trusted)))
    assert "✓ trust" in words
    assert "argues against" in words
    assert "what to do" not in words


def test_the_missed_mode_is_seen_in_the_draws(fit):
    corner = pictures(fit, fit.posterior)
    assert isinstance(corner, Corner)
    assert [a.label for a in corner.axes] == [p.name for p in fit.posterior.parameters]
    (_, _, p), (_, _, q) = corner.clouds
    assert p.shape == q.shape
    assert 0.2 < np.mean(p[:, 0] > 0.0) < 0.8
    assert np.mean(q[:, 0] > 0.0) in (0.0, 1.0)
    low, high = corner.axes[0].span
    assert low < -4.0 < 4.0 < high
    p_density, q_density = corner.margins[0]
    for curve in (p_density, q_density):
        assert np.trapezoid(curve.y, curve.x) == pytest.approx(1.0, abs=0.05)
    assert q_density.y.max() > 1.5 * p_density.y.max()


def test_a_narrow_screen_gets_fewer_columns_and_names_of_its_own(fit):
    corner = pictures(fit, fit.posterior)
    wide, narrow = (draw_corner(corner, f"n{i}", narrow=bool(i)) for i in (0, 1))
    assert wide.count('class="box"') == 6
    assert not set(re.findall(r'id="([^"]*)"', wide)) & set(re.findall(r'id="([^"]*)"', narrow))
    many = replace(
        corner,
        axes=corner.axes * 2,
        margins=corner.margins * 2,
        clouds=tuple((n, r, np.hstack([x, x])) for n, r, x in corner.clouds),
    )
    assert draw_corner(many, "m", narrow=True).count('class="box"') == 6
    assert draw_corner(many, "m").count('class="box"') == 21


def test_of_many_parameters_the_worst_are_drawn_first(fit):
    base = fit.posterior.parameters[0]
    shift = replace(base.mean_shift, value=0.0)
    equal = replace(base.shrinkage, value=1.0)
    parameters = [
        replace(base, name=f"b[{i}]", mean_shift=shift, shrinkage=equal) for i in range(9)
    ]
    parameters[7] = replace(parameters[7], shrinkage=replace(equal, value=0.2))
    parameters[3] = replace(parameters[3], mean_shift=replace(shift, value=-0.9))
    parameters[8] = replace(parameters[8], mean_shift=replace(shift, value=math.nan))
    names = worst(tuple(parameters))
    assert len(names) == MOST_PARAMETERS
    assert names[:3] == ["b[8]", "b[7]", "b[3]"]
    assert worst(tuple(parameters[:4])) == ["b[0]", "b[1]", "b[2]", "b[3]"]


def test_one_parameter_is_one_figure(fit):
    one = _with(
        fit,
        parameters=fit.posterior.parameters[-1:],
    )
    figure = pictures(one, one.posterior)
    assert isinstance(figure, Figure)
    words_of(render(fit_document(one)))


def test_draws_that_are_constant_or_over_many_powers_of_ten(fit):
    draws = fit.posterior.draws
    n = len(draws.log_p)
    wide = np.exp(np.linspace(-9.0, 9.0, n))
    odd = {"scale": wide, NASTY: np.zeros((n, 2))}
    shown = _with(fit, draws=replace(draws, plain=odd, tempered=odd))
    figure = pictures(shown, shown.posterior)
    assert isinstance(figure, Figure)
    assert figure.x.log
    words_of(render(fit_document(shown)))
    none = {"scale": np.ones(n), NASTY: np.full((n, 2), np.inf)}
    shown = _with(fit, draws=replace(draws, plain=none, tempered=none))
    assert pictures(shown, shown.posterior) is None
    words_of(render(fit_document(shown)))


def test_the_sandwich_has_its_order_and_errors(fit):
    found = fit.posterior
    eubo = upper_bound(fit, found)
    assert eubo.value == pytest.approx(found.elbo.value + found.jeffreys.value)
    assert eubo.standard_error >= found.jeffreys.standard_error
    figure = sandwich(fit, found)
    assert figure.y.names[0] == "EUBO"
    assert figure.y.names[-1] == "ELBO"
    bars = [s for s in figure.series if s.style == "line"]
    first = bars[0]
    assert first.y[0] == len(figure.y.names) - 1.0
    half = 1.96 * found.elbo.standard_error
    assert first.x == pytest.approx([found.elbo.value - half, found.elbo.value + half])
    low, high = figure.x.span
    assert all(low <= end <= high for s in bars for end in s.x)


def test_what_is_not_known_is_said_and_not_drawn(fit):
    infinite = Estimate.infinite("heavy tails", FORWARD_KL, method="m")
    lost = _with(
        replace(fit, forward_kl=infinite),
        log_evidence=_unresolved("log evidence"),
        routes=(_unresolved("log evidence"),) * 2,
        jeffreys=_unresolved("KL(q||p) + KL(p||q)"),
        agreement=_unresolved("tempered SMC - importance sampling"),
        outside=_unresolved("mass of p outside q"),
        trace=((1, -math.inf, 64), (2, math.nan, 64)),
    )
    figure = sandwich(lost, lost.posterior)
    assert len([s for s in figure.series if s.style == "dots"]) == 1
    assert figure.bands == ()
    words = words_of(render(fit_document(lost)))
    assert "infinite: heavy tails" in words
    assert "unresolved: no draws arrived" in words
    assert "SMC did not reach p" in words
    assert "ELBO trace" not in words


def test_the_ladder_says_what_each_rung_gained(fit):
    elbo = fit.posterior.elbo
    kl = fit.reverse_kl
    rungs = tuple(
        Rung(family, replace(elbo, value=elbo.value + up), kl, verdict, 1234)
        for family, up, verdict in (
            (MeanField(), 0.0, "do not use"),
            (FullRank(), -0.002, "caution"),
            (Mixture(4), 0.5, "trust"),
        )
    )
    climbed = _with(fit, ladder=rungs)
    figure = ladder(climbed.posterior)
    assert figure.y.names == ("mixture of 4", "full rank", "mean field")
    assert [a.text for a in figure.annotations][1:] == ["-0.002 nats", "+0.500 nats"]
    words = words_of(render(fit_document(climbed)))
    assert "ELBO gain of each family" in words
    assert "1 234" in words


def test_a_climb_that_began_deep_is_cut_off_and_says_so(fit):
    end = fit.posterior.elbo.value
    trace = ((10, -1e12, 64), *((20 * i, end - 1.0 / i, 64) for i in range(1, 9)), (500, end, 512))
    words = words_of(render(fit_document(_with(fit, trace=trace))))
    assert "1 of 10 steps lie below" in words
