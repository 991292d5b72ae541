"""EleutherAI's lm-evaluation-harness as a source of retention scores (extra `lm-eval`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.base.errors import InputError


@dataclass(frozen=True)
class Harness:
    """One task of the harness, by its name."""

    task: str
    include: Path | None = None
    """A folder with further task files (YAML)."""
    limit: int | None = None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task

    @property
    def digest(self) -> str:
        """A digest of the task's name and of how much of it is scored, not of its data."""
        return hashlib.sha256(f"{self.task}\0{self.limit}".encode()).hexdigest()

    def score(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> dict[str, tuple[float, ...]]:
        """Every measure of the task that is one number per item.

        Raises:
            InputError: the harness is not installed, or cannot run the task.
        """
        try:
            from lm_eval import simple_evaluate
            from lm_eval.models.huggingface import HFLM
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise InputError(
                "the harness is not installed; install it with: pip install 'layergym[lm-eval]'"
            ) from error
        tasks = TaskManager(include_path=str(self.include) if self.include else None)
        if self.task not in tasks.all_tasks:
            raise InputError(
                f'lm-evaluation-harness has no task "{self.task}"; '
                "check its name, or give the folder with --include"
            )
        answer = simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=tokenizer, device=str(model.device)),
            tasks=[self.task],
            task_manager=tasks,
            limit=self.limit,
            bootstrap_iters=0,
        )
        return _per_item(self.task, answer["samples"])


def _per_item(task: str, samples: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[float, ...]]:
    rows = [row for name in sorted(samples) for row in samples[name]]
    names = sorted({name for row in rows for name in row.get("metrics", ())})
    scores = {
        name: tuple(float(row[name]) for row in rows)
        for name in names
        if all(isinstance(row.get(name), int | float) for row in rows)
    }
    if not scores:
        raise InputError(
            f'task "{task}" has no measure with one number per item; take another task'
        )
    return scores
