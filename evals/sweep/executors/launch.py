"""Where a sweep is asked to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from layergym.base.errors import InputError, unknown
from layergym.base.numbers import Bounds, check_numbers
from layergym.trainer.spec import HERE, SERVER

ExecutorName = Literal["auto", "processes", "bank", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Where a sweep runs. It changes how long the sweep takes, not what comes out, up to rounding.

    Processes share the cores, and a sum by one thread is rounded otherwise than a sum by two. So
    a sweep that is resumed with the same `jobs` ends bit-equal to one that was never interrupted.
    """

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "jobs": Bounds(1, 4096, whole=True, optional=True),
        "cpus": Bounds(0, 4096),
        "gpus": Bounds(0, 1, optional=True),
    }
    on: ExecutorName = "processes"
    """Separate processes, single layers in one bank, Ray tasks; auto measures the first two."""
    jobs: int | None = None
    """Processes side by side; None: as many as GPUs have memory for, with a core for each, or one
    per core, or one that uses a server."""
    ray_address: str | None = None
    """"auto", or host:port of a cluster's head."""
    cpus: float = 1
    """Processors per run, on Ray."""
    gpus: float | None = None
    """GPUs per run, on Ray, one at most; None: 1 where the cluster has any."""

    def __post_init__(self) -> None:
        """Refuse an executor that does not exist and a machine without room.

        Raises:
            InputError: one of these.
        """
        if self.on not in get_args(ExecutorName):
            raise unknown("executor", self.on, get_args(ExecutorName))
        check_numbers(self, self.BOUNDS)
        if self.on != "ray" and (self.ray_address is not None or self.cpus != 1 or self.gpus):
            raise InputError(
                "--ray-address, --cpus-per-run and --gpus-per-run are for --on ray; leave them out"
            )

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
