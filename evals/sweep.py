"""A sweep: base, full, and every chosen layer alone, on one panel with the same seeds.

    FOLDER/sweep.json                settings
    FOLDER/manifest.json             versions, seeds, panel hashes, commit, command
    FOLDER/arms/<arm>/seed-<seed>/   one run each

Runs are separate processes, as many side by side as asked for; each may be killed at any moment
and is resumed by the next call on the same folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from layergym.agents.names import open_model
from layergym.envs import InputError, find, panel
from layergym.envs.files import read_json, write_json, write_text
from layergym.evals.arm import EvalSpec, finished, run_arm, scored_panel
from layergym.evals.arms import Arm, SweepSpec, arms
from layergym.trainer.delta import base_hash, digests
from layergym.trainer.manifest import manifest
from layergym.trainer.run import RunSpec, make_env_of

POLL_S = 0.2


def write_sweep(spec: SweepSpec, folder: Path) -> None:
    """Begin a sweep folder: settings and manifest."""
    panels = [panel(make_env_of(spec.run, "train")()), scored_panel(spec.run, spec.eval)]
    settings = asdict(spec)
    settings["run"]["env"] = find(spec.run.env)
    model, _ = open_model(spec.run.model)
    origin = {"model": spec.run.model, "model_hash": base_hash(digests(model, buffers=False))}
    write_json(folder / "manifest.json", manifest(panels, spec.seeds) | origin)
    write_json(folder / "sweep.json", settings)


def read_spec(folder: Path) -> SweepSpec:
    """The settings of the sweep in `folder`.

    Raises:
        InputError: it is no sweep folder, or another version of layergym wrote it.
    """
    values = read_json(folder / "sweep.json")
    try:
        return SweepSpec(
            run=_build(RunSpec, values["run"]),
            eval=_build(EvalSpec, values["eval"]),
            layers=tuple(values["layers"]),
            extra=tuple(values.get("extra", ())),
            num_layers=values["num_layers"],
            seeds=tuple(values["seeds"]),
            lr_full=values["lr_full"],
            lr_layer=values["lr_layer"],
        )
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
    *,
    jobs: int,
    on_poll: Callable[[], None] = lambda: None,
) -> list[str]:
    """Run what is not finished, `jobs` processes at a time.

    Returns:
        One sentence for each run that failed; its traceback is in its folder's error.txt.
    """
    waiting = [arm for arm in arms(spec, folder) if not finished(arm.folder)]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    running: dict[BaseProcess, Arm] = {}
    failures: list[str] = []
    context = _context()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                arm = waiting.pop(0)
                running[_start(context, spec, arm, threads)] = arm
            time.sleep(POLL_S)
            failures += _reap(running)
            on_poll()
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()
    return failures


def _context() -> BaseContext:
    """Processes forked from a server that has imported the libraries once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start(context: BaseContext, spec: SweepSpec, arm: Arm, threads: int) -> BaseProcess:
    arguments = (arm.run, spec.eval, arm.name, arm.folder, threads)
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=_work, args=arguments, name=str(arm.folder)
    )
    process.start()
    return process


def _work(run: RunSpec, spec: EvalSpec, name: str, folder: Path, threads: int) -> None:
    """The child process: quiet on Ctrl-C, which the parent handles; ends when the parent does."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "error.txt").unlink(missing_ok=True)
    with (folder / "log.txt").open("a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            run_arm(run, spec, name, folder)
        except Exception:
            write_text(folder / "error.txt", traceback.format_exc())
            raise


def _end_with_parent() -> None:
    """A sweep that was killed leaves no run behind that a resumed one could meet."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _reap(running: dict[BaseProcess, Arm]) -> Iterator[str]:
    for process in [p for p in running if p.exitcode is not None]:
        arm = running.pop(process)
        if process.exitcode == 0:
            continue
        error = arm.folder / "error.txt"
        why = error.read_text().strip().splitlines()[-1] if error.is_file() else ""
        why = why or f"its process ended with code {process.exitcode}"
        yield f"{arm.name}, seed {arm.run.seed}: {why}"


def default_jobs() -> int:
    """Runs side by side: one per GPU, or one per core that this process may use."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.device_count()
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def layers_of(text: str, num_layers: int) -> tuple[int, ...]:
    """The layers to train alone: "all", or the `layers=` grammar ("0,4,8", "10-14")."""
    from layergym.trainer.layers import layer_indices

    return tuple(range(num_layers)) if text == "all" else layer_indices(text, num_layers)
