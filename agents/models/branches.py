"""Attention over rows in trees, a block of tokens at a time.

In depth-first order, a slot is seen by those that lie behind it: from itself up to its end. So a
block of slots sees itself and what its first slot descends from, and nothing else of what lies
before. Those keys are gathered, and one small mask says which of them each token sees. Memory grows
with the slots times the longest row, not with the slots squared; so does the work.

Shapes: R trees of N slots, H heads, K heads of keys, D channels, T slots of a block, S keys that a
block sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK = 256
"""Slots of a block."""
_END, _DEPTH, _WINDOW = range(3)

OneBlock = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Attention (R, T, H, D) of queries (R, H, T, D) to keys and values (R, K, S, D) under a mask
(R, 1, T, S) bool."""


def branch_masks(
    ends: Tensor, depths: Tensor, windows: Mapping[str, int | None]
) -> Tensor | dict[str, Tensor]:
    """What a model takes as `attention_mask`: one mask, or one per kind of layer if there are two.

    It says in three numbers per slot what `attention.additive_masks` says in N.

    Args:
        ends: (R, N) one past the last slot behind each.
        depths: (R, N) positions.
        windows: as `attention_windows` returns them.

    Returns:
        (R, 1, N, 3) int64. Models hand a mask of four dimensions on to attention as it is.
    """
    masks = {
        kind: torch.stack([ends, depths, torch.full_like(ends, window or 0)], -1)[:, None]
        for kind, window in windows.items()
    }
    return masks if len(masks) > 1 else next(iter(masks.values()))


def is_branches(mask: Tensor) -> bool:
    """Whether a mask is one of `branch_masks`."""
    return mask.dtype == torch.int64


def in_blocks(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, attend: OneBlock) -> Tensor:
    """Attention (R, N, H, V) of trees.

    Of a pass with grad, queries, keys and values are kept, and each block is computed again.

    Args:
        query: (R, H, N, D).
        key: (R, K, N, D).
        value: (R, K, N, V).
        mask: (R, 1, N, 3), as `branch_masks` makes it.
        attend: attention of one block.
    """
    attended: Tensor = _InBlocks.apply(  # type: ignore[no-untyped-call]
        query, key, value, _blocks(mask[:, 0]), attend
    )
    return attended


@dataclass(frozen=True, slots=True)
class _Block:
    """Some slots, and what they see."""

    slots: slice
    keys: Tensor
    """(R, S) slots; where a tree has fewer, others that the mask hides."""
    mask: Tensor
    """(R, 1, T, S) bool."""


def _blocks(mask: Tensor) -> list[_Block]:
    """Blocks of trees, of (R, N, 3)."""
    size = mask.shape[1]
    slots = torch.arange(size, device=mask.device)
    firsts = range(0, size, BLOCK)
    starts = torch.tensor(firsts, device=mask.device)[:, None, None]
    # (blocks, R, N): what some slot of the block may see.
    before = (mask[..., _END] > starts) & (slots < starts)
    within = (slots >= starts) & (slots < starts + BLOCK)
    wanted = before | within
    counts = wanted.sum(-1).amax(-1).tolist()
    order = (~wanted).to(torch.int8).argsort(dim=-1, stable=True)
    blocks = []
    for block, (first, count) in enumerate(zip(firsts, counts, strict=True)):
        part = slice(first, min(first + BLOCK, size))
        keys = order[block, :, :count]
        there = wanted[block].gather(1, keys)
        blocks.append(_Block(part, keys, _seen(mask, slots[part], keys, there)[:, None]))
    return blocks


def _seen(mask: Tensor, slots: Tensor, keys: Tensor, there: Tensor) -> Tensor:
    """(R, T, S) which keys (R, S) each of the slots (T,) sees."""
    of_keys = mask.gather(1, keys[..., None].expand(-1, -1, 3))
    at, end = keys[:, None], of_keys[:, None, :, _END]
    behind = (at <= slots[:, None]) & (slots[:, None] < end)
    window = mask[:, :1, _WINDOW, None]
    depths = mask[:, slots, _DEPTH][..., None]
    near = (window == 0) | (of_keys[:, None, :, _DEPTH] > depths - window)
    # A padded slot sees itself alone, so that its attention is defined.
    return (behind & near & there[:, None]) | (at == slots[:, None])


class _InBlocks(torch.autograd.Function):
    """Block by block; the backward pass computes each block again."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[_Block], attend: OneBlock
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.blocks, ctx.attend = blocks, attend
        attended = [attend(*_parts(query, key, value, block), block.mask) for block in blocks]
        return torch.cat(attended, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        # Many blocks add to one key: in float32.
        sums = [torch.zeros_like(one, dtype=torch.float32) for one in (query, key, value)]
        for one in ctx.blocks:
            parts = [part.detach().requires_grad_() for part in _parts(query, key, value, one)]
            with torch.enable_grad():
                attended = ctx.attend(*parts, one.mask)
            of_query, *others = torch.autograd.grad(attended, parts, grads[0][:, one.slots])
            sums[0][:, :, one.slots] = of_query
            for total, part in zip(sums[1:], others, strict=True):
                _add(total, one.keys, part)
        return *(s.to(x.dtype) for s, x in zip(sums, (query, key, value), strict=True)), None, None


def _parts(
    query: Tensor, key: Tensor, value: Tensor, block: _Block
) -> tuple[Tensor, Tensor, Tensor]:
    """The queries of a block, and the keys and values that it sees."""
    return query[:, :, block.slots], _taken(key, block.keys), _taken(value, block.keys)


def _taken(states: Tensor, keys: Tensor) -> Tensor:
    """(R, K, S, D) of (R, K, N, D)."""
    trees = torch.arange(len(keys), device=keys.device)[:, None]
    return states.transpose(1, 2)[trees, keys].transpose(1, 2)


def _add(total: Tensor, keys: Tensor, part: Tensor) -> None:
    """Add (R, K, S, D) to (R, K, N, D) where the keys are."""
    for tree, own in enumerate(keys):
        total[tree].index_add_(1, own, part[tree].float())
