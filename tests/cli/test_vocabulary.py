"""One vocabulary: an option means the same, and is written the same way, in every command."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.cli.commands import command as opened
from layergym.cli.commands import commands
from layergym.command.options import arms_of
from layergym.envs import InputError
from layergym.trainer.layers.grammar import layer_indices

SEVERAL_OR_ONE = {"--agent"}
"""Evaluations compare several; one plays."""


def options(command: str) -> dict[str, argparse.Action]:
    parser = argparse.ArgumentParser()
    opened(command).add_arguments(parser)
    return {name: a for a in parser._actions for name in a.option_strings}


def test_an_option_is_written_the_same_way_everywhere() -> None:
    ways = defaultdict(set)
    for command in commands():
        for name, action in options(command).items():
            ways[name].add((type(action), action.nargs, tuple(action.choices or ())))
    assert {name for name, found in ways.items() if len(found) > 1} == SEVERAL_OR_ONE


def test_tasks_are_those_of_a_step_and_panels_say_eval() -> None:
    scored = {c for c in commands() if "--eval-tasks" in options(c)}
    stepped = {c for c in commands() if "--tasks" in options(c)}
    assert scored == {
        *("train", "plan", "sweep", "eval", "compare", "vote", "dissect"),
        "referee",
    }
    assert {"train", "sweep"} <= stepped and not stepped & {"eval", "compare", "vote"}


def test_a_plan_takes_the_options_of_the_run() -> None:
    planned, trained = options("plan"), options("train")
    own = {"--out", "--resume", "--dry-run", "--max-time", "--report-to"}
    assert set(trained) - set(planned) == own
    for name in set(trained) & set(planned):
        assert planned[name].default == trained[name].default
    assert set(planned) - set(trained) == {"--gpu", "--gpus", "--tokens", "--sampled"}


def test_a_plan_follows_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    def told(*more: str) -> dict[str, object]:
        assert main(["plan", "alfworld-v0", "--layers", "3", "--json", "--quiet", *more]) == 0
        full, some = map(json.loads, capsys.readouterr().out.splitlines())
        assert full["layers"] == "all" and some["layers"] == "3"
        return dict(some)

    small = ("--tasks", "2", "--group", "4", "--tokens", "64", "--sampled", "16")
    one, other = told(*small), told(*small, "--beta", "0.01", "--rows-per-pass", "2")
    assert (one["rows_per_pass"], other["rows_per_pass"]) == (8, 2)
    assert one["memory_bytes"]["reference"] == 0 < other["memory_bytes"]["reference"]  # type: ignore[index]


def test_several_seeds_are_seeds() -> None:
    for command in commands():
        found = options(command)
        assert not {"--seed", "--seeds"} <= set(found)
        assert "--seed" not in found or found["--seed"].nargs is None
        assert "--seeds" not in found or found["--seeds"].nargs == "+"


def test_arms_are_separated_by_spaces_or_commas() -> None:
    for texts in (["full", "top:2"], ["full,top:2"], ["full,", "top:2"]):
        assert arms_of(texts) == ["full", "top:2"]
    assert arms_of([]) == []
    with pytest.raises(InputError):
        arms_of([" , "])


def test_an_arm_of_several_layers_is_written_without_commas() -> None:
    assert layer_indices("0+4-5", 8) == layer_indices("0,4-5", 8) == (0, 4, 5)


def test_a_report_speaks_json_like_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("arm,a\nBase,10\nFull,30\n" + "".join(f"L{k},{20 + k}\n" for k in range(4)))
    assert main(["report", str(table), "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    said = json.loads(line)
    assert said["event"] == "report" and said["sections"] and not said["files"]
    assert list(tmp_path.iterdir()) == [table]
    assert main(["report", str(table), "--json", "--md", "--out", str(tmp_path / "out")]) == 0
    again = json.loads(capsys.readouterr().out)
    kept = json.loads(Path(again.pop("files")["json"]).read_text())
    assert {name: again[name] for name in kept} == kept
