"""Small language models of random weights, and files of their logits after llama.cpp's published definition."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Model:
    """The next token from a decaying memory of those before and the topic of the document."""

    embedding: np.ndarray
    hidden: np.ndarray
    head: np.ndarray

    @classmethod
    def random(cls, rng, tokens: int, width: int = 24) -> "Model":
        scale = 1.0 / np.sqrt(width)
        return cls(
            rng.normal(size=(tokens, width)),
            rng.normal(size=(width, width)) * 1.5 * scale,
            rng.normal(size=(width, tokens)) * 3.0 * scale,
        )

    def rounded(self, bits: int) -> "Model":
        """Its weights in so many bits, one scale a matrix row."""

        def rounded(w):
            step = np.abs(w).max(axis=1, keepdims=True) / (2.0 ** (bits - 1) - 1.0)
            return np.round(w / step) * step

        return Model(*(rounded(w) for w in (self.embedding, self.hidden, self.head)))

    def logits(self, state: np.ndarray) -> np.ndarray:
        return np.tanh(state @ self.hidden) @ self.head

    def text(self, rng, documents: int, length: int, topic: float = 1.5):
        """Returns tokens (documents, length) drawn from it and the topics of the documents."""
        width = self.embedding.shape[1]
        topics = topic * rng.normal(size=(documents, width))
        state, tokens = topics.copy(), np.empty((documents, length), dtype=np.int64)
        for t in range(length):
            noise = rng.gumbel(size=(documents, len(self.embedding)))
            tokens[:, t] = np.argmax(self.logits(state) + noise, axis=1)
            state = 0.9 * state + 0.1 * topics + 0.3 * self.embedding[tokens[:, t]]
        return tokens, topics

    def read(self, tokens: np.ndarray, topics: np.ndarray) -> np.ndarray:
        """Returns its logits before each token of documents: (documents, length, tokens)."""
        state, found = topics.copy(), []
        for t in range(tokens.shape[1]):
            found.append(self.logits(state))
            state = 0.9 * state + 0.1 * topics + 0.3 * self.embedding[tokens[:, t]]
        return np.stack(found, axis=1)


def write_llama(path: Path, logits: np.ndarray, tokens: np.ndarray) -> None:
    """Writes logits (chunks, context, v) as llama-perplexity --kl-divergence-base does.

    tools/perplexity/perplexity.cpp: of each context the logits of its second half but the last, each row as
    a scale and the least log probability (float), then a code of 16 bits for each token.
    """
    chunks, context, vocabulary = logits.shape
    first = context // 2
    with path.open("wb") as file:
        file.write(b"_logits_")
        np.array([context, vocabulary, chunks], dtype="<i4").tofile(file)
        tokens.astype("<i4").tofile(file)
        for chunk in logits[:, first : context - 1].astype(np.float32):
            packed_rows(chunk).tofile(file)


def packed_rows(rows: np.ndarray) -> np.ndarray:
    most = rows.max(axis=1)
    least = np.maximum(rows.min(axis=1), most - np.float32(16))
    log_sum = np.log(np.exp(rows - most[:, None]).sum(axis=1, dtype=np.float64)).astype(np.float32)
    scale = ((most - least) / np.float32(65535)).astype(np.float32)
    inverse = np.float32(1) / scale
    codes = np.rint(inverse[:, None] * (rows - least[:, None]))
    codes = np.where(rows > least[:, None], codes, 0).astype("<u2")
    width = 2 * ((rows.shape[1] + 1) // 2) + 4
    raw = np.zeros((len(rows), width), dtype="<u2")
    head = np.stack([scale, least - most - log_sum], axis=1).astype("<f4")
    raw[:, :4] = head.view("<u2")
    raw[:, 4 : 4 + rows.shape[1]] = codes
    return raw


def direct(base: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the divergences of logits (n, v) row by row, in double precision."""
    p, q = (special.log_softmax(x.astype(np.float64), axis=1) for x in (base, other))
    m = np.logaddexp(p, q) - np.log(2.0)
    return {
        "forward": np.sum(np.exp(p) * (p - q), axis=1),
        "reverse": np.sum(np.exp(q) * (q - p), axis=1),
        "jensen_shannon": 0.5 * np.sum(np.exp(p) * (p - m) + np.exp(q) * (q - m), axis=1),
    }
