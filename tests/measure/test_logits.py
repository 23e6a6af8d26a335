"""Models against a base: values against a direct computation, intervals that cover, files that lie refused."""

import json
import math

import numpy as np
import polars as pl
import pytest
from scipy import signal, special

from kullback.api.logits import logits_kl
from kullback.core.errors import InputError
from kullback.measure.logits import token_values
from kullback.measure.samples.means import grouped_mean, stretches
from kullback.results.serialise import in_unit, to_json
from kullback.results.status import Status
from kullback.tables.logits import Dense, TopK, open_logits
from kullback.views.documents import document_of
from tests.languagemodels import Model, direct, write_llama

NAMES = ("forward", "reverse", "jensen_shannon")


@pytest.fixture(scope="module")
def text():
    """A model, two roundings of it, and what they say of 30 contexts."""
    rng = np.random.default_rng(0)
    base = Model.random(rng, 501)
    tokens, topics = base.text(rng, 30, 64)
    models = {"base": base, "eight": base.rounded(8), "four": base.rounded(4)}
    # A context of llama.cpp predicts the token after each place: logits are of the places before.
    logits = {n: np.roll(m.read(tokens, topics), -1, axis=1) for n, m in models.items()}
    return tokens, logits


@pytest.fixture(scope="module")
def files(text, tmp_path_factory):
    tokens, logits = text
    place = tmp_path_factory.mktemp("logits")
    for name, values in logits.items():
        write_llama(place / f"{name}.kld", values, tokens)
    return place


def rows_of(logits):
    """The rows that a file of llama.cpp holds, in single precision, as it was given them."""
    half = logits.shape[1] // 2
    return logits[:, half:-1].astype(np.float32).reshape(-1, logits.shape[2])


@pytest.mark.parametrize("name", ["eight", "four"])
def test_values_are_those_of_a_direct_computation_up_to_the_files_rounding(text, files, name):
    tokens, logits = text
    report = logits_kl(str(files / "base.kld"), str(files / f"{name}.kld"))
    truth = direct(rows_of(logits["base"]), rows_of(logits[name]))
    model = report.models[0]
    for which, bound in zip(NAMES, model.hidden.rounding, strict=True):
        estimate = getattr(model, which)
        assert abs(estimate.value - truth[which].mean()) <= 1e-6 + bound
        assert bound < 0.05 * truth[which].mean() + 1e-6
    assert report.positions == 30 * 31
    came = tokens[:, 33:].reshape(-1)
    log_p = special.log_softmax(rows_of(logits[name]).astype(float), axis=1)
    loss = -log_p[np.arange(len(came)), came].mean()
    assert model.perplexity is not None
    assert math.log(model.perplexity.value) == pytest.approx(loss, abs=2e-4)


def test_every_position_is_within_its_own_bound(text, files):
    _, logits = text
    base, other = (open_logits(files / f"{n}.kld", {}) for n in ("base", "four"))
    p, q = next(base.blocks(10**6)), next(other.blocks(10**6))
    found = token_values(p, [q], base.tokens, 0)[0]
    truth = direct(rows_of(logits["base"]), rows_of(logits["four"]))
    for name in NAMES:
        off = getattr(found, name) - truth[name]
        bound = getattr(found, f"{name}_rounding")
        most = 1e-6 + bound + 16.0 * (found.cut + found.other_cut)
        assert np.all(np.abs(off) <= most)
        assert np.all(off <= 1e-6 + bound)  # what is cut makes it smaller, never larger


def test_wide_logits_are_cut_and_the_cut_is_counted(tmp_path):
    rng = np.random.default_rng(1)
    a = (7.0 * rng.normal(size=(4, 40, 300))).astype(np.float32)
    b = a + 0.3 * rng.normal(size=a.shape).astype(np.float32)
    tokens = rng.integers(0, 300, (4, 40))
    for name, values in (("a", a), ("b", b)):
        write_llama(tmp_path / name, values, tokens)
    report = logits_kl(str(tmp_path / "a"), str(tmp_path / "b"))
    model = report.models[0]
    truth = direct(rows_of(a), rows_of(b))["forward"].mean()
    assert model.hidden.cut > 1e-7
    assert abs(model.forward.value - truth) <= model.hidden.rounding[0] + 16.0 * model.hidden.cut
    # Most tokens that came are below the cut: nothing is said of their loss but a bound.
    assert model.hidden.below > 0.3
    assert model.perplexity is not None
    assert model.perplexity.kind == "lower_bound"
    assert model.loss is not None
    assert model.loss.kind == "unresolved"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_and_archives_say_the_same(text, tmp_path, dtype):
    tokens, logits = text
    a, b = (rows_of(logits[n]).astype(dtype) for n in ("base", "four"))
    came = tokens[:, 33:].reshape(-1)
    documents = np.repeat(np.arange(30), 31)
    np.savez(tmp_path / "a.npz", logits=a, tokens=came, documents=documents)
    np.savez_compressed(tmp_path / "b.npz", log_probs=b, tokens=came)
    np.save(tmp_path / "b.npy", b)
    truth = direct(a, b)
    off = 1e-6 if dtype is not np.float64 else 1e-12
    memory = logits_kl(a, b, tokens=came, documents=documents).models[0]
    for other in ("b.npz", "b.npy"):
        model = logits_kl(tmp_path / "a.npz", tmp_path / other).models[0]
        for name in NAMES:
            assert getattr(model, name).value == pytest.approx(truth[name].mean(), abs=off)
        assert model.forward.value == memory.forward.value
    assert (memory.hidden.rounding[0] > 1e-4) == (dtype is np.float16)


def test_one_model_twice_is_exactly_equal(files, text):
    same = logits_kl(str(files / "base.kld"), str(files / "base.kld")).models[0]
    assert [getattr(same, n).value for n in NAMES] == [0.0, 0.0, 0.0]
    assert same.agreement.value == 1.0
    array = rows_of(text[1]["base"])
    assert logits_kl(array, array).models[0].forward.value == 0.0


def test_a_token_that_cannot_come_makes_it_infinite_one_way(text):
    base = rows_of(text[1]["base"]).astype(float)
    other = base.copy()
    other[17, 3] = -np.inf
    model = logits_kl(base, other).models[0]
    assert model.forward.kind == "infinite"
    assert "row 18" in str(model.forward)
    assert math.isfinite(model.reverse.value)
    both = logits_kl(other, other).models[0]
    assert both.forward.value == 0.0


@pytest.mark.parametrize("k", [2, 20])
def test_lists_give_lower_bounds(text, k):
    _, logits = text
    a, b = (special.log_softmax(rows_of(logits[n]).astype(float), axis=1) for n in ("base", "four"))
    tops = [
        TopK(ids, np.take_along_axis(x, ids, 1))
        for x in (a, b)
        for ids in [np.argsort(-x, axis=1)[:, :k]]
    ]
    truth, tokens = direct(a, b), np.full(len(a), -1)
    for p, q in (tops, (Dense(a), tops[1]), (tops[0], Dense(b))):
        found = token_values(p, [q], tokens, 0)[0]
        for name in NAMES:
            assert np.all(getattr(found, name) <= truth[name] + 1e-9)
        assert found.forward.mean() > (0.3 if k == 20 else 0.02) * truth["forward"].mean()


def list_of(row, k, token):
    ids = np.argsort(-row)[:k]
    top = [{"token": f"t{i}", "logprob": float(row[i])} for i in ids]
    return {"token": f"t{token}", "logprob": float(row[token]), "top_logprobs": top}


def test_lists_are_read_as_interfaces_write_them(text, tmp_path):
    tokens, logits = text
    came = tokens[:, 33:].reshape(-1)
    lines = {
        name: [list_of(row, 5, t) for row, t in
               zip(special.log_softmax(rows_of(logits[name]).astype(float), axis=1), came, strict=True)]
        for name in ("base", "four")
    }  # fmt: skip
    for name, listed in lines.items():
        documents = [{"document": i // 31, **entry} for i, entry in enumerate(listed)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(e) for e in documents))
        pl.DataFrame(documents).write_parquet(tmp_path / f"{name}.parquet")
        answers = [{"choices": [{"logprobs": {"content": listed[i : i + 31]}}]} for i in range(0, 930, 31)]  # fmt: skip
        (tmp_path / f"{name}-answers.jsonl").write_text("\n".join(json.dumps(e) for e in answers))
    reports = [
        logits_kl(tmp_path / f"base{end}", tmp_path / f"four{end}")
        for end in (".jsonl", ".parquet", "-answers.jsonl")
    ]
    for report in reports:
        assert report.documents == 30
        assert report.models[0].forward.kind == "lower_bound"
        assert report.models[0].forward.value == reports[0].models[0].forward.value
    assert reports[0].models[0].forward.value < direct(*(rows_of(logits[n]) for n in ("base", "four")))["forward"].mean()  # fmt: skip
    loss = reports[0].models[0].loss
    assert loss is not None
    assert loss.kind == "estimate"  # the token that came is always listed


def test_log_probabilities_of_sampled_tokens_are_enough(tmp_path):
    """A trainer and a rollout engine: the difference of their losses is KL(rollout||trainer), without bias."""
    rng = np.random.default_rng(9)
    p, q = (special.log_softmax(x) for x in 0.6 * rng.normal(size=(2, 20)))
    truth = float(np.sum(np.exp(p) * (p - q)))
    tokens = rng.choice(20, size=4000, p=np.exp(p))
    for name, logs in (("rollout", p), ("trainer", q)):
        lines = [
            {"document": i // 40, "token": int(t), "logprob": float(logs[t])}
            for i, t in enumerate(tokens)
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    model = logits_kl(tmp_path / "rollout.jsonl", tmp_path / "trainer.jsonl").models[0]
    assert model.loss is not None
    assert abs(model.loss.value - truth) < 4.0 * model.loss.standard_error
    assert model.forward.kind == "lower_bound"
    assert 0.0 < model.forward.value < truth


# Errors that know documents and neighbours.


@pytest.fixture(scope="module")
def population():
    """KL at 2,000 documents of 24 positions, where documents differ and neighbours depend on each other."""
    rng = np.random.default_rng(5)
    base = Model.random(rng, 40)
    tokens, topics = base.text(rng, 2000, 24)
    found = {}
    for bits in (3, 4):
        model = base.rounded(bits)
        pairs = (m.read(tokens, topics).reshape(-1, 40) for m in (base, model))
        found[bits] = direct(*pairs)["forward"].reshape(2000, 24)
    return base, tokens, topics, found


def test_intervals_cover_and_independent_tokens_do_not(population):
    *_, found = population
    kl, rng = found[4], np.random.default_rng(6)
    truth, inside, naive = kl.mean(), 0, 0
    groups = np.repeat(np.arange(60), 24)
    for _ in range(500):
        drawn = kl[rng.integers(0, len(kl), 60)].reshape(-1)
        mean = grouped_mean(drawn, groups)
        inside += mean.interval[0] <= truth <= mean.interval[1]
        naive += abs(drawn.mean() - truth) <= 1.96 * drawn.std() / math.sqrt(drawn.size)
    assert 0.93 <= inside / 500 <= 0.97
    assert naive / 500 < 0.6


def test_the_report_has_that_interval(population):
    base, tokens, topics, found = population
    model = base.rounded(3)
    some = slice(0, 60)
    a, b = (m.read(tokens[some], topics[some]) for m in (base, model))
    report = logits_kl(a, b, tokens=tokens[some])
    mean = grouped_mean(found[3][some].reshape(-1), np.repeat(np.arange(60), 24))
    forward = report.models[0].forward
    assert forward.value == pytest.approx(mean.value, rel=1e-9)
    assert forward.interval == pytest.approx(mean.interval, rel=1e-6)
    assert report.groups == 60


def test_stretches_of_one_text_cover():
    """One text whose KL wanders slowly: 40 stretches cover, tokens by themselves do not."""
    rng = np.random.default_rng(7)
    wander = np.asarray(signal.lfilter([1.0], [1.0, -0.8], rng.normal(size=(500, 2200)), axis=1))
    wander = wander[:, 200:]
    kl = (wander + rng.normal(size=wander.shape)) ** 2
    truth = 1.0 / (1.0 - 0.8**2) + 1.0
    groups = stretches(np.zeros(2000, dtype=np.int64), consecutive=False)
    means = [grouped_mean(row, groups, ordered=True) for row in kl]
    inside = np.mean([m.interval[0] <= truth <= m.interval[1] for m in means])
    naive = np.abs(kl.mean(axis=1) - truth) <= 1.96 * kl.std(axis=1) / math.sqrt(2000.0)
    assert 0.93 <= inside <= 0.97
    assert naive.mean() < 0.8


def test_differences_are_paired(population):
    """Two roundings near each other: their difference is known far better than each of them."""
    base, tokens, topics, _ = population
    some = slice(0, 100)
    rng = np.random.default_rng(8)
    rough = base.rounded(4)
    near = Model(rough.embedding, rough.hidden, rough.head + 0.01 * rng.normal(size=rough.head.shape))  # fmt: skip
    logits = [m.read(tokens[some], topics[some]) for m in (base, rough, near)]
    report = logits_kl(*logits, tokens=tokens[some])
    (pair,) = report.pairs
    low, high = pair.forward.interval
    alone = math.hypot(*(m.forward.interval[1] - m.forward.interval[0] for m in report.models))
    assert high - low < alone / 3.0
    twice = logits_kl(logits[0], logits[1], logits[1], tokens=tokens[some])
    assert not twice.pairs[0].apart
    assert [m.ranks for m in twice.models] == [(1, 2), (1, 2)]
    far = logits_kl(logits[0], logits[1], base.rounded(8).read(tokens[some], topics[some]))
    assert far.pairs[0].apart
    assert [m.ranks for m in far.models] == [(1, 1), (2, 2)]


# What is refused.


def test_a_file_that_was_written_short_is_refused_with_its_place(files, tmp_path):
    whole = (files / "base.kld").read_bytes()
    row = 2 * (2 * 251 + 4)
    begin = 20 + 4 * 30 * 64
    cases = {
        whole[: begin + (3 * 31 + 4) * row + 10]: "chunk 4 of 30, at row 5 of 31",
        whole[:begin]: "list of tokens",
        whole[:15]: "header",
        whole + b"more": "4 bytes follow",
    }
    for content, said in cases.items():
        (tmp_path / "short.kld").write_bytes(content)
        with pytest.raises(InputError, match=said):
            logits_kl(str(files / "base.kld"), str(tmp_path / "short.kld"))


def test_rows_that_were_never_written_are_refused_with_their_place(files, tmp_path):
    content = bytearray((files / "four.kld").read_bytes())
    row = 2 * (2 * 251 + 4)
    begin = 20 + 4 * 30 * 64 + 40 * row
    content[begin : begin + 3 * row] = bytes(3 * row)
    (tmp_path / "hole.kld").write_bytes(content)
    with pytest.raises(InputError, match=r"hole\.kld: position 41: .* add up to 501"):
        logits_kl(str(files / "base.kld"), str(tmp_path / "hole.kld"))


def test_files_of_other_texts_are_refused(text, files, tmp_path):
    tokens, logits = text
    moved = tokens.copy()
    moved[3, 40] = (moved[3, 40] + 1) % 501
    write_llama(tmp_path / "moved.kld", logits["four"], moved)
    with pytest.raises(InputError, match="chunk 4, row 8 the text goes on"):
        logits_kl(str(files / "base.kld"), str(tmp_path / "moved.kld"))
    write_llama(tmp_path / "fewer.kld", logits["four"][:5], tokens[:5])
    with pytest.raises(InputError, match="155 positions"):
        logits_kl(str(files / "base.kld"), str(tmp_path / "fewer.kld"))
    write_llama(tmp_path / "narrow.kld", logits["four"][..., :500], np.minimum(tokens, 499))
    with pytest.raises(InputError, match="one vocabulary"):
        logits_kl(str(files / "base.kld"), str(tmp_path / "narrow.kld"))


def test_pickles_and_other_files_are_refused(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled"):
        logits_kl(tmp_path / "p.npy", tmp_path / "p.npy")
    (tmp_path / "x").write_text("nothing of the kind")
    with pytest.raises(InputError, match="neither"):
        logits_kl(tmp_path / "x", tmp_path / "x")
    (tmp_path / "y").write_text('{"token": "a", "top_logprobs": {"a": 2.5}}')
    with pytest.raises(InputError, match=r"position 1: 2\.5 is no log probability"):
        logits_kl(tmp_path / "y", tmp_path / "y")
    with pytest.raises(InputError, match="no such file"):
        logits_kl(tmp_path / "z", tmp_path / "z")
    with pytest.raises(InputError, match="position 3: its logits hold nan"):
        logits_kl(np.array([[0.0, 1.0]] * 2 + [[np.nan, 0.0]]), np.zeros((3, 2)))


def test_a_gate_has_three_answers(text):
    a, b = (rows_of(text[1][n]) for n in ("base", "four"))
    value = logits_kl(a, b).models[0].forward
    assert logits_kl(a, b, max_kl=2.0 * value.interval[1]).status is Status.DONE
    assert logits_kl(a, b, max_kl=value.value).status is Status.FAILED
    assert logits_kl(a, b, max_kl=0.5 * value.interval[0]).status is Status.FAILED


def test_a_report_changes_its_unit_and_is_shown(files):
    report = logits_kl(*(str(files / f"{n}.kld") for n in ("base", "eight", "four")), max_kl=1.0)
    bits = in_unit(report, "bits")
    assert bits.max_kl == pytest.approx(1.0 / math.log(2.0))
    assert bits.models[0].forward.unit == "bits"
    assert bits.models[1].classes[0].mean.unit == "bits"
    assert bits.status is report.status
    assert json.dumps(to_json(bits))
    assert document_of(report).sections
    shares = [c.contribution for c in report.models[0].classes if c.kind.startswith("base's")]
    assert sum(shares) == pytest.approx(1.0)


def test_the_error_of_what_is_lost_a_byte_is_the_jackknifes():
    """Sizes that go with losses: documents left out one by one move the ratio as its error says."""
    rng = np.random.default_rng(5)
    documents, n, v = np.repeat(np.arange(400), 5), 2000, 12
    base = rng.normal(size=(n, v))
    wild = np.exp(rng.normal(size=400))[documents][:, None]
    other, tokens = base + wild * rng.normal(size=(n, v)), rng.integers(0, v, n)
    lost = special.log_softmax(base, axis=1) - special.log_softmax(other, axis=1)
    lost = lost[np.arange(n), tokens]
    sizes = np.rint(1.0 + 3.0 * np.abs(lost))
    found = (
        logits_kl(base, other, tokens=tokens, documents=documents, bytes=sizes).models[0].byte_loss
    )
    assert found.value == pytest.approx(lost.sum() / sizes.sum(), abs=1e-12)
    kept = [documents != d for d in range(400)]
    left = np.array([lost[k].sum() / sizes[k].sum() for k in kept])
    jackknife = math.sqrt(399.0 / 400.0 * np.sum((left - left.mean()) ** 2))
    assert found.standard_error == pytest.approx(jackknife, rel=0.05)
    assert found.interval[0] < found.value < found.interval[1]
