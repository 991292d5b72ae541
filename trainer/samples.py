"""A sample of the episodes that a run trained on, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from layergym.agents.trajectories import NAME, Record, Recorder, read_records, write_records
from layergym.agents.types import Group, Trajectory
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.collect import credit

EVERY = 10
"""Optimiser steps from one kept group to the next, which bounds the file."""


class Samples:
    """Keeps the first group of every tenth step, with its advantages, in FOLDER/trajectories.jsonl.

    What a resumed run plays again replaces what was kept of it.
    """

    def __init__(self, folder: Path, args: GiGPOConfig, agent: str) -> None:
        """Keep episodes of `agent` in `folder`."""
        self._path = folder / NAME
        self._args = args
        self._agent = agent
        self._kept: int | None = None

    def keep(self, step: int, played: Sequence[Trajectory]) -> None:
        """Keep one group of what was played for optimiser step `step`, if it is time."""
        due = step != self._kept and step % EVERY < self._args.updates_per_rollout
        if not played or not due:
            return
        if self._kept is None:
            kept = [r for r in read_records(self._path) if r.step is not None and r.step < step]
            write_records(self._path, kept)
        self._kept = step
        size = self._args.num_generations
        first = tuple(takewhile(lambda t: t.task == played[0].task, played[:size]))
        # A group that is spread over processes has its advantages from all of them.
        whole = len(first) == size
        advantages = credit(Group(first), self._args) if whole else ((),) * len(first)
        with Recorder(self._path) as recorder:
            for trajectory, values in zip(first, advantages, strict=True):
                recorder.write(Record(trajectory, self._agent, step, values))
