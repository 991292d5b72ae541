"""Models from disk, and one sentence when there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast, T5Config
from transformers.utils import logging as progress

from layergym.agents.models.load import load_model
from layergym.agents.names import Speech, num_layers, open_agent, open_model
from layergym.agents.rollouts import Job, rollout
from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv

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


@pytest.fixture
def gguf_file(tmp_path: Path) -> Path:
    """A tiny random Llama with a byte tokenizer, in llama.cpp's format."""
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(0)
    width, inner, layers = 32, 64, 3
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(letters[0], letters[1]), (letters[2], letters[3])]
    tokens = [*letters, *(a + b for a, b in pairs), "<|end|>"]
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // 4)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges([f"{a} {b}" for a, b in pairs])
    writer.add_bos_token_id(len(tokens) - 1)
    writer.add_eos_token_id(len(tokens) - 1)
    shapes = {
        "attn_q": (width, width),
        "attn_k": (width // 2, width),
        "attn_v": (width // 2, width),
        "attn_output": (width, width),
        "ffn_gate": (inner, width),
        "ffn_up": (inner, width),
        "ffn_down": (width, inner),
        "attn_norm": (width,),
        "ffn_norm": (width,),
    }
    for layer in range(layers):
        for name, shape in shapes.items():
            values = rng.standard_normal(shape, dtype=np.float32)
            writer.add_tensor(f"blk.{layer}.{name}.weight", values)
    for name, shape in {"token_embd": (len(tokens), width), "output_norm": (width,)}.items():
        writer.add_tensor(f"{name}.weight", rng.standard_normal(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_is_a_model_by_name(gguf_file: Path) -> None:
    assert num_layers(str(gguf_file)) == 3
    model, tokenizer = open_model(str(gguf_file), device="cpu")
    assert model.dtype == torch.float32
    assert not hasattr(model.config, "quantization_config")
    assert tokenizer.decode(tokenizer("go north").input_ids, skip_special_tokens=True) == "go north"
    speech = Speech(max_new_tokens=3, format="plain")
    [played] = rollout(open_agent(str(gguf_file), speech), Echo, [Job("train-0000", 0)])
    assert len(played.turns[0].reply.ids) <= 3


class Echo(TextEnv):
    """One turn."""

    def start(self) -> str:
        return "Say something."

    def play(self, action: str) -> Outcome:
        return Outcome(action, terminated=True)


def test_a_model_that_is_there_at_once_shows_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    progress.enable_progress_bar()
    open_model("tiny")
    assert capfd.readouterr().err == ""
    assert progress.is_progress_bar_enabled(), "others keep theirs"
