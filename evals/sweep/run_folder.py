"""What a run of a sweep keeps in its folder, and how far it is by that.

FOLDER/looks/step-00008/evals/t1.0.json   score on the development panel after 8 steps
FOLDER/evals/<name>.json                  final scores, on the panel that the report is about
FOLDER/evals/<name>/trajectories.jsonl    a few of the episodes behind them
FOLDER/manifest.json                      "stopped": why it left the race, if it did
FOLDER/cost.json                          written last: the run is finished
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from layergym.base.files import read_json, write_json
from layergym.evals.result_files import read_eval, write_cost, write_eval
from layergym.evals.results import Cost, EvalResult

LOOK_AT = 1.0
"""Temperature of looks."""


def finished(folder: Path) -> bool:
    """Whether `run_arm` came to its end in `folder`."""
    return (folder / "cost.json").is_file()


def file_scores(folder: Path, results: Sequence[EvalResult], cost: Cost) -> None:
    """Finish a run folder: final scores, no checkpoints, and cost.json last."""
    for result in results:
        write_eval(folder, result)
    drop_checkpoints(folder)
    write_cost(folder, cost)


def stopped(folder: Path) -> str | None:
    """Why the run in `folder` left the race; None when it did not."""
    path = folder / "manifest.json"
    reason = read_json(path).get("stopped") if path.is_file() else None
    return str(reason) if reason else None


def stop(folder: Path, reason: str) -> None:
    """End the run in `folder` before its last step, for `reason`."""
    path = folder / "manifest.json"
    write_json(path, read_json(path) | {"stopped": reason})
    drop_checkpoints(folder)


def file_look(folder: Path, step: int, result: EvalResult) -> None:
    """Keep what was found at a step of the run in `folder`."""
    write_eval(look_folder(folder, step), result)


def look_at_step(folder: Path, step: int) -> EvalResult | None:
    """What `take_look` found in `folder` at `step`; None when it was not there yet."""
    path = look_folder(folder, step) / "evals" / f"t{LOOK_AT}.json"
    return read_eval(path) if path.is_file() else None


def drop_checkpoints(folder: Path) -> None:
    """Free the space of a run that will not be resumed."""
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def look_folder(folder: Path, step: int) -> Path:
    """Where a run keeps what was found at one of its steps."""
    return folder / "looks" / f"step-{step:05d}"
