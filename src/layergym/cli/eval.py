"""`layergym eval`: score agents on a fixed panel."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import layergym
from layergym.cli.options import add_env, env_args, required_env

if TYPE_CHECKING:
    from layergym.evals.results import EvalResult

EXAMPLES = """
examples:
  layergym eval alfworld-v0 --agent expert --tasks 100
  layergym eval alfworld-v0 --agent random expert tiny --split test
  layergym eval alfworld-v0 --agent tiny --temperature 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_env(parser)
    parser.add_argument(
        "--agent", nargs="+", default=["tiny"], help="random, expert, or models by name"
    )
    parser.add_argument("--split", default="test")
    parser.add_argument("--tasks", type=int, help="tasks of the panel (default: all)")
    parser.add_argument("--repeats", type=int, default=1, help="episodes per task")
    parser.add_argument("--temperature", type=float, default=1.0, help="of models; 0 is greedy")
    parser.add_argument("--max-new-tokens", type=int, help="tokens of a model's reply at most")
    parser.add_argument("--format", choices=["think", "plain"], help="form of a model's reply")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Score each agent and print one table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from layergym.agents.names import open_agent
    from layergym.evals.evaluate import evaluate

    settings = env_args(args.env_arg)

    def fresh() -> layergym.TextEnv:
        return layergym.make(required_env(args), split=args.split, **settings)

    panel = layergym.panel(fresh(), args.tasks)
    results = [
        evaluate(
            open_agent(
                name, temperature=args.temperature, max_new_tokens=args.max_new_tokens,
                format=args.format,
            ), fresh, panel, arm=name,
            temperature=args.temperature, repeats=args.repeats, seed=args.seed,
        )
        for name in args.agent
    ]  # fmt: skip
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for result in results:
        table.add_column(result.arm, justify="right", no_wrap=True)
    for kind in ["", *sorted({k for k in results[0].kinds if k})]:
        table.add_row(kind.replace("_", " ") or "all", *(_cell(result, kind) for result in results))
    console = Console(highlight=False)
    console.print(f"{panel.env_id} {panel.split}: {len(panel)} tasks, panel {panel.hash[:12]}")
    console.print(table)
    console.print("success in %, with 95 % bootstrap intervals over tasks", style="dim")
    return 0


def _cell(result: EvalResult, kind: str) -> str:
    from layergym.evals.stats import joint_draws, score_interval

    picked = [kind in ("", k) for k in result.kinds]
    cells = result.rates[picked][None]
    score = score_interval(cells, joint_draws([cells], [False], seed=0)[:, 0])
    low, high = 100 * (score.low or 0), 100 * (score.high or 0)
    return f"{100 * score.value:.1f} [{low:.0f}, {high:.0f}]"
