"""Calls that may block, made in a thread and waited for no longer than a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_Call = tuple[Callable[[], Any], Future[Any]]


class Call(Generic[T]):
    """A call that was begun; calling it waits for its result."""

    def __init__(self, thread: CallThread, limit_s: float) -> None:
        """Let the time run, so that the limits of calls begun together run together."""
        self.future: Future[T] = Future()
        self.deadline = time.monotonic() + limit_s
        """When it is given up, by the clock `time.monotonic`."""
        self._thread = thread
        self._limit_s = limit_s

    def __call__(self) -> T:
        """What the call returned.

        Raises:
            TimeoutError: the time is up.
            BaseException: what the call raised.
        """
        if not wait([self.future], max(0.0, self.deadline - time.monotonic())).done:
            self._thread.hangs = True
            raise TimeoutError(f"no answer within {self._limit_s:g} s")
        return self.future.result()


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

    def begin(self, call: Callable[[], T], over: Callable[[], None] = lambda: None) -> Call[T]:
        """Begin a call; `over` is called in the thread when it has come back."""
        begun: Call[T] = Call(self, self._limit_s)
        begun.future.add_done_callback(lambda _: over())
        self._calls.put((call, begun.future))
        return begun

    def end(self, last: Callable[[], T]) -> Call[T]:
        """Begin the last call, after which the thread ends."""
        begun = self.begin(last)
        self._calls.put(None)
        return begun


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while next_ := calls.get():
        call, result = next_
        try:
            result.set_result(call())
        except BaseException as error:  # Interrupts as well: whoever waits raises them.
            result.set_exception(error)
        del next_, call, result  # An idle thread keeps nothing alive.
