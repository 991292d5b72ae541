"""Host side: what is done with a worker: run a script, call a function, judge a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layergym.base.errors import InputError
from layergym.base.texts import whole_texts
from layergym.envs.sandbox.launch import Worker
from layergym.envs.sandbox.run import Limits, ProgramEnd, WorkerRun
from layergym.envs.sandbox.values import decode, parsed

_TOO_LONG = "the program is too long"
_ASKING = b'{"ask":'  # how a request of the tests begins


@dataclass(frozen=True, slots=True)
class ScriptOutput:
    """What a script wrote and how it ended."""

    text: str
    """Standard output and error as they came, up to the limit."""
    ended: ProgramEnd
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


def scripted(worker: Worker, source: str, limits: Limits) -> ScriptOutput:
    """Run a script as `__main__`."""
    with WorkerRun(worker, limits, keep_output=True) as run:
        try:
            run.send({"kind": "script", "source": source})
        except InputError:
            return ScriptOutput(f"{_TOO_LONG}\n", "failed", 1, 0.0)
        report = run.finish()
        return ScriptOutput(run.output, report.ended, report.status, report.cpu_s)


def called(
    worker: Worker, source: str, name: str, arguments: list[Any], limits: Limits
) -> Any | CallError:
    """Load a program and call its function `name`: what that returns, or the error it ends in."""
    with WorkerRun(worker, limits) as run:
        if error := _load(run, source):
            return CallError(error)
        answer = _ask(run, do="name", name=name)
        if isinstance(answer, dict) and "value" in answer:
            answer = _ask(run, do="call", of=answer["value"], args=arguments, named={})
        if not isinstance(answer, dict) or "value" not in answer:
            return CallError(_why(run, answer))
    try:
        return decode(answer["value"])
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return CallError(whole_texts(f"{name} returned something that is not plain: {error}"))


def examined(one: Worker, other: Worker, source: str, suite: Suite, limits: Limits) -> Verdict:
    """Judge a program in one worker by a suite in another."""
    with WorkerRun(one, limits) as program, WorkerRun(other, limits.doubled()) as tests:
        if error := _load(program, source):
            return Verdict(tuple(Check(s, False, error) for s in suite.checks), error)
        return _relay(program, tests, suite)


def _load(run: WorkerRun, source: str) -> str:
    """Load a program; return why it cannot be, empty when it can."""
    try:
        run.send({"kind": "serve", "source": source})
    except InputError:
        return _TOO_LONG
    answer = run.receive()
    return "" if isinstance(answer, dict) and "loaded" in answer else _why(run, answer)


def _ask(run: WorkerRun, **request: Any) -> Any:
    try:
        run.send({"ask": request})
    except InputError as error:
        return {"raised": ["InputError", str(error), ""]}
    return run.receive()


def _why(run: WorkerRun, answer: Any) -> str:
    """Why there is no answer: what was raised, or how the process ended."""
    match answer:
        case {"raised": [str(name), str(text), str(trace)]}:
            return whole_texts(trace or f"{name}: {text}").strip()
        case None:
            return run.finish().sentence
    run.stop()
    return "the program tampered with its channel"


def _relay(program: WorkerRun, tests: WorkerRun, suite: Suite) -> Verdict:
    """Pass requests and answers between the two processes until the tests have their verdict.

    An answer is passed on unread: what a program writes to its channel costs this process no more
    than its bytes, and can only fail in the tests.
    """
    steps = [list(step) for step in suite.steps]
    tests.send(
        {"kind": "examine", "setup": suite.setup, "names": dict(suite.names), "steps": steps}
    )
    error = ""
    while (message := tests.take()) is not None and message.startswith(_ASKING):
        answer = None
        if not error:
            program.pass_on(message)
            answer = program.take()
        if answer is None:
            error = error or program.finish().sentence
            tests.send({"raised": ["ProgramEnded", error, error]})
        else:
            tests.pass_on(answer)
    verdict = None if message is None else parsed(message)
    return _verdict(verdict, suite, error or ("" if verdict else tests.finish().sentence))


def _verdict(message: Any, suite: Suite, error: str) -> Verdict:
    match message:
        case {"verdict": [*results]} if len(results) == len(suite.checks):
            pass
        case _:
            results = [[False, error or "the tests gave no verdict"]] * len(suite.checks)
    checks = [
        Check(source, passed is True, whole_texts(str(detail)))
        for source, (passed, detail) in zip(suite.checks, results, strict=True)
    ]
    return Verdict(tuple(checks), error)
