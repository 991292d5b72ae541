"""Independent works that wait for one another wherever their requests can be served together.

Each work runs in a thread of its own, but only one of them, or the server, runs at any moment: no
locks are needed, and nothing depends on who is faster. A work goes on until it asks; when all of
them have asked or are done, the requests of the furthest behind are served, in the calling thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Serve = Callable[[Sequence[Any]], Sequence[Any]]
"""Answers the first few of several requests at once, in order; the others wait. `LATER` stands for
the answer of one that was worked on and goes on waiting; an exception is raised in the work."""
LATER = object()


class Cancelled(BaseException):
    """Raised in a work because another one failed; no work should catch it."""


@dataclass(frozen=True, slots=True)
class _Request:
    rank: tuple[tuple[int, ...], int]
    serve: Serve
    value: Any


class Seat:
    """One work's place in the lockstep."""

    def __init__(self, turn: threading.Condition, now: Callable[[], float]) -> None:
        """Take a place; `lockstep` does."""
        self.now = now
        self.step: tuple[int, ...] = ()
        """How far the work is; requests of works further behind are served first."""
        self.turn = turn
        self.request: _Request | None = None
        self.answer: Any = None
        self.error: BaseException | None = None
        self.over = False
        self.spent = 0.0
        """Seconds up to the last request: the work's own, and its part of what was served."""
        self.since = 0.0
        """When the work went on."""

    def clock(self) -> float:
        """Seconds that the work has taken: its own, and its part of what was served to several."""
        return self.spent + self.now() - self.since

    def ask(self, order: int, serve: Serve, value: Any) -> Any:
        """What `serve` answers to `value`.

        It is called with the values of all seats that ask the same `serve` at the same step. If it
        answers with an exception, that is raised.

        Args:
            order: among requests at one step, the lowest are served first.
            serve: who answers.
            value: the request.
        """
        self.request = _Request((self.step, order), serve, value)
        self.spent = self.clock()
        self.turn.notify_all()
        self.turn.wait_for(lambda: self.request is None)
        self.since = self.now()
        if self.over:
            raise Cancelled
        answer, self.answer = self.answer, None
        if isinstance(answer, BaseException):
            raise answer
        return answer


def lockstep(
    works: Sequence[Callable[[Seat], T]], now: Callable[[], float] = time.perf_counter
) -> list[T]:
    """Run all works to their ends and return their results, in order.

    Args:
        works: they get their seats.
        now: the clock.

    Raises:
        BaseException: what a work or a server raised first; the other works are ended.
    """
    turn = threading.Condition()
    seats = [Seat(turn, now) for _ in works]
    results: list[Any] = [None] * len(works)
    threads = [
        threading.Thread(target=_run, args=(work, seat, results, i), daemon=True)
        for i, (work, seat) in enumerate(zip(works, seats, strict=True))
    ]
    for thread in threads:
        thread.start()
    try:
        with turn:
            while _serve_next(seats, turn):
                pass
    finally:
        with turn:
            _end(seats, turn)
        for thread in threads:
            thread.join()
    return results


def _run(work: Callable[[Seat], T], seat: Seat, results: list[T], index: int) -> None:
    with seat.turn:
        try:
            seat.since = seat.now()
            if not seat.over:
                results[index] = work(seat)
        except BaseException as error:
            seat.error = error
        finally:
            seat.over = True
            seat.turn.notify_all()


def _serve_next(seats: Sequence[Seat], turn: threading.Condition) -> bool:
    """Wait until every seat has asked or is over, and serve one batch; False: all are over."""
    turn.wait_for(lambda: all(seat.over or seat.request for seat in seats))
    for seat in seats:
        if seat.error is not None:
            raise seat.error
    asked = [(seat, seat.request) for seat in seats if seat.request]
    if not asked:
        return False
    first = min((request for _, request in asked), key=lambda request: request.rank)
    batch = [(s, r) for s, r in asked if (r.rank, r.serve) == (first.rank, first.serve)]
    now = batch[0][0].now
    began = now()
    answers = first.serve([request.value for _, request in batch])
    took = now() - began
    for (seat, _), answer in zip(batch, answers, strict=False):
        seat.spent += took / len(answers)
        if answer is not LATER:
            seat.answer, seat.request = answer, None
    turn.notify_all()
    return True


def _end(seats: Sequence[Seat], turn: threading.Condition) -> None:
    """Let works that still wait raise `Cancelled`."""
    for seat in seats:
        seat.over, seat.request = True, None
    turn.notify_all()
