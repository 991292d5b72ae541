"""Episodes whose replies have given lengths, whoever samples them.

The last token of an observation says how long the reply to it is, and every token of a reply says
how many come after it: ids are cut into bands of equal width, one for each number of tokens to
come, and `force` lets a model choose within the band that is due, and its end token after that. So
replies are really sampled, and every sampler decodes the same lengths.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, PreTrainedModel

END = 2
_FIRST = 8
GROUP = 8


@dataclass(frozen=True)
class Load:
    """What is played: `environments` episodes, in groups of 8 with the same first prompt."""

    environments: int
    turns: tuple[int, int]
    """The fewest and the most turns of an episode."""
    prompt: tuple[int, int]
    """Tokens of a first prompt, from and to."""
    observation: tuple[int, int]
    median: int
    """Tokens of a reply; lengths are log-normal."""
    p95: int
    cap: int

    def reply(self, noise: np.random.Generator) -> int:
        """Tokens of one reply, its end token included."""
        spread = np.log(self.p95 / self.median) / 1.6449
        return int(np.clip(round(self.median * np.exp(spread * noise.normal())), 2, self.cap))


LOADS = {
    "realistic": Load(64, (10, 30), (600, 600), (15, 90), 60, 400, 512),
    "brief": Load(16, (2, 4), (600, 600), (15, 90), 60, 400, 512),
    "small": Load(32, (6, 18), (150, 150), (5, 25), 15, 100, 128),
    "fixed": Load(32, (10, 10), (150, 200), (15, 45), 16, 16, 16),
}
SIZES = {
    "135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        rms_norm_eps=1e-5,
        initializer_range=0.0417,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=END,
    ),
    "small": LlamaConfig(
        vocab_size=8192,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.07,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=END,
    ),
    "thin": LlamaConfig(
        vocab_size=8192,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32768,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=END,
    ),
}


def drawn(size: str, dtype: torch.dtype, device: str, depth: int | None = None) -> PreTrainedModel:
    """A model with random weights, drawn where it computes; of its layers the first `depth`."""
    torch.manual_seed(0)
    config: Any = copy.deepcopy(SIZES.get(size)) or _published(size)
    if depth is not None:
        config.num_hidden_layers = depth
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.eval()
    return model


def _published(size: str) -> PreTrainedConfig | None:
    from layergym.agents.models.shapes import published  # Earlier versions have it elsewhere.

    return published(size)


def episodes(load: Load, vocabulary: int, seed: int = 0) -> list[list[tuple[int, ...]]]:
    """For each episode, what is new in the prompt of each of its turns."""
    noise = np.random.default_rng(seed)
    width = _width(vocabulary, load.cap)

    def text(span: tuple[int, int], reply: int) -> tuple[int, ...]:
        ids = noise.integers(_FIRST, vocabulary, int(noise.integers(span[0], span[1] + 1)) - 1)
        return (*ids.tolist(), _FIRST + reply * width)

    found = []
    for _ in range(load.environments // GROUP):
        first = text(load.prompt, 0)
        for _ in range(GROUP):
            turns = int(noise.integers(load.turns[0], load.turns[1] + 1))
            later = [text(load.observation, load.reply(noise)) for _ in range(turns - 1)]
            found.append([(*first[:-1], _FIRST + load.reply(noise) * width), *later])
    if load.median == load.cap:
        return found
    # A group's prompts are equal but for the length that is asked for, so they get the same one.
    for start in range(0, len(found), GROUP):
        for one in found[start : start + GROUP]:
            one[0] = found[start][0]
    return found


@dataclass
class Count:
    """What a model has computed."""

    passes: int = 0
    slots: int = 0
    """Tokens fed, padding included."""


def force(model: PreTrainedModel, cap: int) -> Count:
    """Let replies of `model` have the lengths that prompts say, and count what it computes."""
    count, width = Count(), _width(model.config.vocab_size, cap)
    column = torch.arange(model.config.vocab_size, device=model.device)

    def forced(_: Any, __: Any, given: Mapping[str, Any], output: Any) -> None:
        ids: Tensor = given["input_ids"]
        count.passes += 1
        count.slots += ids.numel()
        keep = given.get("logits_to_keep", 0)
        last = ids[:, keep] if isinstance(keep, Tensor) else ids[:, -output.logits.shape[1] :]
        band = (last - _FIRST).div(width, rounding_mode="floor") - 1
        low = torch.where(band >= 1, _FIRST + band * width, END)[..., None]
        high = torch.where(band[..., None] >= 1, low + width, END + 1)
        output.logits.masked_fill_((column < low) | (column >= high), -torch.inf)

    model.register_forward_hook(forced, with_kwargs=True)
    return count


def _width(vocabulary: int, cap: int) -> int:
    return (vocabulary - _FIRST) // (cap + 1)
