"""Calls that wait for a server."""

from __future__ import annotations

import math
import threading
from functools import partial

import pytest

from layergym.agents.servers.errands import Errands


def squares(errands: Errands[int], count: int) -> dict[int, int]:
    numbers = {errands.start(partial(pow, n, 2)): n for n in range(count)}
    found: dict[int, int] = {}
    while len(found) < count:
        found |= {numbers[k]: done.result() for k, done in errands.finished(math.inf)}
    return found


def test_every_result_comes_with_the_number_of_its_call() -> None:
    errands: Errands[int] = Errands(8)
    for _ in range(2):
        assert squares(errands, 50) == {n: n * n for n in range(50)}


def test_what_a_call_raises_comes_out_with_its_result() -> None:
    errands: Errands[float] = Errands(2)
    errands.start(lambda: 1 / 0)
    [(_, done)] = errands.finished(math.inf)
    with pytest.raises(ZeroDivisionError):
        done.result()


def test_whoever_waits_for_a_slow_one_gets_those_that_are_done() -> None:
    go_on = threading.Event()
    errands: Errands[bool] = Errands(2)
    slow, fast = errands.start(go_on.wait), errands.start(lambda: False)
    assert [number for number, _ in errands.finished(math.inf)] == [fast]
    assert errands.finished(0.0) == []
    go_on.set()
    assert [number for number, _ in errands.finished(math.inf)] == [slow]


def test_calls_that_have_not_begun_can_be_dropped() -> None:
    begun, go_on = threading.Event(), threading.Event()
    errands: Errands[bool] = Errands(1)

    def first() -> bool:
        begun.set()
        return go_on.wait()

    one = errands.start(first)
    errands.start(lambda: False)
    begun.wait()
    errands.drop()
    go_on.set()
    assert [number for number, _ in errands.finished(math.inf)] == [one]
    assert errands.finished(0.05) == []
