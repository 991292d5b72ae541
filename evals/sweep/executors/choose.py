"""Opens the executor that a sweep is asked to run on, and says what a user should know about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from layergym.evals.sweep.executors.bank import banks
from layergym.evals.sweep.executors.devices import GPU, GpuSeat, gpus, run_bytes, seats
from layergym.evals.sweep.executors.job import Executor
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.executors.processes import Processes, cores, one_each
from layergym.evals.sweep.executors.ray import RayTasks
from layergym.evals.sweep.spec import ResolvedSweep
from layergym.trainer.bank import groups
from layergym.trainer.bank.speed import compare_speeds
from layergym.trainer.spec import SERVER, RunSpec


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
    places = _places(launch, sweep.spec.run, devices)
    slots = len(places) or (1 if _one_at_a_time(sampler) else launch.jobs or cores())
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


def _one_at_a_time(sampler: str) -> bool:
    """Whether runs share a server, which has the weights of one."""
    return sampler.startswith(SERVER)


def _places(launch: Launch, run: RunSpec, devices: tuple[GPU, ...]) -> tuple[GpuSeat, ...]:
    """Which process runs on which GPU; none on a machine without."""
    if not devices:
        return ()
    jobs = 1 if _one_at_a_time(run.sampler) else launch.jobs
    return seats(devices, run_bytes(run), cores(), jobs)


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
