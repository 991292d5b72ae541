"""Options that say how a model is addressed: the same in every command that plays with one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from layergym.base.announced import NAMED
from layergym.base.errors import InputError, briefly
from layergym.command.flags import FieldFlags


def add_address(parser: argparse._ActionsContainer) -> None:
    """How a model is addressed, written the same way in every command."""
    _address_flags().add(parser)
    parser.add_argument(
        "--prompt",
        type=Path,
        metavar="FILE",
        help="a Jinja template for the prompt of a turn, or function:NAME of another package",
    )


def address(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_address` has read, as the fields of a run or an evaluation.

    Raises:
        InputError: the file of the prompt cannot be read, or is empty.
    """
    prompt = "" if args.prompt is None else _prompt(args.prompt)
    return {**_address_flags().read(args), "prompt": prompt}


def _prompt(path: Path) -> str:
    if str(path).startswith(NAMED):
        return str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--prompt {path} cannot be read: {briefly(error)}") from None
    if not text.strip():
        raise InputError(f"--prompt {path} is empty; write a template, or leave it out")
    return text


def _address_flags() -> FieldFlags:
    from layergym.trainer.spec import RunSpec

    return FieldFlags(spec=RunSpec, fields=("format", "admissible", "context", "shots"))
