"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.base.locks import vacant
from layergym.command.values import REPEATS, TASKS


def add_env(parser: argparse.ArgumentParser) -> None:
    """Which environment, and its settings."""
    parser.add_argument(
        "env", nargs="?", help="environment id, such as alfworld-v0 (see: layergym envs)"
    )
    parser.add_argument(
        "--env-arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="setting of the environment, such as max_receptacles=8; repeatable",
    )


_NO_SETTINGS = frozenset(
    {"self", "name", "id", "split", "render_mode", "disable_env_checker", "max_episode_steps"}
)
"""What an environment is made with besides its settings."""


def add_compute(parser: argparse.ArgumentParser, *, of: str = "") -> None:
    """Where models compute and in which precision.

    Args:
        parser: gets `--dtype` and `--device`.
        of: the run or sweep whose settings hold where nothing is given, if there is one.
    """
    parser.add_argument(
        "--dtype",
        choices=["auto", "float32", "bfloat16"],
        default=None if of else "auto",
        help="what models compute with; what trains is always stepped in float32 "
        f"(default: {of or 'bfloat16 where it is stored and fast, else float32'})",
    )
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda", "mps"],
        default="auto",
        help="where models compute (default: a CUDA GPU if there is one, else the CPU)",
    )


def add_trackers(parser: argparse._ActionsContainer) -> None:
    """What training reports to, besides its folder."""
    parser.add_argument(
        "--report-to",
        nargs="+",
        default=[],
        metavar="TRACKER",
        help="tensorboard, trackio, wandb",
    )


def env_args(pairs: list[str]) -> dict[str, Any]:
    """The settings of an environment, as `named_values` reads them.

    Raises:
        InputError: a pair has no "=", or its name is one of an option's or of Python's.
    """
    settings = named_values(pairs, "--env-arg")
    for name in settings:
        if name in _NO_SETTINGS:
            raise InputError(f'"{name}" is not a setting of an environment; leave it out')
    return settings


def named_values(pairs: list[str], option: str) -> dict[str, Any]:
    """Read NAME=VALUE pairs; a value is JSON where it parses as JSON, else text.

    Raises:
        InputError: a pair has no "=", or its name cannot be one.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f'{option} takes NAME=VALUE, not "{pair}"')
        key = name.replace("-", "_")
        if not key.isidentifier():
            raise InputError(f'"{name}" is not a name of a setting; leave it out')
        try:
            settings[key] = json.loads(value)
            json.dumps(settings[key], allow_nan=False)
        except (ValueError, RecursionError):  # Infinity, and 1e999, are texts here.
            settings[key] = value
    return settings


def required_env(args: argparse.Namespace) -> str:
    """The environment id that was given.

    Raises:
        InputError: none was.
    """
    if args.env is None:
        raise InputError("which environment? for example: alfworld-v0 (list: layergym envs)")
    return str(args.env)


def first_process() -> bool:
    """Whether this process prints: the only one, or the first that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def new_folder(path: str | Path, again: str = "") -> Path:
    """A folder that a run may write into: absent or empty.

    Args:
        path: the folder.
        again: the command that goes on with what such a folder holds, if there is one.

    Raises:
        InputError: it is a file, is below a file, or is not empty.
    """
    folder = Path(path)
    if not str(path).strip():
        raise InputError("--out is empty; name a folder")
    if first_process():
        _check_room(folder)
        if not vacant(folder):
            more = f", or go on with: {again} {folder}" if again else ""
            raise InputError(f"{folder} is not empty; give another --out{more}")
    return folder


def _check_room(folder: Path) -> None:
    """Refuse a folder that could not be made, before hours of work go into it."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file, not a folder; give another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there} cannot be written into; give another --out")


def only_to_resume(
    args: argparse.Namespace,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    allowed: Sequence[str],
) -> None:
    """Refuse settings beside --resume: the folder has its own.

    Args:
        args: as they were parsed; `args.argv` holds what was given.
        add_arguments: declares the command's arguments.
        allowed: options that change where and how long it runs, and what is printed, by
            their names in `args`.

    Raises:
        InputError: something else was given too.
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args([]))))
    values = vars(parser.parse_args(args.argv))
    given = {name for name, value in values.items() if value is not None}
    if wrong := sorted(given - {"resume", "quiet", "json", *allowed}):
        options = ", ".join(n if n == "env" else f"--{n.replace('_', '-')}" for n in wrong)
        raise InputError(
            f"--resume goes on with the settings in {args.resume}; leave out {options}, or begin "
            "again in another folder"
        )


def add_arms(parser: argparse._ActionsContainer, help: str) -> None:
    """Arms of a sweep, written the same way in every command."""
    parser.add_argument(
        "--arms",
        nargs="+",
        default=[],
        metavar="ARM",
        help=f"{help}; separated by spaces or commas",
    )


def arms_of(texts: Sequence[str]) -> list[str]:
    """The expressions of `--arms`; several layers of one arm are joined by "+", as in "0+14".

    Raises:
        InputError: the option was given without an arm.
    """
    arms = [arm.strip() for text in texts for arm in text.split(",") if arm.strip()]
    if texts and not arms:
        raise InputError('--arms is empty; name arms, such as "full" or "middle:5"')
    return arms


def add_panel(
    parser: argparse._ActionsContainer, *, repeats: int | None = None, of: str = "all"
) -> None:
    """How large the panel is on which something is scored.

    Args:
        parser: gets `--eval-tasks` and `--eval-repeats`.
        repeats: their default; None for that of the sweep.
        of: the tasks that are taken by default.
    """
    parser.add_argument("--eval-tasks", type=TASKS, help=f"tasks of the panel (default: {of})")
    parser.add_argument(
        "--eval-repeats",
        type=REPEATS,
        default=repeats,
        help=f"episodes per task and seed (default: {repeats or of})",
    )
