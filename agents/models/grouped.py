"""Attention whose heads share keys and values, without copying these for every head."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "layergym_grouped"
"""The name by which transformers knows it."""


def grouped_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' "sdpa", which copies keys and values to every head wherever there is a mask.

    Here the tokens of all heads that share keys and values stand in a row, and the mask is repeated
    for them. Where there are more new tokens than key channels that costs more than the copies, and
    without a mask PyTorch groups heads itself: both are left to transformers.

    Args:
        module: the attention layer.
        query: (B, H, T, D).
        key: (B, K, S, D); H is a multiple of K.
        value: (B, K, S, V).
        attention_mask: (B, 1, T, S), added to the scores or bool, or None.
        settings: of transformers' attention functions.

    Returns:
        (B, T, H, V), and no weights.
    """
    batch, heads, tokens, size = query.shape
    shared = key.shape[1]
    if (
        attention_mask is None
        or heads == shared
        or attention_mask.shape[1] > 1
        or tokens > shared * size
        or not settings.keys() <= _KNOWN
    ):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    mask = attention_mask[..., : key.shape[2]].repeat(1, 1, heads // shared, 1)
    found = scaled_dot_product_attention(
        query.reshape(batch, shared, -1, size),
        key,
        value,
        attn_mask=mask,
        dropout_p=settings.get("dropout", 0.0),
        scale=settings.get("scaling"),
    )
    return found.reshape(batch, heads, tokens, -1).transpose(1, 2).contiguous(), None


_KNOWN = {"dropout", "scaling", "is_causal", "sliding_window", "position_ids", "use_cache"}
"""Settings that are either heeded here or said by the mask already."""


def group_attention(model: PreTrainedModel) -> None:
    """Let `model` attend so, if its heads share keys and values and it attends by "sdpa"."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", None) or heads
    if heads == shared or config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(GROUPED, grouped_attention)
    AttentionMaskInterface.register(GROUPED, sdpa_mask)
    if model._can_set_attn_implementation():
        model.set_attn_implementation(GROUPED)
