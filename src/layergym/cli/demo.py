"""`layergym demo`: the main job on what ships with the package, or on a small real LLM."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.base.errors import unknown
from layergym.base.files import read_json
from layergym.command.console import Output, add_output, output
from layergym.command.options import new_folder
from layergym.command.values import JOBS, SEED, text

if TYPE_CHECKING:
    from layergym.trainer.warmup.spec import WarmupSpec

EXAMPLES = """
The embedded policy (Qwen3 architecture, 8 layers, under half a million parameters) plays household
tasks in generated ALFWorld rooms. Every layer is trained alone with GiGPO, and the whole model,
then all are scored on rooms that no training task uses. Everything runs on the CPU.

With --model smollm2 it is SmolLM2-135M-Instruct, a real LLM of 30 layers: fetched from the package
registry, warmed up on short questions, and trained to continue sequences of numbers, in six of its
layers, one at a time.

examples:
  layergym demo                    a few minutes on two cores
  layergym demo --seeds 0 1 2      three seeds, for narrower intervals
  layergym demo --model smollm2    a real LLM, 90 MB to fetch
"""

MODELS = ("tiny", "smollm2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--model",
        type=text,
        default="tiny",
        help='the embedded policy ("tiny", the default), or a real LLM ("smollm2")',
    )
    parser.add_argument("--seeds", type=SEED, nargs="+", default=[0])
    parser.add_argument("--fast", action="store_true", help="a layer or two: does it run?")
    parser.add_argument(
        "--jobs", type=JOBS, help="runs side by side (default: one per core or GPU)"
    )
    parser.add_argument(
        "--out", help="sweep folder (default runs/demo, or runs/demo-smollm2 for that model)"
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Run the demo sweep, or finish one that was interrupted."""
    from layergym.cli.sweep import run_and_report
    from layergym.evals.sweep.demo import demo_sweep
    from layergym.evals.sweep.demo_smollm2 import smollm2_start, smollm2_sweep
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.spec import read_spec

    if args.model not in MODELS:
        raise unknown("model of the demo", args.model, MODELS)
    out, seeds = output(args), tuple(args.seeds)
    usual = "runs/demo" if args.model == "tiny" else "runs/demo-smollm2"
    folder = Path(usual if args.out is None else args.out)
    start = Path(f"{folder}-start")
    if args.model == "tiny":
        spec = demo_sweep(seeds, fast=args.fast)
    else:
        spec = smollm2_sweep(seeds, start, fast=args.fast)
    if not (folder / "sweep.json").is_file():
        new_folder(folder)
    elif read_spec(folder) != spec:
        raise InputError(f"{folder} holds a demo with other settings; give another --out")
    if args.model != "tiny":
        _warm_up(smollm2_start(fast=args.fast), start, out)
    return run_and_report(spec, folder, Launch(jobs=args.jobs), out)


def _warm_up(spec: WarmupSpec, folder: Path, out: Output) -> None:
    """Make the warm start, unless it is there already.

    Raises:
        InputError: another one is there.
    """
    from dataclasses import asdict

    from layergym.agents.models.pull import pull
    from layergym.agents.models.save import RECIPE
    from layergym.trainer.warmup.warmup import warmup

    if (folder / RECIPE).is_file():
        recipe = read_json(folder / RECIPE)
        if any(recipe.get(name) != value for name, value in asdict(spec).items()):
            raise InputError(f"{folder} holds another warm start; move it, or give another --out")
        return

    def tell(row: Mapping[str, float]) -> None:
        out.note(f"warm start: step {row['step']:g} of {spec.steps}, loss {row['loss']:.3f}")

    pull(spec.model)
    out.note(f"warm start of {spec.model} in {folder}: {spec.steps} steps")
    warmup(spec, new_folder(folder), on_log=tell)
