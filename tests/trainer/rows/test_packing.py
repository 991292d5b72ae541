"""Token alignment: what was sampled is trained on, and nothing else."""

from __future__ import annotations

import pytest
import torch

from layergym.agents.types import EpisodeEnd, Reply, Trajectory, Turn
from layergym.trainer.rows.packing import collate, pack, rows_of


def turn(prompt: list[int], ids: list[int], *, extends: bool) -> Turn:
    logprobs = tuple(-float(i) for i in ids)
    reply = Reply("", tuple(prompt), tuple(ids), logprobs, extends=extends)
    return Turn("", 0, reply, "", 0.0, True)


def trajectory(*turns: Turn, ended: EpisodeEnd = "terminated") -> Trajectory:
    return Trajectory("E", "t", 0, turns, ended, success=False)


GROWING = trajectory(
    turn([1, 2], [3, 4], extends=False),
    turn([5], [6], extends=True),
)


def test_turns_that_extend_become_one_row() -> None:
    (row,) = rows_of(GROWING, (0.5, -1.0))
    assert row.ids == (1, 2, 3, 4, 5, 6)
    assert row.sampled == (False, False, True, True, False, True)
    assert row.advantages == (0.0, 0.0, 0.5, 0.5, 0.0, -1.0)
    assert row.logprobs == (0.0, 0.0, -3.0, -4.0, 0.0, -6.0)


def test_a_rewritten_history_starts_a_new_row() -> None:
    """A template that drops `<think>` (token 9) from the past: token 9 is context only once."""
    thinking = trajectory(
        turn([1], [9, 3], extends=False),
        turn([1, 3, 5], [9, 6], extends=False),
    )
    first, second = rows_of(thinking, (1.0, 2.0))
    assert (first.ids, first.sampled) == ((1, 9, 3), (False, True, True))
    assert second.ids == (1, 3, 5, 9, 6)
    assert second.sampled == (False, False, False, True, True)  # 3 was not sampled in this row


def test_every_sampled_token_is_trained_on_exactly_once() -> None:
    mixed = trajectory(
        turn([1], [2, 3], extends=False),
        turn([4], [5], extends=True),
        turn([6, 7], [8, 9], extends=False),
        turn([10], [11], extends=True),
    )
    rows = rows_of(mixed, (1.0, 2.0, 3.0, 4.0))
    trained = [i for row in rows for i, s in zip(row.ids, row.sampled, strict=True) if s]
    assert trained == [2, 3, 5, 8, 9, 11]
    assert [len(row) for row in rows] == [5, 6]


def test_masked_and_scripted_episodes_give_no_rows() -> None:
    scripted = trajectory(turn([], [], extends=False))
    assert pack([GROWING, scripted, GROWING], [(), (1.0,), (1.0, 1.0)]) == rows_of(
        GROWING, (1.0, 1.0)
    )


def test_what_follows_the_last_sampled_token_is_cut() -> None:
    tail = trajectory(turn([1], [2], extends=False), turn([3, 4], [], extends=True))
    (row,) = rows_of(tail, (1.0, 1.0))
    assert row.ids == (1, 2)


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([turn([1], [2], extends=True)], "cannot extend"),
        ([turn([], [2], extends=False)], "without a prompt"),
    ],
)
def test_impossible_records_are_refused(turns: list[Turn], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows_of(trajectory(*turns), (1.0,))


def test_collating_pads_on_the_right() -> None:
    short = trajectory(turn([1], [2], extends=False))
    batch = collate(pack([GROWING, short], [(0.5, -1.0), (2.0,)]))
    assert batch.ids.tolist() == [[1, 2, 3, 4, 5, 6], [1, 2, 0, 0, 0, 0]]
    assert batch.sampled[1].tolist() == [False, True, False, False, False, False]
    assert batch.advantages[1].tolist() == [0, 2, 0, 0, 0, 0]
    assert batch.logprobs.dtype == batch.advantages.dtype == torch.float32
