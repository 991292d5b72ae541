"""Tiny real models, a tiny real environment, and a rollout that samples from the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
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

from layergym.agents.rollouts import Job
from layergym.agents.types import Reply, Trajectory, Turn
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.panels import Panel, panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.trainer import GiGPOTrainer

# A busy machine is not a failure.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

VOCABULARY = 24
FIRST_WORD = 4

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
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
            layer_types=["sliding_attention", "full_attention"] * 3,
            query_pre_attn_scalar=8,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=6,
            n_head=4,
            n_positions=128,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
            initializer_range=0.2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    ),
}


def _tiny_model(family: str = "qwen3", seed: int = 0) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FAMILIES[family]()
    model.train(False)
    return model


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
    """Samples one or two tokens per turn from the model, seeded per job; one row per episode.

    All episodes have prompts and replies of the same length, so that they run as one batch.
    """

    def play(jobs: Sequence[Job]) -> list[Trajectory]:
        episodes = [_Episode(job) for job in jobs]
        while not episodes[0].over:
            for episode in episodes:
                episode.ask()
            for _ in range(1 + episodes[0].env.turn % 2):
                ids = torch.tensor([episode.context for episode in episodes])
                logprobs = model(input_ids=ids).logits[:, -1].float().log_softmax(-1)
                for episode, row in zip(episodes, logprobs, strict=True):
                    episode.sample(row)
            for episode in episodes:
                episode.answer()
        return [episode.trajectory() for episode in episodes]

    return play


class _Episode:
    def __init__(self, job: Job) -> None:
        self.job, self.env = job, Echo()
        self.generator = torch.Generator().manual_seed(job.seed)
        self.observation, self.info = self.env.reset(seed=job.seed, options={"task": job.task})
        self.context: list[int] = []
        self.turns: list[Turn] = []
        self.over = False

    def ask(self) -> None:
        self.prompt = [2, 3 + sum(map(ord, self.observation)) % 20]
        self.context += self.prompt
        self.ids: list[int] = []
        self.logprobs: list[float] = []

    def sample(self, logprobs: torch.Tensor) -> None:
        token = int(torch.multinomial(logprobs.exp(), 1, generator=self.generator))
        self.ids.append(token)
        self.logprobs.append(float(logprobs[token]))
        self.context.append(token)

    def answer(self) -> None:
        key, action = self.env.state_key(), str(self.ids[0])
        reply = Reply(
            action,
            tuple(self.prompt),
            tuple(self.ids),
            tuple(self.logprobs),
            extends=bool(self.turns),
        )
        seen = self.observation
        self.observation, reward, self.over, _, self.info = self.env.step(action)
        self.turns.append(Turn(seen, key, reply, action, reward, self.info["valid"]))

    def trajectory(self) -> Trajectory:
        return Trajectory(
            env_id="Echo",
            task=self.job.task,
            seed=self.job.seed,
            turns=tuple(self.turns),
            ended="terminated",
            success=self.info["success"],
            kind=self.info["kind"],
        )


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., PreTrainedModel]:
    """Six layers, random weights: `tiny_model(family, seed)`."""
    return _tiny_model


@pytest.fixture(scope="session")
def sampling() -> Callable[[PreTrainedModel], Rollout]:
    """Makes a rollout that samples from a model."""
    return sampling_rollout


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


def make_tokenizer() -> PreTrainedTokenizerFast:
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


@pytest.fixture(scope="session")
def build_in(tokenizer: PreTrainedTokenizerFast, echo_panel: Panel) -> Build:
    """Makes a trainer of a tiny model; keywords are settings of `GiGPOConfig`."""

    def make(
        model: PreTrainedModel | None = None, rollout: Rollout | None = None, **settings: Any
    ) -> GiGPOTrainer:
        model = _tiny_model() if model is None else model
        settings = {
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


@pytest.fixture
def build(build_in: Build, tmp_path: Path) -> Build:
    """The same, and where nothing else is said, in the folder `run`."""
    return partial(build_in, output_dir=str(tmp_path / "run"))


def check_resume(make: Callable[[Path, int], GiGPOTrainer], folder: Path) -> None:
    """A run that stops after two of three steps and goes on equals one that does not stop.

    `make` builds a trainer for a folder and a number of steps, with a checkpoint at every step.
    """
    whole, first = make(folder / "whole", 3), make(folder / "halted", 2)
    whole.train()
    first.train()
    rest = make(folder / "halted", 3)
    rest.train(resume_from_checkpoint=str(folder / "halted" / "checkpoint-2"))
    one, other = whole.delta().tensors, rest.delta().tensors
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
