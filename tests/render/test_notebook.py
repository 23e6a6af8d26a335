"""What a notebook shows of each result: sound HTML that leaves the notebook around it alone."""

import re

import numpy as np
import pytest

import kullback as kb
from kullback.results.verification import Verification
from tests.render.pages import _Page


@pytest.fixture(scope="module")
def results():
    rows = np.random.default_rng(0).normal(size=(60, 2))
    loss = lambda p, q: np.sum(p * np.log(p / q))
    return {
        "Estimate": kb.kl_divergence("normal(0, sd=2)", "normal(0, sd=3)"),
        "Fit": kb.fit("normal(0, sd=2)", kb.FullRank(), direction="forward"),
        "Diff": kb.diff(rows, rows + 2.0, joint=False),
        "Plan": kb.plan("normal(0, sd=2)", "normal(0, sd=3)"),
        "Contributions": kb.explain("normal(0, sd=2)", "normal(0, sd=3)"),
        "Verification": Verification("<b>title</b>", "a source", ()),
        "LossReport": kb.check_loss(loss, roles={"p": "p probs", "q": "q probs"}),
    }


@pytest.mark.parametrize(
    "name", ["Estimate", "Fit", "Diff", "Plan", "Contributions", "Verification", "LossReport"]
)
def test_every_result_is_shown(results, name):
    result = results[name]
    assert type(result).__name__ == name
    text = result._repr_html_()
    page = _Page(text)
    assert text.startswith('<div class="kullback"><style>.kullback{')
    assert not {"html", "body", "script", "main"} & set(page.tags)
    assert len(set(page.ids)) == len(page.ids)
    assert "<b>title" not in text
    assert not re.search(r"(?<![\w-])(:root|body|main)\{", text)
    assert text == result._repr_html_()


def test_the_numbers_are_those_of_the_result(results):
    assert "0.127687 nats" in results["Estimate"]._repr_html_()
    assert "closed form" in results["Estimate"]._repr_html_()
    assert "0.127687" in results["Contributions"]._repr_html_()
    assert "they differ" in results["Diff"]._repr_html_()
