"""`layergym publish`: a trained delta for other people."""

from __future__ import annotations

import argparse
from pathlib import Path

from layergym.command.console import add_output, output
from layergym.command.options import new_folder
from layergym.command.values import text

EXAMPLES = """
examples:
  layergym publish runs/middle --out release               delta, settings and a model card
  layergym publish runs/middle --out release --merge       and an ordinary checkpoint
  layergym publish runs/middle --out release --push me/my-delta    and upload it to the hub
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", type=Path, help="folder of a finished training run")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--merge", action="store_true", help="also write base and delta as one")
    parser.add_argument(
        "--push", type=text, metavar="REPOSITORY", help="upload to the hub: owner/name"
    )
    parser.add_argument("--private", action="store_true", help="make the repository private")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Write the folder, and upload it if asked to."""
    from layergym.evals.publish import check_repository, package, push

    out = output(args)
    if args.push is not None:
        check_repository(args.push)
    folder = package(args.run, new_folder(args.out), whole=args.merge)
    out.show(f"packaged: {folder}")
    address = push(folder, args.push, private=args.private) if args.push else None
    if address:
        out.show(f"published: {address}")
    out.record(event="published", folder=folder, address=address)
    return 0
