"""Targets finer than a layer: modules, embeddings, head, final norm, and what a run has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.frozen import FrozenTensorChanged, base_hash, digests
from layergym.trainer.layers.grammar import inside_layers, targets, touched
from layergym.trainer.layers.lora import with_lora
from layergym.trainer.layers.selection import decoder_layers, parameters_named, select
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.conftest import check_resume

Tiny = Callable[..., PreTrainedModel]
Build = Callable[..., GiGPOTrainer]


def values(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def short(names: tuple[str, ...]) -> set[str]:
    return {n.removeprefix("model.").removesuffix(".weight").replace("layers.", "") for n in names}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("2.q", {"2.self_attn.q_proj"}),
        ("2.o+down", {"2.self_attn.o_proj", "2.mlp.down_proj"}),
        ("2.norms,4.q_norm", {"2.input_layernorm", "2.post_attention_layernorm"}),
        ("1-2.gate", {"1.mlp.gate_proj", "2.mlp.gate_proj"}),
        ("middle.k+v", {"2.self_attn.k_proj", "2.self_attn.v_proj"}),
        ("embed", {"embed_tokens"}),
        ("norm", {"norm"}),
        ("embed+norm", {"embed_tokens", "norm"}),
        ("3.down+norm", {"3.mlp.down_proj", "norm"}),
    ],
)
def test_finer_targets_name_these_tensors(tiny_model: Tiny, spec: str, expected: set[str]) -> None:
    found = short(parameters_named(tiny_model("qwen3"), spec))
    assert found == expected | ({"4.self_attn.q_norm"} if "q_norm" in spec else set())


def test_attention_mlp_and_norms_make_up_a_layer(tiny_model: Tiny, family: str) -> None:
    model = tiny_model(family)
    parts = [set(parameters_named(model, f"2.{part}")) for part in ("attn", "mlp", "norms")]
    assert all(parts) and sum(map(len, parts)) == len(set.union(*parts))
    assert set.union(*parts) == set(parameters_named(model, "2"))


def test_layers_embeddings_head_and_norm_make_up_a_model(tiny_model: Tiny, family: str) -> None:
    model = tiny_model(family)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    parts = ("0-5", "embed", "norm") if tied else ("0-5", "embed", "norm", "head")
    found = [name for part in parts for name in parameters_named(model, part)]
    assert sorted(found) == sorted(parameters_named(model, "all"))
    if tied:
        with pytest.raises(InputError, match="name them as embed"):
            parameters_named(model, "head")


def test_a_module_that_a_layer_has_not_is_named_with_those_that_it_has(tiny_model: Tiny) -> None:
    with pytest.raises(InputError, match=r'layer 2 has no "qkv"; it has .*attn.*gate.*norms.*q_p'):
        parameters_named(tiny_model("llama"), "1.attn+2.qkv")
    with pytest.raises(InputError, match="there is no layer 9"):
        parameters_named(tiny_model("llama"), "9.attn")


@pytest.mark.parametrize("spec", ["2.5", "attn", "embed.q", "2.attn.q", "2..q", "embed++norm"])
def test_what_cannot_be_read_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read|no layer is selected"):
        targets(spec, 6)


def test_which_layers_a_target_touches() -> None:
    assert touched("4.attn+2.o+down", 6) == (2, 4)
    assert touched("embed,norm", 6) == touched("random:2", 6) == touched("mask:changed@x", 6) == ()
    assert touched("all.mlp", 3) == (0, 1, 2)
    inside = ["2", "middle:3", "all.attn", "2.o+down", "top:2@embed,norm"]
    assert all(map(inside_layers, inside))
    outside = ["all", "random:2", "embed", "2.attn + norm", "2,head", "mask:changed@x"]
    assert not any(map(inside_layers, outside))


@pytest.mark.parametrize(
    ("spec", "first"), [("3.attn", 3), ("embed", 0), ("norm", 6), ("head", 6), ("4.mlp,embed", 0)]
)
def test_gradients_reach_down_to_what_trains(tiny_model: Tiny, spec: str, first: int) -> None:
    selection = select(tiny_model("llama"), spec)
    assert selection.first == first
    assert str(selection).startswith(f"layers {spec} (of 6): ")


@pytest.mark.parametrize("spec", ["2.attn", "1.o+down", "embed", "head", "norm", "3.mlp+embed"])
def test_exactly_what_is_named_moves(build: Build, tiny_model: Tiny, spec: str) -> None:
    model = tiny_model("llama")
    before, wanted = values(model), set(parameters_named(model, spec))
    trainer = build(model, layers=spec, beta=0.1, num_iterations=2, weight_decay=0.01)
    trainer.train()
    after = values(model)
    assert {n for n in before if not torch.equal(before[n], after[n])} == wanted
    assert set(trainer.delta().tensors) == wanted
    logged = {k for row in trainer.state.log_history for k in row if k.startswith("change/")}
    places = {f"change/layer_{i}" for i in trainer.selection.layers}
    assert logged == places | (set() if inside_layers(spec) else {"change/other"})


def test_a_sibling_module_that_moves_is_found(build: Build, tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    trainer = build(model, layers="2.attn")
    with torch.no_grad():
        model.model.layers[2].self_attn.q_proj.weight += 1
    trainer.frozen.verify(model)
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight[0, 0] += 1
    with pytest.raises(FrozenTensorChanged, match=r"up_proj\.weight changed .*2\.attn"):
        trainer.frozen.verify(model)


@pytest.fixture
def full_run(build: Build, tiny_model: Tiny, tmp_path: Path) -> Path:
    """The delta of a run of two layers, of which one matrix has moved in one entry only."""
    model = tiny_model("llama")
    base, old = base_hash(digests(model, buffers=False)), values(model)
    trainer = build(model, layers="1,4")
    trainer.train()
    delta = LayerDelta.of(model, base, (1, 4))
    name = "model.layers.1.mlp.up_proj.weight"
    tensor = old[name].clone()
    tensor[3, 5] += 1
    tensor[0, 0] *= 1 + 2**-12  # Lost in bfloat16.
    path = tmp_path / "delta.safetensors"
    LayerDelta(base, (1, 4), delta.tensors | {name: tensor}).save(path)
    return path


@pytest.mark.parametrize("kind", ["changed", "changed_bf16"])
def test_only_what_a_run_has_changed_trains(
    build: Build, tiny_model: Tiny, full_run: Path, kind: str
) -> None:
    model = tiny_model("llama")
    before, delta = values(model), LayerDelta.load(full_run)
    dtype = torch.bfloat16 if kind == "changed_bf16" else torch.float32
    allowed = {n: new.to(dtype) != before[n].to(dtype) for n, new in delta.tensors.items()}
    trainer = build(model, layers=f"mask:{kind}@{full_run}", beta=0.1)
    assert trainer.selection.trained == sum(int(m.sum()) for m in allowed.values())
    trainer.train()
    after = values(model)
    for name, old in before.items():
        moved = after[name] != old
        assert not (moved & ~allowed.get(name, torch.zeros_like(moved))).any()
    name = "model.layers.1.mlp.up_proj.weight"
    assert int((after[name] != before[name]).sum()) == (2 if kind == "changed" else 1)


def test_a_mask_of_another_base_is_refused(build: Build, tiny_model: Tiny, full_run: Path) -> None:
    with pytest.raises(InputError, match="belongs to the base model"):
        build(tiny_model("llama", seed=1), layers=f"mask:changed@{full_run}")
    with pytest.raises(InputError, match="which this model has not"):
        select(tiny_model("gpt2"), f"mask:changed@{full_run}")
    with pytest.raises(InputError, match="no layer delta at"):
        select(tiny_model("llama"), "mask:changed@nowhere")
    with pytest.raises(InputError, match="weight decay"):
        build(tiny_model("llama"), layers=f"mask:changed@{full_run}", weight_decay=0.1)


@pytest.mark.parametrize("spec", ["2.o+down", "embed", "norm", "mask"])
def test_a_resumed_run_of_a_finer_target_equals_an_uninterrupted_one(
    build: Build, tiny_model: Tiny, tmp_path: Path, full_run: Path, spec: str
) -> None:
    layers = f"mask:changed@{full_run}" if spec == "mask" else spec

    def make(folder: Path, steps: int) -> GiGPOTrainer:
        often = {"save_strategy": "steps", "save_steps": 1, "max_steps": steps}
        return build(tiny_model("llama"), layers=layers, output_dir=str(folder), **often)

    check_resume(make, tmp_path)


def test_adapters_go_on_the_modules_that_are_named(tiny_model: Tiny) -> None:
    adapted = with_lora(tiny_model("llama"), "1.o+down", 2, seed=0)
    found = {name.split(".layers.")[1].split(".lora_")[0] for name in select(adapted, "1").names}
    assert found == {"1.self_attn.o_proj", "1.mlp.down_proj"}
    assert len(decoder_layers(adapted)) == 6
