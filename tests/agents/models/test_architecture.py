"""Which architectures are batched exactly, and which are refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    FalconConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MptConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from layergym.agents.models.architecture import check_rows, context_limit
from layergym.agents.models.requests import Request
from layergym.agents.models.sampler import TransformersSampler
from layergym.base.errors import InputError
from tests.agents.models.test_sampler import dialogues

Tokenizers = Callable[[str | None], PreTrainedTokenizerFast]

_IDS: dict[str, Any] = {"vocab_size": 300, "bos_token_id": 0, "eos_token_id": 257}
_SHAPE = {**_IDS, "hidden_size": 32, "num_attention_heads": 4, "pad_token_id": 258}
_ROTARY = {**_SHAPE, "num_hidden_layers": 2, "intermediate_size": 48, "initializer_range": 0.15}
_POSITIONS = 128


def _long(short: int) -> dict[str, Any]:
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 1e4}
    return {"rope_type": "longrope", "original_max_position_embeddings": short, **factors}


def _rotary(**more: Any) -> dict[str, Any]:
    return {**_ROTARY, "max_position_embeddings": _POSITIONS, **more}


def _neo(kinds: list[str], window: int = 8) -> GPTNeoConfig:
    shape = {**_IDS, "hidden_size": 32, "num_heads": 4, "num_layers": 2}
    return GPTNeoConfig(
        **shape,
        attention_types=[[kinds, 2 // len(kinds)]],
        window_size=window,
        max_position_embeddings=_POSITIONS,
        initializer_range=0.15,
    )


EXACT: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(
        **_IDS, n_embd=32, n_layer=2, n_head=4, n_positions=_POSITIONS, initializer_range=0.15
    ),
    "opt": OPTConfig(
        **_SHAPE,
        ffn_dim=48,
        num_hidden_layers=2,
        word_embed_proj_dim=32,
        max_position_embeddings=_POSITIONS,
        init_std=0.15,
    ),
    "gpt-neo, global": _neo(["global"]),
    "gpt-neo, a window as long as the context": _neo(["global", "local"], _POSITIONS),
    "falcon, rotary": FalconConfig(
        **_SHAPE, num_hidden_layers=2, max_position_embeddings=_POSITIONS, initializer_range=0.15
    ),
    "phi3": Phi3Config(**_rotary()),
    "longrope, never long": Phi3Config(
        **_rotary(rope_parameters=_long(_POSITIONS)), original_max_position_embeddings=_POSITIONS
    ),
    "bert, as a decoder": BertConfig(**_rotary(), is_decoder=True),
    "gpt-neox": GPTNeoXConfig(**_rotary()),
    "dynamic": LlamaConfig(
        **_rotary(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    ),
}
REFUSED: dict[str, tuple[PreTrainedConfig, str]] = {
    "phi3, longrope": (
        Phi3Config(**_rotary(rope_parameters=_long(32)), original_max_position_embeddings=32),
        "phi3.*LongRoPE.*32 tokens",
    ),
    "llama, longrope": (LlamaConfig(**_rotary(rope_parameters=_long(32))), "llama.*LongRoPE"),
    "gpt-neo": (_neo(["global", "local"]), "gpt_neo.*window of 8 tokens"),
    "falcon": (FalconConfig(**_SHAPE, num_hidden_layers=2, alibi=True), "falcon.*alibi"),
    "bloom": (BloomConfig(**_IDS, hidden_size=32, n_layer=2, n_head=4), "bloom.*alibi"),
    "bert": (BertConfig(**_rotary()), "bert.*later"),
    "roberta": (RobertaConfig(**_rotary(pad_token_id=1)), "roberta.*later"),
    "mpt": (MptConfig(vocab_size=300, d_model=32, n_layers=2, n_heads=4), "mpt.*alibi"),
}


def made(config: PreTrainedConfig) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
        return model


@pytest.mark.parametrize("name", EXACT)
def test_a_ragged_batch_says_what_rows_alone_say(name: str, tokenizer: Tokenizers) -> None:
    net = made(EXACT[name])
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=8)
    for _, sample, prompt in itertools.chain(*dialogues(sampler)):
        with torch.no_grad():
            logits = net(torch.tensor([[*prompt, *sample.ids]])).logits[0, len(prompt) - 1 : -1]
        said = logits.log_softmax(-1).gather(-1, torch.tensor(sample.ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(sample.logprobs), said, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused_and_says_why(name: str, tokenizer: Tokenizers) -> None:
    config, why = REFUSED[name]
    with pytest.raises(InputError, match=why):
        TransformersSampler(made(config), tokenizer(None))


def test_a_longrope_row_does_depend_on_its_neighbour() -> None:
    net = made(REFUSED["phi3, longrope"][0])
    short, long = torch.arange(30)[None], torch.arange(40)[None]
    padded = torch.cat([short, torch.zeros(1, 10, dtype=torch.long)], 1)
    with torch.no_grad():
        alone = net(short).logits[0]
        beside = net(torch.cat([padded, long])).logits[0, :30]
    assert (alone - beside).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["gpt2", "opt", "gpt-neo, global"])
def test_all_learned_positions_are_used_and_none_beyond(name: str, tokenizer: Tokenizers) -> None:
    net, config = made(EXACT[name]), EXACT[name]
    assert context_limit(config, None) == _POSITIONS
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=1)
    assert sampler.max_context == _POSITIONS
    full = tuple(k % 250 for k in range(_POSITIONS))
    (sample,) = sampler.sample([Request(0, full, False, seed=0)])
    assert len(sample.ids) == 1
    with pytest.raises(IndexError), torch.no_grad():
        net(torch.tensor([[*full, 1]]))
    check_rows(config, [full, (1, 2)])
    with pytest.raises(InputError, match=f"{_POSITIONS + 1} tokens.*{_POSITIONS}"):
        check_rows(config, [(1, 2), (*full, 1)])
