"""`layergym trajectories`: read what agents did, turn by turn."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.command.console import Output, add_output, output
from layergym.command.values import text, whole

if TYPE_CHECKING:
    from layergym.agents.trajectories import Record

EXAMPLES = """
examples:
  layergym trajectories runs/three                          one line per episode
  layergym trajectories runs/three --agent tiny --failed    those that tiny did not solve
  layergym trajectories runs/three --task heat --full       whole episodes, for a pager
  layergym trajectories runs/train --export out.jsonl       one JSON object a line
  layergym trajectories runs/three --solved --export data/  a Hugging Face dataset

Evaluations with --out keep all episodes; training runs keep one group of every tenth step.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, help="folder of a run, sweep or evaluation, or a file")
    parser.add_argument("--task", default="", help="tasks or task types with this text in them")
    parser.add_argument("--agent", default="", help="agents or arms with this text in them")
    outcome = parser.add_mutually_exclusive_group()
    outcome.add_argument("--solved", action="store_true", help="solved episodes only")
    outcome.add_argument("--failed", action="store_true", help="unsolved episodes and errors only")
    parser.add_argument("--limit", type=whole(1, 10**9), help="this many at most")
    parser.add_argument("--full", action="store_true", help="whole episodes, not one line each")
    parser.add_argument(
        "--export",
        type=text,
        metavar="PATH",
        help="write what was chosen: NAME.jsonl, or a dataset's folder",
    )
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Show or export the episodes that were asked for."""
    from layergym.agents.trajectories import record_files

    files = record_files(args.folder)
    chosen = itertools.islice(_chosen(args, files), args.limit)
    out = output(args)
    if args.export:
        return _export(chosen, Path(args.export), out)
    return _full(chosen, out) if args.full else _list(chosen, out)


def _chosen(args: argparse.Namespace, files: list[Path]) -> Iterator[Record]:
    """Records that match, each episode's last attempt, in the order in which they were kept."""
    from layergym.agents.trajectories import read_records

    for path in files:
        last = {
            (r.agent, r.step, r.trajectory.task, r.trajectory.seed): r for r in read_records(path)
        }
        for record in last.values():
            trajectory = record.trajectory
            if (
                args.task not in f"{trajectory.task} {trajectory.kind}"
                or args.agent not in record.agent
            ):
                continue
            if (args.solved and not trajectory.success) or (args.failed and trajectory.success):
                continue
            yield record


def _export(chosen: Iterator[Record], path: Path, out: Output) -> int:
    from layergym.agents.export import write_dataset
    from layergym.agents.trajectories import write_records

    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise InputError(f"{path} is there already; give another place to export to")
    write = write_records if path.suffix == ".jsonl" else write_dataset
    count = write(path, chosen)
    out.show(f"{count} episodes: {path}")
    out.record(event="export", episodes=count, path=path)
    return 0


def _list(chosen: Iterator[Record], out: Output) -> int:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from layergym.evals.report.render.terminal import clean

    columns = ("agent", "step", "task", "turns", "reward", "outcome")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        right = name in ("step", "turns", "reward")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for record in chosen:
        trajectory = record.trajectory
        outcome = "solved" if trajectory.success else trajectory.error or trajectory.ended
        cells = (
            record.agent,
            "" if record.step is None else str(record.step),
            trajectory.task,
            str(len(trajectory.turns)),
            f"{trajectory.total_reward:g}",
            outcome,
        )
        style = "green" if trajectory.success else "red" if trajectory.ended == "error" else ""
        table.add_row(*(Text(clean(cell)) for cell in cells), style=style)
        _record(record, out)
    out.show(table if table.row_count else "no episode matches")
    return 0


def _full(chosen: Iterator[Record], out: Output) -> int:
    from rich.rule import Rule

    from layergym.evals.report.render.terminal import draw_story as shown
    from layergym.evals.report.sections.episodes import story

    for record in chosen:
        out.show(Rule(style="dim"))
        out.show(shown(story(record, whole=True)))
        _record(record, out)
    return 0


def _record(record: Record, out: Output) -> None:
    trajectory = record.trajectory
    out.record(
        event="episode",
        agent=record.agent,
        step=record.step,
        task=trajectory.task,
        seed=trajectory.seed,
        turns=len(trajectory.turns),
        reward=trajectory.total_reward,
        success=trajectory.success,
        ended=trajectory.ended,
        error=trajectory.error,
    )
