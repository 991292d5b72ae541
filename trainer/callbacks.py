"""What happens between the steps of a run: the metrics file, and the reasons to stop early."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from statistics import fmean
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from layergym.agents.types import Trajectory, Turn
from layergym.base.errors import InputError, unknown
from layergym.base.files import read_lines, write_text
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.finite import finite

TRACKERS = ("tensorboard", "trackio", "wandb")
WINDOW = 10
"""Rollouts whose mean reward `stale` compares: the reward of one says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What goes along with a run; none of it changes the result."""

    on_step: Callable[[Mapping[str, float]], None] | None = None
    """Gets each line of the metrics file."""
    on_turn: Callable[[int, Turn], None] | None = None
    """Gets each turn of a rollout, with the index of its episode."""
    on_end: Callable[[int, Trajectory], None] | None = None
    """Gets each episode of a rollout as soon as it is over, with its index."""
    pause: Callable[[], bool] | None = None
    """Asked after every optimiser step whether to stop and leave the rest to a resumed run."""
    report_to: tuple[str, ...] = ()
    """Trackers that Transformers feeds, of `TRACKERS`."""


NOBODY = Watch()


def check_trackers(names: Sequence[str]) -> None:
    """Make sure that every tracker can be used, before a run begins.

    Raises:
        InputError: one is unknown or its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise InputError(f"{name} is not installed: pip install {name}") from None


def stale(rewards: Sequence[float], patience: int) -> bool:
    """Whether the reward has stopped improving.

    The rewards are cut into windows of `WINDOW` rollouts, from the first on; an unfinished window
    does not count. True when none of the last `patience` windows has a higher mean than the best
    before them.

    Args:
        rewards: mean reward of each rollout, in order.
        patience: windows without improvement to wait for, at least 1. As Transformers'
            `early_stopping_patience`, with a window in the place of an evaluation.
    """
    means = [fmean(rewards[i : i + WINDOW]) for i in range(0, len(rewards) - WINDOW + 1, WINDOW)]
    before, last = means[:-patience], means[-patience:]
    return bool(before) and max(last) <= max(before)


class MetricsFile(TrainerCallback):
    """Writes one line per logged step and ends the run when its reward is stale.

    What is not a finite number is left out of the line.
    Lines past the checkpoint that a run resumes from are taken off and written again, so none is
    there twice. No checkpoint is kept at a stale step: a run that is killed between that step and
    its end repeats the step and stops there again.
    """

    def __init__(
        self,
        path: Path,
        on_step: Callable[[Mapping[str, float]], None] | None,
        patience: int | None,
    ) -> None:
        """Write to `path`, tell `on_step`; no `patience` never stops."""
        self.rows: list[Mapping[str, float]] = []
        self.stale = False
        self._path = path
        self._on_step = on_step
        self._patience = patience

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Keep the lines up to the checkpoint."""
        self.rows = [r for r in read_lines(self._path) if r.get("step", 0) <= state.global_step]
        if state.is_world_process_zero:
            write_text(self._path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write a line."""
        if not logs or "train_runtime" in logs:
            return
        row = {"step": state.global_step, **finite(logs)}
        self.rows.append(row)
        if state.is_world_process_zero:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")
            if self._on_step:
                self._on_step(row)
        rewards = [row["reward"] for row in self.rows if "reward" in row]
        if self._patience and stale(rewards, self._patience):
            self.stale = control.should_training_stop = True
            control.should_save = False


class Pause(TrainerCallback):
    """Saves a checkpoint and stops where a resumed run can go on, once it is asked to.

    That is after a whole rollout (`updates_per_rollout` steps) whose metrics are written. With
    several processes it is enough that one of them asks.
    """

    def __init__(self, asked: Callable[[], bool] | None) -> None:
        """Stop when `asked` says so; it is called after every step and may look at the clock."""
        self.paused = False
        self._asked = asked or (lambda: False)

    def on_step_end(  # type: ignore[override]
        self, args: GiGPOConfig, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop here, or go on to the next step."""
        asked = any(gather_object([self._asked()]))
        whole = lcm(args.updates_per_rollout, int(args.logging_steps))
        if asked and state.global_step % whole == 0 and state.global_step < args.max_steps:
            self.paused = control.should_save = control.should_training_stop = True
