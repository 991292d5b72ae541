"""What the trainer makes of architectures: exact, or refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPTNeoConfig,
    LlamaConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.base.errors import InputError
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec
from tests.trainer.conftest import Build
from tests.trainer.rows.test_trees import FAR, ROWS, laid, scores

_IDS: dict[str, Any] = {"vocab_size": 24, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
_SHAPE: dict[str, Any] = {
    **_IDS,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
_LONG: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 32,
}
_PHI = Phi3Config(
    **_SHAPE,
    num_hidden_layers=2,
    num_key_value_heads=2,
    intermediate_size=48,
    rope_parameters=_LONG,
    original_max_position_embeddings=32,
)
IN_TREES: dict[str, PreTrainedConfig] = {
    "opt": OPTConfig(
        **_SHAPE,
        num_hidden_layers=3,
        ffn_dim=48,
        word_embed_proj_dim=32,
        dropout=0.0,
        init_std=0.2,
    ),
    "gpt-neo": GPTNeoConfig(
        **_IDS,
        hidden_size=32,
        num_heads=4,
        num_layers=3,
        attention_types=[[["global"], 3]],
        max_position_embeddings=128,
        initializer_range=0.2,
    ),
    "falcon": FalconConfig(**_SHAPE, num_hidden_layers=3, initializer_range=0.2),
    "dynamic": LlamaConfig(
        **_SHAPE,
        num_hidden_layers=3,
        intermediate_size=48,
        rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
        initializer_range=0.2,
    ),
}


def made(config: PreTrainedConfig) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
        return model


@pytest.mark.parametrize("name", IN_TREES)
def test_rows_in_trees_are_those_alone(name: str) -> None:
    model = made(IN_TREES[name])
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    trees = laid(ROWS, FAR)
    assert trees.shared
    (together, _), (alone, _) = scores(model, trees), scores(model, laid(ROWS, None))
    assert all(torch.allclose(together[row], alone[row], atol=1e-5) for row in ROWS)


def test_a_trainer_refuses_what_cannot_be_batched_exactly(build: Build) -> None:
    with pytest.raises(InputError, match=r"phi3.*LongRoPE"):
        build(made(_PHI))


def test_such_a_run_leaves_no_folder(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    made(_PHI).save_pretrained(tmp_path / "phi")
    tokenizer.save_pretrained(tmp_path / "phi")
    spec = RunSpec(env="layergym/ALFWorld-v0", model=str(tmp_path / "phi"), device="cpu")
    with pytest.raises(InputError, match=r"phi3.*LongRoPE"):
        train(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_rows_beyond_the_last_position_are_refused(
    build: Build, tiny_model: Callable[..., PreTrainedModel]
) -> None:
    model = tiny_model("gpt2")
    trainer = build(model)
    model.config.n_positions = 4
    with pytest.raises(InputError, match="was built for 4"):
        trainer.train()
