"""Answers and their verdicts, by kind: spellings of the same, and what only looks alike."""

from pathlib import Path

import pytest

from layergym.envs.math.answers import equal
from layergym.envs.math.grading import grader

ROWS = [
    line.split("\t")
    for line in Path(__file__).with_name("pairs.tsv").read_text("utf-8").splitlines()[1:]
]


def test_there_are_eight_hundred_pairs() -> None:
    assert len({(gold, answer) for _, gold, answer, _ in ROWS}) >= 800


@pytest.mark.parametrize("kind", sorted({row[0] for row in ROWS}))
def test_an_answer_is_right_when_it_says_the_same(kind: str) -> None:
    missed = [
        (gold, answer, verdict)
        for _, gold, answer, verdict in (row for row in ROWS if row[0] == kind)
        if equal(gold, answer, grader()) != (verdict == "right")
    ]
    assert missed == []
