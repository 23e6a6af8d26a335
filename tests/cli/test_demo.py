import contextlib
import io

import pytest

from kullback.cli.app import main


@pytest.fixture(scope="module")
def printed() -> str:
    """What the demo prints, with enough starts to meet the best optima."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(("demo", "--starts", "12", "--no-report")) == 0
    assert err.getvalue() == ""
    return out.getvalue()


def test_demo_prints_both_optima_and_the_verdict(printed):
    rows = [line.split() for line in printed.splitlines()]
    assert any(
        row[:4] == "forward fit KL(p||q) =".split() and row[4][:7] == "0.27020" for row in rows
    )
    assert any(
        row[:4] == "reverse fit KL(q||p) =".split() and row[4][:7] == "0.35241" for row in rows
    )
    words = " ".join(printed.split())
    assert (
        "The forward fit covers all 3 modes of p; the reverse fit covers 2 modes of p and drops the mode at x = "
        in words
    )
    assert "0.356675 nats" in printed
    assert any(row[:3] == ["forward", "loss", "0.0012"] and row[-1] == "refuted" for row in rows)
    assert any(row[:3] == ["reverse", "loss", "0.3524"] and row[-1] == "confirmed" for row in rows)
    assert "not on one scale" in words
    assert "s of CPU time" in printed


def test_mirror_images_share_a_row(printed):
    best = [line for line in printed.splitlines() if line.startswith("#") and "0.27020" in line]
    assert len(best) == 1
    assert "of 12" in best[0]


def test_demo_json_and_report(run, tmp_path):
    ran = run("demo", "--starts", "12", "--json")
    assert ran.code == 0
    body = ran.json
    assert (body["schema"], body["command"]) == (2, "demo")
    assert body["forward"]["divergence"]["value"] == pytest.approx(0.2702, abs=1e-4)
    assert body["reverse"]["divergence"]["value"] == pytest.approx(0.3524, abs=1e-4)
    assert body["reverse"]["coverage"]["dropped"] == pytest.approx(0.3, abs=0.01)
    assert body["price"]["value"] == pytest.approx(0.356675, abs=1e-6)
    assert body["report"] == "kullback-demo.html"
    assert "<html" in (tmp_path / "kullback-demo.html").read_text()


def test_lines_are_not_too_wide(printed):
    assert max(map(len, printed.splitlines())) <= 100
