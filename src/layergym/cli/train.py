"""`layergym train`: selected layers of one model, in one environment."""

from __future__ import annotations

import argparse
from pathlib import Path

from layergym import InputError
from layergym.cli.options import new_folder
from layergym.cli.run_options import add_run, run_spec

EXAMPLES = """
examples:
  layergym train alfworld-v0 --layers middle --out runs/middle
  layergym train alfworld-v0 --layers 3-5 --algorithm grpo --steps 50 --out runs/grpo
  layergym train alfworld-v0 --layers "top:3@runs/demo/report/profile.json" --out runs/top3
  layergym train alfworld-v0 --model smollm2 --layers 15 --max-new-tokens 32 --format plain
  layergym train --resume runs/middle             go on exactly where it stopped
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument(
        "--layers",
        default="all",
        help='what trains: "all", "14", "10-14", "0,14", "middle:5", "top:3@profile.json"',
    )
    parser.add_argument("--boost", default="", help='"top:5@profile.json*2": twice the rate there')
    parser.add_argument(
        "--lora", type=int, default=0, metavar="RANK", help="train LoRA adapters on these layers"
    )
    parser.add_argument("--lr", type=float, help="learning rate (default: what suits the model)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/train", help="run folder (default runs/train)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with an interrupted run")


def run(args: argparse.Namespace) -> int:
    """Train, showing one line per step."""
    from layergym.trainer.callbacks import Watch
    from layergym.trainer.run import RunSpec, train

    if args.resume:
        folder = Path(args.resume)
        spec = RunSpec.read(folder)
        if (folder / "delta.safetensors").is_file():
            raise InputError(f"{folder} is finished; its result is {folder / 'delta.safetensors'}")
    else:
        spec = run_spec(args, layers=args.layers, boost=args.boost, lora=args.lora,
                        learning_rate=args.lr, seed=args.seed)
        folder = new_folder(args.out)
    from layergym.cli.progress import StepLines

    with StepLines(spec.steps) as lines:
        try:
            done = train(spec, folder, resume=bool(args.resume), watch=Watch(on_step=lines.show))
        except KeyboardInterrupt:
            print(f"\nstopped; go on with: layergym train --resume {folder}")
            raise
    print(f"trained {done.selection}")
    if all(row.get("groups_zero_variance") == 1.0 for row in done.metrics):
        print("nothing to learn from: in every group all episodes earned the same reward")
    print("everything else is bit-identical to the base model")
    print(f"layer delta: {folder / 'delta.safetensors'} ({done.delta_bytes:,} bytes)")
    return 0
