"""Divergences of two models' next-token probabilities, position by position, and what their files may hide.

Tokens that both files list, or hold above their smallest code, count one by one; all others are one outcome, whose
probability is what is left of 1. So every number is a divergence of two distributions, never negative; where a
file cuts, it is a lower bound (the log sum inequality; Cover and Thomas 2006, theorem 2.7.1).
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import final

import numpy as np
from jaxtyping import Float
from scipy import special

from kullback.core.errors import InputError
from kullback.tables.logits import Block, Dense, Packed, TopK

Array = np.ndarray
Values = Float[np.ndarray, " n"]
#: Entries of an array that stays in the cache of a core.
_CACHED = 2**17
#: A row of 16 bits is cut where its codes span llama.cpp's 16 nats.
_SPAN = 16.0
#: Half a step and the rounding of the numbers from which a code is made, in steps.
_HALF = 0.51
#: Single precision, of the row's largest log probability.
_SINGLE = 2.0**-22
#: Rows of a file of log probabilities add up to 1 within this.
_SUM = 0.02
#: The exponential of less is no normal number in single precision.
_LEAST = -80.0


@final
@dataclass(frozen=True, eq=False)
class TokenValues:
    """What two models say at some positions, base first; in nats.

    Attributes:
        forward, reverse, jensen_shannon: KL(base||other), KL(other||base), Jensen-Shannon.
        base_loss, other_loss: minus the log probability of the token that came; NaN where it is not known.
        below: whether that token is below the cut of either file, so that its loss is larger than said.
        agrees: whether both find the same token likeliest.
        top: the base's probability of its likeliest token.
        cut, other_cut: the base's, and the other's, probability of the tokens that do not count one by one.
        forward_rounding, reverse_rounding, jensen_shannon_rounding: how far rounding may have moved each.
    """

    forward: Values
    reverse: Values
    jensen_shannon: Values
    base_loss: Values
    other_loss: Values
    below: Values
    agrees: Values
    top: Values
    cut: Values
    other_cut: Values
    forward_rounding: Values
    reverse_rounding: Values
    jensen_shannon_rounding: Values


def joined(parts: list[TokenValues]) -> TokenValues:
    """Returns the values of several blocks as one."""
    names = [f.name for f in fields(TokenValues)]
    return TokenValues(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def token_values(base: Block, others: list[Block], tokens: Array, first: int) -> list[TokenValues]:
    """Returns the divergences of each other model from a base, at the positions of a block.

    Args:
        base, others: what each says of the same positions.
        tokens: those that came; -1 where that is not known.
        first: the number of the first position, for messages.

    Raises:
        InputError: a row holds no probabilities.
    """
    found = [_empty(len(tokens)) for _ in others]
    widths = [_width(block) for block in (base, *others)]
    lists = any(isinstance(block, TopK) for block in (base, *others))
    step = max(1, _CACHED // (max(widths) * (min(widths) if lists else 1)))
    halves = np.zeros((len(others) + 1, len(tokens)))
    for at in range(0, len(tokens), step):
        part = slice(at, min(at + step, len(tokens)))
        side = _side(base, part, tokens[part], first)
        halves[0, part] = side.half
        for other, values, half in zip(others, found, halves[1:], strict=True):
            mine, its = side, _side(other, part, tokens[part], first)
            half[part] = its.half
            if isinstance(base, TopK) or isinstance(other, TopK):
                mine, its = _matched(side, its)
            _compare(mine, its, values, part)
    for values, half in zip(found, halves[1:], strict=True):
        _bound(values, halves[0], half)
    return found


def _empty(rows: int) -> TokenValues:
    return TokenValues(*(np.zeros(rows) for _ in fields(TokenValues)))


def _width(block: Block) -> int:
    match block:
        case Packed():
            return block.codes.shape[1]
        case Dense():
            return block.values.shape[1]
        case TopK():
            return block.ids.shape[1]


# One side: weights in proportion to probabilities, the largest 1.


@final
@dataclass(frozen=True, eq=False)
class _Side:
    """Some rows of one file.

    Attributes:
        x, w: log weights and weights, 0 and 1 for the likeliest token.
        ids: the tokens of the columns; None where they are all there are, in order.
        kept: whether a token is above the cut; None where nothing is cut.
        total: of the weights above the cut.
        norm: of all weights as the file says; NaN where it says nothing of that.
        room: the most that may be below the cut.
        half: by how much a log probability may have been rounded.
        zeros: whether some weight is 0, or as good as 0.
        likeliest: its number.
        loss: log weight of the token that came; NaN where it is not known.
        below: whether that token is below the cut.
    """

    x: Array
    w: Array
    ids: Array | None
    kept: Array | None
    total: Values
    norm: Values
    room: Values
    half: Values
    zeros: bool
    likeliest: Array
    loss: Values
    below: Values


def _side(block: Block, part: slice, came: Array, first: int) -> _Side:
    if isinstance(block, Packed):
        return _of_codes(block, part, came, first + part.start)
    if isinstance(block, TopK):
        return _of_list(block.ids[part], block.log_probs[part], came)
    values = block.values[part]
    peak = values.max(axis=1, keepdims=True)
    if not np.isfinite(peak).all():
        at = int(np.argmin(np.isfinite(peak[:, 0])))
        raise InputError(
            f"position {first + part.start + at + 1}: its logits hold {peak[at, 0]}; they must be numbers or -inf"
        )
    x = values - peak
    w = np.exp(x)
    total = _dot(w, None)
    half = np.zeros(len(x))
    if block.rounding > 1e-6:
        half = block.rounding * np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=1)
    at = np.arange(len(x))
    loss = np.where(came >= 0, x[at, np.maximum(came, 0)].astype(np.float64), np.nan)
    bare, zeros = np.zeros(len(x)), bool(x.min() < _LEAST)
    return _Side(
        x, w, None, None, total, total, bare, half, zeros=zeros, likeliest=x.argmax(axis=1), loss=loss, below=bare
    )  # fmt: skip


def _of_list(ids: Array, log_probs: Array, came: Array) -> _Side:
    peak = log_probs.max(axis=1, keepdims=True)
    x, n = log_probs - peak, len(ids)
    w = np.exp(x)
    total, norm = _dot(w, None), np.exp(-peak[:, 0])
    hit = (ids == came[:, None]) & (came >= 0)[:, None]
    # A token that is not listed is no likelier than the last that is, nor than all that is left.
    rest = np.log(np.maximum(norm - total, 1e-9 * norm))
    least = np.minimum(np.where(ids >= 0, x, np.inf).min(axis=1), rest)
    listed = hit.any(axis=1)
    loss = np.where(listed, np.where(hit, x, -np.inf).max(axis=1), least)
    loss = np.where(came >= 0, loss, np.nan)
    below = ((came >= 0) & ~listed).astype(np.float64)
    likeliest = ids[np.arange(n), log_probs.argmax(axis=1)]
    kept = ids >= 0
    room = np.full(n, np.inf)
    return _Side(
        x, w, ids, kept, total, norm, room, np.zeros(n), zeros=True, likeliest=likeliest, loss=loss, below=below
    )  # fmt: skip


def _matched(p: _Side, q: _Side) -> tuple[_Side, _Side]:
    """Returns two sides with the same columns: the tokens that a list of one of them names."""
    lead, other = (p, q) if p.ids is not None else (q, p)
    assert lead.ids is not None
    assert lead.kept is not None
    if other.ids is None:
        at, size = np.maximum(lead.ids, 0), other.x.shape[1]
        if at.max() >= size:
            raise InputError(f"a list names token {at.max()}, which is not one of {size:,}")
        x, w = (np.take_along_axis(a, at, axis=1).astype(np.float64) for a in (other.x, other.w))
        kept = lead.kept
        if other.kept is not None:
            kept = kept & np.take_along_axis(other.kept, at, axis=1)
    else:
        assert other.kept is not None
        same = (lead.ids[:, :, None] == other.ids[:, None, :]) & (lead.ids >= 0)[:, :, None]
        place, kept = same.argmax(axis=2), same.any(axis=2)
        x, w = (np.take_along_axis(a, place, axis=1) for a in (other.x, other.w))
    mine = replace(lead, kept=kept)
    its = replace(other, x=x, w=w, ids=lead.ids, kept=kept, zeros=True)
    return (mine, its) if lead is p else (its, mine)


def _of_codes(block: Packed, part: slice, came: Array, first: int) -> _Side:
    codes, step, least = block.codes[part], block.step[part], block.least[part]
    n = len(codes)
    told = np.isfinite(least) & np.isfinite(step) & (step >= 0.0)
    if not told.all():
        at = int(np.argmin(told))
        raise InputError(
            f"position {first + at + 1}: its scale is {step[at]:g}, its least log probability {least[at]:g}: it is "
            "damaged; write the file again"
        )
    likeliest = codes.argmax(axis=1)
    rows = np.arange(n)
    peak = codes[rows, likeliest].astype(np.uint16)
    # Below the likeliest, in steps: small numbers where probabilities are large, so that nothing is lost.
    x = (peak[:, None] - codes).astype(np.float32)
    x *= (-step[:, None]).astype(np.float32)
    w = np.exp(x)
    top = least + step * peak
    total, norm = _dot(w, None), np.exp(-top)
    kept, room = None, np.zeros(n)
    cut = step * 65535.0 > _SPAN * (1.0 - 1e-4)
    if cut.any():
        kept = codes > 0
        if not cut.all():
            kept |= ~cut[:, None]
        lost = np.array([row.size - np.count_nonzero(row) for row in kept])
        room = lost * np.exp(-step * peak)
        total = total - room
    half = _HALF * step + _SINGLE * (np.abs(least) + 1.0)
    _check(total, room, norm, half, first)
    found = codes[rows, np.maximum(came, 0)].astype(np.float64)
    loss = np.where(came >= 0, step * (found - peak), np.nan)
    below = np.where(came >= 0, cut & (found == 0.0), 0.0).astype(np.float64)
    return _Side(
        x, w, None, kept, total, norm, room, half, zeros=False, likeliest=likeliest, loss=loss, below=below
    )  # fmt: skip


def _check(total: Values, room: Values, norm: Values, half: Values, first: int) -> None:
    """Raises InputError for a row that adds up to anything but 1, as one does that was never written."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share, most = total / norm, (total + room) / norm
        bad = ~((share <= np.exp(half) * (1.0 + _SUM)) & (most >= np.exp(-half) * (1.0 - _SUM)))
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(
            f"position {first + at + 1}: its probabilities add up to {share[at]:.4g}, not 1: it is empty or damaged; "
            "write the file again"
        )


def _dot(a: Array, b: Array | None) -> Values:
    """Returns the sums over rows of a, or of a times b, in double precision."""
    other = _ones(a.shape[1], a.dtype) if b is None else b
    return np.vecdot(a, other).astype(np.float64)


@lru_cache(maxsize=8)
def _ones(size: int, dtype: np.dtype) -> Array:
    ones = np.ones(size, dtype=dtype)
    ones.setflags(write=False)
    return ones


# Two sides.


def _compare(p: _Side, q: _Side, found: TokenValues, part: slice) -> None:
    """Writes the divergences of some rows."""
    both = _both(p.kept, q.kept, p.w.dtype)
    p_both, q_both = _dot(p.w, both), _dot(q.w, both)
    zp, rp = _left(p, p_both)
    zq, rq = _left(q, q_both, rp)
    there, back = _logs(p, q, both)
    same = (there == 0.0) & (back == 0.0) & (p.total == q.total) & (p.norm == q.norm)
    zq, rq = np.where(same, zp, zq), np.where(same, rp, rq)
    shift = np.log(zq / zp)
    # All that does not count by itself counts as one; what cannot be told from rounding adds nothing.
    rq_, rp_ = (np.maximum(r, np.minimum(o, 1e-7)) for r, o in ((rq, rp), (rp, rq)))
    of_p = there / zp + p_both / zp * shift
    forward = of_p + special.rel_entr(rp, rq_)
    reverse = back / zq - q_both / zq * shift + special.rel_entr(rq, rp_)
    middle = 0.5 * (rp + rq)
    mixed = _mixed(p, q, both, zp, zq, of_p)
    mixed = 0.5 * (mixed + special.rel_entr(rp, middle) + special.rel_entr(rq, middle))
    found.forward[part], found.reverse[part] = np.maximum(forward, 0.0), np.maximum(reverse, 0.0)
    # Where the two are equal to the last bit, rounding of the third is not shown.
    found.jensen_shannon[part] = np.where(forward == 0.0, 0.0, np.maximum(mixed, 0.0))
    found.base_loss[part], found.other_loss[part] = np.log(zp) - p.loss, np.log(zq) - q.loss
    found.below[part] = np.maximum(p.below, q.below)
    found.agrees[part] = p.likeliest == q.likeliest
    found.top[part], found.cut[part], found.other_cut[part] = 1.0 / zp, rp, rq


def _both(mine: Array | None, other: Array | None, dtype: np.dtype) -> Array | None:
    """Returns 1 where both sides keep a token, else 0; None where nothing is cut."""
    kept = mine if other is None else other if mine is None else mine & other
    return None if kept is None else kept.astype(dtype)


def _left(side: _Side, both: Values, wanted: Values | None = None) -> tuple[Values, Values]:
    """Returns what all weights of a row add up to, and the share of those that do not count one by one.

    Args:
        side: the rows; its file knows the sum of the weights below the cut up to rounding.
        both: the sum of weights that count one by one.
        wanted: the share of the other side, which this one's is taken to be as far as rounding allows: two
            sides that may be equal are not said to differ.
    """
    least = np.maximum(side.norm * np.exp(-side.half) - side.total, 0.0)
    most = np.minimum(side.norm * np.exp(side.half) - side.total, side.room * np.exp(side.half))
    most = np.maximum(most, 0.0)
    free = side.norm - side.total
    if wanted is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            equal = (wanted * side.total - (side.total - both)) / (1.0 - wanted)
        free = np.where(np.isfinite(equal), equal, free)
    free = np.clip(free, np.minimum(least, most), most)
    whole = side.total + free
    return whole, np.clip((free + side.total - both) / whole, 0.0, 1.0)


def _logs(p: _Side, q: _Side, both: Array | None) -> tuple[Values, Values]:
    """Returns the sums of p's weights times log p - log q, and of q's times log q - log p, of log weights."""
    with np.errstate(invalid="ignore"):
        apart = p.x - q.x
    if not (p.zeros or q.zeros):
        if both is not None:
            apart *= both
        return _dot(p.w, apart), -_dot(q.w, apart)
    sums = []
    for w in (p.w, q.w):
        # What has no weight adds nothing, where the other's logarithm is infinite too.
        with np.errstate(invalid="ignore"):
            parts = np.where((w == 0.0) | (False if both is None else both == 0.0), 0.0, w * apart)
        sums.append(np.sum(parts, axis=1, dtype=np.float64))
    return sums[0], -sums[1]


def _mixed(p: _Side, q: _Side, both: Array | None, zp: Values, zq: Values, of_p: Values) -> Values:
    """Returns KL(p||m) + KL(q||m) over the tokens that count one by one, m the mean of p and q.

    It is KL(p||q) over them + the sum of (p + q) log(q / m): one logarithm a token.

    Args:
        p, q: the sides.
        both: which tokens count.
        zp, zq: what their weights are divided by.
        of_p: KL(p||q) over these tokens.
    """
    if p.zeros or q.zeros:
        a, b = p.w / zp[:, None], q.w / zq[:, None]
        m = 0.5 * (a + b)
        parts = special.rel_entr(a, m) + special.rel_entr(b, m)
        parts = parts if both is None else parts * both
        return np.asarray(np.sum(parts, axis=1, dtype=np.float64))
    t = p.w * (zq / zp).astype(p.w.dtype)[:, None]
    t += q.w
    ratio = q.w / t
    ratio += ratio
    np.log(ratio, out=ratio)
    if both is not None:
        ratio *= both
    return of_p + _dot(t, ratio) / zq


def _bound(found: TokenValues, p_half: Values, q_half: Values) -> None:
    """Writes how far rounding of the log probabilities may have moved each number.

    Every log probability, normalised, is off by 2 half steps at most. To first order KL(p||q) moves by at most
    2 half_p E_p|log p/q| + 2 half_q sum |p - q|; E_p|log p/q| <= KL + sqrt(2 KL) (Barron 1986), the sum is at most
    sqrt(2 KL) (Pinsker).
    """
    p_off, q_off = 2.0 * p_half, 2.0 * q_half
    square = (p_off + q_off) ** 2
    for name, mine, its in (("forward", p_off, q_off), ("reverse", q_off, p_off)):
        value = getattr(found, name)
        root = np.sqrt(2.0 * value)
        with np.errstate(invalid="ignore"):
            bound = np.where(np.isinf(value), 0.0, np.expm1(mine) * (value + root) + its * root + square)  # fmt: skip
        getattr(found, f"{name}_rounding")[:] = bound
    value = found.jensen_shannon
    half = 0.5 * (np.expm1(p_off) + np.expm1(q_off))
    found.jensen_shannon_rounding[:] = half * 2.0 * (value + np.sqrt(value)) + square
