"""Layer deltas and the proof that frozen tensors stay as they are."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from layergym.agents.names import defaults, open_model
from layergym.base.errors import InputError
from layergym.base.files import write_text
from layergym.trainer.layers.delta import LayerDelta, compose, merge
from layergym.trainer.layers.frozen import FrozenCheck, FrozenTensorChanged, base_hash, digests
from layergym.trainer.layers.selection import select

Tiny = Callable[..., PreTrainedModel]


def hash_of(model: PreTrainedModel) -> str:
    return base_hash(digests(model, buffers=False))


def trained(model: PreTrainedModel, layers: str, by: float = 0.5) -> LayerDelta:
    """Move the chosen layers, take the delta, and put the base back."""
    base, selection = hash_of(model), select(model, layers)
    old = {n: p.detach().clone() for n, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.add_(by * p.requires_grad)
        delta = LayerDelta.of(model, base, selection.layers)
        for n, p in model.named_parameters():
            p.copy_(old[n])
    return delta


def test_a_delta_is_applied_and_removed_exactly(tiny_model: Tiny, tmp_path: Path) -> None:
    model = tiny_model()
    before = hash_of(model)
    trained(model, "2").save(tmp_path / "d.safetensors")
    delta = LayerDelta.load(tmp_path / "d.safetensors")
    assert delta.layers == (2,)
    undo = delta.apply(model)
    assert hash_of(model) != before
    for name, value in delta.tensors.items():
        assert torch.equal(model.get_parameter(name), value)
    undo.put(model)
    assert hash_of(model) == before


def test_a_delta_holds_the_trained_layer_and_nothing_else(tiny_model: Tiny, tmp_path: Path) -> None:
    model = tiny_model()
    delta = trained(model, "2")
    delta.save(tmp_path / "d.safetensors")
    numbers = sum(t.numel() for t in delta.tensors.values())
    assert numbers == sum(p.numel() for p in model.model.layers[2].parameters())
    assert (tmp_path / "d.safetensors").stat().st_size < 4 * numbers + 4096


def test_another_base_is_refused(tiny_model: Tiny) -> None:
    delta = trained(tiny_model(), "2")
    with pytest.raises(InputError, match="belongs to the base model"):
        delta.apply(tiny_model(seed=1))
    with pytest.raises(InputError, match="--dtype"):
        delta.apply(tiny_model().bfloat16())
    changed = tiny_model()
    delta.apply(changed)
    with pytest.raises(InputError, match="nothing applied"):
        delta.apply(changed)


def test_deltas_of_different_layers_compose(tiny_model: Tiny) -> None:
    model = tiny_model()
    one, two = trained(model, "1"), trained(model, "3-4")
    both = compose([one, two])
    assert both.layers == (1, 3, 4)
    assert both.tensors.keys() == one.tensors.keys() | two.tensors.keys()
    both.apply(model)


def test_what_cannot_be_composed_is_refused(tiny_model: Tiny) -> None:
    model = tiny_model()
    with pytest.raises(InputError, match=r"two deltas change model\.layers\.3\."):
        compose([trained(model, "3"), trained(model, "3-4")])
    with pytest.raises(InputError, match="different base models"):
        compose([trained(model, "3"), trained(tiny_model(seed=1), "4")])
    with pytest.raises(InputError, match="no delta"):
        compose([])


def test_merging_writes_an_ordinary_checkpoint(
    tiny_model: Tiny, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = tiny_model()
    before, delta = hash_of(model), trained(model, "2")
    merge(delta, model, tmp_path / "merged", tokenizer)
    assert hash_of(model) == before
    delta.apply(model)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    assert hash_of(merged) == hash_of(model)
    assert (tmp_path / "merged" / "tokenizer.json").exists()


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_weights_are_for_whom_the_umask_says(
    umask: int, tiny_model: Tiny, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = tiny_model()
    delta = trained(model, "2")
    before = os.umask(umask)
    try:
        delta.save(tmp_path / "run" / "delta.safetensors")
        delta.save(tmp_path / "run" / "delta.safetensors")
        merge(delta, model, tmp_path / "merged", tokenizer)
        write_text(tmp_path / "text.txt", "x")
    finally:
        os.umask(before)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"delta.safetensors", "model.safetensors", "text.txt"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o666 & ~umask}


def test_a_merged_policy_is_asked_as_the_embedded_one_is(tmp_path: Path) -> None:
    model, tokenizer = open_model("tiny")
    merge(trained(model, "2"), model, tmp_path / "merged", tokenizer)
    again, tokenizer = open_model(str(tmp_path / "merged"))
    merge(trained(again, "3"), again, tmp_path / "twice", tokenizer)
    for folder in ("merged", "twice"):
        assert defaults(str(tmp_path / folder)) == defaults("tiny")


def test_a_changed_byte_is_named(tiny_model: Tiny, tmp_path: Path) -> None:
    file = tmp_path / "delta.safetensors"
    trained(tiny_model(), "1").save(file)
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for place in (header, (header + len(whole)) // 2, len(whole) - 4):  # Low bits: still finite.
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match=rf'"{file}" is not as it was written'):
            LayerDelta.load(file)
    for old, new in (
        (b'\\"layers\\": [1]', b'\\"layers\\": [2]'),
        (b'\\"base\\": \\"', b'\\"base\\": \\"0'),
    ):
        assert whole.count(old) == 1
        file.write_bytes(whole.replace(old, new)[: len(whole)])
        with pytest.raises(InputError, match=str(file)):
            LayerDelta.load(file)
    file.write_bytes(whole)
    assert LayerDelta.load(file).layers == (1,)


def test_files_that_are_no_delta_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no layer delta at"):
        LayerDelta.load(tmp_path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\x10")
    with pytest.raises(InputError, match="cannot be read"):
        LayerDelta.load(broken)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="not a layer delta"):
        LayerDelta.load(other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_nudged_frozen_tensor_is_found(tiny_model: Tiny, dtype: torch.dtype) -> None:
    model = tiny_model()
    model.to(dtype=dtype)  # type: ignore[call-arg]
    selection = select(model, "2")
    check = FrozenCheck.of(model, str(selection))
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight.add_(1)
    check.verify(model)
    weight = model.model.layers[3].mlp.up_proj.weight.data.view(-1)
    weight[7] = torch.nextafter(weight[7], torch.tensor(9.0, dtype=dtype))
    with pytest.raises(
        FrozenTensorChanged, match=r"model\.layers\.3\.mlp\.up_proj\.weight changed although only"
    ):
        check.verify(model)


def test_a_nudged_buffer_is_found(tiny_model: Tiny) -> None:
    model, bias = tiny_model(), torch.zeros(2)
    model.register_buffer("bias", bias)
    select(model, "2")
    check = FrozenCheck.of(model, "layer 2")
    bias[0] += 1
    with pytest.raises(FrozenTensorChanged, match="bias changed"):
        check.verify(model)


def test_what_a_model_computes_from_its_configuration_is_no_frozen_tensor(
    tiny_model: Tiny,
) -> None:
    model = tiny_model()
    select(model, "2")
    before, check = hash_of(model), FrozenCheck.of(model, "layer 2")
    model.model.rotary_emb.inv_freq[0] += 1
    check.verify(model)
    assert hash_of(model) == before


def test_a_shared_embedding_is_checked_once_and_found(tiny_model: Tiny) -> None:
    model = tiny_model("smollm2")
    select(model, "2")
    check = FrozenCheck.of(model, "layer 2")
    assert "lm_head.weight" not in check.tensors
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1
    with pytest.raises(FrozenTensorChanged, match="embed_tokens"):
        check.verify(model)
