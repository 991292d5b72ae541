"""The `layers=` grammar, and that nothing but the selection trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from layergym.base.errors import InputError, Notice
from layergym.trainer.layers.grammar import boost_factors, layer_indices, notice_origin, ranges
from layergym.trainer.layers.selection import decoder_layers, select

Tiny = Callable[..., PreTrainedModel]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Eight layers; 3 and 6 are best and tied, 0 is worst."""
    values = [-0.5, 0.2, 0.4, 1.0, 0.6, 0.5, 1.0, 0.1]
    entries = [{"layer": i, "contribution": v} for i, v in enumerate(values)]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"num_layers": 8, "layers": entries}))
    return path


@pytest.mark.parametrize(
    ("spec", "num_layers", "expected"),
    [
        ("all", 4, (0, 1, 2, 3)),
        ("14", 28, (14,)),
        ("10-14", 28, (10, 11, 12, 13, 14)),
        ("0,14,27", 28, (0, 14, 27)),
        ("27, 3-4 ,3", 28, (3, 4, 27)),
        ("middle", 28, (13,)),
        ("middle:5", 28, (11, 12, 13, 14, 15)),  # [floor(11.5), floor(16.5))
        ("middle:5", 36, (15, 16, 17, 18, 19)),
        ("middle:4", 7, (1, 2, 3, 4)),  # [floor(1.5), floor(5.5))
        ("middle:8", 8, tuple(range(8))),
    ],
)
def test_grammar(spec: str, num_layers: int, expected: tuple[int, ...]) -> None:
    assert layer_indices(spec, num_layers) == expected


def test_profiles_rank_layers(profile: Path) -> None:
    assert layer_indices(f"top:3@{profile}", 8) == (3, 4, 6)
    assert layer_indices(f"bottom:2@{profile}", 8) == (0, 7)
    assert layer_indices(f"top:1@{profile}", 8) == (3,)  # ties go to the lower index


def test_undefined_contributions_rank_nothing(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('{"num_layers": 1, "layers": [{"layer": 0, "contribution": null}]}')
    with pytest.raises(InputError, match="undefined"):
        layer_indices(f"top:1@{path}", 1)


def test_boosts(profile: Path) -> None:
    assert boost_factors("", 8) == {}
    assert boost_factors(f"top:2@{profile}*2", 8) == {3: 2.0, 6: 2.0}
    assert boost_factors("1-2*0.5", 8) == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("99", "has 8 layers, 0 to 7; there is no layer 99"),
        ("", "no layer is selected"),
        ("  ", "no layer is selected"),
        ("layers.1", "cannot be read"),
        ("-1", "cannot be read"),
        ("1,,2", "cannot be read"),
        ("5-3", "is empty"),
        ("middle:0", "between 1 and 8"),
        ("middle:9", "between 1 and 8"),
        ("top:3@nowhere.json", "no layer profile"),
    ],
)
def test_what_cannot_be_selected_is_refused(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        layer_indices(spec, 8)


@pytest.mark.parametrize("text", ["", "{}", '{"num_layers": 8, "layers": [{"layer": 1}]}', "[1]"])
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match="is not a layer profile"):
        layer_indices(f"top:1@{path}", 8)


def test_a_profile_of_another_model_is_refused(profile: Path) -> None:
    with pytest.raises(InputError, match="8 layers; this one has 28"):
        layer_indices(f"top:1@{profile}", 28)


@pytest.mark.parametrize("spec", ["3", "3*", "3*x", "3*0", "3*-1"])
def test_a_boost_needs_a_positive_factor(spec: str) -> None:
    with pytest.raises(InputError, match="has no factor"):
        boost_factors(spec, 8)


def test_layers_are_found_in_every_family(tiny_model: Tiny, family: str) -> None:
    model = tiny_model(family)
    assert len(decoder_layers(model)) == 6
    kind = type(decoder_layers(model)[0]).__name__
    assert kind.endswith(("DecoderLayer", "Block"))


def test_layers_are_found_under_other_names() -> None:
    config = GPT2Config(n_layer=3, n_embd=8, n_head=2, vocab_size=16, n_positions=8)
    model = GPT2LMHeadModel(config)
    assert decoder_layers(model) is model.transformer.h


def test_a_model_without_decoder_layers_is_refused(tiny_model: Tiny) -> None:
    model = tiny_model()
    model.config.num_hidden_layers = 99
    with pytest.raises(InputError, match="no list of 99 decoder layers"):
        decoder_layers(model)
    with pytest.raises(InputError, match="is not a transformers model"):
        decoder_layers(nn.Linear(2, 2))


def test_selecting_freezes_everything_else(tiny_model: Tiny) -> None:
    model = tiny_model()
    selection = select(model, "1")
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names == set(selection.names)
    assert all(name.startswith("model.layers.1.") for name in names)
    assert selection.trained == sum(p.numel() for p in model.model.layers[1].parameters())
    assert str(selection).startswith("layers 1 (of 6): ")


def test_layer_1_is_not_layer_10() -> None:
    config = GPT2Config(n_layer=11, n_embd=8, n_head=2, vocab_size=16, n_positions=8)
    selection = select(GPT2LMHeadModel(config), "1")
    assert not any(".10." in name for name in selection.names)


def test_all_means_every_parameter_once(tiny_model: Tiny) -> None:
    model = tiny_model("qwen3")  # ties embeddings and head
    selection = select(model, "all")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert selection.trained == selection.total == model.num_parameters()
    assert selection.whole_model and selection.first == 0


def test_selecting_again_replaces_the_selection(tiny_model: Tiny) -> None:
    model = tiny_model()
    select(model, "1")
    assert all(".4." in name for name in select(model, "4").names)


def test_adapters_train_only_in_the_selected_layers(tiny_model: Tiny) -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        tiny_model("llama"), peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2)
    )
    selection = select(adapted, "2,4")
    assert len(selection.names) == 8
    assert all("lora_" in n and (".2." in n or ".4." in n) for n in selection.names)
    plain = peft.get_peft_model(
        tiny_model("llama"),
        peft.LoraConfig(target_modules=["q_proj"], layers_to_transform=[1], r=2),
    )
    with pytest.raises(InputError, match="holds no adapter"):
        select(plain, "2")


def test_ranges() -> None:
    assert ranges((1, 2, 3, 7, 9, 10)) == "1-3,7,9-10"
    assert ranges((4,)) == "4"


def test_frozen_layers_get_no_gradient(tiny_model: Tiny) -> None:
    model = tiny_model()
    select(model, "2")
    model(input_ids=torch.arange(4, 12)[None]).logits.sum().backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {
        n for n, p in model.named_parameters() if ".layers.2." in n
    }


def test_a_ranking_of_another_model_is_noticed(profile: Path) -> None:
    known = json.loads(profile.read_text())
    notice_origin("middle:2", "a" * 64)
    notice_origin(f"top:1@{profile}", "a" * 64)  # Nobody knows where this one was made.
    for made_with in ("unknown", "a" * 64):
        profile.write_text(json.dumps({**known, "model_hash": made_with}))
        notice_origin(f"top:1@{profile}", "a" * 64)
    profile.write_text(json.dumps({**known, "model_hash": "b" * 64, "model": "mine"}))
    for spec in (f"top:1@{profile}", f"boost-top:2@{profile}*2"):
        with pytest.warns(Notice, match="made with the model mine \\(bbbbbbbbbbbb\\)"):
            notice_origin(spec, "a" * 64)
