"""A few episodes of every evaluation, to look up why one arm scored higher than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from layergym.agents.trajectories import NAME, Record, write_records
from layergym.agents.turn_details import details_of
from layergym.agents.types import Trajectory
from layergym.evals.results import score_name
from layergym.evals.score.evaluate import Label

TASKS = 8
"""The first tasks of a panel, the same for all arms; of each the first episode is kept."""


@dataclass(frozen=True, slots=True)
class EpisodeSample:
    """Writes FOLDER/evals/<name>/trajectories.jsonl when it is called with the episodes."""

    folder: Path
    label: Label
    repeats: int
    """Episodes per task, in the order of `panel_jobs`."""
    tokenizer: PreTrainedTokenizerBase | None = None
    """Of the model, to write its tokens as text; None: they are not written."""

    def __call__(self, played: Sequence[Trajectory]) -> None:
        """Keep the first episode of the first tasks; an earlier sample is replaced."""
        path = self.folder / "evals" / score_name(self.label.temperature) / NAME
        write_records(path, map(self._record, played[:: self.repeats][:TASKS]))

    def _record(self, trajectory: Trajectory) -> Record:
        details = details_of(trajectory, self.tokenizer)
        return Record(trajectory, self.label.arm, details=details)
