"""`layergym envs`: what can be played."""

from __future__ import annotations

import argparse

import layergym

EXAMPLES = """
examples:
  layergym envs                         every registered environment
  layergym envs check alfworld-v0       does it keep the contract, and how to mend it if not
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", nargs="?", choices=["list", "check"], default="list")
    parser.add_argument("env", nargs="?", help="environment id, for check")


def run(args: argparse.Namespace) -> int:
    """List the environments, or check one."""
    if args.action == "check":
        return _check(args.env)
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("environment", "tasks", "turns", "what"):
        table.add_column(name)
    for id in layergym.ids():
        env = layergym.make(id)
        about = (type(env).__doc__ or "").strip().splitlines()
        table.add_row(id, _splits(id, env), str(env.max_turns), about[0] if about else "")
    Console().print(table)
    return 0


def _splits(id: str, env: layergym.TextEnv) -> str:
    """Tasks of every split that is there without further settings."""
    sizes = []
    for split in env.splits:
        try:
            sizes.append(f"{split} {len(layergym.make(id, split=split).tasks):,}")
        except layergym.InputError:
            continue
    return ", ".join(sizes)


def _check(name: str | None) -> int:
    if name is None:
        raise layergym.InputError("envs check needs an environment id: layergym envs check NAME")
    from layergym.envs.conforms import conforms

    problems = conforms(name)
    for problem in problems:
        print(f"- {problem}")
    print(f"{layergym.find(name)}: {len(problems)} to mend" if problems else f"{name} conforms")
    return 1 if problems else 0
