"""Calls that may block, made in a thread and waited for no longer than a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[Callable[[], Any], Future[Any]]


class CallThread:
    """One daemon thread that makes calls in order, each given up after `limit_s` seconds.

    Python cannot end a thread. One that hangs is abandoned: nobody waits for it, not even the end
    of the process, but what it holds (memory, a lock, a connection) is held until its call comes
    back. Then it makes its last call, given to `end`, and is gone.
    """

    def __init__(self, limit_s: float) -> None:
        """Start the thread."""
        self.hangs = False
        """Whether a call was given up."""
        self._limit_s = limit_s
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        Thread(target=_serve, args=(self._calls,), daemon=True).start()

    def begin(self, call: Callable[[], T]) -> Callable[[], T]:
        """Begin a call; what is returned waits for its result, and raises what it raised.

        The time runs from here, so that the limits of calls begun together run together. The wait
        raises TimeoutError when the time is up.
        """
        result: Future[T] = Future()
        self._calls.put((call, result))
        deadline = time.monotonic() + self._limit_s

        def finish() -> T:
            if not wait([result], max(0.0, deadline - time.monotonic())).done:
                self.hangs = True
                raise TimeoutError(f"no answer within {self._limit_s:g} s")
            return result.result()

        return finish

    def end(self, last: Callable[[], T]) -> Callable[[], T]:
        """Begin the last call, after which the thread ends."""
        finish = self.begin(last)
        self._calls.put(None)
        return finish


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while next_ := calls.get():
        call, result = next_
        try:
            result.set_result(call())
        except BaseException as error:  # Interrupts as well: whoever waits raises them.
            result.set_exception(error)
        del next_, call, result  # An idle thread keeps nothing alive.
