"""`layergym predict`: gradient statistics of the base beside a sweep's measured gains."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

from layergym.cli.console import add_output, output
from layergym.cli.options import add_compute
from layergym.cli.values import TASKS

EXAMPLES = """
examples:
  layergym predict runs/sweep             one batch of rollouts; the report shows it from then on
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    parser.add_argument("--tasks", type=TASKS, help="tasks of the batch (default: as in a step)")
    add_compute(parser, of="as the sweep")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, keep and show."""
    from layergym.evals.contribution.profile import profile
    from layergym.evals.report import Report, show
    from layergym.evals.report.sections.predictor import predictor_section
    from layergym.evals.results import read_sweep
    from layergym.evals.studies.predictor import predict, write_prediction
    from layergym.evals.sweep.folder import read_spec

    out = output(args)
    spec, measured = read_spec(args.sweep), profile(read_sweep(args.sweep)).measures[0]
    tasks = spec.run.tasks_per_step if args.tasks is None else args.tasks
    run_spec = replace(
        spec.run, tasks_per_step=tasks, dtype=args.dtype or spec.run.dtype, device=args.device
    )
    found = predict(run_spec, seed=max(spec.seeds) + 1)
    write_prediction(args.sweep, found)
    section = predictor_section(found, measured)
    show(Report("Predictor", args.sweep.name, (section,), ()), out.results)
    out.record(event="batch", tasks=found.tasks, episodes=found.episodes, seed=found.seed)
    for one in found.layers:
        out.record(event="layer", **asdict(one))
    return 0
