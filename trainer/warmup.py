"""Warm start: supervised fine-tuning on demonstrations of an environment's expert.

Every demonstration is played anew, on tasks drawn with a seed; some turns take a random action
instead of the expert's, so that the policy learns to recover from its own slips. Tokens are
laid out exactly as when the policy samples. Random actions carry no loss.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import IterableDataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from layergym.agents import tiny
from layergym.agents.conversation import Conversation, Layout
from layergym.agents.names import defaults, open_model
from layergym.agents.parse import Format
from layergym.agents.prompts import PromptStyle, system_text, user_text
from layergym.envs import InputError, TextEnv, make
from layergym.trainer.layers import select

OnLog = Callable[[Mapping[str, float]], None]
NEW = "new"
IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupSpec:
    """Everything that determines a warm start."""

    env: str
    env_args: Mapping[str, Any] = field(default_factory=dict)
    model: str = NEW
    """A model to fine-tune, or "new": a policy like the embedded one with random weights."""
    layers: str = "all"
    format: Format | None = None
    steps: int = 1000
    batch_size: int = 32
    """Demonstrations per step."""
    learning_rate: float = 4e-3
    random_actions: float = 0.1
    """Share of turns that take a random admissible action; where the environment lists none, an
    action that the expert took earlier, most likely for another task."""
    observations: bool = True
    """Learn to predict the environment's text too, which helps a policy with random weights."""
    depth: int = 8
    width: int = 64
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One episode in tokens."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The ids, with -100 where nothing is to be learnt."""
    success: bool


def demonstrate(
    env: TextEnv,
    layout: Layout,
    style: PromptStyle,
    teacher: Teacher,
    spec: WarmupSpec,
) -> Demonstration:
    """Play one episode with the expert and lay it out in tokens.

    Raises:
        InputError: the environment has no expert.
    """
    observation, info = env.reset(seed=teacher.seed())
    talk = Conversation(layout, system_text(style, env.instructions))
    ids: list[int] = []
    labels: list[int] = []
    done = False
    while not done:
        admissible = env.admissible() if style.admissible else None
        prompt = talk.ask(user_text(style, observation, admissible))
        if not prompt.extends and ids:
            raise InputError("this chat template rewrites history; use another for a warm start")
        action, taught = teacher.act(env)
        said = talk.demonstrate(_reply(action, style.format))
        labels += prompt.ids if spec.observations else [IGNORED] * len(prompt.ids)
        labels += said if taught else [IGNORED] * len(said)
        ids += (*prompt.ids, *said)
        observation, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
    return Demonstration(tuple(ids), tuple(labels), bool(info["success"]))


class Teacher:
    """Acts as the environment's expert, and now and then at random."""

    def __init__(self, random_actions: float, seed: int) -> None:
        """Take a random action at this share of turns, drawn from a generator of its own."""
        self._share = random_actions
        self._rng = np.random.default_rng(seed)
        self._earlier: deque[str] = deque(maxlen=100)

    def seed(self) -> int:
        """A seed for the next episode."""
        return int(self._rng.integers(2**31))

    def act(self, env: TextEnv) -> tuple[str, bool]:
        """An action, and whether it is the expert's.

        Raises:
            InputError: the environment has no expert.
        """
        if self._rng.random() < self._share:
            choices = env.admissible()
            choices = self._earlier if choices is None else choices
            if choices:
                return choices[int(self._rng.integers(len(choices)))], False
        action = env.expert()
        if action is None:
            raise InputError(f"{type(env).__name__} has no expert to learn from; define expert()")
        self._earlier.append(action)
        return action, True


def _reply(action: str, format: Format) -> str:
    return action if format == "plain" else f"<think></think><action>{action}</action>"


def warmup(spec: WarmupSpec, folder: Path, *, on_log: OnLog | None = None) -> None:
    """Train as `spec` says and save the model, its tokenizer and the recipe in `folder`.

    Raises:
        InputError: the environment or model is unknown, or there is no expert.
    """
    torch.manual_seed(spec.seed)
    env = make(spec.env, **spec.env_args)
    model, tokenizer = _open(spec, env)
    select(model, spec.layers)
    style = PromptStyle(_format(spec))
    layout = Layout(tokenizer)

    def stream() -> Iterator[dict[str, list[int]]]:
        teacher = Teacher(spec.random_actions, spec.seed)
        while True:
            one = demonstrate(env, layout, style, teacher, spec)
            yield {"input_ids": list(one.ids), "labels": list(one.labels)}

    trainer = SFTTrainer(
        model=model,
        args=_settings(spec, folder),
        train_dataset=IterableDataset.from_generator(stream),
        processing_class=tokenizer,
        callbacks=[_Report(on_log)] if on_log else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps(asdict(spec), indent=1) + "\n")


def _format(spec: WarmupSpec) -> Format:
    """The form of a reply: as given, else what suits the model."""
    if spec.format:
        return spec.format
    return "plain" if spec.model == NEW else defaults(spec.model).format


def _open(spec: WarmupSpec, env: TextEnv) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if spec.model != NEW:
        return open_model(spec.model)
    texts, actions = _heard(env, spec.seed)
    exact = all(" ".join(tiny.words(action)) == action for action in actions)
    build = tiny.build_tokenizer if exact else tiny.build_subword_tokenizer
    tokenizer = build([*texts, *actions])
    model = tiny.build_model(tokenizer, layers=spec.depth, width=spec.width, seed=spec.seed)
    return model, tokenizer


def _heard(env: TextEnv, seed: int, episodes: int = 2000) -> tuple[list[str], list[str]]:
    """Observations and actions of a sample of episodes: the vocabulary's source."""
    texts: list[str] = []
    actions: set[str] = set()
    teacher = Teacher(0.2, seed)
    for _ in range(episodes):
        text, _ = env.reset(seed=teacher.seed())
        done = False
        while not done:
            texts.append(text)
            action, _ = teacher.act(env)
            actions.update([action, *(env.admissible() or ())])
            text, _, terminated, truncated, _ = env.step(action)
            done = terminated or truncated
        texts.append(text)
    return texts, sorted(actions)


def _settings(spec: WarmupSpec, folder: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(folder),
        max_steps=spec.steps,
        per_device_train_batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=30,
        adam_beta2=0.98,
        weight_decay=0.01,
        max_grad_norm=1.0,
        seed=spec.seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        gradient_checkpointing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        logging_steps=20,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class _Report(TrainerCallback):
    def __init__(self, on_log: OnLog) -> None:
        self._on_log = on_log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self._on_log({"step": state.global_step, **logs})
