"""`layergym warmup`: a start for reinforcement learning."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from layergym.cli.address import add_address, address
from layergym.cli.run_options import CALLED
from layergym.command.console import add_output, output
from layergym.command.flags import FieldFlags
from layergym.command.options import (
    add_compute,
    add_env,
    env_args,
    new_folder,
    required_env,
)
from layergym.command.values import text

EXAMPLES = """
examples:
  layergym warmup alfworld-v0 --steps 1000 --out models/mine          a new small policy
  layergym warmup alfworld-v0 --model smollm2 --layers 10-19 --lr 1e-5 --out models/warm
  layergym warmup alfworld-v0 --trajectories solved.jsonl --out models/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_env(parser)
    add_address(parser)
    _flags().add(parser)
    parser.add_argument(
        "--trajectories",
        type=text,
        help="learn from these (a file or folder), not the expert",
    )
    add_compute(parser)
    parser.add_argument("--out", required=True, help="folder for the model")
    add_output(parser)


def _flags() -> FieldFlags:
    from layergym.trainer.warmup.spec import WarmupSpec

    names = ("model", "layers", "steps", "batch_size", "learning_rate", "random_actions")
    names += ("observations", "depth", "width", "seed")
    return FieldFlags(spec=WarmupSpec, fields=names, called=CALLED)


def run(args: argparse.Namespace) -> int:
    """Fine-tune on demonstrations and save the model."""
    from layergym.trainer.warmup.spec import WarmupSpec
    from layergym.trainer.warmup.warmup import warmup

    folder: Path = new_folder(args.out)
    spec = WarmupSpec(
        env=required_env(args),
        env_args=env_args(args.env_arg),
        **_flags().read(args),
        **address(args),
        trajectories=args.trajectories or "",
        dtype=args.dtype,
        device=args.device,
    )
    out = output(args)

    def tell(row: Mapping[str, float]) -> None:
        out.note(f"step {row['step']:>6} loss {row['loss']:.3f}")

    try:
        warmup(spec, folder, on_log=tell)
    except KeyboardInterrupt:
        out.note("stopped; nothing was written, and a warm start begins from the start")
        raise
    out.show(f"model: {folder}")
    out.record(event="model", folder=folder)
    return 0
