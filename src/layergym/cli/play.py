"""`layergym play`: at the keyboard, or watch an agent."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import layergym
from layergym.cli.options import add_env, env_args, required_env

if TYPE_CHECKING:
    from rich.console import Console

    from layergym.agents import Turn

EXAMPLES = """
examples:
  layergym play alfworld-v0                          you play (end of input gives up)
  layergym play alfworld-v0 --agent expert           watch the scripted expert
  layergym play alfworld-v0 --agent tiny             watch the embedded policy
  layergym play alfworld-v0 --split test --task gen/look_at_obj_in_light/000003
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_env(parser)
    parser.add_argument(
        "--agent",
        default="human",
        help="human, random, expert, a model by name, or openai:MODEL@URL for a server",
    )
    parser.add_argument("--split", default="train")
    parser.add_argument("--task", help="task id (default: drawn with --seed)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of a model; 0 is greedy")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Play one episode."""
    from rich.console import Console

    from layergym.agents import Job, rollout
    from layergym.agents.names import Speech, open_agent

    console = Console(highlight=False)
    settings = env_args(args.env_arg)

    def fresh() -> layergym.TextEnv:
        return layergym.make(required_env(args), split=args.split, render_mode="ansi", **settings)

    env = fresh()
    task = args.task or env.reset(seed=args.seed)[1]["task"]
    console.print(f"task {task}", style="dim", markup=False)
    if env.instructions:
        console.print(env.instructions, style="dim", markup=False)
    human = args.agent == "human"
    agent = open_agent(args.agent, Speech(temperature=args.temperature))
    shown = None if human else _show(console)
    [played] = rollout(agent, lambda: env, [Job(task, args.seed)], on_turn=shown)
    if played.error:
        raise layergym.InputError(f"the episode failed: {played.error}")
    if played.turns:
        console.print(env.render(), markup=False)
    verdict = "solved" if played.success else f"not solved ({played.ended})"
    console.print(f"{verdict}, reward {played.total_reward:g}", style="bold")
    return 0


def _show(console: Console) -> Callable[[int, Turn], None]:
    def show(_: int, turn: Turn) -> None:
        console.print(turn.observation, markup=False)
        console.print(
            f"> {turn.reply.text}", style="bold" if turn.valid else "yellow", markup=False
        )

    return show
