"""What an environment says cannot steer the terminal that shows it."""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

import layergym as lg
from layergym.__main__ import main
from layergym.command.safe_console import SafeConsole

EVIL = "\x1b]0;owned\x07 \x1b[2J \x9b31m \u202egnp.exe\u2066 \ud800"


class Evil(lg.TextEnv):
    """Says what steers terminals, \x1b]0;owned\x07 wherever it may."""

    instructions = EVIL
    max_turns = 2

    def start(self) -> str:
        return EVIL

    def play(self, action: str) -> lg.Outcome:
        if action == "break":
            raise ValueError(EVIL)
        return lg.Outcome(EVIL)

    def admissible(self) -> list[str]:
        return [EVIL]

    def expert(self) -> str:
        return "break"


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    lg.register("test/Evil-v0", Evil)
    yield
    del gymnasium.registry["test/Evil-v0"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("play evil-v0 --agent random", 0),
        ("play evil-v0 --agent expert", 2),
        ("envs check evil-v0", 1),
        ("envs evil-v0", 0),
        ("play evil-v0 --agent random --json", 0),
        ("train evil-v0 --steps 1 --tasks 1 --group 2 --dry-run", 0),
        ("train evil-v0 --steps 1 --tasks 1 --group 2 --dry-run --admissible", 0),
        ("eval evil-v0 --agent random --eval-tasks 1", 0),
        ("eval evil-v0 --agent expert --eval-tasks 1", 1),
    ],
)
def test_no_command_passes_it_on(
    command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command.split()) == code
    shown = "".join(capsys.readouterr())
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(shown)
    assert "owned" in shown or code == 1 or "eval" in command or "--dry-run" in command


def test_a_warning_of_another_package_cannot_steer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warns(self: Evil) -> str:
        warnings.warn(EVIL, UserWarning, stacklevel=1)
        return EVIL

    monkeypatch.setattr(Evil, "start", warns)
    with pytest.warns(UserWarning, match="owned") as found:
        assert main(["play", "evil-v0", "--agent", "random"]) == 0
    shown = "".join([*(str(each.message) for each in found), *capsys.readouterr()])
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(shown)


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\x0b", "\x85", "\u2028"])
def test_a_refusal_is_one_line_whatever_it_repeats(
    breaks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["play", f"x{breaks}layergym play: solved"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_table_cannot_steer_and_has_its_colours(capsys: pytest.CaptureFixture[str]) -> None:
    console = SafeConsole(force_terminal=True, width=60)
    table = Table("name", EVIL)
    table.add_row(EVIL, Text(EVIL, "red"))
    console.print(table, Rule(Text(EVIL)), Panel(EVIL), markup=False)
    shown = capsys.readouterr().out
    assert "\x1b[31m" in shown
    assert shown.count("\x1b") == len(re.findall(r"\x1b\[[0-9;]*m", shown))
    assert not {"\x07", "\x9b", "\u202e", "\u2066"} & set(shown)


def test_a_list_of_actions_that_fails_is_an_error_of_its_episodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(self: Evil) -> list[str]:
        raise KeyError("the actions")

    monkeypatch.setattr(Evil, "admissible", fails)
    line = "train evil-v0 --steps 1 --tasks 1 --group 2 --dry-run --admissible"
    assert main(line.split()) == 2
    assert "the actions" in capsys.readouterr().err


def test_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "code-v0"]) == 0
    shown = capsys.readouterr().out
    assert "problems" in shown and "'generated'" in shown and "HumanEval" in shown
    assert main(["envs", "cod-v0"]) == 2
    assert 'did you mean "code-v0"' in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["reset", "render"])
def test_an_environment_that_fails_outside_of_an_episode_is_a_sentence(
    broken: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("the device")

    monkeypatch.setattr(Evil, broken, fails)
    assert main(["play", "evil-v0", "--agent", "random"]) == 2
    assert "environment failed: KeyError" in capsys.readouterr().err


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\0b"])
@pytest.mark.parametrize(
    "line",
    [
        "train alfworld-v0 --steps 1 --out NAME/run",
        "warmup alfworld-v0 --out NAME/model",
        "eval alfworld-v0 --agent NAME --out run",
        "report NAME",
        "new-env my_env --out NAME/package",
        "NAME",
    ],
)
def test_a_name_that_no_file_can_hold_is_refused(
    line: str,
    name: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([part.replace("NAME", os.fsdecode(name)) for part in line.split()]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_path_no_file_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / os.fsdecode(b"\xff")
    place.mkdir()
    monkeypatch.chdir(place)
    assert main(["new-env", "my_env", "--out", "package"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(place.iterdir()) == []


def test_an_interrupt_while_an_interrupt_is_told_ends_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("layergym.__main__.commands", interrupted)
    monkeypatch.setattr("layergym.__main__.complain", interrupted)
    assert main(["envs"]) == 130
