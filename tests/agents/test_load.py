"""Models from disk, and one sentence when there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, T5Config

from layergym.agents.load import load_model
from layergym.envs.errors import InputError

Models = Callable[[str], PreTrainedModel]
Tokenizers = Callable[[str | None], PreTrainedTokenizerFast]


@pytest.fixture
def saved(tmp_path: Path, model: Models, tokenizer: Tokenizers) -> Path:
    model("qwen3").save_pretrained(tmp_path)
    tokenizer(None).save_pretrained(tmp_path)
    return tmp_path


def test_a_saved_model_comes_back(saved: Path, model: Models) -> None:
    loaded, tokenizer = load_model(saved)
    assert tokenizer.pad_token_id is not None
    assert not loaded.training
    original = model("qwen3").state_dict()
    assert all(torch.equal(original[name], tensor) for name, tensor in loaded.state_dict().items())


def test_the_weights_take_the_type_asked_for(saved: Path) -> None:
    assert load_model(saved, dtype=torch.bfloat16)[0].dtype == torch.bfloat16


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model at"):
        load_model(tmp_path / "nothing")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it holds no config"):
        load_model(tmp_path)


def test_a_truncated_file(saved: Path) -> None:
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot load a causal language model"):
        load_model(saved)


def test_a_model_without_a_tokenizer(tmp_path: Path, model: Models) -> None:
    model("qwen3").save_pretrained(tmp_path)
    with pytest.raises(InputError, match="comes without a tokenizer"):
        load_model(tmp_path)


def test_a_model_of_another_kind(saved: Path) -> None:
    T5Config().save_pretrained(saved)
    with pytest.raises(InputError, match="t5, not a causal language model"):
        load_model(saved)


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="the hub cannot be reached"):
        load_model("nobody/no-such-model")
