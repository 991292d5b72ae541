"""`layergym sweep`: which layers carry the gain."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.cli.options import new_folder
from layergym.cli.run_options import add_run, run_spec

if TYPE_CHECKING:
    from layergym.evals.arms import SweepSpec

EXAMPLES = """
examples:
  layergym sweep alfworld-v0 --seeds 0 1 2 --out runs/alfworld
  layergym sweep alfworld-v0 --layers 0,4,7 --lr-full 1e-3 --lr-layer 3e-3
  layergym sweep --resume runs/alfworld            finish what was interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("--layers", default="all", help='layers to train alone ("all", "0,4,8")')
    parser.add_argument(
        "--arms", nargs="+", default=[], help='further arms: "middle:5", "boost-middle:5"'
    )
    parser.add_argument("--lr-full", type=float, help="learning rate of the full-parameter arm")
    parser.add_argument("--lr-layer", type=float, help="learning rate of single layers")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--eval-split", default="test", help="split of the scored panel")
    parser.add_argument("--eval-tasks", type=int, help="tasks of the panel (default: all)")
    parser.add_argument("--eval-repeats", type=int, default=2, help="episodes per task, sampled")
    parser.add_argument("--jobs", type=int, help="runs side by side (default: one per core or GPU)")
    parser.add_argument("--out", default="runs/sweep", help="sweep folder (default runs/sweep)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with an interrupted sweep")


def run(args: argparse.Namespace) -> int:
    """Run the sweep and write the report."""
    from layergym.evals.sweep import read_spec

    if args.resume:
        folder = Path(args.resume)
        return go(read_spec(folder), folder, args.jobs)
    folder = new_folder(args.out)
    return go(_spec(args), folder, args.jobs)


def _spec(args: argparse.Namespace) -> SweepSpec:
    from layergym.agents.names import num_layers
    from layergym.evals.arm import EvalSpec
    from layergym.evals.arms import SweepSpec
    from layergym.evals.sweep import layers_of

    spec = run_spec(args)
    depth = num_layers(spec.model)
    return SweepSpec(
        run=spec,
        eval=EvalSpec(split=args.eval_split, size=args.eval_tasks, repeats=args.eval_repeats),
        layers=layers_of(args.layers, depth),
        extra=tuple(args.arms),
        num_layers=depth,
        seeds=tuple(args.seeds),
        lr_full=args.lr_full,
        lr_layer=args.lr_layer,
    )


def go(spec: SweepSpec, folder: Path, jobs: int | None) -> int:
    """Run what is not finished in `folder`, then report; shared with `layergym demo`."""
    from rich.console import Console

    from layergym.evals.arms import arms
    from layergym.evals.live import SweepView
    from layergym.evals.report import build, show, write_report
    from layergym.evals.sweep import default_jobs, run_sweep, write_sweep

    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs must be at least 1, not {jobs}")
    if not (folder / "sweep.json").is_file():
        write_sweep(spec, folder)
    try:
        with SweepView(arms(spec, folder)) as view:
            failures = run_sweep(spec, folder, jobs=jobs or default_jobs(), on_poll=view.update)
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: layergym sweep --resume {folder}")
        raise
    for failure in failures:
        print(f"failed: {failure}")
    if failures:
        raise InputError(f"mend the cause and go on with: layergym sweep --resume {folder}")
    show(build([folder]))
    files = write_report([folder], folder / "report", ("html", "json", "md"))
    Console().print(f"\nreport: {files[0]}", soft_wrap=True)
    return 0
