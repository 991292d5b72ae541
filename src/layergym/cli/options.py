"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from layergym import InputError


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


def env_args(pairs: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs; a value is JSON where it parses as JSON, else text.

    Raises:
        InputError: a pair has no "=".
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f'--env-arg takes NAME=VALUE, not "{pair}"')
        try:
            settings[name.replace("-", "_")] = json.loads(value)
        except json.JSONDecodeError:
            settings[name.replace("-", "_")] = value
    return settings


def required_env(args: argparse.Namespace) -> str:
    """The environment id that was given.

    Raises:
        InputError: none was.
    """
    if args.env is None:
        raise InputError("which environment? for example: alfworld-v0 (list: layergym envs)")
    return str(args.env)


def new_folder(path: str | Path) -> Path:
    """A folder that a run may write into: absent or empty.

    Raises:
        InputError: it holds something already.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; give another --out, or --resume {folder}")
    return folder
