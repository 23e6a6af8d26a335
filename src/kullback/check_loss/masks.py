"""What a loss does with masked tokens: exchanged, padded, not finite; each fault has its sentence.

Sizes are those of one batch of sequences, (B, T). A mask of random zeros and ones is held beside the loss: what is
masked may change without a trace, and padding may be added.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from kullback.check_loss.functionals import Array
from kullback.check_loss.problems import Arguments, Experiment
from kullback.check_loss.roles import ArgumentRole, is_mask
from kullback.interop.loss_calls import LossCall

#: The label that common code leaves out.
_IGNORED = -100
#: Relative change below which a value is unchanged.
_SAME = 1e-9


@final
@dataclass(frozen=True)
class MaskFault:
    """What is wrong with a mask.

    Attributes:
        text: the sentence.
        wrong: whether the loss is then another; "" where it is not, "scale" where only its factor is.
    """

    text: str
    wrong: str = "loss"


def mask_faults(
    call: LossCall,
    roles: Mapping[str, ArgumentRole],
    problems: Sequence[Experiment],
    of_q: Sequence[str],
    optional: Sequence[str] = (),
    *,
    late: bool = False,
) -> list[MaskFault]:
    """Returns what is wrong with the masks of a loss, and with labels of -100.

    Args:
        call: the loss.
        roles: what the arguments are.
        problems: four of one shape, (B, T, ...): the tokens of two side by side, and those of two others, by which
            they are replaced.
        of_q: the arguments that are differentiated.
        optional: names of masks that have a default, and are passed here.
        late: whether labels and masks are one token late, as where logits predict the next token.
    """
    base, other = _beside(*problems[:2], last=False), _beside(*problems[2:], last=True)
    probe = _Probe(call, roles, base, other, of_q, late=late)
    names = [n for n, r in roles.items() if r.kind == "mask" and is_mask(n)]
    found: list[MaskFault] = []
    for name in (*names, *optional):
        found += probe.faults_of(name)
    labels = [n for n, r in roles.items() if r.kind == "labels"]
    if labels and not names:
        found += probe.faults_of_labels(labels[0])
    return found


def _beside(one: Experiment, other: Experiment, *, last: bool) -> Arguments:
    """The arguments of two problems, token beside token along T; of a draw, or of the one with the other tokens."""
    a, b = (_drawn(e, last=last) for e in (one, other))
    n = len(one.rows)
    return {
        name: np.concatenate([v, b[name]], axis=n - 1) if _has_rows(v, one.rows) else v
        for name, v in a.items()
    }


def _drawn(experiment: Experiment, *, last: bool) -> Arguments:
    """A draw a third from the first; or as far from the last, where tokens are V - 1 less these."""
    draws = experiment.at(experiment.theta)
    third = len(draws) // 3
    return draws[-1 - third if last else third]


def _has_rows(value: Any, rows: tuple[int, ...]) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.ndim >= len(rows)
        and value.shape[: len(rows)] == rows
    )


@final
class _Probe:
    """A loss on one batch, its tokens changed one set after another."""

    def __init__(
        self, call: LossCall, roles: Mapping[str, ArgumentRole], base: Arguments, other: Arguments, of_q: Sequence[str],
        *, late: bool,
    ) -> None:  # fmt: skip
        self._late = late
        self._call, self._roles, self._of_q = call, roles, of_q
        self._base, self._other = base, other
        tokens = next(base[n] for n in of_q)
        self._rows = tokens.shape[:2]
        self._telling = [n for n, r in roles.items() if r.kind not in ("mask", "constant", "key")]

    def _value(self, arguments: Arguments) -> tuple[float, bool]:
        """The sum of the output, and whether its gradient is finite."""
        with np.errstate(all="ignore"):
            values, slopes, _ = self._call.many([arguments], self._of_q, np.ones)
        finite = all(np.isfinite(g).all() for g in (slopes or {}).values())
        return float(values[0]), finite and bool(np.isfinite(values[0]))

    def _changed(self, where: Array, fill: float | None = None) -> Arguments:
        """The arguments, tokens exchanged, or filled with a number, where it is said."""
        changed = dict(self._base)
        for name in self._telling:
            value = self._base[name]
            if not (isinstance(value, np.ndarray) and value.shape[:2] == self._rows):
                continue
            late = self._late and self._roles[name].kind != "labels"
            at = _next(where) if late else where
            at = at.reshape(at.shape + (1,) * (value.ndim - 2))
            if fill is None:
                changed[name] = np.where(at, self._other[name], value)
            elif self._roles[name].side and value.dtype.kind == "f":
                changed[name] = np.where(at, fill, value)
        return changed

    def _padded(self, arguments: Arguments, mask: str, value: Any = 0) -> Arguments:
        """Two more tokens a sequence, masked, with what the first two are besides."""
        grown = dict(arguments)
        for name, old in arguments.items():
            if isinstance(old, np.ndarray) and old.shape[:2] == self._rows:
                more = old[:, :2].copy()
                if name == mask:
                    more[...] = value
                grown[name] = np.concatenate([old, more], axis=1)
        return grown

    def faults_of(self, name: str) -> Iterator[MaskFault]:
        """What is wrong with a mask."""
        keep = _random_mask(self._rows)
        dtype = self._dtype_of(name, keep)
        if dtype is None:
            return
        mask = {name: keep.astype(dtype)}
        base, _ = self._value(self._base | mask)

        def moves(where: Array) -> bool:
            return not _same(self._value(self._changed(where) | mask)[0], base)

        if _same(self._value(self._base | {name: np.ones(self._rows, dtype)})[0], base) and moves(
            ~keep
        ):
            yield MaskFault(f"`{name}` is not used: the loss is the same whatever it is")
            return
        if moves(~keep):
            yield self._influence(name, keep, moves)
            return
        if not _same(self._value(self._padded(self._base | mask, name))[0], base):
            yield MaskFault(
                f"the denominator counts padding: masked tokens added to `{name}` change the loss; divide by its sum",
                "scale",
            )
        if not self._value(self._changed(~keep, np.nan) | mask)[1]:
            yield MaskFault(
                f"a NaN at a token that `{name}` masks makes the loss or its gradient NaN, as 0 × NaN is: select "
                "with where, or by an index, before the logarithm",
                "",
            )

    def _dtype_of(self, name: str, keep: Array) -> Any:
        own = self._roles[name].value if name in self._roles else None
        for dtype in (*([own[0]] if own else []), float, bool, int):
            try:
                self._value(self._base | {name: keep.astype(dtype)})
            except Exception:  # noqa: BLE001, S112 - another type of mask
                continue
            return dtype
        return None

    def _influence(self, name: str, keep: Array, moves: Any) -> MaskFault:
        if not moves(keep):
            if "pad" in name.lower():  # true at padding, by its name
                return MaskFault(
                    f"`{name}` drops the tokens where it is 1 and keeps those where it is 0", ""
                )
            return MaskFault(
                f"the mask is inverted: `{name}` keeps the tokens where it is 0 and drops those where it is 1"
            )
        right = "logits predict the next token, wrong where they are its own"
        if self._late:
            right = (
                "it is 1 at tokens that predict, wrong where it is 1 at those that are predicted"
            )
        for step, word in ((1, "before"), (-1, "after")):
            near = np.roll(keep, step, axis=1)
            inner = np.ones_like(keep)
            inner[:, 0 if step == 1 else -1] = False
            if not moves(~near & inner):
                return MaskFault(
                    f"`{name}` is off by one: a token counts where the mask of the token {word} it is 1 (right where "
                    f"{right})",
                    ""
                    if any(r.kind in ("logits", "log_probs") for r in self._roles.values())
                    else "loss",
                )
        return MaskFault(
            f"masked tokens influence the loss: where `{name}` is 0 it changes with them"
        )

    def faults_of_labels(self, name: str) -> Iterator[MaskFault]:
        """What tokens do whose label is -100."""
        keep = _random_mask(self._rows)
        labels = np.where(keep, self._base[name], _IGNORED)
        try:
            base, finite = self._value(self._base | {name: labels})
            moved, _ = self._value(self._changed(~keep) | {name: labels})
            padded, _ = self._value(self._padded(self._base | {name: labels}, name, _IGNORED))
        except Exception:  # noqa: BLE001 - a loss that takes no such label says so itself
            return
        if not finite:
            return
        if not _same(moved, base):
            yield MaskFault(
                f"masked tokens influence the loss: those whose `{name}` is {_IGNORED}, the label that is left out "
                "in common code",
                "",
            )
        elif not _same(padded, base):
            yield MaskFault(
                f"the denominator counts padding: tokens whose `{name}` is {_IGNORED} change the loss by their number",
                "scale",
            )


def _next(where: Array) -> Array:
    """The same of the logits that predict these tokens; the last predict nothing."""
    moved = np.roll(where, -1, axis=1)
    moved[:, -1] = True
    return moved


def _random_mask(rows: tuple[int, ...]) -> Array:
    """Random zeros and ones; every sequence keeps two tokens at least, and another number of them."""
    b, t = rows
    rng = np.random.default_rng(5)
    keep = np.zeros(rows, bool)
    for i in range(b):
        keep[i, rng.permutation(t)[: 2 + i % (t - 3)]] = True
    return keep


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _SAME * max(abs(a), abs(b), 1e-6)
