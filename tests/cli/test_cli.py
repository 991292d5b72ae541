"""The command line: what it prints, and what it says to bad input."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.base.errors import Notice
from layergym.cli.commands import commands
from layergym.evals.sweep.demo import demo_sweep
from layergym.evals.sweep.folder import write_sweep


def failed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one sentence that a command prints before it exits with 2."""
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err


@pytest.mark.parametrize("command", commands())
def test_help_teaches_by_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"layergym {command}" in capsys.readouterr().out.split("examples:")[1]


def test_envs_lists_what_can_be_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs"]) == 0
    assert "layergym/ALFWorld-v0" in capsys.readouterr().out


def test_play_shows_an_episode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "alfworld-v0", "--agent", "expert", "--seed", "1"]) == 0
    shown = capsys.readouterr().out
    assert "> go to" in shown
    assert "solved, reward 1" in shown


def test_an_unknown_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert failed(capsys, "swep") == 'layergym: no command "swep"; did you mean "sweep"?\n'


def test_a_mistake_points_to_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "sweep", "alfworld-v0", "--layers", "0", "3", "6")
    assert "3 6" in said and "layergym sweep --help" in said
    assert "layergym --help" in failed(capsys, "--no-such-option")


def test_help_lists_every_command_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    lines = capsys.readouterr().out.partition("examples:")[0].splitlines()
    listed = [line.split()[0] for line in lines if line[:2] == "  " and line[2] not in " -"]
    assert tuple(listed) == commands()


def test_report_writes_the_files_that_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    rows = ("Base,10,20", "Full,30,50", *(f"L{k},{20 + k},{40 - k}" for k in range(4)))
    table.write_text("\n".join(("arm,a,b", *rows)))
    assert main(["report", str(table), "--png", "--out", str(tmp_path / "out")]) == 0
    written = {"report.json", "report.png", "profile.json"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == written
    assert str(tmp_path / "out" / "report.png") in capsys.readouterr().out.splitlines()


def test_unknown_environment(capsys: pytest.CaptureFixture[str]) -> None:
    error = failed(capsys, "play", "alfwrld-v0")
    assert 'no environment "alfwrld-v0"; did you mean "alfworld-v0"?' in error


def test_no_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert "which environment?" in failed(capsys, "train")


def test_unknown_setting(capsys: pytest.CaptureFixture[str]) -> None:
    error = failed(capsys, "play", "alfworld-v0", "--env-arg", "colour=red")
    assert "does not take these settings" in error


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--layers", "99"], "the model has 8 layers, 0 to 7"),
        (["--layers", ""], "--layers: it is empty"),
        (["--model", "./nowhere"], 'no model at "./nowhere"'),
        (["--tasks", "0"], "--tasks: it takes a whole number from 1"),
        (["--lr", "-1"], "--lr: it takes a number above 0"),
        (["--temperature", "0"], "--temperature: it takes a number above 0"),
        (["--rows-per-pass", "0"], "--rows-per-pass: it takes a whole number"),
        (["--save-every", "0"], "--save-every: it takes a whole number"),
    ],
)
def test_bad_training_input_leaves_nothing_behind(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert sentence in failed(capsys, "train", "alfworld-v0", "--out", str(out), *options)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--lr-full", "-1"], "--lr-full: it takes a number above 0"),
        (["--eval-repeats", "0"], "--eval-repeats: it takes a whole number from 1"),
        (["--eval-tasks", "1"], "2 tasks or more, not 1"),
        (["--eval-tasks", "0"], "--eval-tasks: it takes a whole number from 1"),
        (["--race", "1.5"], "--race: it takes a whole number from 1"),
        (["--race", "8", "4"], "mend --race"),
        (["--lr-grid", "nan", "1e-3"], "--lr-grid: it takes a number"),
        (["--lr-grid", "1e-3"], "two or more"),
        (["--arms", "foo"], 'arm "foo": layers="foo" cannot be read'),
        (["--group", "1"], "--group: it takes a whole number from 2"),
    ],
)
def test_bad_sweep_input_leaves_nothing_behind(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sweep"
    assert sentence in failed(capsys, "sweep", "alfworld-v0", "--out", str(out), *options)
    assert not out.exists()


def test_layers_by_the_ranking_of_another_model_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile.json"
    rows = [{"layer": layer, "contribution": layer / 8} for layer in range(8)]
    about = {"num_layers": 8, "layers": rows, "model": "mine", "model_hash": "b" * 64}
    profile.write_text(json.dumps(about))
    ranked = f"top:2@{profile}"
    small = ("--steps", "1", "--tasks", "1", "--group", "2", "--env-arg", "max_turns=2", "--quiet")
    one = ("train", "alfworld-v0", "--layers", ranked, "--out", str(tmp_path / "run"), *small)
    assert main(one) == 0
    assert "made with the model mine (bbbbbbbbbbbb)" in capsys.readouterr().err
    with pytest.warns(Notice, match="made with the model mine"):
        write_sweep(replace(demo_sweep((0,), fast=True), extra=(ranked,)), tmp_path / "sweep")


def test_a_folder_in_use_is_not_written_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("x")
    assert "is not empty" in failed(capsys, "train", "alfworld-v0", "--out", str(tmp_path))
    assert "is not empty" in failed(capsys, "sweep", "alfworld-v0", "--out", str(tmp_path))


def test_resume_wants_a_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a run folder" in failed(capsys, "train", "--resume", str(tmp_path))
    assert "sweep.json" in failed(capsys, "sweep", "--resume", str(tmp_path))
    assert "missing" in failed(capsys, "report", str(tmp_path))


def test_settings_beside_resume_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(demo_sweep((0,), fast=True), tmp_path)
    go_on = ("--resume", str(tmp_path))
    for command in ("sweep", "train", "eval"):
        error = failed(capsys, command, "alfworld-v0", *go_on, "--format", "plain", "--out", "x")
        assert "leave out env, --format, --out," in error
    assert "leave out --seeds," in failed(capsys, "sweep", *go_on, "--seeds", "0")
    assert "leave out --admissible, --dry-run," in failed(
        capsys, "train", *go_on, "--dry-run", "--admissible"
    )
    assert main(["sweep", *go_on, "--on", "processes", "--jobs", "1", "--max-time", "0s"]) == 0
    assert main(["sweep", *go_on, "--max-time", "0s", "--quiet", "--json"]) == 0


def test_a_demo_does_not_write_into_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("config.json", "manifest.json", "metrics.jsonl", "delta.safetensors")
    for name in files:
        (tmp_path / name).write_text(f'{{"of": "{name}"}}')
    assert "is not empty" in failed(capsys, "demo", "--fast", "--out", str(tmp_path))
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        name: f'{{"of": "{name}"}}' for name in files
    }


def test_a_demo_with_other_settings_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(demo_sweep((0,), fast=True), tmp_path)
    assert "other settings" in failed(capsys, "demo", "--out", str(tmp_path))
