"""What the values at all positions of a text say of language models: means, pairs, classes of tokens."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from kullback.measure.logits import TokenValues
from kullback.measure.samples.means import grouped_mean, stretches
from kullback.results.estimate import Estimate
from kullback.results.logits import (
    AGREEMENT,
    BYTE_LOSS,
    DIFFERENCE,
    LOSS,
    PERPLEXITY,
    PERPLEXITY_RATIO,
    HiddenByFile,
    LogitsModel,
    LogitsPair,
    LogitsReport,
    TokenClass,
)
from kullback.results.quantity import FORWARD_KL, Quantity
from kullback.tables.logits import LogitsFile

Values = Float[np.ndarray, " n"]
Groups = Int[np.ndarray, " n"]
#: How many nats less likely than the sums say tokens below a cut are taken to be at most, where an interval is
#: to have an upper end: as many as lie between the likeliest token and the cut of llama.cpp.
_BELOW = 16.0
#: A cut that may hide more than this part of a mean, and more than chance may, leaves a lower bound of it.
_PART = 0.1
#: Levels of the quantiles that are given, and how many positions above them there must be.
_LEVELS, _ABOVE = (0.5, 0.9, 0.99, 0.999), 10
#: Limits of the base's largest probability, by which positions are told apart.
_CERTAIN = (0.5, 0.9, 0.99)
#: Shares of the text that rare, middling and common tokens make up; documents that are listed.
_THIRDS, _LISTED = 3, 5
#: Contexts shorter than this are not cut into quarters.
_LONG = 16


@final
class Text:
    """The values of all models at all positions of a text, and what is said of them."""

    def __init__(self, files: list[LogitsFile], found: list[TokenValues]) -> None:
        self.files, self.found = files, found
        base = files[0]
        names = _names(files)
        self.base, self.names = names[0], names[1:]
        self.documents = base.documents
        count = len(np.unique(base.documents))
        consecutive = all(f.consecutive for f in files) and count > 1
        self.groups = stretches(base.documents, consecutive=consecutive)
        self.count = len(np.unique(self.groups))
        self.unit = "documents" if self.count == count and not consecutive else "stretches"
        # Pieces of one text run over into each other; documents do not.
        self.ordered = self.unit == "stretches"
        self.lists = any(file.vocabulary == 0 for file in files)
        self.known = bool((np.max([f.tokens for f in files], axis=0) >= 0).all())
        self.tokens = np.max([f.tokens for f in files], axis=0)
        self.sizes = next((f.sizes for f in files if f.sizes is not None), None)

    def report(self, max_kl: float | None) -> LogitsReport:
        """Returns all of it."""
        order = np.argsort([np.mean(v.forward) for v in self.found], kind="stable")
        pairs, ranks = self._pairs([int(i) for i in order])
        models = tuple(self._model(int(i), ranks[int(i)]) for i in order)
        base = self.files[0]
        perplexity = None
        if self.known:
            perplexity = self._perplexity(self.found[0].base_loss, 0, PERPLEXITY)
        words = f"{self.count} {self.unit}"
        if self.unit == "stretches":
            words += f" of about {len(self.tokens) // max(self.count, 1):,} neighbouring positions"
        return LogitsReport(
            base.source, base.stored, perplexity, models, pairs, len(self.tokens),
            len(np.unique(self.documents)), self.count, words, base.vocabulary, max_kl,
            notes=tuple(self._notes()),
        )  # fmt: skip

    def _notes(self) -> Iterator[str]:
        yield f"intervals are of means over {self.unit}, which may depend on each other within, not across"
        if self.lists:
            yield (
                "lists cut the probabilities: all tokens that both files do not list count as one, so that each "
                "divergence is a lower bound of that of the models"
            )
        unknown = int(np.sum(self.tokens < 0))
        if 0 < unknown < len(self.tokens):
            yield (
                f"at {unknown:,} positions the token that came is not known (a number below 0): they count for the "
                "divergences, and nothing is said of perplexities; leave them out if they are padding"
            )
        if self.count < 10:
            yield f"{self.count} {self.unit} tell little of how much others would differ: intervals are wide"

    # One model.

    def _model(self, i: int, ranks: tuple[int, int]) -> LogitsModel:
        v, name = self.found[i], self.names[i]
        hidden = HiddenByFile(
            (float(v.forward_rounding.mean()), float(v.reverse_rounding.mean()),
             float(v.jensen_shannon_rounding.mean())),
            float(v.cut.mean()), float(v.other_cut.mean()), float(v.below.mean()),
        )  # fmt: skip
        js = Quantity("jensen_shannon", f"JS({self.base},{name})", nonnegative=True)
        off, cut, other = hidden.rounding, _BELOW * hidden.cut, _BELOW * hidden.other_cut
        loss = byte_loss = perplexity = ratio = None
        if self.known:
            difference = v.other_loss - v.base_loss
            loss = self._loss(difference, hidden, LOSS, name)
            byte_loss = self._per_byte(difference, hidden, name)
            perplexity = self._perplexity(v.other_loss, i + 1, PERPLEXITY)
            ratio = self._ratio(loss)
        return LogitsModel(
            name, self.files[i + 1].source, self.files[i + 1].stored,
            self._mean(v.forward, FORWARD_KL.called(f"KL({self.base}||{name})"), off[0], cut),
            self._mean(v.reverse, FORWARD_KL.called(f"KL({name}||{self.base})"), off[1], other),
            self._mean(v.jensen_shannon, js, off[2], math.log(2.0) * 0.5 * (cut + other) / _BELOW),
            loss, byte_loss, perplexity, ratio, self._mean(v.agrees, AGREEMENT), self._quantiles(v.forward, name),
            ranks, hidden, tuple(self._classes(v)),
        )  # fmt: skip

    def _mean(self, values: Values, quantity: Quantity, off: float = 0.0, more: float = 0.0) -> Estimate:  # fmt: skip
        """Returns a mean; `off` is a bound on rounding, `more` what a cut may hide above."""
        method = f"mean over positions, {self.count} {self.unit}"
        endless = np.isposinf(values)
        if endless.any():
            at = self.files[0].place(int(np.argmax(endless)))
            reason = f"at {int(endless.sum())} position(s), the first at {at}, a token is possible for one only"
            return Estimate.infinite(reason, quantity, method=method)
        mean, n = grouped_mean(values, self.groups, ordered=self.ordered), len(values)
        if not math.isfinite(mean.standard_error):
            reason = f"one of the {self.unit} alone has no standard error"
            return Estimate.unresolved(mean.value, reason, quantity, method=method, n=n)
        least = 0.0 if quantity.nonnegative else -math.inf
        low, high = max(mean.interval[0] - off, least), mean.interval[1] + off + more
        if quantity is AGREEMENT:
            high = min(high, 1.0)
        kind = "estimate"
        # What lists leave out makes it a lower bound, and so does a cut that may hide a good part of it.
        known = max(mean.interval[1] - mean.value, _PART * abs(mean.value))
        if more > 0.0 and (self.lists or more > known):
            kind, quantity, high = "lower_bound", quantity.below, math.inf
        return Estimate(mean.value, mean.standard_error, (low, high), quantity, kind, method, n)

    def _per_byte(self, difference: Values, hidden: HiddenByFile, name: str) -> Estimate | None:
        """Returns a ratio of means, whose error is that of a mean of what it leaves at each position."""
        if self.sizes is None:
            return None
        size = float(self.sizes.mean())
        ratio = float(difference.mean()) / size
        left = (difference - ratio * self.sizes) / size if math.isfinite(ratio) else difference
        return self._loss(ratio + left, hidden, BYTE_LOSS, name, size)

    def _loss(
        self, difference: Values, hidden: HiddenByFile, of: Quantity, name: str, size: float = 1.0
    ) -> Estimate:
        quantity = of.called(f"log loss of {name} - of {self.base}{', a byte' * (of is BYTE_LOSS)}")
        found = self._mean(difference, quantity)
        hides = _BELOW * hidden.below / size
        if hides > 0.0 and (self.lists or hides > found.interval[1] - found.value):
            reason = (
                f"at {100.0 * hidden.below:.2g} % of the positions the token is below a file's cut"
            )
            return Estimate.unresolved(
                found.value, reason, quantity, method=found.method, n=found.n
            )
        low, high = found.interval
        return replace(found, interval=(low - hides, high + hides))

    def _ratio(self, loss: Estimate) -> Estimate:
        if loss.kind == "unresolved":
            return Estimate.unresolved(
                math.exp(loss.value), loss.notes[0], PERPLEXITY_RATIO, method=loss.method, n=loss.n
            )
        return _exponential(loss, PERPLEXITY_RATIO)

    def _perplexity(self, loss: Values, which: int, quantity: Quantity) -> Estimate:
        """Returns a perplexity; a lower bound where tokens are below the cut of a file."""
        below = self.found[max(which - 1, 0)].below
        found = self._mean(loss, LOSS)
        hides = _BELOW * float(below.mean())
        if found.kind != "estimate":
            return replace(found, quantity=quantity)
        if hides > 0.0 and (self.lists or hides > found.interval[1] - found.value):
            found = replace(found, kind="lower_bound", interval=(found.interval[0], math.inf))
            return _exponential(found, quantity.below)
        low, high = found.interval
        return _exponential(replace(found, interval=(low, high + hides)), quantity)

    def _quantiles(self, values: Values, name: str) -> tuple[tuple[str, Estimate], ...]:
        """Returns quantiles over positions; intervals by the error of the share below (Woodruff 1952)."""
        listed = []
        for level in _LEVELS:
            if (1.0 - level) * len(values) < _ABOVE:
                continue
            value = float(np.quantile(values, level, method="inverted_cdf"))
            if not math.isfinite(value):
                continue
            below = (values <= value).astype(np.float64)
            share = grouped_mean(below, self.groups, ordered=self.ordered)
            if not math.isfinite(share.standard_error):
                continue
            low, high = np.quantile(
                values, np.clip(share.interval, 0.0, 1.0), method="inverted_cdf"
            )
            if not math.isfinite(high):
                continue
            error = float(high - low) / (2.0 * share.quantile)
            direction = f"{100.0 * level:g} % of KL({self.base}||{name})"
            estimate = Estimate(
                value, error, (float(low), float(high)), FORWARD_KL.called(direction), "estimate",
                f"quantile over positions, {self.count} {self.unit}", len(values),
            )  # fmt: skip
            listed.append((f"{100.0 * level:g} %", estimate))
        return tuple(listed)

    # Which positions contribute.

    def _classes(self, v: TokenValues) -> Iterator[TokenClass]:
        total = float(v.forward.sum())
        if not (math.isfinite(total) and total > 0.0):
            return
        for kind, name, which in self._kinds(v):
            if not which.any():
                continue
            part = v.forward[which]
            quantity, share = FORWARD_KL.called("KL a position"), float(part.sum()) / total
            if kind == "document":
                # Of this text there is no other: its mean has no error but rounding.
                off = float(v.forward_rounding[which].mean())
                mean = Estimate.numeric(
                    float(part.mean()), off, quantity, method="mean", n=len(part)
                )
                yield TokenClass(kind, name, float(which.mean()), mean, share)
                continue
            numbers = np.unique(self.groups[which], return_inverse=True)[1].reshape(-1)
            found = grouped_mean(part, numbers, ordered=self.ordered)
            mean = Estimate.sampled(
                found.value, found.standard_error, quantity, method="mean over positions", n=len(part),
                reason="they are of one document",
            )  # fmt: skip
            yield TokenClass(kind, name, float(which.mean()), mean, share)

    def _kinds(self, v: TokenValues) -> Iterator[tuple[str, str, np.ndarray]]:
        kind = "base's largest probability"
        edges = (0.0, *_CERTAIN, np.inf)
        for low, high in itertools.pairwise(edges):
            name = f"below {high:g}" if low == 0.0 else f"from {low:g}"
            if low and math.isfinite(high):
                name += f" to {high:g}"
            yield kind, name, (v.top >= low) & (v.top < high)
        place = self._places()
        if place is not None:
            for quarter in range(4):
                yield "place in the context", f"quarter {quarter + 1}", place == quarter
        if self.known:
            third = self._frequencies()
            for i, name in enumerate(("rare", "middling", "common")):
                yield "token that came", f"{name}, a third of the text", third == i
        sums = np.bincount(self.documents, v.forward)
        if len(sums) > 1:
            for document in np.argsort(-sums, kind="stable")[:_LISTED]:
                which = self.documents == document
                first = self.files[0].place(int(np.argmax(which)))
                yield "document", f"from {first}", which

    def _places(self) -> Groups | None:
        """Returns the quarter of its document that each position is in; None where documents are short."""
        starts = np.flatnonzero(np.diff(self.documents, prepend=-1))
        lengths = np.diff(np.append(starts, len(self.documents)))
        if np.median(lengths) < _LONG or len(starts) < 2:
            return None
        within = np.arange(len(self.documents)) - np.repeat(starts, lengths)
        return within * 4 // np.repeat(lengths, lengths)

    def _frequencies(self) -> Groups:
        """Returns which third of the text the token of each position is in, rare tokens first."""
        _, which, counts = np.unique(self.tokens, return_inverse=True, return_counts=True)
        order = np.argsort(counts, kind="stable")
        before = np.cumsum(counts[order]) - counts[order]
        third = np.empty(len(counts), dtype=np.int64)
        third[order] = before * _THIRDS // len(self.tokens)
        return third[which.reshape(-1)]

    # Models against each other.

    def _pairs(self, order: list[int]) -> tuple[tuple[LogitsPair, ...], dict[int, tuple[int, int]]]:
        """Returns the paired differences, and the places that they leave to each model."""
        m = len(order)
        best, worst = dict.fromkeys(order, 1), dict.fromkeys(order, m)
        pairs = []
        for i, j in itertools.combinations(order, 2):
            v, w = self.found[i], self.found[j]
            with np.errstate(invalid="ignore"):
                apart = self._apart(v.forward - w.forward, m * (m - 1) // 2)
            if apart:
                best[j] += 1
                worst[i] -= 1
            pairs.append(self._pair(i, j, apart=apart))
        return tuple(pairs), {i: (best[i], worst[i]) for i in order}

    def _apart(self, difference: Values, pairs: int) -> bool:
        """Whether a mean is not 0, at 5 % over so many of them (Bonferroni)."""
        if not np.isfinite(difference).all():
            return bool(np.isinf(difference.sum()))
        found = grouped_mean(difference, self.groups, ordered=self.ordered)
        if not math.isfinite(found.standard_error):
            return False
        quantile = float(special.stdtrit(self.count - 1, 1.0 - 0.025 / pairs))
        return abs(found.value) > quantile * found.standard_error

    def _pair(self, i: int, j: int, *, apart: bool) -> LogitsPair:
        v, w, a, b = self.found[i], self.found[j], self.names[i], self.names[j]

        def difference(name: str, words: Callable[[str], str]) -> Estimate:
            quantity = DIFFERENCE.called(f"{words(a)} - {words(b)}")
            one, two = getattr(v, name), getattr(w, name)
            if not (np.isfinite(one).all() and np.isfinite(two).all()):
                reason = "one of the two is infinite"
                return Estimate.unresolved(math.nan, reason, quantity, method="paired")
            return self._mean(one - two, quantity)

        loss = difference("other_loss", lambda n: f"log loss of {n}") if self.known else None
        return LogitsPair(
            a, b, difference("forward", lambda n: f"KL({self.base}||{n})"),
            difference("reverse", lambda n: f"KL({n}||{self.base})"),
            difference("jensen_shannon", lambda n: f"JS({self.base},{n})"), loss, apart,
        )  # fmt: skip


def _exponential(e: Estimate, quantity: Quantity) -> Estimate:
    value = math.exp(e.value)
    low, high = (math.exp(end) for end in e.interval)
    return replace(
        e, value=value, standard_error=value * e.standard_error, interval=(low, high), quantity=quantity
    )  # fmt: skip


def _names(files: list[LogitsFile]) -> list[str]:
    """Returns short names of files, in full where short ones repeat."""
    short = [Path(file.source).name.rsplit(".", 1)[0] for file in files]
    if len(files) == 2:
        return ["base", "other"]
    return ["base", *(s if short[1:].count(s) == 1 and s != "base" else f.source
                      for s, f in zip(short[1:], files[1:], strict=True))]  # fmt: skip
