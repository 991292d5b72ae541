"""`python -m benchmarks.robustness`: every kind of input, and one table."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


def test_a_kind_is_tried_and_counted(
    table: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["sandbox", "--only", "forgeries", "--isolation", "landlock", "--every", "40"]
    assert table("__main__").main(line) == 0
    title, *rows = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert title.split() == ["what", "tried", "badly", "met"]
    assert len(rows) == 2 and all(row.endswith(" 0") for row in rows)


def test_what_is_badly_met_is_shown(table: Callable[[str], ModuleType]) -> None:
    tables = table("tables")
    cases = [tables.Case("good", "clear", ""), tables.Case("a bad line", "hang", "")]
    found = tables.counted(tables.Table("lines", cases))
    assert [case.what for case in found.bad] == ["a bad line"]
    assert tables.summary([found]).splitlines()[1:] == [
        "lines       2          1", "    hang: a bad line"
    ]  # fmt: skip


def test_the_small_form_has_a_part_of_every_kind(table: Callable[[str], ModuleType]) -> None:
    command = table("__main__")
    for name, part in command.SMALL.items():
        options = command.parser().parse_args([name, *part.split()])
        assert options.tables is table(name).tables


def test_a_command_is_stopped_and_goes_on(table: Callable[[str], ModuleType]) -> None:
    line = ["kills", "--only", "eval", "--kills", "2", "--by", "KILL", "INT"]
    assert table("__main__").main(line) == 0


def test_the_commands_that_meet_environments_can_be_chosen(
    table: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["envs", "--only", "reward: nan", "--commands", "play", "eval", "report"]
    assert table("__main__").main(line) == 0
    assert "1 hostile environments, by commands: 4; fine 4" in capsys.readouterr().out
