"""Files of logits that are damaged, or say what cannot be: one message, with the place, before anything is computed."""

import math
import struct
import zipfile

import numpy as np
import pytest

from kullback.api.logits import logits_kl
from kullback.core.errors import InputError
from tests.languagemodels import write_llama

CHUNKS, LENGTH, V = 3, 16, 30
BEGIN, ROW = 20 + 4 * CHUNKS * LENGTH, 2 * (V + 4)


@pytest.fixture
def llama(tmp_path):
    rng = np.random.default_rng(0)
    write_llama(tmp_path / "a", rng.normal(size=(CHUNKS, LENGTH, V)), rng.integers(0, V, (CHUNKS, LENGTH)))  # fmt: skip
    return tmp_path / "a"


def head(context=LENGTH, vocabulary=V, chunks=CHUNKS):
    return 8, struct.pack("<iii", context, vocabulary, chunks)


DAMAGES = {
    "before the first of 2147483647 chunks": head(2**31 - 1, 2**31 - 1, 2**31 - 1),
    "before the first of 1073741824 chunks": head(chunks=2**30),
    "no such file can be": head(context=-5),
    "token 1 of chunk 1 is -1": (20, struct.pack("<i", -1)),
    "token 2 of chunk 2 is 30": (20 + 4 * (LENGTH + 1), struct.pack("<i", V)),
    "position 1: .* nan": (BEGIN, struct.pack("<f", math.nan)),
    "position 2: .* inf": (BEGIN + ROW + 4, struct.pack("<f", math.inf)),
    "position 3: .* inf": (BEGIN + 2 * ROW, struct.pack("<f", math.inf)),
    "position 4: .* add up to": (BEGIN + 3 * ROW, bytes(ROW)),
}


@pytest.mark.parametrize("said", DAMAGES)
@pytest.mark.filterwarnings("error")
def test_a_file_of_llama_that_was_damaged(llama, said):
    at, new = DAMAGES[said]
    whole = llama.read_bytes()
    damaged = llama.with_name("b")
    damaged.write_bytes(whole[:at] + new + whole[at + len(new) :])
    with pytest.raises(InputError, match=f"b: .*{said}"):
        logits_kl(llama, damaged)


def test_a_row_of_equal_logits_has_no_scale(llama):
    """llama.cpp writes a scale of 0, codes of 0, and the log probability of all."""
    whole = llama.read_bytes()
    flat = llama.with_name("flat")
    row = struct.pack("<ff", 0.0, -math.log(V)) + bytes(ROW - 8)
    flat.write_bytes(whole[:BEGIN] + row * (7 * CHUNKS))
    model = logits_kl(flat, flat, llama).models
    assert model[0].forward.value == 0.0
    codes = np.frombuffer(whole[BEGIN:], "<u2").reshape(-1, V + 4)
    scale, least = codes[:, :4].copy().view("<f4").T.astype(float)
    logs = least[:, None] + scale[:, None] * codes[:, 4:]
    assert model[1].forward.value == pytest.approx(np.mean(-math.log(V) - logs), abs=1e-4)


def arrays(tmp_path):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(48, V)).astype(np.float32)
    np.save(tmp_path / "a.npy", logits)
    return logits


@pytest.mark.parametrize("change", ["cut", "longer", "header"])
def test_an_array_that_is_not_as_long_as_it_says(tmp_path, change):
    arrays(tmp_path)
    whole = (tmp_path / "a.npy").read_bytes()
    huge = whole.replace(b"(48, 30)", b"(9999999999, 9999999)", 1).replace(b" " * 13, b"", 1)
    changed = {"cut": whole[:-20], "longer": whole + b"123", "header": huge}[change]
    (tmp_path / "b.npy").write_bytes(changed)
    with pytest.raises(InputError, match="bytes of logits follow its header"):
        logits_kl(tmp_path / "a.npy", tmp_path / "b.npy")


def test_an_archive_that_was_damaged(tmp_path):
    logits = arrays(tmp_path)
    for save, said in ((np.savez, "is damaged"), (np.savez_compressed, "is damaged")):
        save(tmp_path / "b.npz", logits=logits)
        whole = bytearray((tmp_path / "b.npz").read_bytes())
        whole[2000:2010] = bytes(10)
        (tmp_path / "b.npz").write_bytes(whole)
        with pytest.raises(InputError, match=said):
            logits_kl(tmp_path / "a.npy", tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", probs=logits)
    with pytest.raises(InputError, match=r"^\S*b.npz: it has the arrays probs"):
        logits_kl(tmp_path / "a.npy", tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("logits.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(InputError, match="cannot be read"):
        logits_kl(tmp_path / "a.npy", tmp_path / "b.npz")


def test_documents_may_have_names(tmp_path):
    logits = arrays(tmp_path)
    names = np.array([f"page {i // 4}" for i in range(48)])
    np.savez(tmp_path / "b.npz", logits=logits, documents=names)
    report = logits_kl(tmp_path / "b.npz", tmp_path / "a.npy")
    assert report.documents == 12
    assert logits_kl(logits, logits, documents=names).documents == 12
    with pytest.raises(InputError, match="documents must be 48"):
        logits_kl(logits, logits, documents=np.where(np.arange(48) == 7, np.nan, 0.0))
    with pytest.raises(InputError, match="documents must be 48"):
        logits_kl(logits, logits, documents=names[:5])


@pytest.mark.parametrize("limit", [math.nan, -1.0])
def test_a_limit_is_a_number_of_nats(limit):
    logits = np.zeros((20, 3))
    with pytest.raises(InputError, match="max_kl must be"):
        logits_kl(logits, logits, max_kl=limit)


def test_padding_is_told():
    rng = np.random.default_rng(2)
    logits, tokens = rng.normal(size=(4, 20, 5)), rng.integers(0, 5, (4, 20))
    tokens[:, 15:] = -100
    report = logits_kl(logits, logits + 0.1 * rng.normal(size=logits.shape), tokens=tokens)
    assert report.perplexity is None
    assert any("at 20 positions the token that came is not known" in note for note in report.notes)


def test_arrays_have_names_of_their_own():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(40, 5))
    report = logits_kl(logits, logits + 0.5 * rng.normal(size=logits.shape), logits)
    assert [model.name for model in report.models] == ["model 2", "model 1"]
