"""Variants of one model that play in one batch: each says what it says alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from transformers import (
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from layergym.agents.models.requests import Request, Sample, Variants
from layergym.agents.models.sampler import TransformersSampler
from layergym.trainer.bank.routing import Inseparable
from layergym.trainer.bank.together import Together
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.selection import decoder_layers, parameters_named
from layergym.trainer.layers.variants import part_of, values_of, without

EPISODES = 6


def trained(model: PreTrainedModel, seed: int = 0) -> LayerDelta:
    """As if all of it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    before = values_of(model, parameters_named(model, "all"))
    tensors = {
        name: value + 0.05 * torch.randn(value.shape, generator=generator)
        for name, value in before.items()
    }
    return LayerDelta("unused", tuple(range(6)), tensors)


def taken_apart(model: PreTrainedModel) -> list[LayerDelta]:
    """The base, what was trained, parts of it moved and put back, and a layer of another run."""
    full, other = trained(model), trained(model, 1)
    parts = [part_of(full, parameters_named(model, spec)) for spec in ("2", "5", "0-1", "norm")]
    back = [without(full, parameters_named(model, spec)) for spec in ("0", "4")]
    return [part_of(full, ()), full, *parts, *back, part_of(other, parameters_named(model, "2"))]


def play(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    count: int = 1,
    variants: Variants | None = None,
) -> list[list[Sample]]:
    """Two turns of episodes whose prompts two have in common, for each of `count` variants."""
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=3, variants=variants)
    said: list[list[Sample]] = [[] for _ in range(count)]
    for turn in range(2):
        prompt = [(5, 6, 7, 8 + (e // 2) % 3, *range(9, 11 + e // 2)) for e in range(EPISODES)]
        requests = [
            Request(e * count + v, prompt[e][turn:], extends=bool(turn), seed=e)
            for e in range(EPISODES)
            for v in range(count)
        ]
        for place, sample in enumerate(sampler.sample(requests)):
            said[place % count].append(sample)
    sampler.release(range(EPISODES * count))
    return said


def test_each_says_token_for_token_what_it_says_alone(
    family: str,
    tiny_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    model = tiny_model(family)
    model.requires_grad_(False)
    deltas = taken_apart(model)
    together = Together(model, deltas)
    in_one = play(together.model, tokenizer, len(deltas), together)
    alone = []
    for delta in deltas:
        undo = delta.put(model)
        alone += play(model, tokenizer)
        undo.put(model)
    assert [[s.ids for s in said] for said in in_one] == [[s.ids for s in said] for said in alone]
    for mine, theirs in zip(in_one, alone, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert len({tuple(s.ids for s in said) for said in in_one}) > 3


def computed(model: PreTrainedModel, work: Callable[[], object]) -> list[int]:
    """Tokens that each layer's MLP computed."""
    seen: Counter[int] = Counter()
    handles = [
        layer.get_submodule("mlp").register_forward_hook(
            lambda m, x, y, i=i: seen.update({i: y[..., 0].numel()})
        )
        for i, layer in enumerate(decoder_layers(model))
    ]
    work()
    for handle in handles:
        handle.remove()
    return [seen[i] for i in range(len(handles))]


@pytest.mark.parametrize("turns", [1, 2])
def test_what_reads_alike_is_computed_once_until_layers_differ(
    tiny_model: Callable[..., PreTrainedModel], tokenizer: PreTrainedTokenizerFast, turns: int
) -> None:
    """Replies of one token, the same in all variants, so that later prompts are alike as well."""
    model = tiny_model("llama")
    full = trained(model)
    full = replace(full, tensors={n: t for n, t in full.tensors.items() if "layers" in n})
    specs: Sequence[str] = ("3", "5", "3+5")
    deltas = [part_of(full, ()), *(part_of(full, parameters_named(model, s)) for s in specs)]
    together = Together(model, deltas)

    def said() -> None:
        sampler = TransformersSampler(
            together.model, tokenizer, max_new_tokens=1, temperature=0, variants=together
        )
        for turn in range(turns):
            prompt = tuple(4 + i % 8 for i in range(16 * (turn + 1)))
            sampler.sample([Request(e, prompt, extends=False, seed=0) for e in range(4)])

    counted = computed(together.model, said)
    first = [counted[0] * n for n in (1, 1, 1, 2, 2, 4)]
    assert counted == first, "one row below layer 3, two versions of it, and two of layer 5 each"


def test_versions_that_variants_share_are_held_once(
    tiny_model: Callable[..., PreTrainedModel],
) -> None:
    model = tiny_model("qwen3")
    deltas = taken_apart(model)
    together = Together(model, deltas)
    held = {id(tensor) for delta in deltas for tensor in delta.tensors.values()}
    assert len(together._made) == len(held) < sum(len(delta.tensors) for delta in deltas)


def test_where_rows_mix_it_is_said_before_anything_is_played() -> None:
    config = MixtralConfig(
        vocab_size=24,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    model = MixtralForCausalLM(config).eval().requires_grad_(False)
    full = trained(model)
    with pytest.raises(Inseparable):
        Together(model, [part_of(full, ()), full])
