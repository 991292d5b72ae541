"""Trajectories on disk: nothing lost, nothing doubled, nothing run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layergym.agents.export import write_dataset
from layergym.agents.trajectories import (
    Record,
    Recorder,
    read_records,
    record_files,
    usages,
    write_records,
)
from layergym.agents.types import Reply, Trajectory, Turn, Usage
from layergym.base.errors import InputError
from tests.full_disk import largest_file


def some_record(number: int = 0, text: str = "go") -> Record:
    turn = Turn(f"{text}?", "key", Reply(text, usage=Usage(9, 2)), text, 0.5, True)
    played = Trajectory("e", f"t{number}", number, (turn, turn), "terminated", True, "kind")
    return Record(played, "me", 3, (1.0, -1.0))


def kept(record: Record) -> Record:
    """What a file keeps: all but state keys."""
    turns = tuple(replace(turn, state_key=None) for turn in record.trajectory.turns)
    return replace(record, trajectory=replace(record.trajectory, turns=turns))


def record_all(path: Path, *records: Record) -> None:
    with Recorder(path) as recorder:
        for record in records:
            recorder.write(record)


@given(st.text(st.characters()))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("x") / "t.jsonl"
    record_all(path, some_record(text=text), some_record(text="\ud800\u2028"))
    assert list(read_records(path)) == [
        kept(some_record(text=text)),
        kept(some_record(text="\ud800\u2028")),
    ]


def test_a_torn_line_is_left_out_and_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, some_record(0), some_record(1))
    whole = path.read_bytes()
    for cut in range(1, len(whole), 7):
        path.write_bytes(whole[:cut])
        before = list(read_records(path))
        assert len(before) == whole[:cut].count(b"\n")
        record_all(path, some_record(2))
        assert list(read_records(path)) == [*before, kept(some_record(2))]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, some_record())
    path.write_bytes(path.read_bytes() + b"{}\n")
    with pytest.raises(InputError, match="line 2"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("name", "value"),
    [("success", None), ("success", "false"), ("success", 0), ("task", None), ("seed", 1.5),
     ("seed", True), ("error", ["x"]), ("agent", 3)],
)  # fmt: skip
def test_a_damaged_value_does_not_count_as_another(
    name: str, value: object, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, some_record())
    row = json.loads(path.read_bytes()) | {name: value}
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=f"line 1.*{name} is"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("name", "value"), [("reward", None), ("reward", 1e999), ("reward", "1"), ("valid", None)]
)
def test_a_damaged_turn_does_not_count_as_another(name: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    record_all(path, some_record())
    row = json.loads(path.read_bytes())
    row["turns"][0][name] = value
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=rf"line 1.*{name}"):
        list(read_records(path))


def test_two_writers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with Recorder(path), pytest.raises(InputError, match="another process"):
        Recorder(path)


def test_files_are_found_in_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no trajectories"):
        record_files(tmp_path)
    path = tmp_path / "arms" / "x" / "trajectories.jsonl"
    record_all(path, some_record())
    assert record_files(tmp_path) == record_files(path) == [path]


def test_tokens_are_counted_as_a_server_would() -> None:
    def turn(reply: Reply) -> Turn:
        return Turn("", "", reply, "", 0.0, True)

    replies = (
        Reply("a", (1, 2, 3), (4, 5), (0.0, 0.0)),
        Reply("b", (6,), (7,), (0.0,), extends=True),
        Reply("c", (1, 2), (3,), (0.0,)),
        Reply("scripted"),
        Reply("served", usage=Usage(50, 4)),
    )
    one = Trajectory("e", "t", 0, tuple(map(turn, replies)), "truncated", False)
    assert usages(one) == [Usage(3, 2), Usage(6, 1), Usage(2, 1), None, Usage(50, 4)]


def test_a_dataset_is_whole_or_absent(tmp_path: Path) -> None:
    with largest_file(200), pytest.raises(OSError, match="too large"):
        write_dataset(tmp_path / "out", [some_record()])
    assert list(tmp_path.iterdir()) == []
    assert write_dataset(tmp_path / "out", [some_record()]) == 1


def test_a_dataset_is_read_by_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import load_dataset

    bare = replace(some_record(1), step=None, advantages=())
    assert write_dataset(tmp_path / "out", [some_record(), bare]) == 2
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["task"][:] == ["t0", "t1"]
    assert rows[0]["turns"][1]["advantage"] == -1.0
    assert rows[1]["turns"][0] == {
        "observation": "go?",
        "reply": "go",
        "action": "go",
        "reward": 0.5,
        "valid": True,
        "tokens": [9, 2],
        "advantage": None,
        "forgotten": None,
        **dict.fromkeys(("prompt", "extends", "pieces", "logprobs", "episode_part", "state")),
    }


def test_a_file_written_at_once_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    assert write_records(path, [some_record(0), some_record(1)]) == 2
    assert list(read_records(path)) == [kept(some_record(0)), kept(some_record(1))]
