"""Runs as separate processes of this machine, as many side by side as asked for."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from layergym.evals.sweep.executors.devices import GpuSeat
from layergym.evals.sweep.executors.job import JobResult, why, work
from layergym.evals.sweep.jobs import SweepJob

Bundle = tuple[SweepJob, ...]
"""Jobs that one process does together."""


def one_each(jobs: Sequence[SweepJob]) -> list[Bundle]:
    """A process for every job."""
    return [(job,) for job in jobs]


class Processes:
    """Forked from a server that imported the libraries once; each may be killed at any moment."""

    def __init__(
        self,
        slots: int,
        devices: Sequence[GpuSeat] = (),
        bundle: Callable[[Sequence[SweepJob]], list[Bundle]] = one_each,
    ) -> None:
        """Carry `slots` processes side by side, each on one of `devices` in turn.

        Args:
            slots: processes at a time.
            devices: places on GPUs; none for a machine without.
            bundle: which of the waiting jobs share a process.
        """
        self._slots: list[tuple[Bundle, BaseProcess] | None] = [None] * slots
        self._devices = tuple(devices)
        self._bundle = bundle
        self._context = _context()
        self._threads = threads_each(slots)

    @property
    def running(self) -> set[Path]:
        """Folders of the jobs that are under way."""
        return {job.folder for held in self._slots if held for job in held[0]}

    def offer(self, jobs: Sequence[SweepJob]) -> None:
        """Start what fits of `jobs`, in their order."""
        running = self.running
        bundles = self._bundle([job for job in jobs if job.folder not in running])
        free = [slot for slot, held in enumerate(self._slots) if held is None]
        for slot, bundle in zip(free, bundles, strict=False):
            self._slots[slot] = bundle, self._start(slot, bundle)

    def ended(self) -> list[JobResult]:
        """Jobs that ended since this was asked last."""
        outcomes = []
        for slot, held in enumerate(self._slots):
            if held is not None and held[1].exitcode is not None:
                self._slots[slot] = None
                outcomes += [_outcome(job, held[1].exitcode) for job in held[0]]
        return outcomes

    def close(self) -> None:
        """End what is under way; it resumes when it is started again."""
        processes = [held[1] for held in self._slots if held]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        self._slots = [None] * len(self._slots)

    def _start(self, slot: int, bundle: Bundle) -> BaseProcess:
        seat = self._devices[slot % len(self._devices)] if self._devices else None
        # What children are made from keeps the environment of the day that it began.
        environment = dict(os.environ)
        if seat is not None:
            environment["CUDA_VISIBLE_DEVICES"] = seat.name
        process: BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=_child,
            args=(bundle, self._threads, environment, seat.share if seat else 1.0),
            name=str(bundle[0].folder),
        )
        process.start()
        return process


def _outcome(job: SweepJob, code: int) -> JobResult:
    return JobResult(job, why(job, f"its process ended with code {code}") if code else None)


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def threads_each(slots: int) -> int:
    """Threads of each of `slots` processes: its share of the cores, or OMP_NUM_THREADS if less."""
    share = max(1, cores() // slots)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked) or share) if asked.isascii() and asked.isdecimal() else share


def _context() -> BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _child(bundle: Bundle, threads: int, environment: Mapping[str, str], share: float) -> None:
    """The child process: quiet on Ctrl-C, which the parent handles; ends when the parent does."""
    import torch

    gc.freeze()  # Looking for garbage among what was imported would copy memory that is shared.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)  # Before CUDA is touched, which reads its part once.
    torch.set_num_threads(threads)
    if share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)
    folder = bundle[0].folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        work(bundle)


def _end_with_parent() -> None:
    """A sweep that was killed leaves no run behind that a resumed one could meet."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
