"""A report in the browser and on disk: its foot, its figures as files, the live page in it."""

import hashlib
import re

import pytest

import kullback as kb
from kullback.render.document import Document
from kullback.render.html import render, signed
from tests.render.browser import needs_browser
from tests.render.pages import words_of

SHARP, WIDE = "normal(0, sd=2)", "0.5*normal(0, sd=3) + 0.5*normal(4, sd=1)"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    fit = kb.fit(WIDE, kb.FullRank(), direction="reverse", starts=4)
    return fit.report(tmp_path_factory.mktemp("report") / "fit.html").read_text(encoding="utf-8")


def test_a_report_says_when_and_with_what_it_was_made(report, monkeypatch):
    assert re.search(r"made 20\d\d-\d\d-\d\d \d\d:\d\d UTC", words_of(report).replace("  ", " "))
    assert "numpy" in words_of(report)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    page = render(signed(Document("t", dict), (("command", "kullback <b>"),)))
    assert "1970-01-01 00:00 UTC" in page
    assert "kullback &lt;b&gt;" in page


def test_a_report_holds_the_live_page_of_its_p_and_q(report):
    assert report.count("srcdoc='") == 1
    assert len(report.encode()) < 250_000
    other = kb.fit("gamma(2, rate=1)", "gamma", direction="forward").report
    assert callable(other)
    assert "srcdoc=" not in render(Document("t", dict))


OPENED = """
document.querySelector("details.live").open = true;
const frame = document.querySelector("iframe");
frame.scrollIntoView();
for (let i = 0; i < 100 && !frame.contentDocument?.getElementById("forward")?.textContent; i++) await new Promise((r) => setTimeout(r, 100));
return [frame.contentDocument.getElementById("reverse").textContent, frame.contentDocument.getElementById("link").hidden];
"""
KEPT = """
const kept = [];
URL.createObjectURL = (blob) => { kept.push(blob); return "data:,"; };
HTMLAnchorElement.prototype.click = function () { kept.push(this.download); };
document.querySelector(".save button").click();
const image = new Image(), text = await kept[0].text();
await new Promise((yes, no) => { image.onload = yes; image.onerror = no; image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text); });
return [kept[1], text, image.width];
"""


@needs_browser
def test_the_report_in_a_browser(browser, report):
    browser.open(report, size=(1000, 900))
    value, hidden = browser.run(OPENED)
    assert re.fullmatch(r"0\.\d+ nats", value)
    assert hidden
    name, text, width = browser.run(KEPT)
    assert name == "p-and-the-fitted-q.svg"
    assert width == 940
    assert "@media" not in text
    assert 'id="hatch"' in text
    assert browser.said == []


def test_the_command_and_what_it_read_are_in_the_foot(tmp_path, monkeypatch, capsys):
    from kullback.cli.app import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("p\n0.5\n0.5\n")
    (tmp_path / "q.csv").write_text("q\n0.9\n0.1\n")
    assert main(["kl", "p.csv", "q.csv", "--report", "kl.html"]) == 0
    capsys.readouterr()
    words = words_of((tmp_path / "kl.html").read_text(encoding="utf-8"))
    digest = hashlib.sha256(b"p\n0.5\n0.5\n").hexdigest()[:16]
    assert "kullback kl p.csv q.csv --report kl.html" in words
    assert f"p.csv (sha256 {digest})" in words
    assert "kl.html (" not in words
