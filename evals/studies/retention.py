"""Score a sweep's arms on tasks that they were not trained on.

Scores are kept in the folders of runs, and compared, by `evals/score/retained.py`.
"""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from layergym.base.errors import InputError
from layergym.command.console import Output
from layergym.command.options import add_arms, add_compute, arms_of
from layergym.command.values import ROWS
from layergym.evals.arms import BASE, FULL, Arm, ArmName
from layergym.evals.contribution.profile import profile
from layergym.evals.report.model import Block, Report, Section, Table, Text
from layergym.evals.report.render.terminal import show
from layergym.evals.report.study import Finished, Study
from layergym.evals.report.words import percent_with_interval, points, with_interval
from layergym.evals.result_files import read_sweep
from layergym.evals.results import Run, Sweep
from layergym.evals.score.retained import NLL, Comparison, comparisons, read_kept, retain
from layergym.evals.stats import Estimate

if TYPE_CHECKING:
    from layergym.evals.score.sources import Source

EXAMPLES = """
examples:
  layergym retention runs/sweep --choice arc_challenge_test.json --text novel.txt
  layergym retention runs/sweep --arms base full 3 random --choice mmlu/test/anatomy_test.csv
  layergym retention runs/sweep --lm-eval hellaswag --limit 500   needs: layergym[lm-eval]

Questions are in ARC's or MMLU's formats. What was scored already is kept; reports show it.
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("sweep", type=Path, help="sweep folder")
    add_arms(parser, "who is scored (default: base, full and the highest layer)")
    parser.add_argument("--choice", nargs="+", type=Path, default=[], help="files of questions")
    parser.add_argument("--text", nargs="+", type=Path, default=[], help="plain texts: perplexity")
    parser.add_argument("--lm-eval", nargs="+", default=[], metavar="TASK", help="harness tasks")
    parser.add_argument("--include", type=Path, help="folder with further harness tasks (YAML)")
    parser.add_argument("--limit", type=ROWS, help="questions of each source at most")
    add_compute(parser, of="as each run")


def run(args: Namespace, out: Output) -> None:
    """Score what is missing and show the comparison."""
    sweep = read_sweep(args.sweep)
    sources = _sources(args)
    arms = [Arm.parse(text).name for text in arms_of(args.arms)] or _usual(sweep)
    retain(
        sweep,
        arms,
        sources,
        lambda run, source: out.note(f"{run.arm}, seed {run.seed}: {source.name}"),
        dtype=args.dtype,
        device=args.device,
    )
    runs = [run for run in sweep.runs if run.arm in arms]
    section = retention_section(runs)
    if section is None:
        raise InputError("what to score on? give --choice, --text or --lm-eval")
    show(Report("Retention", args.sweep.name, (section,), ()), out.results)
    for comparison in comparisons(read_kept(runs)) if out.json else ():
        about = {name: getattr(comparison, name) for name in ("source", "measure", "items")}
        for arm in comparison.arms:
            out.record(event="retention", **about, **asdict(arm))


def _sources(args: Namespace) -> list[Source]:
    from layergym.evals.score.harness import Harness
    from layergym.evals.score.sources import Choice, Prose

    sources: list[Source] = [Choice.read(path, args.limit) for path in args.choice]
    sources += [Prose.read(path) for path in args.text]
    sources += [Harness(task, args.include, args.limit) for task in args.lm_eval]
    return sources


def _usual(sweep: Sweep) -> list[ArmName]:
    best = profile(sweep).measures[0].best
    return [BASE, FULL, *([best.arm] if best else [])]


def sections(finished: Finished) -> tuple[Section, ...]:
    """What training cost elsewhere; nothing where no run was scored elsewhere."""
    section = retention_section(finished.sweep.runs)
    return (section,) if section else ()


def retention_section(runs: Sequence[Run]) -> Section | None:
    """Scores of all arms on retention sources; None when there are none."""
    blocks: list[Block] = []
    left_out: dict[str, str] = {}
    for comparison in comparisons(read_kept(runs)):
        blocks.append(_table(comparison))
        blocks += [Text(verdict)] if (verdict := _verdict(comparison)) else []
        if comparison.left_out:
            left_out[comparison.source] = _left_out(comparison)
    blocks += [Text(text, "warning") for text in left_out.values()]
    return Section("Retention", tuple(blocks)) if blocks else None


def _table(comparison: Comparison) -> Table:
    arms, measure = comparison.arms, comparison.measure
    if measure == NLL:
        what = f"Perplexity on {comparison.source} ({comparison.items} windows)"
        rows = [
            (a.arm.label, perplexity(a.score), change(a.less_base), change(a.less_full))
            for a in arms
        ]
        columns = ("arm", "perplexity", "against base, percent", "against full, percent")
    else:
        what = f"{comparison.source}, {measure} ({comparison.items} questions), percent"
        rows = [
            (
                a.arm.label,
                percent_with_interval(a.score),
                _points(a.less_base),
                _points(a.less_full),
            )
            for a in arms
        ]
        columns = ("arm", measure, "minus base, points", "minus full, points")
    return Table(f"{what}, with 95 % intervals paired over items", columns, tuple(rows))


def perplexity(loss: Estimate) -> str:
    """The perplexity of a loss in nats per token, with its interval."""
    ends = (None if end is None else math.exp(end) for end in (loss.low, loss.high))
    return with_interval(Estimate(math.exp(loss.value), *ends), 1, "{:z.2f}")


def change(loss: Estimate | None) -> str:
    """A difference of losses as the change of perplexity in percent."""
    if loss is None:
        return ""
    ends = (None if end is None else math.expm1(end) for end in (loss.low, loss.high))
    return with_interval(Estimate(math.expm1(loss.value), *ends), 100, "{:+z.1f}")


def _points(gap: Estimate | None) -> str:
    return "" if gap is None else points(gap)


def _left_out(comparison: Comparison) -> str:
    """Who was scored on other items, and how to mend that."""
    runs = [
        f"{one.arm.label}, seed {one.seed} ({len(one.scores.get(comparison.measure, ()))} items)"
        for one in comparison.left_out
    ]
    return (
        f"Scored on another version of {comparison.source} and left out: {'; '.join(runs)}. To "
        "compare them too, run layergym retention again for these arms with the same file and "
        "--limit."
    )


def _verdict(on: Comparison) -> str:
    """Which arms forgot something, in one sentence."""
    lower, higher = ("better", "worse") if on.measure == NLL else ("worse", "better")
    arms_by_verdict: dict[str, list[str]] = {}
    for arm in on.arms:
        gap = arm.less_base
        if gap is None or gap.low is None or gap.high is None:
            continue
        verdict = lower if gap.high < 0 else higher if gap.low > 0 else "not distinguishable"
        arms_by_verdict.setdefault(verdict, []).append(arm.arm.label)
    said = (f"{verdict}: {', '.join(names)}" for verdict, names in arms_by_verdict.items())
    return f"On {on.source}, against the base, {'; '.join(said)}." if arms_by_verdict else ""


STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)
