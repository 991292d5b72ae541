"""`layergym vote`: ensembles of a sweep's models by majority."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from layergym.cli.console import add_output, output
from layergym.cli.options import add_arms, add_compute, add_panel, arms_of

EXAMPLES = """
examples:
  layergym vote runs/sweep                             all single layers against full, base
  layergym vote runs/sweep --arms 3 4 5 --eval-tasks 100

At every turn each model is sampled once and the most frequent action is taken. Full training and
the base are sampled as many times: self-consistency at the same price. Reports show it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    add_arms(parser, "who votes (default: all single layers)")
    add_panel(parser, of="the sweep's")
    add_compute(parser, of="as the sweep")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Score the ensembles of every seed and compare them."""
    from layergym.evals.report import Report, show
    from layergym.evals.report.sections.vote import vote_section
    from layergym.evals.results import arm_label, layer_of, read_sweep
    from layergym.evals.studies.vote import vote_all
    from layergym.evals.sweep.folder import read_spec
    from layergym.evals.sweep.spec import arm_name

    out = output(args)
    sweep, spec = read_sweep(args.sweep), read_spec(args.sweep)
    run = replace(spec.run, dtype=args.dtype or spec.run.dtype, device=args.device)
    spec = replace(spec, run=run)
    scored = replace(
        spec.eval,
        size=spec.eval.size if args.eval_tasks is None else args.eval_tasks,
        repeats=spec.eval.repeats if args.eval_repeats is None else args.eval_repeats,
    )
    voters = list(map(arm_name, arms_of(args.arms))) or [
        arm for arm in sweep.arms if layer_of(arm) is not None and sweep.temperatures(arm)
    ]
    out.note(f"voters: {', '.join(map(arm_label, voters))}")
    votes = vote_all(
        sweep, spec, scored, voters, lambda one: out.note(f"{one.name}, seed {one.seed}")
    )
    section = vote_section([votes])
    assert section is not None
    show(Report("Votes", args.sweep.name, (section,), ()), out.results)
    for one in votes.results:
        out.record(
            event="vote",
            ensemble=one.arm,
            seed=one.seed,
            tasks=len(one.tasks),
            repeats=one.repeats,
            success=float(one.rates.mean()),
        )
    return 0
