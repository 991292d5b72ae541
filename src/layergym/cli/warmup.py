"""`layergym warmup`: a start for reinforcement learning."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from layergym.command.console import add_output, output
from layergym.command.options import (
    add_address,
    add_compute,
    add_env,
    address,
    env_args,
    new_folder,
    required_env,
)
from layergym.command.values import RATE, ROWS, SEED, SHARE, STEPS, text, whole

EXAMPLES = """
examples:
  layergym warmup alfworld-v0 --steps 1000 --out models/mine          a new small policy
  layergym warmup alfworld-v0 --model smollm2 --layers 10-19 --lr 1e-5 --out models/warm
  layergym warmup alfworld-v0 --trajectories solved.jsonl --out models/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_env(parser)
    parser.add_argument("--model", default="new", help='"new" (random weights), or a model by name')
    parser.add_argument("--layers", default="all", help="what trains, as for layergym train")
    add_address(parser)
    parser.add_argument("--steps", type=STEPS, default=1000)
    parser.add_argument("--batch-size", type=ROWS, default=32, help="demonstrations per step")
    parser.add_argument("--lr", type=RATE, default=4e-3, help="peak; falls linearly to 0")
    parser.add_argument(
        "--trajectories",
        type=text,
        help="learn from these (a file or folder), not the expert",
    )
    parser.add_argument(
        "--random-actions", type=SHARE, default=0.1, help="share of turns that go astray"
    )
    parser.add_argument("--depth", type=whole(1, 1000), default=8, help="layers of a new policy")
    parser.add_argument(
        "--width", type=whole(32, 65_536), default=64, help="hidden size of a new policy"
    )
    parser.add_argument("--seed", type=SEED, default=0)
    add_compute(parser)
    parser.add_argument("--out", required=True, help="folder for the model")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Fine-tune on demonstrations and save the model."""
    from layergym.trainer.warmup.warmup import WarmupSpec, warmup

    folder: Path = new_folder(args.out)
    spec = WarmupSpec(
        env=required_env(args),
        env_args=env_args(args.env_arg),
        model=args.model,
        layers=args.layers,
        **address(args),
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.lr,
        trajectories=args.trajectories or "",
        random_actions=args.random_actions,
        depth=args.depth,
        width=args.width,
        seed=args.seed,
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
