"""What a sampler must know about a model, read from its configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from layergym.base.errors import InputError


def causal_model(model: Any) -> PreTrainedModel:
    """The transformers model inside PEFT's wrapper, or the model itself."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(base, PreTrainedModel):
        raise InputError(
            f"{type(base).__name__} is not a transformers model; open one with AutoModelForCausalLM"
        )
    return base


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


def check_rows(config: PreTrainedConfig, rows: Iterable[Sequence[int]]) -> None:
    """Refuse rows of tokens for whose ends a model has no positions.

    Raises:
        InputError: a row is longer than the model was built for.
    """
    longest, most = max(map(len, rows), default=0), context_limit(_text(config), None)
    if longest > most:
        raise InputError(
            f"an episode has {longest} tokens, and the model was built for {most}; end episodes "
            "earlier, or take another model"
        )


def check_exact(config: PreTrainedConfig) -> None:
    """Refuse a model whose rows would come out differently in a batch than alone.

    Rotary frequencies of kind "dynamic" pass: they only change beyond `context_limit`.

    Raises:
        InputError: rotary frequencies depend on the longest row (LongRoPE), attention depends on
            where keys lie in memory, not on their positions (alibi, GPT-Neo's local windows), or
            tokens attend to later ones (BERT and its like, unless they are set up as decoders).
    """
    config = _text(config)
    longest = getattr(config, "max_position_embeddings", None) or sys.maxsize
    obstacle = ""
    for rope in _ropes(config):
        short = rope.get("original_max_position_embeddings") or longest
        if rope.get("rope_type") == "longrope" and short < longest:
            obstacle = f"LongRoPE: one row above {short} tokens changes the positions of all rows"
    if getattr(config, "alibi", False) or config.model_type in ("bloom", "mpt"):
        obstacle = "alibi: what a token attends to depends on the padding beside it"
    local = "local" in getattr(config, "attention_layers", ())
    if local and config.window_size < longest:
        obstacle = f"local attention: its window of {config.window_size} tokens counts padding"
    # GPT-NeoX has the switch and is causal either way.
    if getattr(config, "is_decoder", None) is False and "gpt_neox" not in config.model_type:
        obstacle = "an encoder: tokens attend to later ones too"
    if obstacle:
        raise InputError(
            f"a model of type {config.model_type} cannot be batched exactly ({obstacle}); "
            "choose one with plain rotary or learned positions, such as Qwen, Llama or GPT-2"
        )


def _text(config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the language model alone."""
    text: PreTrainedConfig = config.get_text_config(decoder=True)
    return text


def _ropes(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """The parameters of rotary positions: one set, or one per kind of layer."""
    ropes = getattr(config, "rope_parameters", None) or {}
    sets = [ropes, *(value for value in ropes.values() if isinstance(value, dict))]
    whole = getattr(config, "original_max_position_embeddings", None)
    return [{"original_max_position_embeddings": whole, **rope} for rope in sets]


def stop_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, more: Iterable[int]
) -> frozenset[int]:
    """Tokens that end a reply: the tokenizer's and the model's own end tokens, and `more`."""
    ends = [tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)]
    flat = [e for end in ends for e in (end if isinstance(end, list) else [end]) if e is not None]
    return frozenset([*flat, *more])


def head_slots(config: PreTrainedConfig, dtype: torch.dtype) -> tuple[int, int]:
    """Heads of keys in a layer, and the bytes of one token's key and value in one of them."""
    text = _text(config)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return int(heads), int(2 * width * dtype.itemsize)


def cache_bytes(config: PreTrainedConfig, dtype: torch.dtype) -> int:
    """Bytes that the keys and values of one token take in all layers."""
    heads, slot = head_slots(config, dtype)
    return int(_text(config).num_hidden_layers) * heads * slot
