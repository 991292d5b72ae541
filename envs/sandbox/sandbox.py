"""Host side: run programs in warm workers, and judge them from outside."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.sandbox.launch import Worker, start
from layergym.envs.sandbox.run import Ended, Limits, Run
from layergym.envs.sandbox.values import decode, encode


@dataclass(frozen=True, slots=True)
class Output:
    """What a script wrote and how it ended."""

    text: str
    """Standard output and error as they came, up to the limit."""
    ended: Ended
    exit_code: int
    """Negative: the number of the signal that ended it."""
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of one program, as Python statements that are run away from it."""

    names: Mapping[str, str]
    """What the tests use and the program defines: name in the tests to name in the program."""
    steps: tuple[tuple[str, bool], ...]
    """Statements in order; True marks a check, False what prepares the checks after it."""
    setup: str = ""
    """Source run before `names` are bound; the program never sees it."""

    @property
    def checks(self) -> tuple[str, ...]:
        """The statements that count."""
        return tuple(source for source, is_check in self.steps if is_check)


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a suite and how it went."""

    source: str
    passed: bool
    detail: str
    """What the program returned or raised last."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a suite."""

    checks: tuple[Check, ...]
    error: str = ""
    """Why the program could not be loaded or did not last, empty when it did."""

    @property
    def passed(self) -> bool:
        """Whether there are checks and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def fraction(self) -> float:
        """Share of the checks that passed."""
        return sum(check.passed for check in self.checks) / max(1, len(self.checks))


class CallError(RuntimeError):
    """A call in the sandbox raised, ran over a limit, or returned nothing plain."""


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
            InputError: `workers` is below 2.
        """
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

    def run(self, source: str, limits: Limits | None = None) -> Output:
        """Run a script as `__main__`, with no input.

        Raises:
            InputError: programs cannot be isolated here.
        """
        limits = limits or Limits()
        with self._lease(1) as (worker,), Run(worker, limits, keep_output=True) as run:
            run.send({"kind": "script", "source": source})
            report = run.finish()
            return Output(run.output, report.ended, report.status, report.cpu_s)

    def call(self, source: str, name: str, *args: Any, limits: Limits | None = None) -> Any:
        """Load `source` and return what its function `name` returns for plain arguments.

        Raises:
            CallError: it raised, ran over a limit, or what it returned is not plain.
            InputError: programs cannot be isolated here.
        """
        with self._lease(1) as (worker,), Run(worker, limits or Limits()) as run:
            run.send({"kind": "serve", "source": source})
            _value(run, run.receive())
            run.send({"do": "name", "name": name})
            function = _value(run, run.receive())["value"]
            encoded = [encode(item) for item in args]
            run.send({"do": "call", "of": function, "args": encoded, "named": {}})
            try:
                return decode(_value(run, run.receive())["value"])
            except (ValueError, TypeError) as error:
                raise CallError(f"{name} returned something that is not plain: {error}") from None

    def examine(self, source: str, suite: Suite, limits: Limits | None = None) -> Verdict:
        """Judge a program by a suite: the program in one worker, the tests in another.

        Raises:
            InputError: programs cannot be isolated here.
        """
        limits = limits or Limits()
        with self._lease(2) as (one, other), ExitStack() as stack:
            program = stack.enter_context(Run(one, limits))
            tests = stack.enter_context(Run(other, limits.doubled()))
            program.send({"kind": "serve", "source": source})
            first = program.receive()
            if not isinstance(first, dict) or "loaded" not in first:
                error = _why(program, first)
                return Verdict(tuple(Check(s, False, error) for s in suite.checks), error)
            return _relay(program, tests, suite)

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

    @contextmanager
    def _lease(self, count: int) -> Iterator[list[Worker]]:
        if self._process != os.getpid():
            self._forget()
        with self._changed:
            self._changed.wait_for(lambda: self._busy + count <= self._workers)
            self._busy += count
            taken = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
        try:
            while len(taken) < count:
                taken.append(start(self._isolation, self._modules, self._prelude))
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


def _value(run: Run, answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict) or not answer.keys() & {"value", "loaded"}:
        raise CallError(_why(run, answer))
    return answer


def _why(run: Run, answer: Any) -> str:
    """Why there is no answer: what was raised, or how the process ended."""
    match answer:
        case {"raised": [str(name), str(text), str(trace)]}:
            return (trace or f"{name}: {text}").strip()
        case None:
            return run.finish().sentence
    run.stop()
    return "the program tampered with its channel"


def _relay(program: Run, tests: Run, suite: Suite) -> Verdict:
    """Pass requests and answers between the two processes until the tests have their verdict."""
    steps = [list(step) for step in suite.steps]
    tests.send(
        {"kind": "examine", "setup": suite.setup, "names": dict(suite.names), "steps": steps}
    )
    error = ""
    while True:
        message = tests.receive()
        if not isinstance(message, dict) or "ask" not in message:
            break
        answer = None
        if not error:
            program.send(message["ask"])
            answer = program.receive()
        if answer is None:
            error = error or program.finish().sentence
            answer = {"raised": ["ProgramEnded", error, error]}
        tests.send(answer)
    return _verdict(message, suite, error or ("" if message else tests.finish().sentence))


def _verdict(message: Any, suite: Suite, error: str) -> Verdict:
    results = message.get("verdict") if isinstance(message, dict) else None
    if not isinstance(results, list) or len(results) != len(suite.checks):
        results = [[False, error or "the tests gave no verdict"]] * len(suite.checks)
    checks = [
        Check(source, passed is True, str(detail))
        for source, (passed, detail) in zip(suite.checks, results, strict=True)
    ]
    return Verdict(tuple(checks), error)
