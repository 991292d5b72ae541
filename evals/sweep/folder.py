"""A sweep: base, full, and every chosen layer alone, on one panel with the same seeds.

    FOLDER/sweep.json                settings
    FOLDER/manifest.json             versions, seeds, panel hashes, commit, command, executors
    FOLDER/tuning.json, tuning/      learning rates that were tried, if any
    FOLDER/arms/<arm>/seed-<seed>/   one run each

What is to be run follows from the settings and the folder (`plan`); an executor runs it. Any run,
and the sweep itself, may be killed at any moment and is resumed by the next call on the folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from layergym.agents.models.attention import attention_windows
from layergym.agents.names import open_stored
from layergym.base.files import read_json, write_json
from layergym.envs import InputError, find, panel
from layergym.evals.sweep.executors.job import Executor
from layergym.evals.sweep.executors.launch import Chosen
from layergym.evals.sweep.next_jobs import all_arms, next_jobs
from layergym.evals.sweep.run_arm import EvalSpec, scored_panel
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec, check_arms
from layergym.trainer.layers.delta import base_hash, digests
from layergym.trainer.layers.grammar import layer_indices, notice_origin
from layergym.trainer.manifest import manifest
from layergym.trainer.run import RunSpec, make_env_of

POLL_S = 0.2


def write_sweep(spec: SweepSpec, folder: Path) -> None:
    """Begin a sweep folder: settings and manifest.

    Raises:
        InputError: the sweep cannot be carried out; nothing is written then.
    """
    check_arms(spec)
    panels = [panel(make_env_of(spec.run, "train")()), scored_panel(spec.run, spec.eval)]
    if spec.search.active:
        panels.append(scored_panel(spec.run, spec.search.dev))
        if shared := set(panels[1].tasks) & set(panels[2].tasks):
            raise InputError(f"decisions and final scores share {len(shared)} tasks; split them")
    settings = asdict(spec)
    settings["run"]["env"] = find(spec.run.env)
    model, _ = open_stored(spec.run.model, spec.run.dtype)
    attention_windows(model)
    found = base_hash(digests(model, buffers=False))
    for arm in spec.extra:
        notice_origin(arm, found)
    origin = {"model": spec.run.model, "model_hash": found}
    write_json(folder / "manifest.json", manifest(panels, spec.seeds) | origin)
    write_json(folder / "sweep.json", settings)


def note_executor(folder: Path, chosen: Chosen) -> None:
    """Add to the sweep's manifest which executor runs it from now on, and why."""
    path = folder / "manifest.json"
    known = read_json(path)
    write_json(path, known | {"executors": [*known.get("executors", []), str(chosen)]})


def read_spec(folder: Path) -> SweepSpec:
    """The settings of the sweep in `folder`.

    Raises:
        InputError: it is no sweep folder, or another version of layergym wrote it.
    """
    values = read_json(folder / "sweep.json")
    try:
        search = dict(values.get("search", {}))
        if "dev" in search:
            search["dev"] = _build(EvalSpec, search["dev"])
        parts = {
            "run": RunSpec.of(values["run"]),
            "eval": _build(EvalSpec, values["eval"]),
            "search": _build(Search, search),
        }
        spec: SweepSpec = _build(SweepSpec, values | parts)
        return spec
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'sweep.json'} does not describe a sweep: {error}") from error


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    """A frozen value from JSON, whose lists are tuples here."""
    names = {f.name for f in fields(kind)}
    made = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
    return kind(**made)


def run_sweep(
    spec: SweepSpec,
    folder: Path,
    executor: Executor,
    *,
    deadline: float | None = None,
    on_poll: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run what is not finished, on `executor`, which is closed at the end.

    Args:
        spec: the sweep's settings.
        folder: its folder.
        executor: runs jobs.
        deadline: time (seconds since the epoch) at which nothing more is started and runs pause.
        on_poll: called several times a second.

    Returns:
        One sentence for each run that failed; its traceback is in its folder's error.txt.
    """
    failures: dict[Path, str] = {}
    for arm in all_arms(spec, folder):
        (arm.folder / "error.txt").unlink(missing_ok=True)  # What failed is tried again.
    waiting = next_jobs(spec, folder)
    try:
        while waiting or executor.running:
            if deadline is None or time.time() < deadline:
                executor.offer([replace(job, deadline=deadline) for job in waiting])
            elif not executor.running:
                break
            time.sleep(POLL_S)
            if ended := executor.ended():
                failures |= {e.job.folder: f"{e.job}: {e.error}" for e in ended if e.error}
                waiting = next_jobs(spec, folder, failures)
            on_poll()
    finally:
        executor.close()
    return list(failures.values())


def layers_of(text: str, num_layers: int) -> tuple[int, ...]:
    """The layers to train alone, whole ones in the `layers=` grammar: "all", "0,4,8", "10-14"."""
    return layer_indices(text, num_layers)
