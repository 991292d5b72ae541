"""What a sampler must know about a model, read from its configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from layergym.base.errors import InputError


def context_limit(config: PreTrainedConfig, wanted: int | None) -> int:
    """Tokens that an episode may have: `wanted`, or by default what the model was built for.

    Raises:
        InputError: `wanted` is below 1 or more than the model was built for.
    """
    built_for = getattr(config, "max_position_embeddings", None) or sys.maxsize
    if wanted is not None and not 1 <= wanted <= built_for:
        raise InputError(
            f"max_context must be between 1 and {built_for}, which the model was built for, "
            f"not {wanted}"
        )
    return wanted or built_for


def stop_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, more: Iterable[int]
) -> frozenset[int]:
    """Tokens that end a reply: the tokenizer's and the model's own end tokens, and `more`."""
    ends = [tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)]
    flat = [e for end in ends for e in (end if isinstance(end, list) else [end]) if e is not None]
    return frozenset([*flat, *more])


def cache_bytes(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Bytes that the keys and values of one token take in all layers."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(2 * text.num_hidden_layers * heads * width * dtype.itemsize)
