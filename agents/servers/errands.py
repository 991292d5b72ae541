"""Calls that wait for a server, made in threads; their results come as they come."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

R = TypeVar("R")


class Errands(Generic[R]):
    """At most `workers` calls at once, each in a daemon thread: an interrupt waits for none."""

    def __init__(self, workers: int) -> None:
        """Begin without any."""
        self._workers = workers
        self._numbers = count()
        self._todo: SimpleQueue[tuple[int, Callable[[], R], Future[R]]] = SimpleQueue()
        self._back: SimpleQueue[tuple[int, Future[R]]] = SimpleQueue()
        self._threads = 0
        self._lock = Lock()

    def start(self, call: Callable[[], R]) -> int:
        """Make a call as soon as there is a thread for it; its number."""
        number = next(self._numbers)
        with self._lock:
            self._todo.put((number, call, Future()))
            if self._threads < self._workers:
                self._threads += 1
                Thread(target=self._work, daemon=True).start()
        return number

    def finished(self, wait_s: float = 0.0) -> list[tuple[int, Future[R]]]:
        """The calls that have come back since, in that order, by number.

        Args:
            wait_s: seconds to wait for one at most; some must be under way if that is infinite.
        """
        results = []
        with suppress(Empty):
            results.append(self._back.get(timeout=None if wait_s == math.inf else max(wait_s, 0.0)))
            while True:
                results.append(self._back.get_nowait())
        return results

    def drop(self) -> None:
        """Forget calls that have not begun."""
        with suppress(Empty):
            while True:
                self._todo.get_nowait()

    def _work(self) -> None:
        while True:
            with self._lock:
                try:
                    number, call, result = self._todo.get_nowait()
                except Empty:
                    self._threads -= 1
                    return
            try:
                result.set_result(call())
            except BaseException as error:
                result.set_exception(error)
            self._back.put((number, result))
            del call, result  # An idle thread keeps nothing alive.
