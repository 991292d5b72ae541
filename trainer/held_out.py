"""Scores on held-out tasks while a run trains, and the delta of the best of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import binomtest
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from layergym.agents.rollouts import Job
from layergym.agents.types import Trajectory
from layergym.envs import panel
from layergym.envs.panels import Panel
from layergym.trainer.callbacks import MetricsFile
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.spec import RunSpec, make_env_of
from layergym.trainer.trainer import GiGPOTrainer

BEST = "best.safetensors"
SUCCESS, REWARD = "held_out/success", "held_out/reward"
"""Metrics of the steps after which there was an evaluation."""


@dataclass(frozen=True, slots=True)
class BestStep:
    """The step whose score on held-out tasks was highest; of equal ones the first."""

    step: int
    won: int
    tasks: int

    def __str__(self) -> str:
        """The score with its 95 % interval (Wilson)."""
        interval = binomtest(self.won, self.tasks).proportion_ci(method="wilson")
        low, high = 100 * interval.low, 100 * interval.high
        share = 100 * self.won / self.tasks
        return f"step {self.step}: {share:.1f} % [{low:.1f}, {high:.1f}] of {self.tasks} tasks"


def held_out_panel(spec: RunSpec) -> Panel | None:
    """The tasks that a run is scored on while it trains; None where it is not.

    Raises:
        InputError: the environment has no such split, or fewer tasks in it.
    """
    if not spec.eval_every:
        return None
    return panel(make_env_of(spec, spec.eval_split)(), spec.eval_tasks)


class HeldOut(TrainerCallback):
    """Plays the same tasks with the same seeds every `eval_every` steps, and after the last."""

    def __init__(self, spec: RunSpec, folder: Path, play: Rollout, log: MetricsFile) -> None:
        """Score a run on held-out tasks, if it asks for that.

        Args:
            spec: of the run.
            folder: of the run.
            play: plays the tasks with the run's agent.
            log: the run's metrics, a callback before this one; a resumed run knows from there how
                its earlier steps scored.

        Raises:
            InputError: see `held_out_panel`.
        """
        self.trainer: GiGPOTrainer
        """Must be set before the run begins."""
        self.panels = [asked_for] if (asked_for := held_out_panel(spec)) else []
        self._spec, self._folder, self._play, self._log = spec, folder, play, log
        self._jobs = [Job(task, 0) for panel in self.panels for task in panel.tasks]
        self._rows: list[Mapping[str, float]] = []

    @property
    def best(self) -> BestStep | None:
        """The best step so far; None before the first evaluation."""
        if not self._rows:
            return None
        row = max(self._rows, key=lambda row: (row[SUCCESS], row[REWARD], -row["step"]))
        tasks = len(self._jobs)
        return BestStep(int(row["step"]), round(row[SUCCESS] * tasks), tasks)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Remember the scores up to the checkpoint."""
        self._rows = [row for row in self._log.rows if SUCCESS in row]

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Score, note it for the step's metrics, and keep the weights if none were better."""
        step = state.global_step
        if not self._jobs or (step % self._spec.eval_every and step != self._spec.steps):
            return
        played = self.trainer.play_between(self._play, self._jobs)
        scores = {SUCCESS: fmean(t.success for t in played), REWARD: fmean(map(_reward, played))}
        self.trainer.note(scores)
        self._rows.append({"step": step, **scores})
        if self._spec.keep == "best" and self.best and self.best.step == step:
            self.trainer.save_delta(self._folder / BEST)


def _reward(trajectory: Trajectory) -> float:
    return 0.0 if trajectory.ended == "error" else trajectory.total_reward
