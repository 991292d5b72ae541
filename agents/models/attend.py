"""Attention as models here compute it, in the place of transformers' "sdpa".

Four things differ. Heads that share keys and values do so without copies of them. Rows in trees
are attended to in blocks (`branches`), so that no mask is as large as their slots squared. Decoded
rows are attended to in runs of like length (`spans`). And on a CPU, 16-bit numbers are attended to
in float64. PyTorch's 16-bit kernel rounds the weights of attention relative to the largest score of
a block of keys, so that what a token gets depends on where its keys lie, which is not the same in
sampler and trainer. Sums in float32 depend on it in their last bits, which now and then decides how
a number is rounded to 16 bits: 1.5e-2 nats per token after the 30 layers of SmolLM2-135M, 1.2e-5
with sums in float64.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from layergym.agents.models.branches import in_blocks, is_branches
from layergym.agents.models.spans import runs_at

OWN = "layergym"
"""The name by which transformers knows it."""


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one layer, as transformers asks for it.

    Args:
        module: the attention layer.
        query: (B, H, T, D).
        key: (B, K, S, D); H is a multiple of K.
        value: (B, K, S, V).
        attention_mask: (B, 1, T, S), added to the scores or bool; `branches.branch_mask`; or None.
        settings: of transformers' attention functions.

    Returns:
        (B, T, H, V), and no weights.
    """
    if attention_mask is not None and (runs := runs_at(attention_mask)):
        parts = [
            attend(
                module,
                query[rows],
                key[rows, :, :span],
                value[rows, :, :span],
                attention_mask[rows, ..., :span],
                **settings,
            )
            for rows, span in runs
        ]
        return torch.cat([found for found, _ in parts]), None
    kept = query.dtype
    if query.device.type == "cpu" and kept.itemsize < 4:
        query, key, value = query.double(), key.double(), value.double()
        if attention_mask is not None and attention_mask.is_floating_point():
            attention_mask = attention_mask.double()
    if attention_mask is not None and is_branches(attention_mask):
        one_block = partial(_grouped, module, **settings)
        attended = in_blocks(query, key, value, attention_mask, one_block)
    else:
        attended = _grouped(module, query, key, value, attention_mask, **settings)
    return attended.to(kept), None


def _grouped(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    **settings: Any,
) -> torch.Tensor:
    """The tokens of all heads that share keys and values in a row, the mask repeated for them.

    Where there are more new tokens than key channels that costs more than copies, and without a
    mask PyTorch groups heads itself: both are left to transformers.
    """
    batch, heads, tokens, size = query.shape
    shared = key.shape[1]
    if (
        mask is None
        or heads == shared
        or mask.shape[1] > 1
        or tokens > shared * size
        or not settings.keys() <= _KNOWN
    ):
        return sdpa_attention_forward(module, query, key, value, mask, **settings)[0]
    repeated = mask[..., : key.shape[2]].repeat(1, 1, heads // shared, 1)
    attended = scaled_dot_product_attention(
        query.reshape(batch, shared, -1, size),
        key,
        value,
        attn_mask=repeated,
        dropout_p=settings.get("dropout", 0.0),
        scale=settings.get("scaling"),
    )
    return attended.reshape(batch, heads, tokens, -1).transpose(1, 2).contiguous()


_KNOWN = {"dropout", "scaling", "is_causal", "sliding_window", "position_ids", "use_cache"}
"""Settings that are either heeded here or said by the mask already."""


def use_own_attention(model: PreTrainedModel) -> None:
    """Let `model` attend so, if it attends by "sdpa" and asks transformers for it by name."""
    config = model.config.get_text_config(decoder=True)
    if config._attn_implementation != "sdpa" or not model._supports_attention_backend:
        return
    AttentionInterface.register(OWN, attend)
    AttentionMaskInterface.register(OWN, sdpa_mask)
    model.set_attn_implementation(OWN)
