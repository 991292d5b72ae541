"""A training run of seconds on the embedded policy, and what of a run's log can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from layergym.trainer.spec import RunSpec

SMALL_ROOMS: dict[str, Any] = {"max_receptacles": 5, "num_objects": 5}


def small_run(*, max_turns: int = 4, **settings: Any) -> RunSpec:
    """One layer in small rooms; one task of four episodes a step where nothing else is given."""
    usual = {"layers": "3", "steps": 4, "tasks_per_step": 1, "group_size": 4}
    rooms = SMALL_ROOMS | {"max_turns": max_turns}
    return RunSpec(env="alfworld-v0", env_args=rooms, **usual | settings)


def logged(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run, without what depends on the machine."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "memory"))} for row in rows]
