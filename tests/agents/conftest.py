"""Tiny random models and a tokenizer, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Appends only, as in Qwen2.5 and SmolLM2."""
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1].lstrip() }}{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Drops the thoughts of earlier turns, as Qwen3 does."""
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Refuses a system message and trims, as Gemma 2 does."""

_SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 258,
    "bos_token_id": None,
    "eos_token_id": 257,
    "initializer_range": 0.15,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "qwen2": Qwen2Config(**_SHAPE),
    "qwen3": Qwen3Config(**_SHAPE, head_dim=8),
    "llama": LlamaConfig(**_SHAPE),
    "mistral": MistralConfig(**_SHAPE, sliding_window=12),
    "gemma3": Gemma3TextConfig(
        **_SHAPE,
        head_dim=8,
        sliding_window=10,
        layer_types=["sliding_attention", "full_attention"] * 2,
    ),
}


@pytest.fixture(scope="session")
def model() -> Callable[[str], PreTrainedModel]:
    """Makes the tiny random model of a family."""
    made: dict[str, PreTrainedModel] = {}

    def make(family: str) -> PreTrainedModel:
        if family not in made:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                made[family] = AutoModelForCausalLM.from_config(FAMILIES[family]).eval()
        return made[family]

    return make


@pytest.fixture(scope="session")
def tokenizer() -> Callable[[str | None], PreTrainedTokenizerFast]:
    """Makes a tokenizer of bytes and ChatML markers with a chat template, or without one."""

    def make(template: str | None = None) -> PreTrainedTokenizerFast:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocabulary = {letter: i for i, letter in enumerate(alphabet)}
        vocabulary |= {"<|im_start|>": 256, "<|im_end|>": 257}
        bytes_only = Tokenizer(models.BPE(vocabulary, []))
        bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bytes_only.decoder = decoders.ByteLevel()
        return PreTrainedTokenizerFast(
            tokenizer_object=bytes_only,
            eos_token="<|im_end|>",
            additional_special_tokens=["<|im_start|>"],
            chat_template=template,
        )

    return make
