"""A folder in which nothing was done yet may be begun in again."""

from pathlib import Path

import pytest

from layergym.base.files import replacing
from layergym.base.locks import locked, vacant


def test_what_a_killed_process_leaves_as_it_begins_is_nothing(tmp_path: Path) -> None:
    assert vacant(tmp_path / "absent") and vacant(tmp_path)
    with locked(tmp_path), replacing(tmp_path / "config.json") as scratch:
        assert scratch.exists() and vacant(tmp_path)
        (tmp_path / "manifest.json").write_text("{}")
        assert vacant(tmp_path)
    assert not vacant(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "notes.txt", ".git", ".notes.swp", ".x.0123456g"])
def test_what_is_somebodys_is_something(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("")
    assert not vacant(tmp_path)
