"""Tiny real models, a tiny real environment, and a rollout that samples from the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from layergym.agents.rollout import Job
from layergym.agents.types import Reply, Trajectory, Turn
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.panels import Panel, panel
from layergym.trainer.collect import Rollout
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.trainer import GiGPOTrainer

VOCABULARY = 24
FIRST_WORD = 4

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "initializer_range": 0.2,
}

FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(**{k: v for k, v in _SIZES.items() if k != "head_dim"})
    ),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES, tie_word_embeddings=True)),
    "qwen3-sliding": lambda: Qwen3ForCausalLM(
        Qwen3Config(**_SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=2)
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES)),
    "smollm2": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES, tie_word_embeddings=True)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_SIZES, sliding_window=4)),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            **_SIZES,
            sliding_window=4,
            layer_types=["sliding_attention", "full_attention"] * 2,
            query_pre_attn_scalar=8,
        )
    ),
}


def tiny_model(family: str = "qwen3", seed: int = 0) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FAMILIES[family]().eval()


class Echo(TextEnv):
    """Say an even word, three times: every one is rewarded, and all three are a success."""

    max_turns = 3

    def start(self) -> str:
        self.right = 0
        return self.task

    def kind(self, task: str) -> str:
        return "odd" if int(task[-1]) % 2 else "even"

    def state_key(self) -> tuple[str, int, int]:
        return (self.task, self.turn, self.right)

    def play(self, action: str) -> Outcome:
        word = int(action)
        good = word % 2 == 0
        self.right += good
        done = self.turn == 2
        return Outcome(
            str(word),
            reward=float(good),
            terminated=done,
            valid=word >= FIRST_WORD,
            success=done and self.right == 3,
        )


def sampling_rollout(model: PreTrainedModel) -> Rollout:
    """Samples one or two tokens per turn from the model, seeded per job; one row per episode."""

    def play(jobs: Sequence[Job]) -> list[Trajectory]:
        return [_episode(model, job) for job in jobs]

    return play


def _episode(model: PreTrainedModel, job: Job) -> Trajectory:
    env, generator = Echo(), torch.Generator().manual_seed(job.seed)
    observation, info = env.reset(seed=job.seed, options={"task": job.task})
    context: list[int] = []
    turns: list[Turn] = []
    over = False
    while not over:
        prompt = [2, 3 + sum(map(ord, observation)) % 20]
        context += prompt
        ids, logprobs = [], []
        for _ in range(1 + env.turn % 2):
            logits = model(input_ids=torch.tensor([context])).logits[0, -1].float()
            distribution = logits.log_softmax(-1)
            token = int(torch.multinomial(distribution.exp(), 1, generator=generator))
            ids.append(token)
            logprobs.append(float(distribution[token]))
            context.append(token)
        key, action = env.state_key(), str(ids[0])
        reply = Reply(action, tuple(prompt), tuple(ids), tuple(logprobs), extends=bool(turns))
        observation, reward, terminated, truncated, info = env.step(action)
        turns.append(Turn(observation, key, reply, action, reward, info["valid"]))
        over = terminated or truncated
    ended = "terminated" if terminated else "truncated"
    return Trajectory(
        "Echo", job.task, job.seed, tuple(turns), ended, info["success"], info["kind"]
    )


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3}
    words |= {f"w{i}": i for i in range(FIRST_WORD, VOCABULARY)}
    words_only = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    words_only.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words_only, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>"
    )


@pytest.fixture(scope="session")
def echo_panel() -> Panel:
    return panel(Echo(), 6)


Build = Callable[..., GiGPOTrainer]


@pytest.fixture
def build(tokenizer: PreTrainedTokenizerFast, echo_panel: Panel, tmp_path: Path) -> Build:
    """Makes a trainer of a tiny model; keywords are settings of `GiGPOConfig`."""

    def make(
        model: PreTrainedModel | None = None, rollout: Rollout | None = None, **settings: Any
    ) -> GiGPOTrainer:
        model = tiny_model() if model is None else model
        settings = {
            "output_dir": str(tmp_path / "run"),
            "max_steps": 2,
            "tasks_per_step": 2,
            "num_generations": 4,
            "learning_rate": 1e-2,
            "use_cpu": True,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            **settings,
        }
        play = sampling_rollout(model) if rollout is None else rollout
        return GiGPOTrainer(model, GiGPOConfig(**settings), echo_panel, play, tokenizer)

    return make
