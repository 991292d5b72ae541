"""Grouped attention equals transformers' own, which copies keys and values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from layergym.agents.models.attend import OWN, attend, use_own_attention
from layergym.agents.models.attention import DENSE
from layergym.agents.models.requests import Request
from layergym.agents.models.sampler import TransformersSampler

FAMILIES = ("gemma3", "llama", "mistral", "qwen2", "qwen3")


def grouped(model: PreTrainedModel) -> PreTrainedModel:
    again = copy.deepcopy(model)
    use_own_attention(again)
    assert again.config._attn_implementation == OWN
    return again


@pytest.mark.parametrize("family", FAMILIES)
def test_replies_and_their_log_probabilities_are_the_same(
    model: Callable[[str], PreTrainedModel],
    tokenizer: Callable[[str | None], PreTrainedTokenizerFast],
    family: str,
) -> None:
    """Two turns of rows of different lengths: masks with new tokens, one and several."""
    said = []
    for one in (model(family), grouped(model(family))):
        sampler = TransformersSampler(one, tokenizer(None), max_new_tokens=9)
        first = [Request(i, tuple(range(5, 12 + 7 * i)), False, i) for i in range(3)]
        then = [Request(i, (40 + i, 41, 42)[: 3 - i], True, i) for i in range(3)]
        said.append([*sampler.sample(first), *sampler.sample(then)])
    for ours, theirs in zip(*said, strict=True):
        assert ours.ids == theirs.ids
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)


@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_gradients_are_the_same(tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.Module()
    module.num_key_value_groups = 3  # type: ignore[assignment]
    parts = [
        torch.randn(2, heads, length, 8, generator=generator, requires_grad=True)
        for heads, length in ((6, tokens), (2, 50), (2, 50))
    ]
    seen = torch.rand(2, 1, tokens, 50, generator=generator) < 0.5
    seen[..., 0] = True
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)
    query, key, value = parts
    found = []
    settings: tuple[dict[str, Any], ...] = ({}, {"position_bias": None})
    for more in settings:  # What is not known is left to transformers.
        output, _ = attend(module, query, key, value, mask, scaling=0.3, **more)
        assert output.shape == (2, tokens, 6, 8)
        found.append((output, *torch.autograd.grad(output.square().sum(), parts)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [None, 100])
def test_long_prompts_have_no_mask_of_all_their_tokens(
    tokenizer: Callable[[str | None], PreTrainedTokenizerFast], window: int | None
) -> None:
    """Two prompts beyond `DENSE`, which differ in length: each is answered as if alone."""
    config = MistralConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        sliding_window=window,
        initializer_range=0.15,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MistralForCausalLM(config).eval()
    use_own_attention(net)
    draw = torch.Generator().manual_seed(0)
    prompts = [
        torch.randint(1, 250, (n,), generator=draw).tolist() for n in (DENSE + 90, DENSE + 100)
    ]
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=3)
    asked = [Request(i, tuple(prompt), False, i) for i, prompt in enumerate(prompts)]
    for prompt, sample in zip(prompts, sampler.sample(asked), strict=True):
        whole = torch.tensor([[*prompt, *sample.ids]])
        with torch.no_grad():
            logits = net(whole).logits[0, len(prompt) - 1 : -1]
        said = logits.log_softmax(-1).gather(-1, torch.tensor(sample.ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(sample.logprobs), said, atol=1e-5, rtol=0)


def test_where_keys_lie_hardly_matters_to_16_bit_attention_on_a_cpu() -> None:
    """PyTorch's own kernel, which rounds per block of 512 keys, gives 33 % of entries otherwise."""
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, 2, length, 16, generator=draw).bfloat16() for length in (64, 1200, 1200)
    )
    mask = torch.zeros(1, 1, 64, 1200, dtype=torch.bfloat16)
    found = [
        attend(torch.nn.Module(), query, key[:, :, order], value[:, :, order], mask)[0]
        for order in (torch.arange(1200), torch.randperm(1200, generator=draw))
    ]
    assert found[0].dtype == torch.bfloat16
    assert (found[0] == found[1]).float().mean() > 0.99
