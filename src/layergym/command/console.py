"""How every command prints: results on stdout, progress and errors on stderr.

Colours and live views are for terminals. A pipe, a log and CI get plain lines; so does a terminal
with NO_COLOR or TERM=dumb.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from layergym.base.texts import printable
from layergym.command.options import first_process

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command prints."""

    results: Console
    """stdout; silent with --json, where `record` writes in its place."""
    progress: Console
    """stderr, for what is of no use once the command is done; silent with --quiet."""
    json: bool = False

    def show(self, what: RenderableType, style: str | None = None) -> None:
        """A result, for people. Text has no markup, is not folded, and cannot steer a terminal."""
        _print(self.results, what, style)

    def note(self, what: RenderableType, style: str | None = None) -> None:
        """A word on the way."""
        _print(self.progress, what, style)

    def record(self, **values: Any) -> None:
        """A result as one line of JSON; nothing without --json."""
        if self.json:
            print(json.dumps(values, allow_nan=False, default=str), flush=True)


def add_output(parser: argparse.ArgumentParser) -> None:
    """How much is printed, and how."""
    group = parser.add_argument_group("output")
    about = {
        "--quiet": "results and errors only",
        "--json": "results as JSON, one object a line, on stdout",
    }
    for option, help in about.items():
        # No default: that of `envs check` would undo what was given to `envs`.
        group.add_argument(option, action="store_true", default=argparse.SUPPRESS, help=help)


def output(args: argparse.Namespace) -> Output:
    """The output that the arguments ask for; they need not have been declared.

    Of several processes that a launcher started, the first one prints.
    """
    if not first_process():
        return Output(_console(quiet=True), _console(stderr=True, quiet=True))
    as_json = bool(getattr(args, "json", False))
    quiet = bool(getattr(args, "quiet", False))
    return Output(_console(quiet=as_json), _console(stderr=True, quiet=quiet), as_json)


def complain(command: str, message: str, style: str = "red") -> None:
    """One line on stderr, whatever the message repeats: what was wrong, and what to do."""
    line = " ".join(message.splitlines())
    with suppress(OSError):  # Nobody can be told; the exit code says it.
        _print(_console(stderr=True), f"{f'layergym {command}'.strip()}: {line}", style)


def _console(*, stderr: bool = False, quiet: bool = False) -> Console:
    from layergym.command.safe_console import SafeConsole

    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    console = SafeConsole(stderr=stderr, quiet=quiet, highlight=False)
    if console.is_dumb_terminal:  # Nothing can be drawn in place there.
        return SafeConsole(stderr=stderr, quiet=quiet, highlight=False, force_terminal=False)
    return console


def _print(console: Console, what: RenderableType, style: str | None) -> None:
    if isinstance(what, str):
        console.print(printable(what), style=style, markup=False, soft_wrap=True)
    else:
        console.print(what, style=style, markup=False)


def finite_or_none(values: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics as JSON takes them: None where a number is not finite."""
    return {
        k: None if v != v or v in (float("inf"), float("-inf")) else v for k, v in values.items()
    }
