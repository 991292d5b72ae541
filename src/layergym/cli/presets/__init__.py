"""Published settings by name: `--preset gigpo-alfworld`; what is given beside it holds instead."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from layergym.base.errors import unknown
from layergym.command.console import Output
from layergym.command.values import text

HERE = Path(__file__).parent
COMMANDS = ("train", "sweep", "eval")
"""Commands that have settings of their own; `plan` takes those of `train`."""


@dataclass(frozen=True, slots=True)
class PresetOption:
    """One option."""

    value: Any
    source: str
    """Where the value comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPanel:
    """Tasks that everybody scores on, all of them once."""

    name: str
    split: str
    tasks: int
    """How many there are."""
    env_arg: tuple[str, ...] = ()
    """Settings of the environment beside those of the preset."""
    data: Mapping[str, str] = field(default_factory=dict)
    """The panel's hash with each published data set, by its name; "" where none is recorded."""
    source: str
    """Who scores on it."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What was published about one experiment."""

    name: str
    about: str
    differs: tuple[str, ...]
    """What was published and is not set."""
    settings: Mapping[str, Mapping[str, PresetOption]]
    """For each command, the options by their names in parsed arguments."""
    panels: tuple[FixedPanel, ...] = ()
    """What `layergym referee` scores on."""


@cache
def presets() -> Mapping[str, Preset]:
    """All of them, by name."""
    with (HERE / "presets.toml").open("rb") as file:
        return {name: _preset(name, table) for name, table in tomllib.load(file).items()}


def add_preset(parser: argparse._ActionsContainer) -> None:
    """Declare `--preset`."""
    parser.add_argument(
        "--preset",
        type=text,
        metavar="NAME",
        help=f"published settings, for what is not given: {', '.join(presets())}",
    )


def fixed_panels(name: str) -> tuple[FixedPanel, ...]:
    """The panels of a preset.

    Raises:
        InputError: there is no such preset, or it has none.
    """
    having = [preset for preset in presets().values() if preset.panels]
    panels = next((preset.panels for preset in having if preset.name == name), None)
    if panels is None:
        raise unknown("preset with fixed panels", name, [preset.name for preset in having])
    return panels


def preset_values(name: str, command: str, options: Collection[str]) -> dict[str, Any]:
    """A preset's values for a command, by option.

    Args:
        name: of the preset.
        command: one of `COMMANDS`.
        options: the options that there are.

    Raises:
        InputError: there is no such preset.
    """
    if name not in presets():
        raise unknown("preset", name, presets())
    values = presets()[name].settings[command]
    return {option: _value(option, s.value) for option, s in values.items() if option in options}


def note_differences(args: argparse.Namespace, out: Output) -> None:
    """Say what was published and is not set, where there is a preset."""
    if args.preset is not None:
        for line in presets()[args.preset].differs:
            out.note(f"other than what was published: {line}")


def _value(name: str, value: Any) -> Any:
    """Read the value as the command line would."""
    if name == "prompt":
        return HERE / str(value)
    return list(value) if isinstance(value, list) else value


def _preset(name: str, table: Mapping[str, Any]) -> Preset:
    def of(section: str) -> dict[str, PresetOption]:
        return {k: PresetOption(*pair) for k, pair in table.get(section, {}).items()}

    return Preset(
        name,
        table["about"],
        tuple(table["differs"]),
        {command: of("options") | of(command) for command in COMMANDS},
        tuple(_panel(title, values) for title, values in table.get("panels", {}).items()),
    )


def _panel(name: str, values: Mapping[str, Any]) -> FixedPanel:
    settings = {**values, "env_arg": tuple(values.get("env_arg", ()))}
    return FixedPanel(name=name, **settings)
