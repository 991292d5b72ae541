"""From what was asked for to an executor, and what there is to say about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from layergym.base.errors import InputError, unknown
from layergym.evals.sweep.executors.bank import banks
from layergym.evals.sweep.executors.devices import GPU, GpuSeat, gpus, run_bytes, seats
from layergym.evals.sweep.executors.job import Executor
from layergym.evals.sweep.executors.processes import Processes, cores, one_each
from layergym.evals.sweep.executors.ray import RayTasks
from layergym.evals.sweep.spec import ResolvedSweep, SweepSpec
from layergym.trainer.bank import groups
from layergym.trainer.bank.speed import compare_speeds
from layergym.trainer.spec import HERE, SERVER

EXECUTORS = ("auto", "processes", "bank", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Where a sweep runs. It changes how long the sweep takes, not what comes out."""

    on: str = "processes"
    """Separate processes, one bank, Ray tasks, or "auto": what is faster of the first two."""
    jobs: int | None = None
    """Processes side by side; None: as many as GPUs have memory for, with a core for each, or one
    per core, or one that uses a server."""
    ray_address: str | None = None
    cpus: float = 1
    """Processors per run, on Ray."""
    gpus: float | None = None
    """GPUs per run, on Ray; None: one where the cluster has any. A run uses one at most."""

    def __post_init__(self) -> None:
        """Refuse an executor that does not exist and a machine without room.

        Raises:
            InputError: one of these.
        """
        if self.on not in EXECUTORS:
            raise unknown("executor", self.on, EXECUTORS)
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"--jobs must be at least 1, not {self.jobs}")

        if self.gpus is not None and self.gpus > 1:
            raise InputError(f"a run uses one GPU at most, not --gpus-per-run {self.gpus:g}")

    def check(self, sampler: str) -> None:
        """Refuse to run a sweep here whose runs sample with `sampler`, where that cannot work.

        Raises:
            InputError: a bank would sample with vLLM, or several runs at once with one server.
        """
        if self.on == "bank" and sampler != HERE:
            raise InputError(
                f"a bank samples by itself, not with {sampler}; use --on processes, or leave out "
                "--sampler"
            )
        if sampler.startswith(SERVER) and (self.on == "ray" or (self.jobs or 1) > 1):
            raise InputError(
                "a vLLM server has the weights of one run at a time; use --on processes --jobs 1"
            )


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
    places = _places(launch, sweep.spec, devices)
    slots = len(places) or (1 if _one_at_a_time(sweep.spec) else launch.jobs or cores())
    room = f"{slots} at a time" + (f" on {len(devices)} GPUs" if devices else "")
    name, about = launch.on, launch.on
    if launch.on == "auto":
        name, about = _measured(sweep, slots, max(1, len(devices)))
    if name == "bank" and devices:  # A bank fills a GPU.
        places = seats(devices, math.inf, cores(), launch.jobs or len(devices))
        slots = len(places)
    bundle = partial(banks, at_once=max(1, len(devices))) if name == "bank" else one_each
    return Chosen(Processes(slots, places, bundle), f"{about}; {room}")


def _one_at_a_time(spec: SweepSpec) -> bool:
    """Whether runs share a server, which has the weights of one."""
    return spec.run.sampler.startswith(SERVER)


def _places(launch: Launch, spec: SweepSpec, devices: tuple[GPU, ...]) -> tuple[GpuSeat, ...]:
    """Which process runs on which GPU; none on a machine without."""
    if not devices:
        return ()
    jobs = 1 if _one_at_a_time(spec) else launch.jobs
    return seats(devices, run_bytes(spec.run), cores(), jobs)


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
