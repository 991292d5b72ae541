"""Prompts and tokens of turns, as text."""

from __future__ import annotations

from dataclasses import replace
from math import isclose
from pathlib import Path

import pytest

from layergym.agents.export import write_dataset
from layergym.agents.models.load import load_tokenizer
from layergym.agents.names import source
from layergym.agents.trajectories import Record, read_records, write_records
from layergym.agents.turn_details import details_of, with_credit
from layergym.agents.types import Reply, Trajectory, Turn


@pytest.fixture(scope="module")
def played() -> Trajectory:
    tokenizer = load_tokenizer(source("tiny"))
    prompt = tuple(tokenizer("You arrive at drawer 1.", add_special_tokens=False).input_ids)
    ids = tuple(tokenizer("open drawer 1", add_special_tokens=False).input_ids)
    reply = Reply("open drawer 1", prompt, ids, tuple(-0.5 for _ in ids), extends=False)
    turn = Turn("You arrive at drawer 1.", "k", reply, "open drawer 1", 1.0, True)
    more = replace(turn, reply=replace(reply, extends=True))
    return Trajectory("e", "t", 3, (turn, more), "terminated", True)


def test_the_pieces_of_a_reply_are_its_text(played: Trajectory) -> None:
    first, second = details_of(played, load_tokenizer(source("tiny")))
    assert "".join(first.pieces) == "open drawer 1"
    assert len(first.pieces) > 1
    assert isclose(sum(first.logprobs), -0.5 * len(played.turns[0].reply.ids))
    assert "drawer 1" in first.prompt
    assert (first.extends, second.extends) == (False, True)


def test_what_is_told_survives_a_file_and_a_dataset(played: Trajectory, tmp_path: Path) -> None:
    details = with_credit(details_of(played, load_tokenizer(source("tiny"))), (0.5, 0.5), (0, 1))
    record = Record(played, "a", 10, (0.75, 0.25), details, masked=True)
    write_records(tmp_path / "x.jsonl", [record, Record(played)])
    [again, plain] = read_records(tmp_path / "x.jsonl")
    assert again.details == details and again.masked and again.advantages == (0.75, 0.25)
    assert plain.details == () and not plain.masked
    assert write_dataset(tmp_path / "data", [again, plain]) == 2

    from datasets import load_dataset

    rows = load_dataset(str(tmp_path / "data"), split="train")
    assert rows[0]["turns"][1]["state"] == 1 and rows[1]["turns"][1]["state"] is None
    assert "".join(rows[0]["turns"][0]["pieces"]) == "open drawer 1"


class Bytes:
    """A tokenizer whose tokens are bytes, so that a character may take several."""

    def decode(self, ids: list[int], **_: object) -> str:
        return bytes(ids).decode(errors="replace")


def test_tokens_that_share_a_character_are_one_piece() -> None:
    ids = tuple("aé€".encode())
    turn = Turn("", "k", Reply("aé€", (1,), ids, tuple(-1.0 for _ in ids)), "", 0.0, True)
    trajectory = Trajectory("e", "t", 0, (turn,), "terminated", False)
    [details] = details_of(trajectory, Bytes())  # type: ignore[arg-type]
    assert details.pieces == ("a", "é", "€")
    assert details.logprobs == (-1.0, -2.0, -3.0)
