"""A sample of the episodes that a run trained on, for people to read."""

from __future__ import annotations

import warnings
from pathlib import Path

from layergym.agents.trajectories import NAME, Record, Recorder, read_records, write_records
from layergym.base.errors import InputError, Notice
from layergym.trainer.credit.collect import Collected

EVERY = 10
"""Optimiser steps from one kept group to the next, which bounds the file."""


class Samples:
    """Keeps the first group of every tenth step, with its advantages, in FOLDER/trajectories.jsonl.

    What a resumed run plays again replaces what was kept of it.
    """

    def __init__(self, folder: Path, agent: str, *, updates_per_rollout: int = 1) -> None:
        """Keep episodes of `agent` in `folder`; a rollout feeds this many optimiser steps."""
        self._path = folder / NAME
        self._agent = agent
        self._updates = updates_per_rollout
        self._kept: int | None = None

    def keep(self, step: int, collected: Collected) -> None:
        """Keep one group of what optimiser step `step` learns from, if it is time."""
        if not collected.groups or step == self._kept or step % EVERY >= self._updates:
            return
        if self._kept is None:
            write_records(self._path, self._before(step))
        self._kept = step
        first = collected.groups[0]
        with Recorder(self._path) as recorder:
            for trajectory, advantages in zip(
                first.group.trajectories, first.advantages, strict=True
            ):
                recorder.write(Record(trajectory, self._agent, step, advantages))

    def _before(self, step: int) -> list[Record]:
        """What an interrupted run kept of earlier steps, as far as it can be read."""
        kept = []
        try:
            for record in read_records(self._path):
                if record.step is not None and record.step < step:
                    kept.append(record)
        except InputError as error:
            warnings.warn(f"episodes from there on are dropped: {error}", Notice, stacklevel=2)
        return kept
