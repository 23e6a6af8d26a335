"""Whole pages: they parse, hold the numbers of the results, fetch nothing, run nothing."""

from dataclasses import replace

import numpy as np
import pytest

from kullback._version import __version__
from kullback.api.explain import explain
from kullback.api.fit import fit as fit_fit
from kullback.api.measure import kl_divergence
from kullback.distributions.base import Foreign, Support
from kullback.distributions.vector import MultivariateNormal
from kullback.expressions.parse import parse
from kullback.families import FullRank, Mixture
from kullback.render.html import render
from kullback.results.contributions import Coverage, ModeCover
from kullback.results.demo import Demo
from kullback.results.directions import Side, Sides
from kullback.results.estimate import Estimate
from kullback.results.fit import Optimum
from kullback.results.quantity import FORWARD_KL, REVERSE_KL
from kullback.results.verification import ClaimFinding, Verification
from kullback.views.claims import (
    demo_document,
    verification_document,
)
from kullback.views.curves import divergence_of
from kullback.views.fit import fit_document
from kullback.views.measure import kl_document
from kullback.views.optima import optima_table
from tests.render.pages import words_of

TARGET = "0.3*normal(-2, sd=0.3)+0.4*normal(0, sd=0.4)+0.3*normal(2, sd=0.3)"
NASTY = '<script>alert("1")</script>'


def _kl(p, q, forward, reverse) -> str:
    values = divergence_of(forward, "forward"), divergence_of(reverse, "reverse")
    sides = Sides(Side("forward", values[0]), Side("reverse", values[1]))
    return render(kl_document((NASTY, "q"), sides, pair=lambda: (p, q, forward, reverse)))


@pytest.fixture(scope="module")
def fits():
    return {d: fit_fit(TARGET, Mixture(2), direction=d, starts=8) for d in ("forward", "reverse")}


@pytest.fixture(scope="module")
def claims():
    found = Estimate.numeric(2.703533, 1e-12, FORWARD_KL, method="quadrature")
    return Verification(
        f"A title with {NASTY}",
        "an article & more",
        (
            ClaimFinding("forward loss", 0.0012, "refuted", found, remark="another fit is better"),
            ClaimFinding("reverse loss", 0.3524, "confirmed", found, reading="2 is a variance"),
            ClaimFinding(NASTY, None, "cannot tell", None),
        ),
    )


@pytest.fixture(scope="module")
def demo(fits, claims):
    modes = [(-2.0, 0.3, 0.28, "covered"), (0.0, 0.4, 0.41, "thin"), (2.0, 0.3, 0.002, "dropped")]
    covers = tuple(ModeCover(f"mode at x = {m:.2f}", m - 1, m + 1, p, q, v) for m, p, q, v in modes)
    cover = Coverage(covers, 0.0227, 0.3)
    p = parse(TARGET)
    return Demo(
        target=p,
        forward=fits["forward"],
        reverse=fits["reverse"],
        forward_cover=cover,
        reverse_cover=cover,
        forward_parts=explain(p, fits["forward"].q),
        reverse_parts=explain(fits["reverse"].q, p),
        price=Estimate.exact(0.356675, FORWARD_KL.called("KL(p_A||p)"), method="-log p(A)"),
        claims=claims,
        seconds=1.25,
    )


def test_demo(demo):
    text = render(demo_document(demo, key=17))
    words = words_of(text)
    for fit in (demo.forward, demo.reverse):
        for e in (fit.forward_kl, fit.reverse_kl, *(o.divergence for o in fit.optima)):
            assert f"{e.value:#.6g}" in words
    for region in (*demo.forward_parts.regions, *demo.reverse_parts.regions):
        assert f"{region.contribution.value:+.6f}" in words
    for expected in ("KL(p||q)", "KL(q||p)", "0.356675", "2.27 %", "dropped", "thin", "covered",
                     "refuted", "confirmed", "cannot tell", "numeric", "17", "1.2", __version__):  # fmt: skip
        assert expected in words
    assert NASTY not in text


def test_reverse_regions_keep_their_masses_apart(demo):
    row = demo.reverse_parts.regions[0]
    text = render(demo_document(demo))
    cells = f'{100 * row.mass_q:.2f} %</td><td class="num">{100 * row.mass_p:.2f} %'
    assert cells in text


def test_mirror_images_are_named(fits):
    notes = [row[-1] for row in optima_table(fits["forward"], "").rows]
    assert any("and its mirror image about x = " in n for n in notes)


def test_verification(claims):
    text = render(verification_document(claims, key=3))
    words = words_of(text)
    assert NASTY not in text
    for expected in ("2.70353 ± 1.0e-12", "0.0012", "2 is a variance", "1 refuted", "not computed"):
        assert expected in words


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ("normal(0, sd=1)", "student_t(3, 0.5, scale=1.2)"),
        ("uniform(0, 2)", "uniform(1, 3)"),
        ("poisson(4)", "negative_binomial(3, failure=0.5)"),
        ("gamma(0.3, scale=1)", "lognormal(0, sd=2)"),
        ("categorical([0.5, 0.3, 0.2])", "categorical([0.2, 0, 0.8])"),
        ("product(normal(0, sd=1), normal(0, sd=2))", "product(normal(0, sd=1), normal(1, sd=2))"),
        ("normal(1e9, sd=1e-3)", "normal(1e9, sd=2e-3)"),
    ],
)
def test_kl(p, q):
    p, q = parse(p), parse(q)
    forward, reverse = explain(p, q), explain(q, p)
    words = words_of(_kl(p, q, forward, reverse))
    for parts, name, direction in (
        (forward, "KL(p||q)", "forward"),
        (reverse, "KL(q||p)", "reverse"),
    ):
        value = parts.total.value
        written = "∞" if np.isinf(value) else f"{value:#.6g}"
        assert f"{name}, {direction} {written}" in " ".join(words.split())


def test_kl_without_regions():
    p, q = parse("dirichlet([1, 2, 3])"), parse("dirichlet([2, 2, 2])")
    forward = kl_divergence(p, q)
    reverse = Estimate.exact(0.5, REVERSE_KL, method="m")
    words = words_of(_kl(p, q, forward, reverse))
    assert "Not drawn" in words
    assert f"{forward.value:#.6g}" in words


def test_logarithmic_axis_where_mass_spreads_over_powers_of_ten():
    p, q = parse("gamma(0.3, scale=1)"), parse("lognormal(0, sd=2)")
    assert "density of log x" in _kl(p, q, explain(p, q), explain(q, p))


def test_fit_to_a_density(fits):
    fit = fits["reverse"]
    words = words_of(render(fit_document(fit, parse(TARGET), None, (), key=5)))
    assert f"{fit.divergence.value:#.6g}" in words
    assert "mirror image" in words


@pytest.mark.parametrize("d", [1, 2, 5])
def test_fit_to_samples(d):
    x = np.random.default_rng(0).normal(size=(60, d)) * np.logspace(-3, 3, d)
    columns = tuple(f"{NASTY}{i}" for i in range(d))
    fit = fit_fit(x, FullRank(), direction="forward")
    text = render(fit_document(fit, None, x, columns))
    words = words_of(text)
    assert NASTY not in text
    assert "&lt;script&gt;" in text
    assert str(fit.held_out).split(" = ")[1].split(" ±")[0] in words
    assert fit.notes[0] in words


def test_weighted_samples_weigh():
    x = np.concatenate([np.zeros(50), np.ones(50)])[:, None] + np.linspace(0, 0.1, 100)[:, None]
    fit = fit_fit(x, FullRank(), direction="forward")
    plain, weighted = (
        render(fit_document(fit, None, x, ("x",), weights=w))
        for w in (None, np.repeat([1.0, 3.0], 50))
    )
    words_of(weighted)
    assert plain != weighted


def test_fit_to_a_plane_is_drawn_by_contours(fits):
    p = Foreign(
        "p", Support("real", dimension=2), lambda x: -((x[:, 0] - x[:, 1] ** 2) ** 2) - x[:, 1] ** 2
    )
    q = MultivariateNormal(np.zeros(2), np.eye(2))
    optimum = Optimum(q, fits["forward"].divergence, 1.0)
    fit = replace(fits["forward"], q=q, optima=(optimum,), path=(q,))
    assert "50, 90 and 99 %" in words_of(render(fit_document(fit, p, None, ("a", "b"))))
