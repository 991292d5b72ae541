"""Attention in blocks equals attention under a mask of all slots."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from layergym.agents.models.attend import attend
from layergym.agents.models.attention import additive_masks
from layergym.agents.models.branches import BLOCK, branch_masks
from layergym.trainer.rows.trees import Trees, lay_out

KINDS: list[dict[str, int | None]] = [
    {"full_attention": None},
    {"sliding_attention": 50},
    {"full_attention": None, "sliding_attention": 3},
]


def trees() -> Trees:
    """A tree of 700 slots with branches of branches, and one of a single row beside it."""
    draw = torch.Generator().manual_seed(0)

    def some(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, 99, (count,), generator=draw).tolist())

    stem, limb = some(BLOCK - 9), some(90)
    rows = [(*stem, 1, *limb, k, *some(60)) for k in range(3)]
    rows += [(*stem, 2 + k, *some(40)) for k in range(4)]
    return lay_out([rows, [some(300)]])


def dense(ends: Tensor) -> Tensor:
    slots = torch.arange(ends.shape[1])
    seen = (slots <= slots[:, None]) & (slots[:, None] < ends[:, None])
    return seen | (slots == slots[:, None])


@pytest.mark.parametrize("windows", KINDS)
@pytest.mark.parametrize("heads", [2, 6])
def test_blocks_give_what_one_mask_gives(windows: dict[str, int | None], heads: int) -> None:
    laid = trees()
    ends, depths = laid.ends, laid.depths
    size = ends.shape[1]
    assert size > 2 * BLOCK
    module = torch.nn.Module()
    module.num_key_value_groups = heads // 2  # type: ignore[assignment]
    draw = torch.Generator().manual_seed(1)
    parts = [torch.randn(2, h, size, 8, generator=draw, requires_grad=True) for h in (heads, 2, 2)]
    wanted = torch.randn(2, size, heads, 8, generator=draw)
    whole = additive_masks(dense(ends), depths[:, None], depths, windows, torch.float32)
    blocks = branch_masks(ends, depths, windows)
    pairs = [(whole, blocks)]
    if isinstance(whole, dict) and isinstance(blocks, dict):
        assert whole.keys() == blocks.keys() == windows.keys()
        pairs = [(whole[kind], blocks[kind]) for kind in windows]
    for masks in pairs:
        found = []
        for mask in masks:
            assert isinstance(mask, Tensor)
            output, _ = attend(module, parts[0], parts[1], parts[2], mask, scaling=0.4)
            found.append((output, *torch.autograd.grad(output, parts, wanted)))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_mask_says_in_three_numbers_per_slot_what_is_seen() -> None:
    laid = trees()
    mask = branch_masks(laid.ends, laid.depths, {"full_attention": None})
    assert isinstance(mask, Tensor) and mask.shape == (2, 1, laid.ids.shape[1], 3)
