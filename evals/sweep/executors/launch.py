"""From what was asked for to an engine, and what there is to say about the choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from layergym.base.errors import InputError
from layergym.evals.results import layer_of
from layergym.evals.sweep.executors.bank import banks
from layergym.evals.sweep.executors.job import Engine
from layergym.evals.sweep.executors.processes import Processes, cores, gpus, one_each
from layergym.evals.sweep.executors.ray import RayTasks
from layergym.evals.sweep.spec import SweepSpec, arms
from layergym.trainer.bank import groups
from layergym.trainer.bank.speed import measure

ENGINES = ("auto", "processes", "bank", "ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Where a sweep runs. It changes how long the sweep takes, not what comes out."""

    engine: str = "processes"
    jobs: int | None = None
    """Processes side by side; None: one per GPU, or one per core."""
    ray_address: str | None = None
    cpus: float = 1
    """Processors per run, on Ray."""
    gpus: float = 0
    """GPUs per run, on Ray."""

    def __post_init__(self) -> None:
        """Refuse an engine that does not exist and a machine without room.

        Raises:
            InputError: one of these.
        """
        if self.engine not in ENGINES:
            raise InputError(f'no engine "{self.engine}"; there is {", ".join(ENGINES)}')
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"--jobs must be at least 1, not {self.jobs}")


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine that runs a sweep."""

    engine: Engine
    about: str
    """What it is and why it was chosen, in a few words."""

    def __str__(self) -> str:
        """Say what was chosen and why."""
        return self.about


def open_engine(launch: Launch, spec: SweepSpec, folder: Path) -> Choice:
    """Open the engine that was asked for; "auto" measures which one suits.

    Raises:
        InputError: the engine cannot be used here.
    """
    if launch.engine == "ray":
        engine = RayTasks(folder, address=launch.ray_address, cpus=launch.cpus, gpus=launch.gpus)
        return Choice(engine, f"ray, {engine.about}")
    devices = gpus()
    slots = launch.jobs or len(devices) or cores()
    room = f"{slots} at a time" + (f" on {len(devices)} GPUs" if devices else "")
    name, about = launch.engine, launch.engine
    if launch.engine == "auto":
        name, about = _measured(spec, folder, slots, max(1, len(devices)))
    bundle = banks if name == "bank" else one_each
    return Choice(Processes(slots, devices, bundle), f"{about}; {room}")


def _measured(spec: SweepSpec, folder: Path, slots: int, devices: int) -> tuple[str, str]:
    """The faster engine for the single-layer runs, and what was measured.

    One device is measured, with as many runs as fall to it; further ones serve separate runs as
    well again, and a bank not at all.
    """
    runs = [arm.run for arm in arms(spec, folder) if layer_of(arm.name) is not None]
    shared = groups(runs)
    if not shared or len(shared[0]) < 2:
        return "processes", "processes: no two runs could share a bank"
    one = measure([runs[place] for place in shared[0]], max(1, slots // devices))
    verdict = replace(one, processes=one.processes * devices, jobs=one.jobs * devices)
    return verdict.engine, f"auto chose {verdict}"
