"""Let a sweep's models vote, against as many samples of one model.

An ensemble by majority (`evals/score/voting.py`): the given arms, as many samples of full and of
the base, which is self-consistency at the same price, and full alone. Voting of single-layer
models is a follow-up in arXiv 2607.01232.
What was scored is kept in the sweep's folder (`evals/sweep/ensembles.py`).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from layergym.command.console import Output
from layergym.command.options import add_arms, add_compute, add_panel, arms_of
from layergym.evals.arms import BASE, Arm
from layergym.evals.report.model import Block, Report, Section, Table, Text
from layergym.evals.report.render.terminal import show
from layergym.evals.report.study import Finished, Study
from layergym.evals.report.words import named, percent_with_interval, points, together
from layergym.evals.result_files import read_sweep
from layergym.evals.stats import Estimate
from layergym.evals.stats.board import Board
from layergym.evals.sweep.ensembles import Votes, ensemble_of, read_votes, vote_all

EXAMPLES = """
examples:
  layergym vote runs/sweep                             all single layers against full, base
  layergym vote runs/sweep --arms 3 4 5 --eval-tasks 100

At every turn each model is sampled once and the most frequent action is taken. Full training and
the base are sampled as many times: self-consistency at the same price. Reports show it.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    add_arms(parser, "who votes (default: all single layers)")
    add_panel(parser, of="the sweep's")
    add_compute(parser, of="as the sweep")


def run(args: Namespace, out: Output) -> None:
    """Score the ensembles of every seed and compare them."""
    from layergym.evals.sweep.spec import read_spec

    sweep, spec = read_sweep(args.sweep), read_spec(args.sweep)
    own = replace(spec.run, dtype=args.dtype or spec.run.dtype, device=args.device)
    spec = replace(spec, run=own)
    scored = replace(
        spec.eval,
        size=spec.eval.size if args.eval_tasks is None else args.eval_tasks,
        repeats=spec.eval.repeats if args.eval_repeats is None else args.eval_repeats,
    )
    voters = [Arm.parse(text).name for text in arms_of(args.arms)] or [
        arm for arm in sweep.arms if arm.layer is not None and sweep.temperatures(arm)
    ]
    out.note(f"voters: {', '.join(voter.label for voter in voters)}")
    votes = vote_all(
        sweep, spec, scored, voters, lambda each: out.note(f"{each.name}, seed {each.seed}")
    )
    show(Report("Votes", args.sweep.name, (vote_section([votes]),), ()), out.results)
    for result in votes.results:
        out.record(
            event="vote",
            ensemble=result.arm,
            seed=result.seed,
            tasks=len(result.tasks),
            repeats=result.repeats,
            success=float(result.rates.mean()),
        )


def sections(finished: Finished) -> tuple[Section, ...]:
    """Who voted better in this sweep; nothing where nobody voted."""
    votes = read_votes(finished.sweep.path)
    return (vote_section(votes),) if votes else ()


def vote_section(votes: Sequence[Votes]) -> Section:
    """Scores of ensembles, each against as many samples of full."""
    return Section("Votes", tuple(block for each in votes for block in _compared(each)))


def _compared(votes: Votes) -> tuple[Block, ...]:
    """One choice of voters; all differences are paired over tasks."""
    results = votes.results
    mine, theirs, *_ = names = list(dict.fromkeys(result.arm for result in results))
    board = Board.of(
        {name: np.array([r.rates for r in results if r.arm == name]) for name in names},
        untrained=[name for name in names if ensemble_of(name) == BASE],
    )
    rows = tuple(
        (
            _label(name),
            percent_with_interval(board.score(name)),
            "" if name == theirs else points(board.difference(name, theirs)),
        )
        for name in names
    )
    first, seeds = results[0], len(board.tables[mine])
    caption = (
        f"Majority votes of {together(votes.voters)} on {len(first.tasks)} tasks, "
        f"{first.repeats} episode{'s' * (first.repeats > 1)} per task, "
        f"{seeds} seed{'s' * (seeds > 1)} of training; {named(first.scored)} in percent, "
        "with 95 % intervals"
    )
    columns = ("voters", "score", f"minus {_label(theirs)}, points")
    verdict = _verdict(_label(mine), _label(theirs), board.difference(mine, theirs))
    return Table(caption, columns, rows), verdict


def _label(ensemble: str) -> str:
    return ensemble.replace("-x", " x ")


def _verdict(mine: str, theirs: str, gap: Estimate) -> Text:
    compared = f"{mine} against {theirs}, the same number of samples: {points(gap)} points"
    if gap.above(0):
        return Text(f"{compared}. Different layers vote better than one model does.", "finding")
    if gap.high is not None and gap.high < 0:
        return Text(f"{compared}. One fully trained model votes better.", "finding")
    return Text(f"{compared}. Which votes better is not resolved.")


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
