"""Shapes of published models, for planning and benchmarks without a download.

Figures are those of each model's `config.json` on the Hugging Face hub.
"""

from __future__ import annotations

from transformers import AutoConfig, PreTrainedConfig

# Name: hidden size, MLP size, layers, attention heads, key-value heads, vocabulary, tied.
_QWEN2 = {
    "qwen2.5-0.5b": (896, 4864, 24, 14, 2, 151_936, True),
    "qwen2.5-1.5b": (1536, 8960, 28, 12, 2, 151_936, True),
    "qwen2.5-3b": (2048, 11_008, 36, 16, 2, 151_936, True),
    "qwen2.5-7b": (3584, 18_944, 28, 28, 4, 152_064, False),
    "qwen2.5-14b": (5120, 13_824, 48, 40, 8, 152_064, False),
    "qwen2.5-32b": (5120, 27_648, 64, 40, 8, 152_064, False),
    "qwen2.5-72b": (8192, 29_568, 80, 64, 8, 152_064, False),
}
_QWEN3 = {
    "qwen3-0.6b": (1024, 3072, 28, 16, 8, 151_936, True),
    "qwen3-1.7b": (2048, 6144, 28, 16, 8, 151_936, True),
    "qwen3-4b": (2560, 9728, 36, 32, 8, 151_936, True),
    "qwen3-8b": (4096, 12_288, 36, 32, 8, 151_936, False),
    "qwen3-14b": (5120, 17_408, 40, 40, 8, 151_936, False),
    "qwen3-32b": (5120, 25_600, 64, 64, 8, 151_936, False),
}
_LLAMA = {
    "smollm2-135m": (576, 1536, 30, 9, 3, 49_152, True),
    "smollm2-360m": (960, 2560, 32, 15, 5, 49_152, True),
    "smollm2-1.7b": (2048, 8192, 24, 32, 32, 49_152, True),
    "llama-3.2-1b": (2048, 8192, 16, 32, 8, 128_256, True),
    "llama-3.2-3b": (3072, 8192, 28, 24, 8, 128_256, True),
    "llama-3.1-8b": (4096, 14_336, 32, 32, 8, 128_256, False),
    "llama-3.1-70b": (8192, 28_672, 80, 64, 8, 128_256, False),
}
PUBLISHED = (*_QWEN2, *_QWEN3, *_LLAMA)
"""Names that `published` knows."""


def published(name: str) -> PreTrainedConfig | None:
    """The configuration of a published model's shape, None for a name that is not listed.

    "Qwen/Qwen2.5-7B-Instruct" and "qwen2.5-7b" are the same shape.
    """
    key = name.rpartition("/")[2].lower().removesuffix("-instruct").removesuffix("-base")
    for kind, table in (("qwen2", _QWEN2), ("qwen3", _QWEN3), ("llama", _LLAMA)):
        if key in table:
            hidden, mlp, layers, heads, kv_heads, vocabulary, tied = table[key]
            more = {"head_dim": 128} if kind == "qwen3" else {}
            return AutoConfig.for_model(
                kind,
                hidden_size=hidden,
                intermediate_size=mlp,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                vocab_size=vocabulary,
                tie_word_embeddings=tied,
                max_position_embeddings=32_768,
                **more,
            )
    return None
