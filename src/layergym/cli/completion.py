"""`layergym completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import argparse
import importlib

from layergym import InputError

EXAMPLES = """
examples:
  layergym completion bash > ~/.local/share/bash-completion/completions/layergym
  layergym completion zsh > ~/.zfunc/_layergym        with ~/.zfunc in $fpath

Needs shtab: pip install "layergym[completion]"
"""
SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="which shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from layergym.__main__ import parser

    try:
        shtab = importlib.import_module("shtab")
    except ImportError:
        raise InputError(
            'completion needs shtab; install it: pip install "layergym[completion]"'
        ) from None
    top = parser()
    for action in top._actions:
        if action.choices:  # The commands: `--help` lists them by itself, shtab only if they show.
            action.help = None
    print(shtab.complete(top, shell=args.shell))
    return 0
