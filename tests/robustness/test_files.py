"""Damaged files of a folder: one sentence that names the file, or an answer without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from layergym.__main__ import main

SETTINGS = {"eval.json", "config.json", "manifest.json", "trajectories.jsonl"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "F"
    line = ["eval", "alfworld-v0", "--agent", "random", "--eval-tasks", "2", "--quiet"]
    assert main([*line, "--env-arg", "max_turns=2", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("command", ["report", "trajectories"])
def test_a_damaged_evaluation_is_read_or_refused_in_a_sentence(
    command: str,
    played: Path,
    tmp_path: Path,
    table: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damages = [d for d in table("files").damages(played) if Path(d.file).name in SETTINGS]
    assert len(damages) > 100
    for damage in damages[:: 1 if command == "report" else 4]:
        copy = tmp_path / "F"
        shutil.copytree(played, copy)
        (copy / damage.file).write_bytes(damage.data)
        code = main([command, str(copy)])
        said = capsys.readouterr().err
        if code:
            assert (code, said.count("\n")) == (2, 1), damage[:2]
            assert len(said) < 400 and str(copy) in said, (damage[:2], said)
        shutil.rmtree(copy)


@pytest.mark.parametrize("count", ["9" * 4000, "Infinity", "NaN", "-5", "true", "null", '"7"'])
def test_counts_of_tokens_that_a_server_made_up_do_not_spoil_a_folder(
    count: str, played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "F"
    shutil.copytree(played, copy)
    [kept] = copy.glob("agents/*/*/trajectories.jsonl")
    kept.write_text(kept.read_text().replace('"valid":', f'"tokens":[{count},3],"valid":'))
    assert main(["report", str(copy)]) == 0
    assert main(["trajectories", str(copy)]) == 0
