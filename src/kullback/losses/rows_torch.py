"""Row formulas for torch, block by block. Imported with the first tensor."""

from typing import Any, final

import torch
from torch import Tensor

from kullback.losses.arrays import widened
from kullback.losses.rows import RowFormula

#: Numbers of a block: few enough to stay in the cache between the passes.
_BLOCK = 2**18


def rows(formula: RowFormula, p: Tensor, q: Tensor) -> Tensor:
    """Returns the values of all rows, without the last axis."""
    if torch.is_grad_enabled() and (p.requires_grad or q.requires_grad):
        return _Rows.apply(formula, p, q)[0]
    return _forward(formula, p, q)[0]


@final
class _Rows(torch.autograd.Function):
    """The value, with the formula's slopes as its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(formula: RowFormula, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
        value, saved = _forward(formula, p, q)
        return value, *saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.formula, p, q = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(p, q, *output[1:])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        p, q, *saved = ctx.saved_tensors
        kept = tuple(part.reshape(-1, 1) for part in saved)
        wanted = zip(
            ctx.needs_input_grad[1:],
            (ctx.formula.slope_p, ctx.formula.slope_q),
            (p, q),
            strict=True,
        )
        return None, *[
            _slopes(slope, p, q, kept, gradients[0].reshape(-1, 1), of) if needed else None
            for needed, slope, of in wanted
        ]


def _forward(formula: RowFormula, p: Tensor, q: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    flat_p, flat_q = p.reshape(-1, p.shape[-1]), q.reshape(-1, p.shape[-1])
    parts: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        for block in _blocks(flat_p) or [slice(0)]:
            value, saved = formula.value(
                widened(flat_p[block], torch), widened(flat_q[block], torch), torch
            )
            parts.append((value, *saved))
    value, *saved = (torch.cat(part) for part in zip(*parts, strict=True))
    return value.reshape(p.shape[:-1]), tuple(saved)


def _slopes(
    slope: Any, p: Tensor, q: Tensor, saved: tuple[Tensor, ...], gradient: Tensor, of: Tensor
) -> Tensor:
    flat_p, flat_q = p.reshape(-1, p.shape[-1]), q.reshape(-1, p.shape[-1])
    whole = torch.empty_like(of, memory_format=torch.contiguous_format)
    out = whole.reshape(-1, p.shape[-1])
    for block in _blocks(flat_p):
        kept = tuple(part[block] for part in saved)
        found = slope(widened(flat_p[block], torch), widened(flat_q[block], torch), kept, torch)
        out[block] = (gradient[block] * found).to(of.dtype)
    return whole


def _blocks(flat: Tensor) -> list[slice]:
    step = max(1, _BLOCK // flat.shape[1])
    return [slice(i, i + step) for i in range(0, len(flat), step)]
