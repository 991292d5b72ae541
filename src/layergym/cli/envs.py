"""`layergym envs`: what can be played."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import layergym
from layergym.base.errors import error_line, faults
from layergym.base.texts import printable
from layergym.command.console import Output, add_output, output
from layergym.command.options import add_env, env_args, required_env
from layergym.command.values import ROWS, STEPS

EXAMPLES = """
examples:
  layergym envs                         every registered environment
  layergym envs alfworld-v0             its settings
  layergym envs check alfworld-v0       does it keep the contract, and how to mend it if not
  layergym envs check-alfworld --sample 20
                                        play games here and on alfworld's own engine
  layergym envs check-alfworld --games json_2.1.1/valid_seen --split valid_seen --version 0.3
  layergym envs build-alfworld-index json_2.1.1/train train_problems.jsonl.xz
                                        2 GB of folders into one small file, checked
"""


class _Words(dict[str, argparse.ArgumentParser]):
    """The parsers of the actions; any other word names an environment, whose settings are shown."""

    def __contains__(self, word: object) -> bool:
        return True

    def __missing__(self, word: str) -> argparse.ArgumentParser:
        return self["ENVIRONMENT"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(dest="word", metavar="ACTION or ENVIRONMENT")
    show = actions.add_parser("ENVIRONMENT", help="its settings")
    show.set_defaults(action=_show)
    check = actions.add_parser("check", help="does an environment keep the contract?")
    add_env(check)
    check.set_defaults(action=_check)
    parity = actions.add_parser("check-alfworld", help="compare with alfworld's own engine")
    parity.add_argument("--games", default="generated", help="generated, official, a path")
    parity.add_argument("--split", default="test")
    parity.add_argument("--version", default="0.4", choices=["0.3", "0.4"])
    parity.add_argument("--sample", type=ROWS, help="number of games (default: all)")
    parity.add_argument("--steps", type=STEPS, default=40, help="fewest steps a game")
    parity.add_argument("--log", type=Path, help="keep results here and go on from them")
    parity.set_defaults(action=_check_alfworld)
    index = actions.add_parser("build-alfworld-index", help="pack ALFWorld's folders")
    index.add_argument("folder", type=Path, help="such as json_2.1.1/train")
    index.add_argument("out", type=Path, help="compact file to write, *.jsonl.xz")
    index.set_defaults(action=_build_alfworld_index)
    actions.choices = actions._name_parser_map = _Words(actions.choices)
    for each in (parser, show, check, parity, index):
        add_output(each)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; without an action, list."""
    code: int = args.action(args, output(args))
    return code


def _list(_: argparse.Namespace, out: Output) -> int:
    from rich.table import Table
    from rich.text import Text

    from layergym.envs.registry import BrokenError, load_plugins

    table = Table(box=None, pad_edge=False)
    ids = layergym.ids()
    table.add_column("environment", min_width=max(map(len, ids)))
    for name in ("tasks", "turns", "what"):
        table.add_column(name, overflow="fold")
    for id in ids:
        try:
            row = _row(id)
        except BrokenError as error:
            row = {"error": printable(str(error))}
        sizes = ", ".join(f"{split} {size:,}" for split, size in row.get("tasks", {}).items())
        last = Text(row["error"], "red") if "error" in row else Text(row["about"])
        table.add_row(Text(printable(id)), sizes, str(row.get("turns", "")), last)
        out.record(event="environment", id=id, **row)
    for trouble in load_plugins():
        table.add_row(Text(printable(trouble.id)), "", "", Text(printable(str(trouble)), "red"))
        out.record(event="trouble", **asdict(trouble))
    out.show(table)
    return 0


def _row(id: str) -> dict[str, Any]:
    """What is said about an environment.

    Raises:
        BrokenError: its own code fails.
    """
    from layergym.envs.registry import BrokenError, about

    row: dict[str, Any] = {"about": printable(about(id))}
    try:
        env = layergym.make(id)
        return row | {"tasks": _splits(id, env), "turns": env.max_turns}
    except BrokenError:
        raise
    except layergym.InputError:  # It needs settings, or an extra.
        return row
    except faults() as error:
        raise BrokenError(f"{id} cannot name its tasks: {error_line(error)}") from error


def _splits(id: str, env: layergym.TextEnv) -> dict[str, int]:
    """Tasks of every split that is there without further settings."""
    sizes = {}
    for split in env.splits:
        try:
            sizes[split] = len(layergym.make(id, split=split).tasks)
        except layergym.InputError:
            continue
    return sizes


def _show(args: argparse.Namespace, out: Output) -> int:
    from rich.table import Table
    from rich.text import Text

    from layergym.envs.registry import about
    from layergym.envs.settings import settings

    id = layergym.find(args.word)
    out.show(f"{id}: {about(id)}\nSettings, each given with --env-arg NAME=VALUE:")
    table = Table(box=None, pad_edge=False)
    for name in ("name", "default", "type", "what"):
        table.add_column(name, overflow="fold")
    for each in settings(id):
        default = each.default or "(needed)"
        table.add_row(*(Text(printable(t)) for t in (each.name, default, each.kind, each.about)))
        out.record(event="setting", environment=id, **asdict(each))
    out.show(table)
    return 0


def _check(args: argparse.Namespace, out: Output) -> int:
    from layergym.envs.conformance import examine, pace

    name, settings = layergym.find(required_env(args)), env_args(args.env_arg)

    def fresh() -> layergym.TextEnv:
        return layergym.make(name, **settings)

    fresh()  # A wrong setting is an error, not a finding.
    problems = 0
    for finding in examine(fresh):
        out.show(f"{'no' if finding.problems else 'ok':>4}  {finding.promise}")
        for problem in finding.problems:
            out.show(f"      - {problem}")
        out.record(event="promise", promise=finding.promise, problems=finding.problems)
        problems += len(finding.problems)
    if problems:
        out.show(f"{name}: {problems} to mend")
        return 1
    speed = pace(fresh)
    out.show(
        f"{name} conforms; reset {1e3 * speed.reset_s:.3g} ms, step {1e3 * speed.step_s:.3g} ms"
    )
    out.record(event="conforms", id=name, reset_s=speed.reset_s, step_s=speed.step_s)
    return 0


def _check_alfworld(args: argparse.Namespace, out: Output) -> int:
    from rich.progress import track

    from layergym.envs.alfworld.games import open_games
    from layergym.envs.alfworld.parity import check_parity

    games = open_games(args.games, args.split)
    every = max(1, len(games.ids) // args.sample) if args.sample else 1
    ids = games.ids[::every][: args.sample]
    played = steps = won = 0
    results = check_parity(games, ids, version=args.version, steps=args.steps, log=args.log)
    for result in track(results, "games", len(ids), console=out.progress):
        if result.difference:
            difference = result.difference
            out.show(
                f"{result.id}: {difference.what} differs after {len(difference.commands)} commands:"
            )
            out.show("\n".join(f"  > {command}" for command in difference.commands))
            out.show(f"layergym: {difference.ours!r}\nalfworld: {difference.theirs!r}")
            out.record(event="difference", game=result.id, **asdict(difference))
            return 1
        played, steps, won = played + 1, steps + result.steps, won + result.won
    out.show(f"{played} games, {steps:,} steps, {won} won: 0 differences")
    out.record(event="parity", games=played, steps=steps, won=won)
    return 0


def _build_alfworld_index(args: argparse.Namespace, out: Output) -> int:
    from layergym.envs.alfworld.folders import build_index

    if not args.folder.is_dir():
        raise layergym.InputError(f"there is no folder {args.folder}; check the path")
    report = build_index(args.folder, args.out)
    size = args.out.stat().st_size
    out.show(f"{report.games:,} games in {args.out} ({size:,} bytes)")
    for reason, number in report.left_out.items():
        out.show(f"left out: {number:,} {reason}")
    for note in report.notes:
        out.show(f"note: {note}")
    out.record(event="index", file=args.out, bytes=size, **asdict(report))
    return 0
