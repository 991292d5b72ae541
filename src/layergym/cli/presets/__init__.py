"""Published settings by name: `--preset gigpo-alfworld`; what is given beside it holds instead."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from layergym.base.errors import unknown
from layergym.command.console import Output

HERE = Path(__file__).parent
COMMANDS = ("train", "sweep", "eval")
"""Commands that have settings of their own; `plan` takes those of `train`."""


@dataclass(frozen=True, slots=True)
class PresetOption:
    """One option."""

    value: Any
    source: str
    """Where the value comes from."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What was published about one experiment."""

    name: str
    about: str
    differs: tuple[str, ...]
    """What was published and is not set."""
    settings: Mapping[str, Mapping[str, PresetOption]]
    """By command, options by their names in parsed arguments."""


@cache
def presets() -> Mapping[str, Preset]:
    """All of them, by name."""
    with (HERE / "presets.toml").open("rb") as file:
        return {name: _preset(name, found) for name, found in tomllib.load(file).items()}


def add_preset(parser: argparse._ActionsContainer) -> None:
    """Declare `--preset`."""
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help=f"published settings, for what is not given: {', '.join(presets())}",
    )


def with_preset(
    args: argparse.Namespace,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    command: str,
) -> argparse.Namespace:
    """The arguments, with the preset's values for all that was not given.

    Raises:
        InputError: there is no such preset.
    """
    if args.preset is None:
        return args
    if args.preset not in presets():
        raise unknown("preset", args.preset, presets())
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    known = vars(parser.parse_args([]))
    found = presets()[args.preset].settings[command]
    parser.set_defaults(**{n: _value(n, s.value) for n, s in found.items() if n in known})
    filled = parser.parse_args(args.argv)
    filled.command, filled.argv = args.command, args.argv
    return filled


def note_differences(args: argparse.Namespace, out: Output) -> None:
    """Say what was published and is not set, where there is a preset."""
    if args.preset is not None:
        for line in presets()[args.preset].differs:
            out.note(f"unlike what was published: {line}")


def _value(name: str, value: Any) -> Any:
    """As the command line would read it."""
    if name == "prompt":
        return HERE / str(value)
    return list(value) if isinstance(value, list) else value


def _preset(name: str, found: Mapping[str, Any]) -> Preset:
    def of(section: str) -> dict[str, PresetOption]:
        return {k: PresetOption(*pair) for k, pair in found.get(section, {}).items()}

    return Preset(
        name,
        found["about"],
        tuple(found["differs"]),
        {command: of("options") | of(command) for command in COMMANDS},
    )
