"""A sweep: base, full, and every chosen layer alone, on one panel with the same seeds.

    FOLDER/sweep.json                settings
    FOLDER/manifest.json             versions, seeds, panel hashes, commit, command, executors
    FOLDER/tuning.json, tuning/      learning rates that were tried, if any
    FOLDER/arms/<arm>/seed-<seed>/   one run each

What is to be run follows from the settings and the folder (`next_jobs`); an executor runs it. Any
run, and the sweep itself, may be killed at any moment: the next call on the folder resumes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from layergym.agents.servers.vllm_server import VLLMServer
from layergym.base.files import read_json, write_json
from layergym.base.locks import vacant
from layergym.envs import InputError, panel
from layergym.evals.result_files import is_sweep
from layergym.evals.sweep.executors.choose import Chosen
from layergym.evals.sweep.executors.job import Executor
from layergym.evals.sweep.next_jobs import all_runs, next_jobs
from layergym.evals.sweep.panels import scored_panel
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.spec import ResolvedSweep, SweepSpec, read_spec
from layergym.trainer.layers.grammar import layer_indices, notice_origin
from layergym.trainer.layers.stored import stored_hash
from layergym.trainer.manifest import manifest
from layergym.trainer.spec import SERVER, make_env_of

POLL_S = 0.2


def write_sweep(spec: SweepSpec, folder: Path) -> ResolvedSweep:
    """Resolve a sweep and begin its folder, as `begin_folder`.

    Raises:
        InputError: the sweep cannot be carried out; nothing is written then.
    """
    sweep = resolve(spec, folder)
    begin_folder(sweep)
    return sweep


def begin_folder(sweep: ResolvedSweep) -> None:
    """Begin a folder that is absent or vacant; one that holds the same sweep is left as it is.

    Raises:
        InputError: the folder holds something else, or the sweep's panels, its model or its vLLM
            server cannot be used; nothing is written then.
    """
    folder = sweep.folder
    if is_sweep(folder):
        if resolve(read_spec(folder), folder).spec != sweep.spec:
            raise InputError(f"{folder} holds a sweep with other settings; give another folder")
    elif folder.is_file() or not vacant(folder):
        raise InputError(f"{folder} holds something that is not a sweep; give another folder")
    else:
        write_settings(sweep)


def write_settings(sweep: ResolvedSweep, **more: object) -> None:
    """Write a sweep's manifest, with `more`, and then its settings: from then on it is begun.

    Raises:
        InputError: its panels, its model or its vLLM server cannot be used; nothing is written
            then.
    """
    spec = sweep.spec
    if spec.run.sampler.startswith(SERVER):
        VLLMServer(spec.run.sampler.removeprefix(SERVER))
    panels = [panel(make_env_of(spec.run, "train")()), scored_panel(spec.run, spec.eval)]
    if spec.search.active:
        panels.append(scored_panel(spec.run, spec.search.dev))
        if shared := set(panels[1].tasks) & set(panels[2].tasks):
            raise InputError(f"decisions and final scores share {len(shared)} tasks; split them")
    model_hash = stored_hash(spec.run.model, spec.run.dtype)
    for arm, _ in sweep.variants:
        notice_origin(arm.expression, model_hash)
    origin = {"model": spec.run.model, "model_hash": model_hash}
    write_json(sweep.folder / "manifest.json", manifest(panels, spec.seeds) | origin | more)
    write_json(sweep.folder / "sweep.json", asdict(spec))


def note_executor(folder: Path, chosen: Chosen) -> None:
    """Add to the sweep's manifest which executor runs it from now on, and why."""
    path = folder / "manifest.json"
    known = read_json(path)
    write_json(path, known | {"executors": [*known.get("executors", []), str(chosen)]})


def run_sweep(
    sweep: ResolvedSweep,
    executor: Executor,
    *,
    deadline: float | None = None,
    on_poll: Callable[[], None] = lambda: None,
    report_to: Sequence[str] = (),
) -> list[str]:
    """Run what is not finished, on `executor`, which is closed at the end.

    Args:
        sweep: in a folder that was begun.
        executor: runs jobs.
        deadline: time (seconds since the epoch) at which nothing more is started and runs pause.
        on_poll: called several times a second.
        report_to: trackers that every run reports to.

    Returns:
        One sentence for each run that failed; its traceback is in its folder's error.txt.
    """
    failures: dict[Path, str] = {}
    for run in all_runs(sweep):
        (run.folder / "error.txt").unlink(missing_ok=True)  # What failed is tried again.
    waiting = next_jobs(sweep)
    try:
        while waiting or executor.running:
            if deadline is None or time.time() < deadline:
                trackers = tuple(report_to)
                executor.offer(
                    [replace(job, deadline=deadline, report_to=trackers) for job in waiting]
                )
            elif not executor.running:
                break
            time.sleep(POLL_S)
            if ended := executor.ended():
                failures |= {e.job.folder: f"{e.job}: {e.error}" for e in ended if e.error}
                waiting = next_jobs(sweep, failures)
            on_poll()
    finally:
        executor.close()
    return list(failures.values())


def layers_of(text: str, num_layers: int) -> tuple[int, ...]:
    """The layers to train alone, whole ones in the `layers=` grammar: "all", "0,4,8", "10-14"."""
    return layer_indices(text, num_layers)
