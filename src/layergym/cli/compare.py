"""`layergym compare`: guided strategies, after a sweep has ranked the layers."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.cli.console import add_output, output
from layergym.cli.options import add_arms, arms_of, new_folder
from layergym.cli.values import JOBS, SEED, TASKS

if TYPE_CHECKING:
    from layergym.evals.contribution.profile import LayerProfile
    from layergym.evals.sweep.spec import SweepSpec

EXAMPLES = """
examples:
  layergym compare runs/sweep                       a sweep with --eval-tasks: scored on others
  layergym compare runs/sweep --arms full,single:best,middle:5,top:5,boost-top:5,lora-middle:5
  layergym compare runs/sweep --arms top:3,random:3,lora --seeds 10 11 12 --out runs/guided
  layergym compare runs/sweep --eval-split valid    a sweep that was scored on all test tasks

"single:best", "top:k" and "bottom:k" go by the sweep's ranking. The comparison trains with other
seeds and is scored on other tasks than that ranking, so that no layer profits twice from one
lucky draw. Go on after an interruption with: layergym sweep --resume OUT
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder with a ranking of the layers")
    add_arms(parser, "who is compared (default: the second example's)")
    parser.add_argument("--seeds", type=SEED, nargs="+", help="default: as many as the sweep, new")
    parser.add_argument("--eval-split", help="split of the scored tasks (default: the sweep's)")
    parser.add_argument(
        "--eval-tasks",
        type=TASKS,
        help="scored tasks (default: as many as the sweep, or what is left)",
    )
    parser.add_argument("--jobs", type=JOBS, help="processes side by side (default: cores or GPUs)")
    parser.add_argument("--out", help="folder of the comparison (default: SWEEP-compared)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Write the ranking down, run the arms, and report."""
    from layergym.cli.sweep import go
    from layergym.evals.contribution.profile import profile
    from layergym.evals.results import read_sweep
    from layergym.evals.studies.compare import begin
    from layergym.evals.sweep.executors.launch import Launch

    out = output(args)
    sweep = _finished(args.sweep)
    ranking = profile(read_sweep(args.sweep))
    folder = new_folder(args.out or f"{args.sweep}-compared", "layergym sweep --resume")
    launch = Launch(jobs=args.jobs)
    launch.check(sweep.run.sampler)
    spec = _spec(args, sweep, ranking, folder)
    begin(spec, folder, sweep, ranking)
    out.show(
        f"ranked on {ranking.tasks} tasks of {args.sweep}; compared on {spec.eval.size} others, "
        f"with seeds {', '.join(map(str, spec.seeds))}"
    )
    return go(spec, folder, launch, out)


def _finished(folder: Path) -> SweepSpec:
    """The sweep in `folder`, all of whose runs have come to their end."""
    from layergym.evals.sweep.folder import read_spec
    from layergym.evals.sweep.next_jobs import next_jobs

    sweep = read_spec(folder)
    if waiting := next_jobs(sweep, folder):
        raise InputError(
            f"{folder} is not finished (runs to go: {len(waiting)}), so its ranking may change; "
            f"first: layergym sweep --resume {folder}"
        )
    return sweep


def _spec(
    args: argparse.Namespace, sweep: SweepSpec, ranking: LayerProfile, folder: Path
) -> SweepSpec:
    from layergym.evals.studies.compare import STRATEGIES, comparison, seen_seeds
    from layergym.evals.sweep.tuning import settle_rates

    arms = arms_of(args.arms) or STRATEGIES
    after = max(seen_seeds(sweep)) + 1
    seeds = args.seeds or range(after, after + len(sweep.seeds))
    spec = comparison(
        sweep, ranking, folder, arms, tuple(seeds), split=args.eval_split, size=args.eval_tasks
    )
    tuning = settle_rates(sweep, args.sweep)
    return replace(spec, lr_full=tuning.full, lr_layer=tuning.layer) if tuning else spec
