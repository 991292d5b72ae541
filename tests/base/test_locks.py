"""One process at a time in a folder, and folders that are whole or not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from layergym.base.errors import InputError
from layergym.base.locks import LOCK, held, locked, staged


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_staged_folder_is_there_once_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with staged(folder) as scratch:
        (scratch / "half").write_text("done\n")
        assert not folder.exists()
    assert names(tmp_path) == ["made"] and names(folder) == ["half"]


def test_a_staged_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError), staged(tmp_path / "made") as scratch:
        (scratch / "half").write_text("begun\n")
        raise OSError("no space")
    assert names(tmp_path) == []


def test_what_a_killed_process_had_staged_is_no_part_of_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".made.unfinished" / "made"
    left.mkdir(parents=True)
    (left / "stale").write_text("of before\n")
    with staged(tmp_path / "made") as scratch:
        (scratch / "new").write_text("now\n")
    assert names(tmp_path / "made") == ["new"] and names(tmp_path) == ["made"]


def test_what_is_somebodys_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with pytest.raises(InputError, match="filled by another"), staged(folder) as scratch:
        (scratch / "ours").touch()
        folder.mkdir()
        (folder / "theirs").touch()
    assert names(folder) == ["theirs"] and names(tmp_path) == ["made"]


def test_two_processes_do_not_stage_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with staged(folder), pytest.raises(InputError, match="another process"), staged(folder):
        pass
    assert folder.is_dir()


def test_a_lock_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    with locked(tmp_path / "a/b"), pytest.raises(InputError), locked(tmp_path / "a/b"):
        pass
    assert names(tmp_path) == []


def test_a_file_is_no_folder_to_work_in(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(InputError, match="another folder"), locked(folder):
            pass


HOLD = """
import sys, time
from pathlib import Path
from layergym.base.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_held_until_its_process_has_gone_however_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not held(folder) and not folder.exists(), "looking makes nothing"
    with locked(folder):
        assert held(folder)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert held(folder)
        process.kill()
    assert (folder / LOCK).is_file() and not held(folder)
    with locked(folder):
        assert held(folder)
