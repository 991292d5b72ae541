"""`layergym sweep`: which layers carry the gain."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.base.locks import locked
from layergym.base.texts import shell_line
from layergym.cli.presets import note_differences
from layergym.cli.run_files import filled, show_run_file
from layergym.cli.run_options import add_run, run_spec
from layergym.command.console import Output, add_output, complain, output
from layergym.command.flags import CALLED, FieldFlags
from layergym.command.options import (
    add_arms,
    add_trackers,
    arms_of,
    new_folder,
    only_to_resume,
)
from layergym.command.values import seconds, text

if TYPE_CHECKING:
    from layergym.evals.sweep.executors.choose import Chosen
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.search import Search
    from layergym.evals.sweep.spec import ResolvedSweep, SweepSpec
    from layergym.trainer.spec import RunSpec

EXAMPLES = """
examples:
  layergym sweep alfworld-v0 --seeds 0 1 2 --out runs/alfworld
  layergym sweep alfworld-v0 --layers 0,4,7 --lr-full 1e-3 --lr-layer 3e-3
  layergym sweep alfworld-v0 --lr-grid 1e-4 3e-4 1e-3    tune both rates on other tasks first
  layergym sweep alfworld-v0 --scan coarse:4 --race 8 16 the best layers, sooner
  layergym sweep alfworld-v0 --on ray --ray-address auto --gpus-per-run 1
  layergym sweep --resume runs/alfworld --max-time 2h    finish what was interrupted
"""


_ANY_TIME = ("on", "jobs", "ray_address", "cpus_per_run", "gpus_per_run", "max_time", "report_to")
"""What may differ from one call on a folder to the next."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    arms = parser.add_argument_group("arms")
    arms.add_argument(
        "--layers", default="all", help='layers to train alone ("all", "0,4,8"), without spaces'
    )
    add_arms(
        arms,
        'further arms: random, lora, embed, "3.attn", "middle:5", "0+7", "lora-middle:5", '
        '"boost-middle:5"',
    )
    _arm_flags().add(arms)
    _eval_flags().add(parser.add_argument_group("final scores"))
    _add_search(parser.add_argument_group("decisions on the way, on a development panel"))
    where = parser.add_argument_group("where it runs")
    _launch_flags().add(where)
    where.add_argument(
        "--max-time", metavar="TIME", help="30m, 8h: pause all runs after it, to be resumed"
    )
    add_trackers(where)
    parser.add_argument("--out", default="runs/sweep", help="sweep folder (default runs/sweep)")
    parser.add_argument(
        "--resume", type=text, metavar="FOLDER", help="go on with an interrupted sweep"
    )
    add_output(parser)


def _arm_flags() -> FieldFlags:
    from layergym.evals.sweep.spec import SweepSpec

    return FieldFlags(spec=SweepSpec, fields=("seeds", "lr_full", "lr_layer"))


def _eval_flags() -> FieldFlags:
    from layergym.evals.sweep.panels import EvalSpec

    return FieldFlags(
        spec=EvalSpec,
        fields=("split", "size", "repeats", "temperatures", "score"),
        called=CALLED | {"temperatures": "eval_temperatures"},
    )


def _launch_flags() -> FieldFlags:
    from layergym.evals.sweep.executors.launch import Launch

    names = ("on", "jobs", "ray_address", "cpus", "gpus")
    called = {"cpus": "cpus_per_run", "gpus": "gpus_per_run"}
    return FieldFlags(spec=Launch, fields=names, called=called)


def _add_search(group: argparse._ArgumentGroup) -> None:
    from layergym.evals.sweep.panels import EvalSpec
    from layergym.evals.sweep.search import Search

    group.add_argument(
        "--scan", default="all", help='"coarse:4": every 4th layer first, then around the best'
    )
    FieldFlags(spec=Search, fields=("race", "lr_grid")).add(group)
    FieldFlags(
        spec=EvalSpec,
        fields=("split", "size"),
        called={"split": "dev_split", "size": "dev_tasks"},
        defaults={"split": None, "size": 64},
        more={"split": " (default: valid, or train without one)"},
    ).add(group)


def run(args: argparse.Namespace) -> int:
    """Run the sweep and write the report."""
    from layergym.evals.sweep.executors.launch import Launch
    from layergym.evals.sweep.spec import read_spec
    from layergym.trainer.callbacks import check_trackers

    out = output(args)
    if args.resume:
        only_to_resume(args, add_arguments, _ANY_TIME)
    args = filled(args, add_arguments, "sweep")
    if show_run_file(args, add_arguments, out):
        return 0
    launch = Launch(**_launch_flags().read(args))
    check_trackers(trackers := tuple(args.report_to))
    deadline = time.time() + seconds(args.max_time) if args.max_time is not None else None
    if args.resume:
        folder = Path(args.resume)
        spec = read_spec(folder)
        return run_and_report(spec, folder, launch, out, deadline=deadline, report_to=trackers)
    note_differences(args, out)
    folder = new_folder(args.out, "layergym sweep --resume")
    spec = _spec(args)
    return run_and_report(spec, folder, launch, out, deadline=deadline, report_to=trackers)


def _spec(args: argparse.Namespace) -> SweepSpec:
    from layergym.agents.names import num_layers
    from layergym.evals.sweep.folder import layers_of
    from layergym.evals.sweep.panels import EvalSpec
    from layergym.evals.sweep.spec import SweepSpec

    spec = run_spec(args)
    depth = num_layers(spec.model)
    return SweepSpec(
        run=spec,
        eval=EvalSpec(
            **_eval_flags().read(args), base_temperatures=_of_base(args.eval_temperatures)
        ),
        layers=layers_of(args.layers, depth),
        extra=tuple(arms_of(args.arms)),
        num_layers=depth,
        search=_search(args, spec),
        **_arm_flags().read(args),
    )


def _of_base(given: Sequence[float]) -> tuple[float, ...]:
    """The temperatures that the base is scored at: those of trained models, and further ones."""
    from layergym.evals.sweep.panels import EvalSpec

    return tuple(dict.fromkeys((*EvalSpec().base_temperatures, *given)))


def _search(args: argparse.Namespace, run: RunSpec) -> Search:
    from layergym.evals.sweep.panels import EvalSpec, dev_split
    from layergym.evals.sweep.search import Search

    kind, _, stride = args.scan.partition(":")
    if args.scan != "all" and (kind != "coarse" or re.fullmatch("[1-9][0-9]{0,8}", stride) is None):
        raise InputError(f'--scan takes "all" or "coarse:N", not "{args.scan}"')
    search = Search(
        scan=int(stride or 0),
        race=tuple(args.race),
        lr_grid=tuple(args.lr_grid),
    )
    if not search.active:
        if args.dev_split is not None:
            raise InputError("--dev-split is for --race, --scan and --lr-grid; give one of these")
        return search
    split = args.dev_split or dev_split(run)
    return replace(search, dev=EvalSpec(split=split, size=args.dev_tasks, score=args.score))


def _opened(sweep: ResolvedSweep, launch: Launch) -> Chosen:
    """The executor, and a folder that is begun: neither where the other cannot be."""
    from layergym.evals.sweep.executors.choose import open_executor
    from layergym.evals.sweep.folder import begin_folder

    chosen = open_executor(launch, sweep)
    try:
        begin_folder(sweep)
    except BaseException:
        chosen.executor.close()
        raise
    return chosen


def run_and_report(
    spec: SweepSpec,
    folder: Path,
    launch: Launch,
    out: Output,
    *,
    deadline: float | None = None,
    report_to: Sequence[str] = (),
) -> int:
    """Run what is not finished in `folder`, then report; shared with `layergym demo`.

    Raises:
        InputError: it holds another sweep, another process works in it, or a run failed.
    """
    from layergym.cli.views.sweep_view import SweepView
    from layergym.evals.report.build import build
    from layergym.evals.report.render.terminal import show
    from layergym.evals.report.write import by_format, write_report
    from layergym.evals.sweep.folder import note_executor, run_sweep
    from layergym.evals.sweep.next_jobs import all_runs, next_jobs
    from layergym.evals.sweep.resolve import resolve

    sweep = resolve(spec, folder)
    again = shell_line("sweep", "--resume", folder)
    with locked(folder):
        chosen = _opened(sweep, launch)
        note_executor(folder, chosen)
        try:
            with SweepView(all_runs(sweep), out.progress, title=f"on {chosen}") as view:
                failures = run_sweep(
                    sweep,
                    chosen.executor,
                    deadline=deadline,
                    on_poll=view.update,
                    report_to=report_to,
                )
        except KeyboardInterrupt:
            out.note(f"stopped; go on with: {again}")
            raise
        for failure in failures:
            complain("sweep", f"failed: {failure}")
        if failures:
            raise InputError(f"mend the cause and go on with: {again}")
        if next_jobs(sweep):
            out.show(f"time is up; go on with: {again}")
            out.record(event="paused", folder=folder)
            return 0
        report = build([folder])
        show(report, out.results)
        files = write_report(report, folder / "report")
        out.show(f"\nreport: {files[0]}")
        out.record(event="report", **by_format(files))
        return 0
