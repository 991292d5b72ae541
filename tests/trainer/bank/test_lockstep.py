"""Works in threads that meet wherever their requests can be served together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from layergym.trainer.bank.lockstep import Seat, lockstep


def test_requests_at_one_step_are_served_together_in_order() -> None:
    served: list[tuple[str, list[str]]] = []

    def server(name: str, values: Sequence[str]) -> list[str]:
        served.append((name, list(values)))
        return [value.upper() for value in values]

    first, second = partial(server, "first"), partial(server, "second")

    def work(name: str, idle: bool, seat: Seat) -> str:
        said = ""
        for step in range(2):
            seat.step = (step,)
            said += seat.ask(0, first, name)
            if not (idle and step == 0):
                said += seat.ask(1, second, name)
        return said

    assert lockstep([partial(work, "a", False), partial(work, "b", True)]) == ["AAAA", "BBB"]
    both = ["a", "b"]
    assert served == [("first", both), ("second", ["a"]), ("first", both), ("second", both)]


def test_what_a_server_leaves_is_asked_again_after_more_urgent_requests() -> None:
    served: list[tuple[str, list[str]]] = []

    def one_at_a_time(values: Sequence[str]) -> list[str]:
        served.append(("late", list(values)))
        return [values[0].upper()]

    def urgent(values: Sequence[str]) -> list[str]:
        served.append(("urgent", list(values)))
        return list(values)

    def work(name: str, seat: Seat) -> str:
        said: str = seat.ask(1, one_at_a_time, name)
        return said + str(seat.ask(0, urgent, name))

    assert lockstep([partial(work, "a"), partial(work, "b")]) == ["Aa", "Bb"]
    assert served == [("late", ["a", "b"]), ("urgent", ["a"]), ("late", ["b"]), ("urgent", ["b"])]


def test_works_share_the_time_of_what_is_served_to_them_together() -> None:
    now = [0.0]

    def slow(values: Sequence[None]) -> Sequence[None]:
        now[0] += 2
        return values

    def work(asks: int, seat: Seat) -> float:
        began = seat.clock()
        for step in range(asks):
            seat.step = (step,)
            seat.ask(0, slow, None)
        now[0] += 1
        return seat.clock() - began

    # Half of the first request; the second has one request more for itself.
    assert lockstep([partial(work, 1), partial(work, 2)], lambda: now[0]) == [2, 4]


def test_an_error_ends_all_works() -> None:
    ended = []

    def fails(seat: Seat) -> None:
        raise ValueError("this one")

    def waits(seat: Seat) -> None:
        try:
            seat.ask(0, lambda values: values, None)
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="this one"):
        lockstep([waits, fails, waits])
    assert len(ended) == 2


def test_a_server_that_fails_ends_all_works() -> None:
    def server(values: Sequence[None]) -> list[None]:
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        lockstep([lambda seat: seat.ask(0, server, None)] * 3)
