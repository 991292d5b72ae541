"""`layergym eval`: score agents on a fixed panel."""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from layergym import InputError
from layergym.base.locks import locked
from layergym.base.texts import shell_line
from layergym.cli.address import add_address, address
from layergym.cli.presets import add_preset, note_differences
from layergym.cli.run_files import add_run_file, filled, show_run_file
from layergym.command.console import Output, add_output, complain, output
from layergym.command.flags import CALLED, FieldFlags
from layergym.command.options import (
    add_compute,
    add_env,
    env_args,
    only_to_resume,
    required_env,
)
from layergym.command.values import whole

if TYPE_CHECKING:
    from layergym.agents.servers.openai_client import RequestLimits
    from layergym.agents.types import Trajectory
    from layergym.evals.score.contest import Contest, ContestSpec

EXAMPLES = """
examples:
  layergym eval alfworld-v0 --agent expert --eval-tasks 100
  layergym eval alfworld-v0 --agent random expert tiny --eval-split valid --out runs/three
  layergym eval alfworld-v0 --agent smollm2 openai:my-model@http://localhost:8000/v1 --temperature 0
  layergym eval --resume runs/three              play what is missing or ended in errors

An agent is random, expert, or a model: tiny, smollm2, a folder, a GGUF file, a hub id, or
openai:MODEL@URL for any OpenAI-compatible server. The server's key is read from $OPENAI_API_KEY.
"""


_ANY_TIME = ("in_flight", "concurrency", "per_minute", "retries", "timeout")
"""What may differ from one call on a folder to the next."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_env(parser)
    add_preset(parser)
    add_run_file(parser)
    parser.add_argument(
        "--agent", nargs="+", default=["tiny"], help="who plays; compared with the first"
    )
    _contest_flags().add(parser)
    add_address(parser)
    add_compute(parser)
    parser.add_argument("--out", type=Path, help="folder to keep; the same command goes on there")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="finish what was interrupted")
    parser.add_argument(
        "--in-flight", type=whole(1, 1_000_000), default=256, help="episodes at once"
    )
    server = parser.add_argument_group("models on servers")
    _limit_flags().add(server)
    server.add_argument(
        "--omit",
        nargs="+",
        default=[],
        choices=["temperature", "top_p", "seed", "max_tokens"],
        help="parameters not to send, where a server refuses them",
    )
    server.add_argument(
        "--price",
        action="append",
        default=[],
        metavar="AGENT=READ,WRITTEN",
        help="of a million tokens read and written; repeatable",
    )
    add_output(parser)


def _contest_flags() -> FieldFlags:
    from layergym.evals.score.contest import ContestSpec

    names = ("split", "size", "repeats", "seeds", "temperature", "max_new_tokens")
    return FieldFlags(spec=ContestSpec, fields=names, called=CALLED)


def _limit_flags() -> FieldFlags:
    from layergym.agents.servers.openai_client import RequestLimits

    names = tuple(field.name for field in fields(RequestLimits))
    return FieldFlags(spec=RequestLimits, fields=names, called={"timeout_s": "timeout"})


def run(args: argparse.Namespace) -> int:
    """Play, show the report; 1 when an agent has no score, or episodes missing or in errors."""
    from layergym.agents.servers.openai_client import RequestLimits
    from layergym.evals.report.build import build
    from layergym.evals.report.render.terminal import show
    from layergym.evals.score.contest import Contest, ContestSpec
    from layergym.evals.score.standings import standings

    out = output(args)
    if args.resume:
        only_to_resume(args, add_arguments, _ANY_TIME)
    args = filled(args, add_arguments, "eval")
    if show_run_file(args, add_arguments, out):
        return 0
    note_differences(args, out)
    limits = RequestLimits(**_limit_flags().read(args))
    spec = ContestSpec.read(args.resume) if args.resume else _spec(args)
    with _folder(args.resume or args.out) as folder, locked(folder):
        contest = Contest.open(spec, folder)
        try:
            _play(contest, limits, args.in_flight, out)
        except KeyboardInterrupt:
            if args.resume or args.out:
                out.note(f"stopped; go on with: {shell_line('eval', '--resume', folder)}")
            raise
        show(build([folder], kept=folder in (args.resume, args.out)), out.results)
        rows = standings(contest).rows
        for row in rows:
            out.record(event="agent", **asdict(row))
            if row.refused:
                complain("eval", f"{row.agent}: {row.refused}")
        return int(any(row.refused or row.errors or row.missing for row in rows))


def _spec(args: argparse.Namespace) -> ContestSpec:
    from layergym.evals.score.contest import ContestSpec

    return ContestSpec(
        env=required_env(args),
        env_args=env_args(args.env_arg),
        agents=tuple(args.agent),
        **_contest_flags().read(args),
        **address(args),
        dtype=args.dtype,
        device=args.device,
        prices=dict(map(_price, args.price)),
        omit=tuple(args.omit),
    )


def _price(text: str) -> tuple[str, tuple[float, float]]:
    name, equals, prices = text.rpartition("=")
    try:
        read, written = map(float, prices.split(","))
    except ValueError:
        equals = ""
    if not equals or not 0 <= read < math.inf or not 0 <= written < math.inf:
        raise InputError(f'--price takes AGENT=READ,WRITTEN, such as m=0.15,0.60, not "{text}"')
    return name, (read, written)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """The folder to keep, or one that is gone afterwards."""
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="layergym-eval-") as scratch:
        yield Path(scratch) / "eval"


@dataclass
class _Tally:
    """How far an agent is."""

    total: int
    played: int = 0
    solved: int = 0
    errors: int = 0

    def count(self, trajectory: Trajectory) -> None:
        failed = trajectory.ended == "error"
        self.played += not failed
        self.solved += trajectory.success
        self.errors += failed

    def __str__(self) -> str:
        errors = f", {self.errors} errors" if self.errors else ""
        return f"{self.played}/{self.total}, {self.solved} solved{errors}"


def _play(contest: Contest, limits: RequestLimits, in_flight: int, out: Output) -> None:
    """Play what is missing; a bar per agent on a terminal, ten lines per agent elsewhere."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    spec = contest.spec
    tallies = {name: _Tally(contest.episodes) for name in spec.agents}
    for name, seed in itertools.product(spec.agents, spec.seeds):
        for trajectory in contest.played(name, seed).values():
            if trajectory.ended != "error":
                tallies[name].count(trajectory)
    name_column = TextColumn("{task.description}", markup=False)
    tally_column = TextColumn("{task.fields[tally]}", markup=False)
    columns = (name_column, BarColumn(20), tally_column, TimeRemainingColumn())
    live = out.progress.is_terminal
    with Progress(*columns, console=out.progress, transient=True, disable=not live) as bars:
        rows = {
            name: bars.add_task(
                name[-40:], total=tally.total, completed=tally.played, tally=str(tally)
            )
            for name, tally in tallies.items()
        }

        def over(name: str, trajectory: Trajectory) -> None:
            tally = tallies[name]
            tally.count(trajectory)
            bars.update(rows[name], completed=tally.played, tally=str(tally))
            tenth = max(1, tally.total // 10)
            if not live and (tally.played + tally.errors) % tenth == 0:
                out.note(f"{name} {tally}")

        contest.play(limits, over, in_flight)
