"""`layergym train`: selected layers of one model, in one environment."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.base.texts import shell_line
from layergym.cli.pausing import PauseRequest
from layergym.cli.presets import note_differences
from layergym.cli.run_files import filled, show_run_file
from layergym.cli.run_options import add_run, add_single, single_spec
from layergym.command.console import Output, add_output, finite_or_none, output
from layergym.command.options import add_trackers, new_folder, only_to_resume
from layergym.command.values import seconds, text

if TYPE_CHECKING:
    from layergym.trainer.run import Trained
    from layergym.trainer.spec import RunSpec

EXAMPLES = """
examples:
  layergym train alfworld-v0 --layers middle --out runs/middle
  layergym train alfworld-v0 --layers 3-5 --algorithm grpo --steps 50 --out runs/grpo
  layergym train alfworld-v0 --layers "top:3@runs/demo/report/profile.json" --out runs/top3
  layergym train alfworld-v0 --model smollm2 --layers 15 --max-new-tokens 32 --format plain
  layergym train alfworld-v0 --steps 500 --patience 5 --max-time 2h --report-to tensorboard
  layergym train alfworld-v0 --show-config > run.toml; layergym train --config run.toml
  layergym train my_env-v0 --dry-run              what the model would see, and learn from
  layergym train --resume runs/middle             go on exactly where it stopped
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    add_single(parser)
    parser.add_argument("--out", default="runs/train", help="run folder (default runs/train)")
    parser.add_argument(
        "--resume", type=text, metavar="FOLDER", help="go on with an interrupted run"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show one group as it would be trained, and stop"
    )
    parser.add_argument(
        "--max-time",
        metavar="TIME",
        help="90s, 20m, 2h: stop after the step that passes it, with a checkpoint to resume from",
    )
    add_trackers(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and show how it goes."""
    from layergym.agents.names import num_layers
    from layergym.base.files import read_lines
    from layergym.cli.views.run_state import RunState
    from layergym.cli.views.run_view import RunView
    from layergym.trainer.callbacks import Watch, check_trackers
    from layergym.trainer.run import train

    out = output(args)
    if args.resume:
        only_to_resume(args, add_arguments, ("max_time", "report_to"))
    args = filled(args, add_arguments, "train")
    if show_run_file(args, add_arguments, out):
        return 0
    note_differences(args, out)
    if args.dry_run:
        from layergym.cli.dry_run import dry_run

        dry_run(single_spec(args), out)
        return 0
    max_s = None if args.max_time is None else seconds(args.max_time)
    check_trackers(args.report_to)
    spec, folder = _described(args)
    before = read_lines(folder / "metrics.jsonl")
    view = RunView(RunState(spec, folder, num_layers(spec.model), before), out.progress)
    request = PauseRequest(max_s, view.notice)

    def on_step(row: Mapping[str, float]) -> None:
        view.show(row)
        out.record(event="step", **finite_or_none(row))

    watch = Watch(
        on_step=on_step,
        on_turn=view.turn,
        on_end=view.end,
        pause=request,
        report_to=tuple(args.report_to),
    )
    try:
        with request, view:
            done = train(spec, folder, resume=bool(args.resume), watch=watch)
    except KeyboardInterrupt:
        out.note(f"stopped; go on with: {shell_line('train', '--resume', folder)}")
        raise
    _tell(out, done, folder)
    return 128 + request.signal if done.ended == "paused" and request.signal else 0


def _described(args: argparse.Namespace) -> tuple[RunSpec, Path]:
    from layergym.agents.names import num_layers
    from layergym.trainer.run import check_run
    from layergym.trainer.spec import RunSpec

    if not args.resume:
        spec = single_spec(args)
        check_run(spec, num_layers(spec.model))
        return spec, new_folder(args.out, "layergym train --resume")
    folder = Path(args.resume)
    spec = RunSpec.read(folder)
    if (folder / "delta.safetensors").is_file():
        raise InputError(f"{folder} is finished; its result is {folder / 'delta.safetensors'}")
    return spec, folder


def _tell(out: Output, trained: Trained, folder: Path) -> None:
    from layergym.trainer.held_out import BEST

    step = len(trained.metrics)
    if trained.ended == "paused":
        out.show(f"paused after step {step}; go on with: {shell_line('train', '--resume', folder)}")
        out.record(event="paused", step=step, folder=folder)
        return
    out.show(f"trained {trained.selection}")
    if trained.ended == "stale":
        out.show(f"ended early, after step {step}: the reward no longer improved")
    if all(row.get("groups_zero_variance") == 1.0 for row in trained.metrics):
        out.show("nothing to learn from: in every group all episodes earned the same reward")
    out.show("everything else is bit-identical to the base model")
    delta = folder / "delta.safetensors"
    out.show(f"layer delta: {delta} ({trained.delta_bytes:,} bytes)")
    if trained.best:
        kept = folder / BEST
        out.show(f"best on held-out tasks: {trained.best}" + f"; {kept}" * kept.is_file())
    out.record(
        event="trained",
        step=step,
        ended=trained.ended,
        delta=delta,
        best=asdict(trained.best) if trained.best else None,
        seconds=trained.train_s,
    )
