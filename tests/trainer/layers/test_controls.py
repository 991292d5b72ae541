"""What a layer is compared with: random entries and LoRA of the same size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta, merge
from layergym.trainer.layers.frozen import FrozenTensorChanged, base_hash, digests
from layergym.trainer.layers.lora import lora_rank, with_lora
from layergym.trainer.layers.mask import draw_mask
from layergym.trainer.layers.selection import decoder_layers, layer_size, select
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.conftest import check_resume

Tiny = Callable[..., PreTrainedModel]
Build = Callable[..., GiGPOTrainer]


def values(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def test_exactly_the_random_entries_move(build: Build, tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    before, size = values(model), layer_size(decoder_layers(model))
    trainer = build(model, layers="random:2", beta=0.1, num_iterations=2)
    assert trainer.selection.trained == 2 * size
    trainer.train()
    after = values(model)
    moved = {n: (after[n] != before[n]) for n in before}
    count = sum(int(m.sum()) for m in moved.values())
    assert 0.95 * 2 * size < count <= 2 * size  # some gradients are exactly 0
    frozen = draw_mask(model, trainer.selection.names, 2 * size, trainer.args.seed)
    for name, changed in moved.items():
        allowed = ~frozen[name] if name in frozen else torch.zeros_like(changed)
        assert not (changed & ~allowed).any()


def test_a_frozen_entry_that_moves_is_found(build: Build, tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    trainer = build(model, layers="random")
    name, frozen = next(iter(trainer.frozen.masks.items()))
    with torch.no_grad():
        model.get_parameter(name)[~frozen] += 1
    trainer.frozen.verify(model)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[frozen.view(-1).nonzero()[0]] += 1
    with pytest.raises(FrozenTensorChanged, match="random entries of 0-5"):
        trainer.frozen.verify(model)


def test_the_mask_follows_from_the_seed(tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    selection = select(model, "random")
    one, same, other = (draw_mask(model, selection.names, 500, seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)
    assert sum(int((~m).sum()) for m in one.values()) == 500
    assert all(int((~m).sum()) > 0 for m in one.values())


def test_weight_decay_would_move_frozen_entries(build: Build, tiny_model: Tiny) -> None:
    with pytest.raises(InputError, match="weight decay"):
        build(tiny_model("llama"), layers="random", weight_decay=0.1)


def lora_run(build: Build, model: PreTrainedModel, **settings: object) -> GiGPOTrainer:
    return build(with_lora(model, "1,4", 2, seed=3), None, layers="1,4", **settings)


def test_a_lora_run_leaves_a_delta_of_the_plain_base(
    build: Build, tiny_model: Tiny, tmp_path: Path
) -> None:
    plain, model = tiny_model("llama"), tiny_model("llama")
    trainer = lora_run(build, model)
    assert trainer.base == base_hash(digests(plain, buffers=False))
    trainer.train()
    trainer.delta().save(tmp_path / "d.safetensors")
    delta = LayerDelta.load(tmp_path / "d.safetensors")
    assert all(".layers.1." in n or ".layers.4." in n for n in delta.changes)
    ids = torch.arange(4, 12)[None]
    before, wanted = plain(ids).logits, model(ids).logits
    assert (wanted - before).abs().max() > 1e-3
    undo = delta.apply(plain)
    torch.testing.assert_close(plain(ids).logits, wanted, atol=1e-5, rtol=1e-5)
    undo.put(plain)
    assert torch.equal(plain(ids).logits, before)
    merge(delta, plain, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(ids).logits, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("control", ["random", "lora"])
def test_a_resumed_control_equals_an_uninterrupted_one(
    build: Build, tiny_model: Tiny, tmp_path: Path, control: str
) -> None:
    def make(folder: Path, steps: int) -> GiGPOTrainer:
        settings = {"output_dir": str(folder), "max_steps": steps, "save_strategy": "steps"}
        settings["save_steps"] = 1
        if control == "lora":
            return lora_run(build, tiny_model("llama"), **settings)
        return build(tiny_model("llama"), layers="random", **settings)

    check_resume(make, tmp_path)


def test_the_rank_that_makes_lora_as_large_as_a_layer(tiny_model: Tiny, tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.save_pretrained(tmp_path)
    size = layer_size(decoder_layers(model))
    for layers in ("all", "2-3"):
        rank = lora_rank(str(tmp_path), layers)
        trained = select(with_lora(tiny_model("llama"), layers, rank, 0), layers).trained
        per_rank = trained // rank
        assert abs(trained - size) <= per_rank / 2 or rank == 1


def test_lora_needs_linear_maps_and_a_rank(tiny_model: Tiny) -> None:
    with pytest.raises(InputError, match="no linear map"):
        with_lora(tiny_model("gpt2"), "1", 2, 0)
    with pytest.raises(InputError, match="LoRA rank lies between 1 and"):
        with_lora(tiny_model("llama"), "1", 0, 0)
