"""The command line: `layergym` or `python -m layergym`."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from layergym import InputError, __version__
from layergym.base.errors import Notice, refused, unknown
from layergym.base.needed import lacking
from layergym.base.texts import printable, short, writable
from layergym.cli.commands import by_purpose, command, commands
from layergym.command.console import complain

EXAMPLES = """
examples:
  layergym demo                                   from nothing to a layer profile, no GPU
  layergym envs                                   what can be played
  layergym play alfworld-v0                       play it yourself
  layergym eval alfworld-v0 --agent expert        how far the scripted expert gets
  layergym train alfworld-v0 --layers middle      train the middle layer of the default model
  layergym sweep alfworld-v0 --seeds 0 1 2        which layers carry the gain
  layergym report runs/sweep --html --png         the report page again, and its plot as a picture

Every command explains itself: layergym COMMAND --help
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, as all of layergym does."""

    asked = ""
    """The one command that this parser of all of them was made for."""

    def error(self, message: str) -> NoReturn:
        brief = short(re.sub(r"\S{100,}", lambda word: short(word[0]), message), 500)
        raise InputError(f"{brief} (see: {f'{self.prog} {self.asked}'.rstrip()} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        for part in args or ():
            if not writable(part):
                self.error(f'"{short(part)}" is no text in UTF-8, as files need it; rename it')
            if part.startswith("--") and part.endswith("=--"):  # argparse reads an empty list.
                self.error(f'{part.removesuffix("=--")} takes a value, not "--"')
        return super().parse_known_args(args, namespace)


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line's parser.

    Args:
        only: the one command whose arguments are wanted; None for a parser of all of them.
    """
    top = _Parser(
        prog="layergym",
        description="Train LLM agents in text environments and see which layers carry the gain.",
        usage="layergym [-h] [--version] COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"layergym {__version__}")
    top.asked = only or ""
    adding = top.add_subparsers(
        dest="command", prog="layergym", required=True, help=argparse.SUPPRESS
    )
    groups = by_purpose()
    top.epilog = _listed(groups) + "\n" + EXAMPLES
    for name, about in ((n, a) for group in groups.values() for n, a in group.items()):
        sub = adding.add_parser(
            name,
            help=about.replace("%", "%%"),
            description=about[0].upper() + about[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if only in (None, name):
            subcommand = command(name)
            sub.epilog = subcommand.examples
            subcommand.add_arguments(sub)
    return top


def _listed(groups: Mapping[str, Mapping[str, str]]) -> str:
    wide = max(len(name) for group in groups.values() for name in group) + 2
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:{wide}}{about}" for name, about in group.items())])
        for title, group in groups.items()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 what was asked for cannot be done, 130 interrupted.

    What a person can mend, a machine's refusal included, is one sentence on stderr; anything else
    is a fault of this package and shows its traceback.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    name = given[0] if given and not given[0].startswith("-") else ""
    with warnings.catch_warnings():
        _quiet_libraries()
        _print_notices(name)
        return _main(name, given)


def _main(name: str, given: list[str]) -> int:
    try:
        if name and name not in (known := commands()):
            error = unknown("command", name, known)
            name = ""
            raise error
        args = parser(name).parse_args(given)
        _check_place()
        args.argv = given[1:]
        return int(command(name).run(args) or 0)
    except InputError as error:
        complain(name, str(error))
        return 2
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):  # Once more while it is said.
            complain(name, "interrupted", style="yellow")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (refusal := refused(error) or lacking(error)) is None:
            raise
        complain(name, refusal)
        return 2


def _check_place() -> None:
    """Refuse to work in a folder whose path some files could not hold.

    Raises:
        InputError: it is not UTF-8.
    """
    with suppress(FileNotFoundError):  # It is gone; a command that needs it says so.
        if not writable(place := os.getcwd()):
            raise InputError(f'"{short(place)}" is no text in UTF-8, as files need it; rename it')


def _quiet_libraries() -> None:
    """Libraries' bars and notices to their own developers are not for the people here."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _print_notices(command: str) -> None:
    """What may not be meant is printed like an error, in one sentence."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            complain(command, str(message), style="yellow")
        else:
            others(printable(str(message)), category, *where, **more)

    warnings.showwarning = show
    warnings.filterwarnings("default", category=Notice)


if __name__ == "__main__":
    sys.exit(main())
