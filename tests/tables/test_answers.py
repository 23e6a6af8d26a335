"""Log probabilities as interfaces of language models write them: every shape says what a direct computation says."""

import json
import math

import numpy as np
import polars as pl
import pytest
from scipy import special

from kullback.api.logits import logits_kl
from kullback.core.errors import InputError

TEXTS = [" the", " caf\u00e9", "\u00e9", "\u2581x", "a", "b", "0", "12", "\n", "<|end|>"]
N, EACH = 60, 10


def models():
    rng = np.random.default_rng(0)
    p = special.log_softmax(2.0 * rng.normal(size=(N, len(TEXTS))), axis=1)
    q = special.log_softmax(p + 0.3 * rng.normal(size=p.shape), axis=1)
    came = np.array([rng.choice(len(TEXTS), p=np.exp(row)) for row in p])
    return p, q, came


P, Q, CAME = models()
FORWARD = float(np.mean(np.sum(np.exp(P) * (P - Q), axis=1)))
LOST = float(np.mean((P - Q)[np.arange(N), CAME]))


def chats(logs):
    def entry(row, j):
        return {
            "token": TEXTS[j],
            "logprob": float(row[j]),
            "bytes": list(TEXTS[j].encode()),
        }

    # Likeliest last, and the token that came before all: an order says nothing.
    return [
        {**entry(row, t), "top_logprobs": [entry(row, j) for j in np.argsort(row)]}
        for row, t in zip(logs, CAME, strict=True)
    ]


def parts(listed):
    return [listed[i : i + EACH] for i in range(0, N, EACH)]


def completions(logs):
    silent = {"token": "<s>", "logprob": None, "top_logprobs": []}
    for part in parts(chats(logs)):
        held = [silent, *part]
        tops = [{t["token"]: t["logprob"] for t in e["top_logprobs"]} or None for e in held]
        yield {"choices": [{"text": "", "logprobs": {
            "tokens": [e["token"] for e in held], "token_logprobs": [e["logprob"] for e in held], "top_logprobs": tops,
        }}]}  # fmt: skip


def prompts(logs):
    """vLLM's; the generated token of each answer is left out."""
    for rows, came in zip(parts(logs), parts(CAME), strict=True):
        listed = [
            {str(j): {"logprob": float(row[j]), "rank": 1, "decoded_token": TEXTS[j]}
             for j in sorted(range(len(TEXTS)), key=lambda j, t=t: j != t)}
            for row, t in zip(rows, came, strict=True)
        ]  # fmt: skip
        ids = [0, *map(int, came)]
        yield {
            "choices": [
                {"logprobs": None, "prompt_logprobs": [None, *listed], "prompt_token_ids": ids}
            ]
        }


def triples(logs):
    """SGLang's."""
    for rows, came in zip(parts(logs), parts(CAME), strict=True):
        own = [[float(row[t]), int(t), TEXTS[t]] for row, t in zip(rows, came, strict=True)]
        tops = [[[float(v), j, None] for j, v in enumerate(row)] for row in rows]
        yield {"meta_info": {"input_token_logprobs": [[None, 1, None], *own], "input_top_logprobs": [None, *tops]}}  # fmt: skip


def numbered(logs):
    """Lines of one's own: a number, and a mapping, whose names JSON makes texts."""
    for i, (row, t) in enumerate(zip(logs, CAME, strict=True)):
        yield {
            "document": i // EACH,
            "token": int(t),
            "top_logprobs": {str(j): float(v) for j, v in enumerate(row)},
        }


SHAPES = {
    "chat": lambda x: [{"choices": [{"logprobs": {"content": p}}]} for p in parts(chats(x))],
    "two choices": lambda x: [
        {"choices": [{"logprobs": {"content": p[:4]}}, {"logprobs": {"content": p[4:]}}]}
        for p in parts(chats(x))
    ],
    "batch": lambda x: [
        {"response": {"body": {"choices": [{"logprobs": {"content": p}}]}}} for p in parts(chats(x))
    ],
    "responses": lambda x: [
        {"output": [{"content": [{"type": "output_text", "logprobs": p}]}]} for p in parts(chats(x))
    ],
    "llama.cpp's server": lambda x: [
        {"content": "text", "completion_probabilities": p} for p in parts(chats(x))
    ],
    "completion": completions,
    "vLLM's prompts": prompts,
    "SGLang": triples,
    "numbers": numbered,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_every_shape_says_the_same(tmp_path, shape, form):
    for name, logs in (("p", P), ("q", Q)):
        lines = list(SHAPES[shape](logs))
        text = "\n".join(map(json.dumps, lines)) if form == "lines" else json.dumps(lines, indent=1)
        (tmp_path / f"{name}.json").write_text(text)
    report = logits_kl(tmp_path / "p.json", tmp_path / "q.json")
    (model,) = report.models
    assert report.positions == N
    assert report.documents == N // EACH
    assert model.forward.value == pytest.approx(FORWARD, abs=1e-6)
    assert model.loss is not None
    assert model.loss.kind == "estimate"
    assert model.loss.value == pytest.approx(LOST, abs=1e-9)


def write(path, lines):
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_whole_answer_over_many_lines_is_a_document(tmp_path):
    for name, logs in (("p", P), ("q", Q)):
        answer = {"choices": [{"logprobs": {"content": chats(logs)}}]}
        (tmp_path / name).write_text(json.dumps(answer, indent=2))
    report = logits_kl(tmp_path / "p", tmp_path / "q")
    assert report.documents == 1
    assert report.models[0].forward.value == pytest.approx(FORWARD, abs=1e-6)


def test_parquet_with_a_column_of_nulls(tmp_path):
    for name, logs in (("p", P), ("q", Q)):
        rows = [{"token_id": None, **e} for e in chats(logs)]
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / f"{name}.parquet")
    model = logits_kl(tmp_path / "p.parquet", tmp_path / "q.parquet").models[0]
    assert model.forward.value == pytest.approx(FORWARD, abs=1e-6)
    assert model.loss is not None
    assert model.loss.value == pytest.approx(LOST, abs=1e-9)


def test_minus_9999_says_only_that_a_token_is_not_listed(tmp_path):
    for name, logs in (("p", P), ("q", Q)):
        lines = chats(logs)
        for line in lines:
            line["top_logprobs"] = line["top_logprobs"][-3:]
            if line["token"] not in [t["token"] for t in line["top_logprobs"]]:
                line["logprob"] = -9999.0
        write(tmp_path / name, lines)
    model = logits_kl(tmp_path / "p", tmp_path / "q").models[0]
    three = [np.sort(logs, axis=1)[:, -3:] for logs in (P, Q)]
    unlisted = (
        (P[np.arange(N), CAME] < three[0][:, 0]) | (Q[np.arange(N), CAME] < three[1][:, 0])
    ).mean()
    assert model.hidden.below == pytest.approx(unlisted)
    assert model.loss is not None
    assert model.loss.kind == "unresolved"
    assert model.perplexity is not None
    assert model.perplexity.kind == "lower_bound"
    assert model.perplexity.value < math.exp(-Q[np.arange(N), CAME].mean())
    assert 0.0 < model.forward.value < FORWARD


@pytest.mark.parametrize("spelt", [True, False])
def test_tokens_of_one_text_are_told_apart_by_bytes_or_left_out(tmp_path, spelt):
    """Parts of a character are all written as U+FFFD."""
    for name, logs in (("p", P), ("q", Q)):
        lines = []
        for row, t in zip(logs, CAME, strict=True):
            entries = [
                {"token": "\ufffd" if j < 3 else TEXTS[j], "logprob": float(v),
                 "bytes": ([200 + j] if j < 3 else list(TEXTS[j].encode())) if spelt else None}
                for j, v in enumerate(row)
            ]  # fmt: skip
            lines.append({**entries[t], "top_logprobs": entries})
        write(tmp_path / name, lines)
    model = logits_kl(tmp_path / "p", tmp_path / "q").models[0]
    if spelt:
        assert model.forward.value == pytest.approx(FORWARD, abs=1e-6)
        return
    # The three as one outcome: a coarser partition.
    a, b = (np.column_stack([special.logsumexp(x[:, :3], axis=1), x[:, 3:]]) for x in (P, Q))
    coarse = np.mean(np.sum(np.exp(a) * (a - b), axis=1))
    assert model.forward.value == pytest.approx(coarse, abs=1e-6)
    assert model.hidden.below == pytest.approx(np.mean(CAME < 3))


def test_lists_by_number_are_compared_with_logits(tmp_path):
    write(tmp_path / "q", numbered(Q))
    model = logits_kl(P, tmp_path / "q", tokens=CAME).models[0]
    assert model.forward.value == pytest.approx(FORWARD, abs=1e-6)
    with pytest.raises(InputError, match="not one of"):
        logits_kl(P[:, :-1], tmp_path / "q")
    write(tmp_path / "q", chats(Q))
    with pytest.raises(InputError, match="by their text"):
        logits_kl(P, tmp_path / "q")
    write(tmp_path / "p", numbered(P))
    with pytest.raises(InputError, match="by their text"):
        logits_kl(tmp_path / "p", tmp_path / "q")


BAD = {
    "by its number only": {"token": 3, "top_logprobs": [{"token": "a", "logprob": -1.0}]},
    "not a number": {"token": "a", "logprob": "-0.3"},
    "no log probability": {"token": "a", "logprob": math.nan},
    "0 at most": {"token": "a", "logprob": 0.7},
    "more than 1": {"token": "a", "top_logprobs": {"a": -0.1, "b": -0.1}},
    "must list tokens": {"token": "a", "top_logprobs": [-0.1, -0.2]},
    "no token": {"token_id": -4, "logprob": -1.0},
    "is no token": {"token_id": 2**70, "logprob": -1.0},
    "whole numbers from 0 to 255": {"token": "a", "logprob": -1.0, "bytes": [300]},
    "as many": {"token_logprobs": [-1.0, -2.0], "tokens": ["a"]},
    "they must be as many": {"prompt_logprobs": [None, {"1": -0.1}], "prompt_token_ids": [1]},
    "needs top_logprobs": {"text": "a"},
    "not an object": [1, 2],
}


@pytest.mark.parametrize("said", BAD)
def test_what_says_nothing_is_refused_with_its_place(tmp_path, said):
    good = {"token": "a", "logprob": -0.5}
    path = write(tmp_path / "x", [good, good, BAD[said]])
    with pytest.raises(InputError, match=rf"(line|position) 3: .*{said}"):
        logits_kl(path, path)


def test_a_line_that_was_cut_is_refused_with_its_number(tmp_path):
    path = write(tmp_path / "x", numbered(P))
    path.write_text(path.read_text()[:-30])
    with pytest.raises(InputError, match="line 60: "):
        logits_kl(path, path)
