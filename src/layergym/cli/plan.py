"""`layergym plan`: what a run needs, before it is started."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from layergym.base.errors import InputError
from layergym.cli.run_files import filled, show_run_file
from layergym.cli.run_options import add_run, add_single, single_spec
from layergym.command.console import add_output, output
from layergym.command.values import GPUS, TOKENS, whole

if TYPE_CHECKING:
    from rich.table import Table
    from transformers import PreTrainedConfig

    from layergym.trainer.plan import Plan, Workload
    from layergym.trainer.spec import RunSpec

EXAMPLES = """
examples:
  layergym plan --model qwen2.5-1.5b --layers 14 --gpu h100
  layergym plan --model Qwen/Qwen2.5-7B-Instruct --layers middle:5 --gpus 8 --beta 0.01
  layergym plan --model models/mine --layers 3 --gpu rtx-4090 --tasks 8 --group 8 --tokens 2048

It takes the options of the run that you are about to start (layergym train), with their defaults.
"""

_ANY = "alfworld-v0"
"""A run has an environment; memory and time depend on it by `--tokens` and `--sampled` alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    add_single(parser)
    parser.add_argument("--gpu", default="h100", help="an accelerator by name (default h100)")
    parser.add_argument("--gpus", type=GPUS, default=1, help="how many, sharded with FSDP2")
    parser.add_argument(
        "--tokens", type=TOKENS, default=4096, help="tokens of an episode (default 4096)"
    )
    parser.add_argument(
        "--sampled",
        type=whole(0, 10_000_000),
        default=1024,
        help="how many of them the model says (default 1024)",
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print memory and time of the run, beside those of full training."""
    from layergym.agents.models.load import load_config
    from layergym.agents.models.shapes import published
    from layergym.agents.names import source
    from layergym.base.errors import unknown
    from layergym.envs import find
    from layergym.trainer.plan import DEVICES, OF_BANDWIDTH, OF_PEAK, plan
    from layergym.trainer.run import check_settings_of

    args = filled(args, add_arguments, "train")
    if show_run_file(args, add_arguments, output(args)):
        return 0
    if args.gpu not in DEVICES:
        raise unknown("accelerator", args.gpu, tuple(DEVICES))
    _check(args)
    spec = single_spec(args, env=find(args.env) if args.env else _ANY)
    device = DEVICES[args.gpu]
    config = published(args.model) or load_config(source(spec.model))
    check_settings_of(spec, config.get_text_config(decoder=True).num_hidden_layers)
    work = _workload(spec, args, config)
    runs = {"all layers": "all"}
    if spec.layers != "all":
        runs[f"layers {spec.layers}"] = spec.layers
    out = output(args)
    with out.progress.status("counting operations and bytes"):
        plans = {name: plan(config, layers, work, device) for name, layers in runs.items()}
    out.show(_table(f"{args.model}: one optimiser step on {args.gpus} x {args.gpu}", plans))
    for name, arm in plans.items():
        fits = "fits" if arm.peak / 1e9 < 0.9 * device.memory_gb else "does not fit"
        out.show(f"{name}: {fits} into {device.memory_gb:g} GB with a tenth to spare")
    out.show(
        f"Bytes and operations are counted on the architecture; seconds take {OF_PEAK:.0%} of the "
        f"data sheet's {device.tflops:g} TFLOP/s and {OF_BANDWIDTH:.0%} of its "
        f"{device.gb_per_s:g} GB/s, and leave the environment out."
    )
    for name, arm in plans.items():
        out.record(
            event="plan",
            layers=runs[name],
            trained=arm.trained,
            rows_per_pass=arm.rows,
            memory_bytes=arm.memory,
            peak_bytes=arm.peak,
            update_flops=arm.update_flops,
            update_s=arm.update_s,
            rollout_s=arm.rollout_s,
        )
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what is not counted, or is no run."""
    if args.sampled > args.tokens:
        raise InputError(
            f"of {args.tokens} tokens, {args.sampled} cannot be sampled; give fewer with --sampled"
        )
    if args.lora:
        raise InputError("the plan counts whole layers, not LoRA adapters; leave out --lora")
    if args.quantize != "none":
        raise InputError("the plan counts weights as they are stored; leave out --quantize")
    if args.overlap and args.gpus > 1:
        raise InputError(
            f"--overlap plays in a thread of one process, and {args.gpus} GPUs take as many; "
            "leave it out, or plan one GPU"
        )


def _workload(spec: RunSpec, args: argparse.Namespace, config: PreTrainedConfig) -> Workload:
    import torch

    from layergym.agents.servers.vllm_here import MEMORY
    from layergym.trainer.plan import Workload
    from layergym.trainer.spec import BESIDE, HERE

    stored = getattr(config, "dtype", None) or torch.bfloat16
    usual = torch.float32 if stored == torch.float16 else stored
    return Workload(
        episodes=spec.tasks_per_step * spec.group_size,
        tokens=args.tokens,
        sampled=args.sampled,
        rows_per_pass=spec.rows_per_pass,
        tokens_per_pass=spec.tokens_per_pass,
        reference=spec.beta > 0,
        old=spec.sampler != HERE,
        beside=MEMORY if spec.sampler == BESIDE else 0.0,
        overlap=spec.overlap,
        devices=args.gpus,
        dtype=usual if spec.dtype == "auto" else getattr(torch, spec.dtype),
    )


def _table(title: str, plans: Mapping[str, Plan]) -> Table:
    from rich.table import Table

    listed = list(plans.values())
    first, last = listed[0], listed[-1]
    table = Table(title=title)
    for name in ("", *plans, *["ratio"] * (len(plans) > 1)):
        table.add_column(name, justify="left" if not name else "right")

    def row(name: str, value: Callable[[Plan], float], unit: str, digits: int = 2) -> None:
        cells = [f"{value(arm):,.{digits}f} {unit}".strip() for arm in plans.values()]
        share = [f"{value(last) / value(first):.2f}" if value(first) else ""] * (len(plans) > 1)
        table.add_row(name, *cells, *share)

    row("trainable parameters", lambda arm: arm.trained / 1e6, "M")
    for purpose in first.memory:
        row(purpose, lambda arm, purpose=purpose: arm.memory[purpose] / 1e9, "GB")  # type: ignore[misc]
    table.add_section()
    row("peak memory per GPU", lambda arm: arm.peak / 1e9, "GB")
    row("rows in one pass", lambda arm: arm.rows, "", 0)
    row("update", lambda arm: arm.update_flops / 1e15, "PFLOP")
    row("update, estimated", lambda arm: arm.update_s, "s")
    row("rollout, estimated", lambda arm: arm.rollout_s, "s")
    return table
