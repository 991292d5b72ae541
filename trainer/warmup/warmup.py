"""Warm start: supervised fine-tuning on demonstrations.

They are an expert's, each played on tasks drawn with a seed; some turns take a random action
instead of the expert's, so that the policy learns to recover from its own slips. Or they are
recorded trajectories, in an order drawn with a seed. Random and invalid actions carry no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

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

from layergym.agents.conversation import Layout
from layergym.agents.models import tiny
from layergym.agents.models.architecture import context_limit
from layergym.agents.models.compute import choose_device, choose_dtype
from layergym.agents.models.save import RECIPE, save_model
from layergym.agents.names import LLM, TINY, defaults, num_layers, open_model
from layergym.agents.styles import style_of
from layergym.agents.trajectories import read_records, record_files
from layergym.agents.types import Trajectory
from layergym.base.files import write_json
from layergym.base.locks import staged
from layergym.envs import InputError, TextEnv, find, make
from layergym.trainer.config import on_one_device
from layergym.trainer.finite import check_tensors
from layergym.trainer.layers.grammar import redrawn, touched
from layergym.trainer.layers.selection import select
from layergym.trainer.parts.masters import SteppedInFloat32
from layergym.trainer.warmup.demonstrations import (
    Demonstration,
    Teacher,
    Telling,
    demonstrate,
    retell,
)
from layergym.trainer.warmup.spec import NEW, WarmupSpec

OnLog = Callable[[Mapping[str, float]], None]


class _Trainer(SteppedInFloat32, SFTTrainer):
    """TRL's trainer, with masters for a model in 16 bits."""

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The gradient of one batch."""
        with self.apart(model):
            loss: torch.Tensor = super().training_step(  # type: ignore[no-untyped-call]
                model, *args, **kwargs
            )
        self.average()
        return loss


def warmup(spec: WarmupSpec, folder: Path, *, on_log: OnLog | None = None) -> None:
    """Train as `spec` says and save the model, its tokenizer and the recipe in `folder`.

    `folder` is there once all of it is written. A warm start that is interrupted leaves nothing
    and starts again.

    Raises:
        InputError: the environment or model is unknown, there is no expert, or another process
            writes the same folder.
        Diverged: a weight is no longer finite; nothing is written.
    """
    with staged(folder) as scratch:
        _warmup(spec, scratch, on_log)


def _warmup(spec: WarmupSpec, folder: Path, on_log: OnLog | None) -> None:
    torch.manual_seed(spec.seed)
    env = make(spec.env, **spec.env_args)
    choose_device(spec.device)
    depth = spec.depth if spec.model == NEW else num_layers(spec.model)
    touched(spec.layers, depth)  # Refused before thousands of episodes are heard.
    if redrawn(spec.layers, depth):
        raise InputError(
            f'"{spec.layers}" is for reinforcement learning; name layers for a warm start'
        )
    recorded = _recorded(spec)
    model, tokenizer = _open(spec, env, recorded)
    select(model, spec.layers)
    how = _telling(spec, model, Layout(tokenizer))
    stream = _Stream(repr(spec), _demonstrations(spec, env, how, recorded))
    trainer = _Trainer(
        model=model,
        args=_settings(spec, folder),
        train_dataset=IterableDataset.from_generator(stream),
        processing_class=tokenizer,
        callbacks=[_Report(on_log)] if on_log else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    check_tensors(dict(model.named_parameters()))
    model.eval()
    save_model(model, folder, tokenizer)
    write_json(folder / RECIPE, {**asdict(spec), "new": _grown_here(spec)})


class _Stream:
    """Demonstrations as `datasets` takes them.

    It hashes what it is given by pickling it: that is the description, not the environment, which
    may hold open files.
    """

    def __init__(self, described: str, demonstrations: Iterator[Demonstration]) -> None:
        self._described = described
        self._demonstrations = demonstrations

    def __call__(self) -> Iterator[dict[str, list[int]]]:
        for demonstration in self._demonstrations:
            yield {"input_ids": list(demonstration.ids), "labels": list(demonstration.labels)}

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (self._described,)


def _demonstrations(
    spec: WarmupSpec,
    env: TextEnv,
    how: Telling,
    recorded: Sequence[Trajectory],
) -> Iterator[Demonstration]:
    """Without end."""
    if recorded:
        rng = np.random.default_rng(spec.seed)
        while True:
            for place in rng.permutation(len(recorded)):
                yield from retell(recorded[place], env, how)
    teacher = Teacher(spec.random_actions, spec.seed)
    while True:
        yield from demonstrate(env, teacher, how)


def _recorded(spec: WarmupSpec) -> list[Trajectory]:
    """The trajectories to learn from, those that ended in an error aside."""
    if not spec.trajectories:
        return []
    files = record_files(Path(spec.trajectories))
    played = [record.trajectory for file in files for record in read_records(file)]
    played = [t for t in played if t.ended != "error" and any(turn.valid for turn in t.turns)]
    others = {t.env_id for t in played} - {find(spec.env)}
    if others:
        raise InputError(
            f"{spec.trajectories} holds episodes of {', '.join(sorted(others))}; "
            f"give those of {spec.env}"
        )
    if not played:
        raise InputError(
            f"{spec.trajectories} holds no episode to learn from; record successful episodes first"
        )
    return played


def _grown_here(spec: WarmupSpec) -> bool:
    """Whether the weights began as random ones of ours, however often they were trained since."""
    return spec.model == NEW or defaults(spec.model) is TINY


def _telling(spec: WarmupSpec, model: PreTrainedModel, layout: Layout) -> Telling:
    """How the model is addressed, and will be when it acts."""
    known = TINY if _grown_here(spec) else LLM
    style = style_of(spec, known.format, partial(make, spec.env, **spec.env_args))
    limit = context_limit(model.config.get_text_config(decoder=True), None)
    return Telling(layout, style, spec.observations, limit - known.max_new_tokens)


def _open(
    spec: WarmupSpec, env: TextEnv, recorded: Sequence[Trajectory]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if spec.model != NEW:
        return open_model(spec.model, dtype=spec.dtype, device=spec.device)
    turns = [turn for played in recorded for turn in played.turns]
    if turns:
        texts, actions = [t.observation for t in turns], sorted({t.action for t in turns})
    else:
        texts, actions = _heard(env, spec.seed)
    exact = all(" ".join(tiny.words(action)) == action for action in actions)
    build = tiny.build_tokenizer if exact else tiny.build_subword_tokenizer
    tokenizer = build([*texts, *actions])
    model = tiny.build_model(tokenizer, layers=spec.depth, width=spec.width, seed=spec.seed)
    compute = choose_dtype(spec.dtype, torch.float32, choose_device(spec.device))
    cast(torch.nn.Module, model).to(compute)
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
    settings = SFTConfig(
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
        use_cpu=choose_device(spec.device).type == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        logging_steps=20,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    on_one_device(settings)
    return settings


class _Report(TrainerCallback):
    def __init__(self, on_log: OnLog) -> None:
        self._on_log = on_log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self._on_log({"step": state.global_step, **logs})
