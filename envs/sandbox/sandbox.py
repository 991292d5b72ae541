"""Host side: the pool of warm workers."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from layergym.base.errors import InputError, unknown
from layergym.envs.sandbox import jobs
from layergym.envs.sandbox.jobs import CallError, ScriptOutput, Suite, Verdict
from layergym.envs.sandbox.launch import ISOLATIONS, Worker, start_worker
from layergym.envs.sandbox.run import Limits
from layergym.envs.sandbox.values import encode

Result = TypeVar("Result")


class Sandbox:
    """A pool of warm workers for programs that must not be trusted; safe to use from threads.

    Workers start when first needed. `close()`, or leaving a `with` block, ends them; so does the
    end of this process. A process forked from this one gets workers of its own.
    """

    def __init__(
        self,
        *,
        isolation: str = "auto",
        modules: Sequence[str] = (),
        prelude: str = "",
        workers: int = 2,
    ) -> None:
        """Describe the pool.

        Args:
            isolation: `auto` takes the strongest of `bubblewrap`, `namespaces` and `landlock`
                that works; `none`, to be asked for by name, protects nothing but the verdict.
            modules: installed packages that programs may import, loaded once per worker; a
                submodule that its package imports late (`numpy.testing`) is named as well.
            prelude: source that every worker runs once, to be trusted; programs may import what it
                defines from `prelude`.
            workers: most workers at a time; tests need two, one for the program and one for them.

        Raises:
            InputError: `workers` is below 2, or there is no such isolation.
        """
        if isolation not in ("auto", *ISOLATIONS):
            raise unknown("isolation", isolation, ("auto", *ISOLATIONS))
        if workers < 2:
            raise InputError(f"a sandbox needs at least 2 workers, not {workers}")
        self._isolation = isolation
        self._modules = tuple(modules)
        self._prelude = prelude
        self._workers = workers
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._busy = 0
        weakref.finalize(self, _end_all, self._idle, self._process)

    @property
    def isolation(self) -> str:
        """The isolation in use; starts a worker to find out."""
        with self._lease(1) as (worker,):
            return worker.isolation

    def check(self) -> None:
        """Make sure that programs can be run here; starts a worker if there is none.

        Raises:
            InputError: they cannot be isolated.
        """
        with self._lease(1):
            return

    def run(self, source: str, limits: Limits | None = None) -> ScriptOutput:
        """Run a script as `__main__`, with no input.

        Raises:
            InputError: programs cannot be isolated here.
        """
        limits = limits or Limits()
        return self._with(1, lambda worker: jobs.scripted(worker, source, limits))

    def call(self, source: str, name: str, *args: Any, limits: Limits | None = None) -> Any:
        """Load `source` and return what its function `name` returns for plain arguments.

        Raises:
            CallError: it raised, ran over a limit, or what it takes or returns is too much or not
                plain.
            InputError: programs cannot be isolated here, or an argument is not plain.
        """
        limits = limits or Limits()
        try:
            encoded = [encode(item) for item in args]
        except (TypeError, RecursionError) as error:
            raise InputError(f"an argument of {name} is not plain: {error}") from error
        done = self._with(1, lambda worker: jobs.called(worker, source, name, encoded, limits))
        if isinstance(done, CallError):
            raise done
        return done

    def examine(self, source: str, suite: Suite, limits: Limits | None = None) -> Verdict:
        """Judge a program by a suite: the program in one worker, the tests in another.

        Raises:
            InputError: programs cannot be isolated here.
        """
        limits = limits or Limits()
        return self._with(2, lambda one, other: jobs.examined(one, other, source, suite, limits))

    def close(self) -> None:
        """End the workers; those in use end after their run."""
        with self._changed:
            _end_all(self._idle, self._process)

    def __enter__(self) -> Sandbox:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Sandbox:
        """The pool is shared by copies of what uses it."""
        return self

    def __reduce__(self) -> Any:
        """Another process gets a pool of its own, described alike."""
        return _pool, (self._isolation, self._modules, self._prelude, self._workers)

    def _with(self, count: int, job: Callable[..., Result]) -> Result:
        """Do `job` with workers; once more where one was lost, which is not the program's doing.

        The kernel ends a worker when the machine runs out of memory, for example.
        """
        with self._lease(count) as workers:
            result = job(*workers)
        if all(worker.usable for worker in workers):
            return result
        with self._lease(count) as workers:
            return job(*workers)

    @contextmanager
    def _lease(self, count: int) -> Iterator[list[Worker]]:
        if self._process != os.getpid():
            self._forget()
        with self._changed:
            self._changed.wait_for(lambda: self._busy + count <= self._workers)
            self._busy += count
            taken = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
        try:
            for worker in [worker for worker in taken if not worker.alive]:
                taken.remove(worker)
                worker.close()
            while len(taken) < count:
                taken.append(start_worker(self._isolation, self._modules, self._prelude))
            yield taken
        finally:
            for worker in taken:
                if not worker.usable:
                    worker.close()
            with self._changed:
                self._busy -= count
                self._idle += [worker for worker in taken if worker.usable]
                self._changed.notify_all()


def _end_all(workers: list[Worker], process: int) -> None:
    """End the workers of `process`, from that process only."""
    while workers and process == os.getpid():
        workers.pop().close()


@cache
def shared(isolation: str = "auto", modules: tuple[str, ...] = (), prelude: str = "") -> Sandbox:
    """The sandbox that all environments of this process use, one for each description."""
    return _pool(isolation, modules, prelude, max(2, os.cpu_count() or 2))


def _pool(isolation: str, modules: tuple[str, ...], prelude: str, workers: int) -> Sandbox:
    return Sandbox(isolation=isolation, modules=modules, prelude=prelude, workers=workers)
