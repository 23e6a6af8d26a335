"""Row formulas for torch: block by block where they run eagerly, whole where torch compiles or transforms them.

Imported with the first tensor.
"""

from typing import Any, final

import torch
from torch import Tensor
from torch.autograd import forward_ad

from kullback.losses.arrays import RowFormula, slope_of, value_of

#: Numbers of a block: few enough to stay in the cache between the passes.
_BLOCK = 2**16


def rows(formula: RowFormula, p: Tensor, q: Tensor) -> Tensor:
    """Returns the values of all rows, without the last axis."""
    if torch.compiler.is_compiling():
        return _Rows.apply(formula, p, q, False)  # noqa: FBT003
    transformed = torch._C._are_functorch_transforms_active()  # noqa: SLF001 - as autograd.Function asks
    if transformed or any(forward_ad.unpack_dual(x).tangent is not None for x in (p, q)):
        return value_of(formula, p, q, torch)[0][..., 0]
    if torch.is_grad_enabled() and (p.requires_grad or q.requires_grad):
        return _Rows.apply(formula, p, q, True)  # noqa: FBT003
    return _forward(formula, p, q)[0]


@final
class _Rows(torch.autograd.Function):
    """The value, with the formula's slopes as its gradient; whoever differentiates that gets ordinary operations."""

    @staticmethod
    def forward(ctx: Any, formula: RowFormula, p: Tensor, q: Tensor, in_blocks: bool) -> Tensor:  # noqa: FBT001 # pyright: ignore[reportIncompatibleMethodOverride]
        if in_blocks:
            value, saved = _forward(formula, p, q)
        else:
            value, saved = value_of(formula, p, q, torch)
            value = value[..., 0]
        ctx.formula, ctx.in_blocks = formula, in_blocks
        ctx.save_for_backward(p, q, *saved)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        p, q, *saved = ctx.saved_tensors
        in_blocks = ctx.in_blocks and not torch.is_grad_enabled()
        if ctx.in_blocks and not in_blocks:
            # A second derivative is wanted: what was saved is a function of p and q, too.
            saved = list(value_of(ctx.formula, p, q, torch)[1])
        found: list[Tensor | None] = [None, None]
        for i, (side, x) in enumerate((("p", p), ("q", q))):
            if ctx.needs_input_grad[1 + i] and in_blocks:
                found[i] = _slopes(ctx.formula, side, p, q, saved, gradient)
            elif ctx.needs_input_grad[1 + i]:
                slope = slope_of(ctx.formula, side, p, q, tuple(saved), torch)
                found[i] = (gradient[..., None] * slope).to(x.dtype)
        return None, *found, None


def _forward(formula: RowFormula, p: Tensor, q: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    flat_p, flat_q = p.reshape(-1, p.shape[-1]), q.reshape(-1, p.shape[-1])
    whole: list[Tensor] = []  # made once: small tensors kept between large ones would tear the heap
    with torch.no_grad():
        for block in _blocks(flat_p) or [slice(0)]:
            value, saved = value_of(formula, flat_p[block], flat_q[block], torch)
            whole = whole or [part.new_empty((len(flat_p), 1)) for part in (value, *saved)]
            for out, part in zip(whole, (value, *saved), strict=True):
                out[block] = part
    value, *saved = whole
    return value.reshape(p.shape[:-1]), tuple(saved)


def _slopes(
    formula: RowFormula, side: str, p: Tensor, q: Tensor, saved: list[Tensor], gradient: Tensor
) -> Tensor:
    flat_p, flat_q = p.reshape(-1, p.shape[-1]), q.reshape(-1, p.shape[-1])
    rates, kept = gradient.reshape(-1, 1), [part.reshape(-1, 1) for part in saved]
    whole = torch.empty_like(p if side == "p" else q, memory_format=torch.contiguous_format)
    out = whole.reshape(-1, p.shape[-1])
    for block in _blocks(flat_p):
        own = tuple(part[block] for part in kept)
        found = slope_of(formula, side, flat_p[block], flat_q[block], own, torch)
        torch.mul(rates[block], found, out=out[block]) if found.dtype == out.dtype else out[
            block
        ].copy_(rates[block] * found)
    return whole


def _blocks(flat: Tensor) -> list[slice]:
    step = max(1, _BLOCK // flat.shape[1])
    return [slice(i, i + step) for i in range(0, len(flat), step)]
