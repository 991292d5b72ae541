"""`layergym publish`: a trained delta for other people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.command.console import add_output, output
from layergym.command.options import new_folder
from layergym.command.values import text

if TYPE_CHECKING:
    from layergym.evals.publish import RepositoryKind

EXAMPLES = """
examples:
  layergym publish runs/middle --out release               delta, settings and a model card
  layergym publish runs/middle --out release --merge       and an ordinary checkpoint
  layergym publish runs/middle --out release --push me/my-delta    and upload it to the hub
  layergym publish runs/middle --out release --best        the best step on held-out tasks
  layergym publish runs/sweep --out release --push me/my-profile   what its layers contribute
  layergym publish runs/three --out release --episodes     what agents did, as a dataset

What is on the hub is used by its name: layergym eval --agent hf://me/my-delta, --layers
"top:3@hf://datasets/me/my-profile", layergym trajectories hf://datasets/me/my-episodes.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run", type=Path, help="folder of a finished training run, sweep or evaluation"
    )
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--merge", action="store_true", help="also write base and delta as one")
    parser.add_argument(
        "--best", action="store_true", help="the step that was best on held-out tasks"
    )
    parser.add_argument("--episodes", action="store_true", help="the episodes that it keeps")
    parser.add_argument(
        "--push", type=text, metavar="REPOSITORY", help="upload to the hub: owner/name"
    )
    parser.add_argument("--private", action="store_true", help="make the repository private")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Write the folder, and upload it if asked to."""
    from layergym.evals.publish import check_repository, push

    out = output(args)
    if args.push is not None:
        check_repository(args.push)
    folder, kind = _packaged(args, new_folder(args.out))
    out.show(f"packaged: {folder}")
    address = push(folder, args.push, private=args.private, kind=kind) if args.push else None
    if address:
        out.show(f"published: {address}")
    out.record(event="published", folder=folder, address=address)
    return 0


def _packaged(args: argparse.Namespace, folder: Path) -> tuple[Path, RepositoryKind]:
    """What the folder is made of: a delta, a profile or episodes; and where such things go."""
    from layergym.evals.publish import package
    from layergym.evals.published_folders import package_episodes, package_profile
    from layergym.evals.result_files import is_sweep
    from layergym.evals.score.contest import is_contest

    sweep, episodes = is_sweep(args.run), args.episodes or is_contest(args.run)
    if (sweep or episodes) and (args.merge or args.best):
        raise InputError("--merge and --best are for the delta of one run; leave them out")
    if episodes:
        return package_episodes(args.run, folder), "dataset"
    if sweep:
        return package_profile(args.run, folder), "dataset"
    return package(args.run, folder, whole=args.merge, best=args.best), "model"
