"""`kullback logits`: from files to an answer, a report and an exit code."""

import json

import numpy as np
import pytest


def archive(name, logits, **more):
    np.savez(name, logits=logits, **more)


def models(rng, n=300, v=30):
    base = 2.0 * rng.normal(size=(n, v))
    tokens = rng.integers(0, v, n)
    documents = np.arange(n) // 20
    archive("base.npz", base, tokens=tokens, documents=documents)
    archive("near.npz", base + 0.05 * rng.normal(size=base.shape), tokens=tokens)
    archive("far.npz", base + 0.5 * rng.normal(size=base.shape), tokens=tokens)


def test_models_are_ranked(run):
    models(np.random.default_rng(0))
    ran = run("logits", "base.npz", "far.npz", "near.npz", "--report", "page.html")
    assert ran.code == 0
    assert ran.out.index("near") < ran.out.index("far - ") if "far - " in ran.out else True
    assert "near - far" in ran.out
    assert "All differ by more than chance" in ran.out
    assert "15 documents are taken for independent" in ran.out
    with open("page.html") as page:
        assert "Which positions contribute: far" in page.read()


def test_json_holds_both_directions_and_intervals(run):
    models(np.random.default_rng(0))
    answer = run("logits", "base.npz", "near.npz", "--json").json
    (model,) = answer["models"]
    assert model["forward"]["direction"] == "KL(base||other)"
    assert model["reverse"]["direction"] == "KL(other||base)"
    low, high = model["forward"]["interval"]
    assert 0.0 < low < model["forward"]["value"] < high
    assert answer["status"] == "done"


def test_a_gate_is_an_exit_code(run):
    models(np.random.default_rng(0))
    assert run("logits", "base.npz", "near.npz", "--max-kl", "0.1").code == 0
    failed = run("logits", "base.npz", "near.npz", "far.npz", "--max-kl", "0.1")
    assert failed.code == 1
    assert "gate failed" in failed.out
    assert "far" in failed.out
    # In the unit of the answer: KL of far is above .1 and below .2 nats, or .2 bits is below .14 nats.
    kl = run("logits", "base.npz", "far.npz", "--json", "--units", "bits").json["models"][0]["forward"]  # fmt: skip
    high = kl["interval"][1]
    assert run("logits", "base.npz", "far.npz", "--units", "bits", "--max-kl", str(1.01 * high)).code == 0  # fmt: skip
    assert run("logits", "base.npz", "far.npz", "--units", "bits", "--max-kl", str(0.9 * high)).code == 1  # fmt: skip


def test_lists_leave_a_gate_open(run, write):
    line = {"token": "a", "top_logprobs": {"a": -0.1, "b": -3.0}}
    other = {"token": "a", "top_logprobs": {"a": -0.2, "b": -2.5}}
    for name, entry in (("a.jsonl", line), ("b.jsonl", other)):
        write(name, "\n".join(json.dumps({"document": i // 5, **entry}) for i in range(100)))
    ran = run("logits", "a.jsonl", "b.jsonl", "--max-kl", "1")
    assert ran.code == 3
    assert "inconclusive" in ran.out
    assert "≥" in ran.out


def test_bad_input_is_one_line(run, write):
    write("a.kld", "_logits_")
    ran = run("logits", "a.kld", "a.kld")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "within its header" in ran.err
    assert run("logits", "a.kld").code == 2


def test_what_is_lost_a_byte(run, write):
    """Bytes of the whole text, of each token, or of the text in lists: a ratio of sums, whose error knows documents."""
    rng = np.random.default_rng(3)
    models(rng)
    sizes = rng.integers(1, 9, 30)
    with np.load("base.npz") as base:
        held = {name: base[name] for name in base.files}
    archive("sized.npz", **held, bytes=sizes)
    plain = run("logits", "base.npz", "far.npz", "--json").json["models"][0]
    assert plain["byte_loss"] is None
    total = int(sizes[held["tokens"]].sum())
    by_token = run("logits", "sized.npz", "far.npz", "--json").json["models"][0]["byte_loss"]
    by_text = run("logits", "base.npz", "far.npz", "--bytes", str(total), "--json").json["models"][
        0
    ]["byte_loss"]
    truth = 300.0 * plain["loss"]["value"] / total
    assert abs(by_token["value"] - truth) < 1e-12
    assert abs(by_text["value"] - truth) < 1e-12
    assert by_text["standard_error"] * total == pytest.approx(
        300.0 * plain["loss"]["standard_error"]
    )
    assert "a byte" in run("logits", "sized.npz", "far.npz").out
    assert "bytes must be" in run("logits", "base.npz", "far.npz", "--bytes", "-3").err
    for name, value in (("one", -0.1), ("two", -0.2)):
        write(
            f"{name}.jsonl",
            "\n".join(
                json.dumps({"token": t, "logprob": value, "document": d})
                for d in range(12)
                for t in ("a", "\u00e9", "word")
            ),
        )
    lists = run("logits", "one.jsonl", "two.jsonl", "--json").json["models"][0]
    assert lists["byte_loss"]["value"] == pytest.approx(lists["loss"]["value"] * 3 / 7)
