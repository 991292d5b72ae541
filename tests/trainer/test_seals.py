"""Which checkpoint a run goes on from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from layergym.base.errors import InputError, Notice
from layergym.trainer.seals import damage, last_whole, rotate, seal


def made(folder: Path, *steps: int) -> list[Path]:
    found = []
    for step in steps:
        path = folder / f"checkpoint-{step}"
        path.mkdir(parents=True)
        for name in ("optimizer.pt", "trainer_state.json"):
            (path / name).write_bytes(f"{name} {step}".encode() * 100)
        seal(path)
        found.append(path)
    return found


def newest(*folders: Path) -> list[Path | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return last_whole(folders)


def test_the_highest_number_is_the_newest_whatever_the_clock_says(tmp_path: Path) -> None:
    made(tmp_path, 2, 9, 10)
    os.utime(tmp_path / "checkpoint-2", (2e9, 2e9))
    assert newest(tmp_path) == [tmp_path / "checkpoint-10"]
    rotate(tmp_path, 2, tmp_path / "checkpoint-10")
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint-9", "checkpoint-10"}


def test_a_run_without_checkpoints_begins(tmp_path: Path) -> None:
    assert newest(tmp_path) == [None]


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flipped,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json", "seal.json"])
def test_a_damaged_file_is_named_and_the_one_before_is_taken(
    tmp_path: Path, name: str, how: str
) -> None:
    before, last = made(tmp_path, 2, 4)
    DAMAGES[how](last / name)
    with pytest.warns(Notice, match=str(last / name)):
        assert last_whole([tmp_path]) == [before]


def test_nothing_whole_is_a_sentence(tmp_path: Path) -> None:
    for path in made(tmp_path, 2, 4):
        flipped(path / "optimizer.pt")
    with pytest.raises(InputError, match="no checkpoint is left"):
        last_whole([tmp_path])


def test_runs_made_together_go_on_from_a_step_that_all_have_whole(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    made(one, 2, 4, 6)
    made(other, 2, 4)
    flipped(other / "checkpoint-4" / "optimizer.pt")
    with pytest.warns(Notice):
        assert last_whole([one, other]) == [one / "checkpoint-2", other / "checkpoint-2"]


def test_a_seal_cannot_point_outside(tmp_path: Path) -> None:
    [path] = made(tmp_path / "run", 2)
    (tmp_path / "secret").write_text("s")
    (path / "seal.json").write_text('{"files": {"../../secret": [1, 0]}}')
    assert damage(path) is not None
