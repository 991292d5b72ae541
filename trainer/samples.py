"""A sample of the episodes that a run trained on, for people to read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from layergym.agents.trajectories import NAME, Record, Recorder, read_records, write_records
from layergym.agents.turn_details import TurnDetails, details_of, with_credit
from layergym.agents.types import CUT
from layergym.base.errors import InputError, Notice
from layergym.trainer.credit.algorithms import Credited
from layergym.trainer.credit.collect import Collected, RolloutSpec
from layergym.trainer.credit.parts import credit_parts

EVERY = 10
"""Optimiser steps from one kept group to the next, which bounds the file."""


class Samples:
    """Keeps a group of every tenth step, with its advantages, in FOLDER/trajectories.jsonl.

    It is the first in which some turn is credited with something, if there is one.

    What a resumed run plays again replaces what was kept of it.
    """

    def __init__(
        self,
        folder: Path,
        agent: str,
        rollouts: RolloutSpec | None = None,
        *,
        updates_per_rollout: int = 1,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        """Keep episodes of `agent` in `folder`.

        Args:
            folder: of the run.
            agent: the name that they are kept under.
            rollouts: how they are played and credited, to say where their credit is from.
            updates_per_rollout: optimiser steps that a rollout feeds.
            tokenizer: of the model, to write its tokens as text.
        """
        self._path = folder / NAME
        self._agent = agent
        self._rollouts = rollouts or RolloutSpec()
        self._updates = updates_per_rollout
        self._tokenizer = tokenizer
        self._kept: int | None = None

    def keep(self, step: int, collected: Collected) -> None:
        """Keep one group of what optimiser step `step` learns from, if it is time."""
        if not collected.groups or step == self._kept or step % EVERY >= self._updates:
            return
        if self._kept is None:
            write_records(self._path, self._before(step))
        self._kept = step
        with Recorder(self._path) as recorder:
            for record in self._records(step, _telling(collected.groups)):
                recorder.write(record)

    def _records(self, step: int, first: Credited) -> Iterator[Record]:
        parts = credit_parts(first.group, self._rollouts.credit)
        rows = zip(
            first.group.trajectories, first.advantages, parts.episode, parts.states, strict=True
        )
        for trajectory, advantages, episode, states in rows:
            details: tuple[TurnDetails, ...] = ()
            if self._tokenizer is not None:
                details = with_credit(details_of(trajectory, self._tokenizer), episode, states)
            masked = self._rollouts.mask_truncated and trajectory.ended in CUT
            yield Record(trajectory, self._agent, step, advantages, details, masked)

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


def _telling(groups: Sequence[Credited]) -> Credited:
    """The first group in which some turn is credited with something, else the first."""
    taught = (group for group in groups if any(map(any, group.advantages)))
    return next(taught, groups[0])
