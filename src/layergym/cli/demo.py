"""`layergym demo`: the main job on what ships with the package."""

from __future__ import annotations

import argparse
from pathlib import Path

from layergym import InputError
from layergym.command.console import add_output, output
from layergym.command.options import new_folder
from layergym.command.values import JOBS, SEED

EXAMPLES = """
The embedded policy (Qwen3 architecture, 8 layers, under half a million parameters) plays household
tasks in generated ALFWorld rooms. Every layer is trained alone with GiGPO, and the whole model,
then all are scored on rooms that no training task uses. Everything runs on the CPU.

examples:
  layergym demo                    a few minutes on two cores
  layergym demo --seeds 0 1 2      three seeds, for narrower intervals
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--seeds", type=SEED, nargs="+", default=[0])
    parser.add_argument("--fast", action="store_true", help="two layers, three steps: does it run?")
    parser.add_argument(
        "--jobs", type=JOBS, help="runs side by side (default: one per core or GPU)"
    )
    parser.add_argument("--out", default="runs/demo", help="sweep folder (default runs/demo)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo sweep, or finish one that was interrupted."""
    from layergym.cli.sweep import run_and_report
    from layergym.evals.sweep.demo import demo_sweep
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.spec import read_spec

    folder = Path(args.out)
    spec = demo_sweep(tuple(args.seeds), fast=args.fast)
    if not (folder / "sweep.json").is_file():
        new_folder(folder)
    elif read_spec(folder) != spec:
        raise InputError(f"{folder} holds a demo with other settings; give another --out")
    return run_and_report(spec, folder, Launch(jobs=args.jobs), output(args))
