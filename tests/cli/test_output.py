"""Where commands print: results on stdout, progress on stderr, JSON, quiet, colour, signals."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.cli.pausing import PauseRequest
from layergym.command.values import seconds
from layergym.envs import InputError
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec

TRAIN = [
    *("train", "alfworld-v0", "--layers", "3", "--steps", "2", "--tasks", "1", "--group", "2"),
    *("--env-arg", "max_turns=3", "--env-arg", "max_receptacles=5", "--env-arg", "num_objects=5"),
]


def test_json_is_all_that_stdout_gets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main([*TRAIN, "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert [record["event"] for record in records] == ["step", "step", "trained"]
    written = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [{"event": "step", **row} for row in written] == records[:2]
    assert records[2]["delta"] == str(out / "delta.safetensors")
    assert shown.err.splitlines()[0].split()[:2] == ["step", "reward"]


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_draw_gets_a_line_a_step(term: str, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "layergym", *TRAIN, "--out", str(tmp_path / "run")]
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}
    done = subprocess.run(command, stderr=theirs, env={**environment, "TERM": term}, check=True)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        shown = terminal.read(1 << 16).decode()
    assert done.returncode == 0
    assert [line.split()[0] for line in shown.splitlines()] == ["step", "1", "2"]
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("command", "event", "has"),
    [
        (["envs"], "environment", {"id", "about"}),
        (["envs", "--json", "check", "math-v0"], "conforms", {"id", "reset_s", "step_s"}),
        (["play", "math-v0", "--agent", "expert"], "episode", {"task", "success", "reward"}),
        (["plan", "--model", "tiny"], "plan", {"layers", "trained", "peak_bytes", "update_s"}),
        (
            ["eval", "alfworld-v0", "--agent", "random", "expert", "--eval-tasks", "3"],
            "agent",
            {"agent", "episodes", "errors", "score", "difference"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_commands_speak_json(
    command: list[str], event: str, has: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *([] if "--json" in command else ["--json"]), "--quiet"]) == 0
    shown = capsys.readouterr()
    records = [json.loads(line) for line in shown.out.splitlines()]
    assert records[-1]["event"] == event and has <= set(records[-1])
    assert shown.err == ""


def test_an_evaluation_sends_nobody_to_what_it_does_not_keep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = ["eval", "alfworld-v0", "--agent", "expert", "--eval-tasks", "2", "--quiet"]
    assert main(once) == 0
    shown = capsys.readouterr().out
    assert tempfile.gettempdir() not in shown and "trajectories" not in shown
    assert main([*once, "--out", str(tmp_path / "kept")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"layergym trajectories {tmp_path / 'kept'}" in shown
    assert {file.name for file in (tmp_path / "kept").iterdir()} == {
        "agents", "eval.json", "manifest.json",
    }  # fmt: skip
    assert "report file" not in shown


def test_a_game_at_the_keyboard_is_not_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "math-v0", "--json"]) == 2
    assert "--json is for agents" in capsys.readouterr().err


def test_quiet_leaves_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--lora", "2", "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert RunSpec.read(tmp_path / "run").lora == 2
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith("trained layers 3 (of 8)")


def test_time_that_is_up_pauses_the_run_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, straight = tmp_path / "run", tmp_path / "straight"
    assert main([*TRAIN, "--out", str(out), "--max-time", "0s"]) == 0
    assert capsys.readouterr().out == (
        f"paused after step 1; go on with: layergym train --resume {out}\n"
    )
    assert main(["train", "--resume", str(out), "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["event"], last["step"]) == ("trained", 2)
    assert train(RunSpec.read(out), straight).ended == "steps"
    deltas = [(folder / "delta.safetensors").read_bytes() for folder in (out, straight)]
    assert deltas[0] == deltas[1]


@pytest.mark.parametrize(
    ("text", "wanted"), [("90s", 90), ("20m", 1200), ("2h", 7200), ("1h30m", 5400), ("0s", 0)]
)
def test_durations(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "90", "2d", "-5m", "30m1h", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="is not a duration; write 90s"):
        seconds(text)


@contextmanager
def handled(number: int, by: signal.Handlers) -> Iterator[None]:
    """The signal's handler, whatever this process was started with."""
    before = signal.signal(number, by)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_and_the_second_acts_as_ever(number: int) -> None:
    told: list[str] = []
    with handled(number, signal.SIG_DFL):
        with PauseRequest(None, told.append) as request:
            assert not request()
            os.kill(os.getpid(), number)
            assert request() and request.signal == number and len(told) == 1
            assert signal.getsignal(number) == signal.SIG_DFL
        assert signal.getsignal(number) == signal.SIG_DFL


def test_a_run_that_ignores_a_closed_terminal_goes_on_ignoring_it() -> None:
    ignored = handled(signal.SIGHUP, signal.SIG_IGN)  # As `nohup` does.
    with ignored, PauseRequest(None, pytest.fail) as request:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not request()


def test_an_error_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "alfwrld-v0", "--out", "x" * 100]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert shown.out == ""
    assert line.startswith('layergym train: no environment "alfwrld-v0"; did you mean')


def test_an_error_is_red_on_a_terminal_unless_no_color(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def complaint() -> str:
        assert main(["report", "nowhere"]) == 2
        return capsys.readouterr().err

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b" not in complaint()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m" in complaint()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in complaint()


class Full(StringIO):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_refusal_that_cannot_be_printed_is_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Full())
    assert main(["nothing"]) == 2
