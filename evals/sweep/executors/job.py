"""One piece of a sweep's work: what every executor runs, wherever it runs it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from layergym.base.files import write_text
from layergym.envs import InputError
from layergym.evals.results import EvalResult
from layergym.evals.sweep.jobs import SweepJob
from layergym.evals.sweep.run_arm import (
    AgentAt,
    run_arm,
    score,
    take_look,
    training_cost,
)
from layergym.evals.sweep.run_folder import LOOK_AT, file_look, file_scores, look_folder
from layergym.trainer.callbacks import Watch

LOCK_S = 90.0
"""How long a run waits for an earlier attempt at it to be gone; a lost machine's may linger."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """A job that is over."""

    job: SweepJob
    error: str | None = None
    """Why it failed, in one line; its traceback is in error.txt of its folder."""


class Executor(Protocol):
    """Runs jobs somewhere. It never has two jobs in one folder."""

    @property
    def running(self) -> Set[Path]:
        """Folders of the jobs that are under way."""

    def offer(self, jobs: Sequence[SweepJob]) -> None:
        """Start what fits of `jobs`, in their order; those under way may be among them."""

    def ended(self) -> list[JobResult]:
        """Jobs that ended since this was asked last."""

    def close(self) -> None:
        """End what is under way; it is resumed when it is offered again."""


def work(jobs: Sequence[SweepJob]) -> None:
    """Do the jobs in this process, several as one bank; interrupted runs are resumed.

    A file lock keeps two processes out of one run, whatever started them.

    Raises:
        InputError: another process holds a run.
        Exception: what went wrong in a run; also in each folder's error.txt.
    """
    if jobs[0].deadline is not None and time.time() >= jobs[0].deadline:
        return  # It waited in a queue for too long.
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "error.txt").unlink(missing_ok=True)
    try:
        with ExitStack() as locks:
            for job in jobs:
                locks.enter_context(FileLock(job.folder / ".lock", timeout=LOCK_S))
            _alone(*jobs) if len(jobs) == 1 else _together(jobs)
    except Timeout as error:
        raise InputError(f"{error.lock_file} is held by another process; wait or end it") from None
    except Exception:
        for job in jobs:
            write_text(job.folder / "error.txt", traceback.format_exc())
        raise


def _alone(job: SweepJob) -> None:
    given = (job.arm.run, job.eval, job.arm.name, job.folder)
    if job.look is None:
        run_arm(*given, watch=_watch(job))
    else:
        take_look(*given, step=job.look, watch=_watch(job))


def _together(jobs: Sequence[SweepJob]) -> None:
    """All jobs as variants of one bank; they have the same look and the same evaluation."""
    from layergym.trainer.bank import Bank

    bank = Bank([job.arm.run for job in jobs])
    trained = bank.train(
        [job.folder for job in jobs],
        resume=True,
        until=jobs[0].look,
        watches=[_watch(job) for job in jobs],
    )
    if any(done.ended == "paused" for done in trained):
        return
    started = time.perf_counter()
    scored = bank.each(lambda i, agent_at: _scores(jobs[i], agent_at))
    eval_s = (time.perf_counter() - started) / len(jobs)
    for job, done, results in zip(jobs, trained, scored, strict=True):
        if job.look is not None:
            file_look(job.folder, job.look, results[0])
        else:
            file_scores(job.folder, results, replace(training_cost(done), eval_s=eval_s))


def _scores(job: SweepJob, agent_at: AgentAt) -> list[EvalResult]:
    run, arm = job.arm.run, job.arm.name
    temperatures, folder = job.eval.temperatures, job.folder
    if job.look is not None:
        temperatures, folder = (LOOK_AT,), look_folder(folder, job.look)
    return score(run, job.eval, agent_at, arm=arm, temperatures=temperatures, folder=folder)


def _watch(job: SweepJob) -> Watch:
    return Watch(
        pause=lambda: job.deadline is not None and time.time() >= job.deadline,
        report_to=job.report_to,
    )


def why(job: SweepJob, otherwise: str) -> str:
    """The last line of a failed job's traceback, or `otherwise` when it left none."""
    error = job.folder / "error.txt"
    lines = error.read_text().strip().splitlines() if error.is_file() else []
    return lines[-1] if lines else otherwise
