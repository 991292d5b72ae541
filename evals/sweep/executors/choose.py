"""Opens the executor that a sweep is asked to run on, and says what a user should know about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from layergym.evals.sweep.executors.bank import banks
from layergym.evals.sweep.executors.devices import gpus, run_bytes, seats
from layergym.evals.sweep.executors.job import Executor
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.executors.processes import Processes, cores, one_each
from layergym.evals.sweep.executors.ray import RayTasks
from layergym.evals.sweep.spec import ResolvedSweep
from layergym.trainer.bank import groups
from layergym.trainer.bank.speed import compare_speeds
from layergym.trainer.spec import HERE, SERVER


@dataclass(frozen=True, slots=True)
class Chosen:
    """The executor that runs a sweep."""

    executor: Executor
    about: str
    """What it is and why it was chosen, in a few words."""

    def __str__(self) -> str:
        """Say what was chosen and why."""
        return self.about


def open_executor(launch: Launch, sweep: ResolvedSweep) -> Chosen:
    """Open the executor that was asked for; "auto" measures which one suits.

    Raises:
        InputError: it cannot be used here, or not for this sweep.
    """
    sampler = sweep.spec.run.sampler
    launch.check(sampler)
    if launch.on == "ray":
        tasks = RayTasks(
            sweep.folder, address=launch.ray_address, cpus=launch.cpus, gpus=launch.gpus
        )
        return Chosen(tasks, f"ray, {tasks.about}")
    devices = gpus() if sweep.spec.run.device in ("auto", "cuda") else ()
    jobs = _jobs(launch, sampler, len(devices))
    places = seats(devices, run_bytes(sweep.spec.run), cores(), jobs) if devices else ()
    slots = len(places) or jobs or cores()
    room = f"{slots} at a time" + (f" on {len(devices)} GPUs" if devices else "")
    name: str = launch.on
    about: str = launch.on
    if launch.on == "auto":
        name, about = _measured(sweep, slots, max(1, len(devices)))
    if name == "bank" and devices:  # A bank fills a GPU.
        places = seats(devices, math.inf, cores(), launch.jobs or len(devices))
        slots = len(places)
    bundle = partial(banks, at_once=max(1, len(devices))) if name == "bank" else one_each
    return Chosen(Processes(slots, places, bundle), f"{about}; {room}")


def _jobs(launch: Launch, sampler: str, devices: int) -> int | None:
    """How many runs go on at a time; None: as many as fit.

    A vLLM server has the weights of one run, and an engine in a run's process fills a device.
    """
    if sampler == HERE:
        return launch.jobs
    return 1 if sampler.startswith(SERVER) else launch.jobs or max(1, devices)


def _measured(sweep: ResolvedSweep, slots: int, devices: int) -> tuple[str, str]:
    """What is faster for the single-layer runs, and what was measured.

    One device is measured, with as many runs as fall to it; further ones serve separate runs as
    well again, and a bank not at all.
    """
    runs = [run.run for run in sweep.runs if run.name.layer is not None]
    shared = groups(runs)
    if not shared or len(shared[0]) < 2:
        return "processes", "processes: no two runs could share a bank"
    one = compare_speeds([runs[place] for place in shared[0]], max(1, slots // devices))
    speeds = replace(one, processes=one.processes * devices, jobs=one.jobs * devices)
    return speeds.faster, f"auto chose {speeds}"
