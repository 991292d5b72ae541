"""`layergym retention`: what training cost on other tasks."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.cli.console import add_output, output
from layergym.cli.options import add_arms, add_compute, arms_of
from layergym.cli.values import ROWS

if TYPE_CHECKING:
    from layergym.evals.results import Sweep
    from layergym.evals.studies.retention import Source

EXAMPLES = """
examples:
  layergym retention runs/sweep --choice arc_challenge_test.json --text novel.txt
  layergym retention runs/sweep --arms base full 3 random --choice mmlu/test/anatomy_test.csv
  layergym retention runs/sweep --lm-eval hellaswag --limit 500   needs: layergym[lm-eval]

Questions are in ARC's or MMLU's formats. What was scored already is kept; reports show it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    add_arms(parser, "who is scored (default: base, full and the highest layer)")
    parser.add_argument("--choice", nargs="+", type=Path, default=[], help="files of questions")
    parser.add_argument("--text", nargs="+", type=Path, default=[], help="plain texts: perplexity")
    parser.add_argument("--lm-eval", nargs="+", default=[], metavar="TASK", help="harness tasks")
    parser.add_argument("--include", type=Path, help="folder with further harness tasks (YAML)")
    parser.add_argument("--limit", type=ROWS, help="questions of each source at most")
    add_compute(parser, of="as each run")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Score what is missing and show the comparison."""
    from layergym.evals.report import Report, show
    from layergym.evals.report.sections.retention import retention_section
    from layergym.evals.results import read_sweep
    from layergym.evals.studies.retention import compared, read_kept, retain
    from layergym.evals.sweep.spec import arm_name

    out = output(args)
    sweep = read_sweep(args.sweep)
    sources = _sources(args)
    arms = list(map(arm_name, arms_of(args.arms))) or _usual(sweep)
    retain(
        sweep,
        arms,
        sources,
        lambda run, one: out.note(f"{run.arm}, seed {run.seed}: {one.name}"),
        dtype=args.dtype,
        device=args.device,
    )
    runs = [run for run in sweep.runs if run.arm in arms]
    section = retention_section(runs)
    if section is None:
        raise InputError("what to score on? give --choice, --text or --lm-eval")
    show(Report("Retention", args.sweep.name, (section,), ()), out.results)
    for found in compared(read_kept(runs)) if out.json else ():
        about = {"source": found.source, "measure": found.measure, "items": found.items}
        for arm in found.arms:
            out.record(event="retention", **about, **asdict(arm))
    return 0


def _sources(args: argparse.Namespace) -> list[Source]:
    from layergym.evals.score.harness import Harness
    from layergym.evals.studies.retention import Choice, Prose

    sources: list[Source] = [Choice.read(path, args.limit) for path in args.choice]
    sources += [Prose.read(path) for path in args.text]
    sources += [Harness(task, args.include, args.limit) for task in args.lm_eval]
    return sources


def _usual(sweep: Sweep) -> list[str]:
    from layergym.evals.contribution.profile import profile

    best = profile(sweep).measures[0].best
    return ["base", "full", *([best.arm] if best else [])]
