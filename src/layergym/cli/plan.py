"""`layergym plan`: what a run needs, before it is started."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from layergym.base.errors import InputError
from layergym.cli.console import add_output, output
from layergym.cli.values import GPUS, REPEATS, ROWS, TOKENS, whole

if TYPE_CHECKING:
    from rich.table import Table

    from layergym.trainer.plan import Plan

EXAMPLES = """
examples:
  layergym plan --model qwen2.5-1.5b --layers 14 --gpu h100
  layergym plan --model Qwen/Qwen2.5-7B-Instruct --layers middle:5 --gpus 8 --beta
  layergym plan --model models/mine --layers 3 --gpu rtx-4090 --episodes 64 --tokens 2048
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--model", required=True, help="a published shape, a folder or a hub id")
    parser.add_argument("--layers", default="middle", help="what trains, beside all")
    parser.add_argument("--gpu", default="h100", help="an accelerator by name (default h100)")
    parser.add_argument("--gpus", type=GPUS, default=1, help="how many, sharded with FSDP2")
    parser.add_argument(
        "--episodes", type=whole(1, 1_000_000), default=128, help="episodes of a rollout"
    )
    parser.add_argument("--tokens", type=TOKENS, default=4096, help="tokens of an episode")
    parser.add_argument(
        "--sampled", type=whole(0, 10_000_000), default=1024, help="of them said by the model"
    )
    parser.add_argument("--rows-per-pass", type=ROWS, default=1, help="rows in one pass, per GPU")
    parser.add_argument("--epochs", type=REPEATS, default=1, help="epochs over a rollout")
    parser.add_argument("--beta", action="store_true", help="with a KL term to the start")
    parser.add_argument("--fp32", action="store_true", help="weights in fp32 instead of bf16")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print memory and time of full and of targeted training side by side."""
    import torch

    from layergym.agents.models.load import load_config
    from layergym.agents.models.shapes import published
    from layergym.agents.names import source
    from layergym.base.errors import unknown
    from layergym.trainer.plan import DEVICES, OF_BANDWIDTH, OF_PEAK, Workload, plan

    if args.gpu not in DEVICES:
        raise unknown("accelerator", args.gpu, tuple(DEVICES))
    if args.sampled > args.tokens:
        raise InputError(f"of {args.tokens} tokens, {args.sampled} cannot be sampled")
    device = DEVICES[args.gpu]
    work = Workload(
        episodes=args.episodes,
        tokens=args.tokens,
        sampled=args.sampled,
        rows_per_pass=args.rows_per_pass,
        epochs=args.epochs,
        reference=args.beta,
        devices=args.gpus,
        dtype=torch.float32 if args.fp32 else torch.bfloat16,
    )
    config = published(args.model) or load_config(source(args.model))
    out = output(args)
    with out.progress.status("counting operations and bytes"):
        full, some = (plan(config, layers, work, device) for layers in ("all", args.layers))
    title = f"{args.model}: one optimiser step on {args.gpus} x {args.gpu}"
    out.show(_table(title, f"layers {args.layers}", full, some))
    for name, arm in (("all layers", full), (f"layers {args.layers}", some)):
        fits = "fits" if arm.peak / 1e9 < 0.9 * device.memory_gb else "does not fit"
        out.show(f"{name}: {fits} into {device.memory_gb:g} GB with a tenth to spare")
    out.show(
        f"Bytes and operations are counted on the architecture; seconds take {OF_PEAK:.0%} of the "
        f"data sheet's {device.tflops:g} TFLOP/s and {OF_BANDWIDTH:.0%} of its "
        f"{device.gb_per_s:g} GB/s, and leave the environment out."
    )
    for layers, arm in (("all", full), (args.layers, some)):
        out.record(
            event="plan",
            layers=layers,
            trained=arm.trained,
            memory_bytes=arm.memory,
            peak_bytes=arm.peak,
            update_flops=arm.update_flops,
            update_s=arm.update_s,
            rollout_s=arm.rollout_s,
        )
    return 0


def _table(title: str, layers: str, full: Plan, some: Plan) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for name in ("", "all layers", layers, "ratio"):
        table.add_column(name, justify="left" if not name else "right")

    def row(name: str, first: float, second: float, unit: str) -> None:
        share = f"{second / first:.2f}" if first else ""
        table.add_row(name, f"{first:,.2f} {unit}", f"{second:,.2f} {unit}", share)

    row("trainable parameters", full.trained / 1e6, some.trained / 1e6, "M")
    for name in full.memory:
        row(name, full.memory[name] / 1e9, some.memory[name] / 1e9, "GB")
    table.add_section()
    row("peak memory per GPU", full.peak / 1e9, some.peak / 1e9, "GB")
    row("update", full.update_flops / 1e15, some.update_flops / 1e15, "PFLOP")
    row("update, estimated", full.update_s, some.update_s, "s")
    row("rollout, estimated", full.rollout_s, some.rollout_s, "s")
    return table
