"""What a run's folder survives: damage, a second process, another command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from layergym.base.errors import InputError, Notice
from layergym.base.locks import locked
from layergym.envs import Outcome, TextEnv, register
from layergym.trainer.callbacks import Watch
from layergym.trainer.run import train
from tests.small_runs import small_run

SPEC = small_run(save_every=1)


def test_a_damaged_checkpoint_costs_its_steps_and_nothing_else(tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(SPEC, straight)
    asked = iter(range(1, 99))
    train(SPEC, broken, watch=Watch(pause=lambda: next(asked) == 3))
    (broken / "checkpoint-3" / "optimizer.pt").write_bytes(b"half")
    (broken / "trajectories.jsonl").write_bytes(b"no trajectory\n")
    with pytest.warns(Notice, match="optimizer.pt"):
        train(SPEC, broken, resume=True)
    deltas = [(folder / "delta.safetensors").read_bytes() for folder in (broken, straight)]
    assert deltas[0] == deltas[1]


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with locked(folder), pytest.raises(InputError, match="another process"):
        train(SPEC, folder)
    assert not folder.exists()
    train(replace(SPEC, steps=1), folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    with pytest.raises(InputError, match="holds a run already"):
        train(replace(SPEC, layers="7"), folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


class Broken(TextEnv):
    """Can be made, and fails in every episode."""

    max_turns = 2

    def start(self) -> str:
        return "Go on."

    def play(self, action: str) -> Outcome:
        raise OSError("the part that this needs is not here")


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "no-such-model"},
        {"env": "code-v0", "env_args": {"isolation": "foo"}},
        {"env": "broken-v0", "env_args": {}},
    ],
)
def test_a_run_that_cannot_begin_leaves_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    register("test/Broken-v0", Broken)
    folder = tmp_path / "run"
    with pytest.raises(InputError):
        train(replace(SPEC, **settings), folder)
    assert not folder.exists()


def test_a_run_that_can_no_longer_be_resumed_keeps_what_it_has(tmp_path: Path) -> None:
    register("test/Broken-v0", Broken)
    asked = iter(range(1, 99))
    train(SPEC, tmp_path / "run", watch=Watch(pause=lambda: next(asked) == 2))
    before = {p.name for p in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match="every episode"):
        train(replace(SPEC, env="broken-v0", env_args={}), tmp_path / "run", resume=True)
    assert {p.name for p in (tmp_path / "run").iterdir()} == before
