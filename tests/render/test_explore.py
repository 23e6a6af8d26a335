"""The live page: its numbers are Python's, its errors hold, it is one small file that says nothing in the console."""

import json
import math
import re
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

import kullback as kb
from kullback.render import explore as widget_of
from kullback.render.explore import page
from tests.render.browser import needs_browser
from tests.render.pages import _Page

THREE = "0.3*normal(-2, sd=0.3) + 0.4*normal(0, sd=0.4) + 0.3*normal(2, sd=0.3)"
TWO = "0.52*normal(-1.98, sd=0.41) + 0.48*normal(1.97, sd=0.42)"


def test_the_page_is_one_small_file():
    text = page(THREE, TWO, "nats")
    assert len(text.encode()) < 80_000
    parsed = _Page(text)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert not {"img", "iframe", "object"} & set(parsed.tags)
    assert "http" not in text
    assert "@import" not in text
    assert not re.search(r"\b(fetch|XMLHttpRequest|eval|WebSocket)\(", text)


def test_what_is_given_cannot_leave_its_place():
    text = page("</script><script>alert(1)", "q", "nats", title="<b>")
    assert "<script>alert" not in text
    assert "<title>&lt;b&gt;" in text


# Against Python.


def _component(rng) -> str:
    loc, scale = round(rng.normal(0.0, 3.0), 3), round(10.0 ** rng.uniform(-0.8, 0.8), 4)
    match rng.choice(["normal", "normal", "student_t", "laplace", "logistic", "cauchy", "uniform"]):
        case "normal":
            return f"normal({loc}, sd={scale})"
        case "student_t":
            return f"student_t({rng.choice([1.5, 2.2, 3.0, 5.0, 30.0])}, loc={loc}, scale={scale})"
        case "uniform":
            return f"uniform({loc - scale}, {loc + scale})"
        case name:
            return f"{name}({loc}, scale={scale})"


def _mixture(rng) -> str:
    k = int(rng.choice([1, 1, 2, 3, 5]))
    weights = [float(w) for w in rng.dirichlet(np.full(k, 2.0)).round(3)]
    weights[-1] = round(1.0 - math.fsum(weights[:-1]), 3)
    if k == 1 or weights[-1] <= 0.0:
        return _component(rng)
    return " + ".join(f"{w}*{_component(rng)}" for w in weights)


def _outcomes(rng, k) -> str:
    p = rng.dirichlet(np.full(k, 0.7))
    p[rng.uniform(size=k) < 0.1] = 0.0
    return f"categorical({[float(v) for v in p / p.sum()]})"


def _settings(n):
    rng = np.random.default_rng(18)
    for i in range(n):
        if i % 10 == 9:
            k = int(rng.integers(2, 12))
            yield _outcomes(rng, k), _outcomes(rng, k)
        else:
            yield _mixture(rng), _mixture(rng)


def _number(value) -> float:
    return float(str(value).replace("Infinity", "inf"))


MEASURE = """
const all = %s;
return all.map(([p, q]) => {
  const a = kullback.parsed(p), b = kullback.parsed(q);
  const r = a.outcomes ? kullback.measureOutcomes(a.outcomes, b.outcomes) : kullback.measureLine(a.parts, b.parts);
  return { forward: r.forward, reverse: r.reverse, overlap: r.overlap, again: kullback.written(kullback.parsed(kullback.written(a))) === kullback.written(a) };
});
"""


@needs_browser
@pytest.mark.parametrize("n", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_numbers_are_those_of_python(browser, n):
    settings = list(_settings(n))
    browser.open(page(THREE, TWO, "nats"))
    found = browser.run(MEASURE % json.dumps(settings))
    assert browser.said == []
    compared = 0
    for (p, q), answer in zip(settings, found, strict=True):
        assert answer["again"], (p, q)
        for name, (a, b) in {"forward": (p, q), "reverse": (q, p)}.items():
            truth, here = kb.kl_divergence(a, b), answer[name]
            value, error = _number(here["value"]), _number(here["error"])
            if truth.kind == "unresolved":
                continue
            if truth.kind == "infinite":
                assert here["kind"] == "infinite", (a, b, truth, here)
                continue
            assert here["kind"] in ("exact", "numeric"), (a, b, truth, here)
            gap = abs(value - truth.value)
            assert gap <= 1e-9 * max(1.0, truth.value), (a, b, truth, here)
            assert gap <= error + truth.standard_error + 4e-15 * truth.value, (a, b, truth, here)
            compared += 1
    assert compared > n


@needs_browser
def test_what_both_share_is_one_less_the_total_variation(browser):
    settings = [s for s in _settings(40) if "categorical" not in s[0]][:12]
    browser.open(page(THREE, TWO, "nats"))
    found = browser.run(MEASURE % json.dumps(settings))
    for (p, q), answer in zip(settings, found, strict=True):
        truth = kb.divergence(p, q, kind="total_variation")
        assert answer["overlap"] == pytest.approx(
            1.0 - truth.value, abs=1e-9 + truth.standard_error
        )


OPTIMA = """
const like = kullback.parsed(%s).parts, p = kullback.compiled(kullback.parsed(%s).parts);
return ["forward", "reverse"].map((d) => {
  const end = kullback.ended(kullback.objective(p, like, d), kullback.encoded(like));
  return { value: end.value, slope: end.slope, q: kullback.written({ parts: kullback.decoded(end.theta, like) }) };
});
"""


@needs_browser
@pytest.mark.parametrize(
    ("p", "q", "family"),
    [
        ("0.5*normal(-2, sd=0.7) + 0.5*normal(2, sd=0.7)", "normal(2, sd=0.7)", kb.FullRank()),
        pytest.param(
            THREE,
            "0.43*normal(-2, sd=0.3) + 0.57*normal(0, sd=0.42)",
            kb.Mixture(2),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_descents_end_where_fits_do(browser, p, q, family):
    browser.open(page(THREE, TWO, "nats"))
    found = browser.run(OPTIMA % (json.dumps(q), json.dumps(p)))
    for end, direction in zip(found, ("forward", "reverse"), strict=True):
        assert end["slope"] < 1e-6
        best = kb.fit(p, family, direction=direction)
        near = min(abs(o.divergence.value - end["value"]) for o in best.optima)
        assert near < 1e-8
        a, b = (p, end["q"]) if direction == "forward" else (end["q"], p)
        assert kb.kl_divergence(a, b).value == pytest.approx(end["value"], abs=1e-9)


@needs_browser
def test_expected_excess(browser):
    """d/2 over n where p is in the family; for a normal by p of variance v and fourth moment m4, (1 + (m4/v^2 - 1)/2)/2."""
    browser.open(page(THREE, TWO, "nats"))
    script = "return kullback.excessOf(kullback.compiled(kullback.parsed(%s).parts), kullback.parsed(%s).parts);"
    one = "normal(1, sd=2)"
    assert browser.run(script % (json.dumps(one), json.dumps(one))) == pytest.approx(1.0, rel=1e-6)
    assert browser.run(script % (json.dumps(TWO), json.dumps(TWO))) == pytest.approx(2.5, rel=1e-5)
    # A Laplace distribution of scale 1: variance 2, fourth moment 24.
    best = f"normal(0, sd={math.sqrt(2.0)!r})"
    found = browser.run(script % (json.dumps("laplace(0, scale=1)"), json.dumps(best)))
    assert found == pytest.approx(0.5 * (1.0 + (24.0 / 4.0 - 1.0) / 2.0), rel=1e-5)


# In a notebook.

NOTEBOOK = """
window.model = (() => {
  const values = %s, hands = {};
  const set = (name, value) => { if (values[name] !== value) { values[name] = value; (hands[`change:${name}`] || []).forEach((f) => f()); } };
  return { get: (name) => values[name], set, save_changes: () => { saved += 1; }, on: (e, f) => (hands[e] ??= []).push(f),
           off: (e, f) => { hands[e] = hands[e].filter((g) => g !== f); }, hands };
})();
window.saved = 0;
"""


@needs_browser
def test_in_a_notebook_p_and_q_go_both_ways(browser):
    """anywidget's contract: a module whose render is given a model and an element."""
    values = {"p": "normal(0, sd=2)", "q": "normal(1, sd=1)", "unit": "nats", "height": 700}
    values["page"] = page(values["p"], values["q"], "nats")
    module = (Path(widget_of.__file__).with_name("page") / "widget.js").read_text(encoding="utf-8")
    script = NOTEBOOK % json.dumps(values).replace("<", "\\u003c")
    browser.open(
        f'<!DOCTYPE html><link rel="icon" href="data:,"><div id="el"></div><script>{script}</script>'
        f"<script type=module>{module.replace('export default', 'window.widget =')}"
        "window.close_it = widget.render({ model, el: document.getElementById('el') });</script>"
    )
    wait = "await new Promise((r) => setTimeout(r, 1200));"
    inside = "document.querySelector('iframe').contentWindow.kullback"
    browser.run(wait)
    browser.run(f"{inside}.become('normal(5, sd=1)', 'laplace(0, scale=1)'); {wait}")
    assert browser.run("return [model.get('p'), model.get('q'), saved > 0]") == ["normal(5, sd=1)", "laplace(0, scale=1)", True]  # fmt: skip
    browser.run(f"model.set('q', 'normal(-1, sd=3)'); {wait}")
    assert browser.run(f"return {inside}.written({inside}.state().q)") == "normal(-1, sd=3)"
    browser.run(f"model.set('q', 'nonsense(1)'); {wait}")
    assert browser.run(f"return {inside}.written({inside}.state().q)") == "normal(-1, sd=3)"
    assert "nonsense" in browser.run("return document.querySelector('iframe').contentDocument.getElementById('said').textContent")  # fmt: skip
    # What closes lets go of the model.
    assert browser.run("close_it(); return Object.values(model.hands).flat().length") == 0
    assert browser.said == []


# The page in the hand.

PLACE = """
const box = document.querySelector('[aria-label^="%s"]').getBoundingClientRect();
return [box.left + box.width / 2, box.top + box.height / 2];
"""
NOW = "await new Promise((r) => setTimeout(r, 60)); return kullback.written(kullback.state().%s);"
FIRST = re.compile(r"([\d.]+)\*normal\((-?[\d.]+), sd=([\d.]+)\)")


def _dragged(browser, label, dx, dy):
    """Drags a handle and returns weight, mean and sd of q's first component."""
    x, y = browser.run(PLACE % label)
    browser.mouse("Pressed", x, y)
    for share in (0.3, 0.7, 1.0):
        browser.mouse("Moved", x + share * dx, y + share * dy)
    browser.mouse("Released", x + dx, y + dy)
    return [float(v) for v in FIRST.match(browser.run(NOW % "q")).groups()]


@needs_browser
def test_handles_answer_to_the_mouse(browser):
    browser.open(page(THREE, TWO, "nats"))
    assert browser.run("return document.getElementById('forward').textContent") == "2.70353 nats"
    weight, mean, sd = _dragged(browser, "q, component 1: location", 60, 0)
    assert (weight, sd) == (0.52, 0.41)
    assert mean > -1.9
    assert _dragged(browser, "q, component 1: standard", 40, 0)[2] > 0.5
    assert _dragged(browser, "q, component 1: location", 0, -60)[0] > 0.55
    shown = browser.run(
        "return [document.getElementById('forward').textContent, kullback.written(kullback.state().q)]"
    )
    truth = kb.kl_divergence(THREE, shown[1])
    assert shown[0] == f"{truth.value:#.6g} nats"
    for _ in range(3):
        browser.run("document.getElementById('undo').click()")
    assert browser.run(NOW % "q") == TWO
    assert browser.said == []


@needs_browser
def test_handles_answer_to_keys(browser):
    browser.open(page(THREE, TWO, "nats"))
    browser.run("document.querySelector('[aria-label^=\"q, component 1: location\"]').focus()")
    browser.key("ArrowRight", 39)
    browser.key("ArrowUp", 38)
    weight, mean, _ = (float(v) for v in FIRST.match(browser.run(NOW % "q")).groups())
    assert weight == 0.53
    assert -1.98 < mean < -1.8
    assert browser.run("return document.activeElement.getAttribute('aria-valuetext')").endswith(
        "weight 0.53"
    )
    # From the first to the last, each control can be reached and has a name.
    unnamed = """
    return [...document.querySelectorAll("input, select, textarea, button, [role=slider], svg[role=img]")]
      .filter((n) => !(n.getAttribute("aria-label") || n.labels?.length || n.textContent.trim())).map((n) => n.outerHTML);
    """
    assert browser.run(unnamed) == []
    assert browser.said == []


CLICKS = """
const wait = (ms) => new Promise((r) => setTimeout(r, ms)), text = (id) => document.getElementById(id).textContent, seen = {};
const until = async (f) => { for (let i = 0; i < 600 && !f(); i++) await wait(100); return f(); };
document.querySelector('input[value="bits"]').click();
seen.bits = text("reverse");
document.getElementById("run-reverse").click();
await until(() => text("fitting").includes("steps"));
seen.descent = text("fitting");
document.getElementById("all").click();
await until(() => text("optima").includes("reverse optima"));
seen.optima = text("optima");
await until(() => text("samples").includes("excess"));
await wait(600);
seen.samples = text("samples"); seen.hash = location.hash; seen.code = text("code");
return seen;
"""


@needs_browser
def test_descents_optima_and_samples(browser):
    browser.open(page(THREE, "0.45*normal(-2, sd=0.4) + 0.55*normal(0.2, sd=0.5)", "nats"))
    seen = browser.run(CLICKS)
    assert seen["bits"].endswith("bits")
    best = {"forward": 0.2702006511, "reverse": 0.3524138103}
    for direction, value in best.items():
        assert f"{value / math.log(2.0):.6g}" in seen["optima"], direction
    assert f"{best['reverse'] / math.log(2.0):.6g} bits" in seen["descent"]
    assert "d/(2n) = 5/400" in seen["samples"]
    assert "tr(H⁻¹G)" in seen["samples"]
    assert "k3 of KL(q‖p)" in seen["samples"]
    assert seen["hash"].startswith("#p=")
    assert "kb.kl_divergence(p, q)" in seen["code"]
    assert browser.said == []


@needs_browser
def test_a_link_sets_the_page(browser):
    browser.open(
        page(THREE, TWO, "nats"),
        link=f"p={quote('cauchy(0, scale=1)')}&q={quote('normal(0, sd=2)')}&unit=bits",
    )
    assert browser.run(NOW % "p") == "cauchy(0, scale=1)"
    assert browser.run("return kullback.state().unit") == "bits"
    assert browser.run("return document.getElementById('forward').textContent") == "infinite"
    browser.open(page(THREE, TWO, "nats"), link="p=gamma(2)")
    assert "there is no gamma" in browser.run("return document.getElementById('said').textContent")
    assert browser.run(NOW % "p") == THREE


LAYOUT = """
await new Promise((r) => setTimeout(r, 1500));
const width = document.documentElement.clientWidth, said = (n) => n.outerHTML.slice(0, 160);
const all = [...document.querySelectorAll("header *, main *, footer *")].filter((n) => n.getBoundingClientRect().width && !n.closest(".scroll") && !n.closest("svg"));
const out = all.filter((n) => { const b = n.getBoundingClientRect(); return b.right > width + 1 || b.left < -1; }).map(said);
const clipped = all.filter((n) => n.matches(".value, .detail, dd, dt, button, h1, h2, h3, label") && n.scrollWidth > n.clientWidth + 1 && n.clientWidth).map(said);
const texts = [...document.querySelectorAll("svg")].flatMap((s) => { const list = [...s.querySelectorAll("text")].map((t) => [t, t.getBoundingClientRect()]).filter(([, b]) => b.width), frame = s.getBoundingClientRect();
  return list.filter(([, b], i) => b.left < frame.left - 1 || b.right > frame.right + 1 || list.some(([, c], j) => j > i && b.left < c.right - 1 && c.left < b.right - 1 && b.top < c.bottom - 3 && c.top < b.bottom - 3)).map(([t]) => s.id + ": " + t.textContent); });
return { out, clipped, texts };
"""


@needs_browser
@pytest.mark.parametrize(
    "width", [320, *(pytest.param(w, marks=pytest.mark.slow) for w in (1200, 800, 400))]
)
@pytest.mark.parametrize(
    ("p", "q"),
    [
        (THREE, TWO),
        ("cauchy(1e5, scale=1e4)", "student_t(3, loc=2e5, scale=12345.678)"),
        ("[0.5, 0.25, 0.25]", "[0.1, 0, 0.9]"),
    ],
)
def test_nothing_leaves_the_page_or_covers_anything(browser, width, p, q):
    browser.open(page(p, q, "nats"), size=(width, 900), touch=width < 500)
    assert browser.run(LAYOUT) == {"out": [], "clipped": [], "texts": []}
    assert browser.said == []


PACE = """
const medians = [];
for (let batch = 0; batch < 16; batch++) {
  const times = [];
  for (let i = 0; i < 25; i++) {
    kullback.move(%s, `0.52*normal(${-1.98 + 0.01 * i}, sd=0.41) + 0.48*normal(1.97, sd=0.42)`);
    times.push(kullback.pace());
  }
  medians.push(times.sort((a, b) => a - b)[12]);
  await new Promise((r) => setTimeout(r, 40));
}
return medians;
"""


@needs_browser
def test_a_redraw_takes_a_few_milliseconds(browser):
    browser.open(page(THREE, TWO, "nats"))
    # Other processes may take the time of some batches, not of all.
    assert min(browser.run(PACE % json.dumps(THREE))) < 4.0


EXAMPLES = """
const box = document.getElementById("preset"), seen = [];
for (const option of [...box.options].slice(1)) {
  box.value = option.value;
  box.dispatchEvent(new Event("change"));
  const s = kullback.state(), r = kullback.result();
  seen.push([option.textContent, kullback.written(s.p), kullback.written(s.q), r.forward, r.reverse]);
}
return seen;
"""


@needs_browser
def test_the_examples_are_those_of_python(browser):
    browser.open(page(THREE, TWO, "nats"))
    seen = browser.run(EXAMPLES)
    assert browser.said == []
    assert len(seen) >= 10
    for name, p, q, forward, reverse in seen:
        for (a, b), here in (((p, q), forward), ((q, p), reverse)):
            truth = kb.kl_divergence(a, b)
            assert (truth.kind == "infinite") == (here["kind"] == "infinite"), name
            if truth.kind != "infinite":
                assert _number(here["value"]) == pytest.approx(truth.value, abs=1e-9), name
