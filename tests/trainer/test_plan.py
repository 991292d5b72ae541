"""The planner counts what real passes do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from layergym.agents.models.architecture import causal_model
from layergym.agents.models.shapes import PUBLISHED, published
from layergym.trainer.ahead import Twin
from layergym.trainer.layers.selection import select
from layergym.trainer.plan import DEVICES, Workload, plan

CONFIG = AutoConfig.for_model(
    "qwen3",
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=4,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    vocab_size=100,
    tie_word_embeddings=True,
)
WORK = Workload(episodes=1, tokens=24, sampled=6, dtype=torch.float32)
GPU = DEVICES["h100"]


def saved_bytes(layers: str) -> int:
    """What a real backward pass keeps, weights not among it."""
    model = AutoModelForCausalLM.from_config(CONFIG, dtype=torch.float32)
    select(model, layers)
    own = {p.data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    ids = torch.zeros(1, WORK.tokens, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        causal_model(model).base_model(input_ids=ids, use_cache=False)
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own)


@pytest.mark.parametrize("layers", ["all", "2", "0,3"])
def test_counted_bytes_are_those_of_a_real_pass(layers: str) -> None:
    found = plan(CONFIG, layers, WORK, GPU).memory["activations"]
    logits = 8 * WORK.sampled * CONFIG.vocab_size
    assert found - logits == pytest.approx(saved_bytes(layers), rel=0.01)


def test_operations_of_a_full_update_by_hand() -> None:
    hidden, mlp, query, keys, tokens = 32, 64, 32, 16, WORK.tokens
    matrices = 4 * (hidden * (query + 2 * keys) + query * hidden + 3 * hidden * mlp)
    attention = 4 * 2 * 2 * tokens * query  # 4 layers, scores and values, 2 operations each.
    head = WORK.sampled * hidden * CONFIG.vocab_size
    linear = 3 * (2 * matrices * tokens + 2 * head)  # Forward, and twice that backward.
    found = plan(CONFIG, "all", WORK, GPU).update_flops
    again = attention / 2  # Fused attention computes its scores again when it goes back.
    # Some versions compute the angles of the positions as a product, which counts as well.
    assert found == pytest.approx(linear + (3 * attention + again) * tokens, rel=1e-4)


def test_one_layer_needs_less_of_everything_but_the_cache() -> None:
    work = replace(WORK, epochs=2, reference=True)
    full, some = (plan(CONFIG, layers, work, GPU) for layers in ("all", "2"))
    assert some.trained < full.trained / 4 and some.update_flops < 0.6 * full.update_flops
    for name in ("gradients and moments", "reference", "activations"):
        assert some.memory[name] < full.memory[name]
    assert some.memory["weights"] == full.memory["weights"]
    assert some.memory["cached prefix"] == WORK.tokens * 32 * 4


def test_shards_divide_what_is_sharded() -> None:
    one, two = (plan(CONFIG, "1", replace(WORK, devices=n), GPU) for n in (1, 2))
    assert two.memory["weights"] == one.memory["weights"] / 2
    assert two.update_s == pytest.approx(one.update_s / 2)


def test_a_pass_has_the_rows_that_fit() -> None:
    work = replace(WORK, episodes=8, rows_per_pass=64)
    assert plan(CONFIG, "2", work, GPU).rows == 8
    small = replace(GPU, memory_gb=2e-3)
    some = plan(CONFIG, "2", work, small)
    assert 1 <= some.rows < 8 and some.peak < 2e6
    assert plan(CONFIG, "2", replace(work, tokens_per_pass=3 * WORK.tokens), GPU).rows == 3


def test_with_vllm_the_cache_is_not_in_the_trainer() -> None:
    here, there = (plan(CONFIG, "2", w, GPU) for w in (WORK, replace(WORK, old=True, beside=0.3)))
    assert there.memory["key-value cache"] == 0 < here.memory["key-value cache"]
    assert there.memory["vLLM"] == 0.3 * GPU.memory_gb * 1e9
    assert there.update_flops > here.update_flops and there.rollout_s == here.rollout_s


def test_playing_ahead_takes_a_copy_of_what_trains_and_a_cache_during_the_update() -> None:
    apart, ahead = (plan(CONFIG, "2", replace(WORK, overlap=on), GPU) for on in (False, True))
    twin = Twin(AutoModelForCausalLM.from_config(CONFIG, dtype=WORK.dtype))
    select(twin.model, "2")
    shared = {p.data_ptr() for p in twin.model.parameters()}
    twin.part()
    copied = [p for p in twin.model.parameters() if p.data_ptr() not in shared]
    assert ahead.memory["copy that plays"] == sum(p.nbytes for p in copied) > 0
    assert apart.memory["copy that plays"] == 0
    cache, activations = (ahead.memory[name] for name in ("key-value cache", "activations"))
    more = ahead.memory["copy that plays"] + min(cache, activations)
    assert ahead.peak == apart.peak + more == sum(ahead.memory.values())
    there = plan(CONFIG, "2", replace(WORK, overlap=True, old=True), GPU)
    assert there.memory["copy that plays"] == 0, "a server plays"


def test_the_cache_of_a_rollout_ahead_leaves_fewer_rows_to_a_pass() -> None:
    work = replace(WORK, episodes=64, rows_per_pass=64)
    cache = plan(CONFIG, "2", work, GPU).memory["key-value cache"]
    small = replace(GPU, memory_gb=(plan(CONFIG, "2", work, GPU).peak + cache) / 1e9)
    apart, ahead = (plan(CONFIG, "2", replace(work, overlap=on), small) for on in (False, True))
    assert 1 <= ahead.rows < apart.rows
    assert ahead.peak < small.memory_gb * 1e9


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_have_the_published_size(name: str) -> None:
    config = published(name)
    assert config is not None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    family, _, size = name.rpartition("-")
    billions = float(size[:-1]) / (1000 if size.endswith("m") else 1)
    total = model.num_parameters() / 1e9
    assert billions == pytest.approx(total, rel=0.25), family


def test_a_hub_id_names_its_shape() -> None:
    found = published("Qwen/Qwen2.5-7B-Instruct")
    assert found is not None and found.num_hidden_layers == 28
    assert published("somebody/else") is None
