"""`layergym play`: at the keyboard, or watch an agent."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

import layergym
from layergym.base.errors import error_line, faults
from layergym.command.console import Output, add_output, output
from layergym.command.options import add_compute, add_env, env_args, required_env
from layergym.command.values import SEED, TEMPERATURE, text

if TYPE_CHECKING:
    from layergym.agents import Turn
    from layergym.agents.base import AnyAgent

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
    parser.add_argument("--task", type=text, help="task id (default: drawn with --seed)")
    parser.add_argument(
        "--temperature", type=TEMPERATURE, default=1.0, help="of a model; 0 is greedy"
    )
    parser.add_argument("--seed", type=SEED, default=0)
    add_compute(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Play one episode."""
    from layergym.agents import Job, rollout

    out = output(args)
    settings = env_args(args.env_arg)

    def fresh() -> layergym.TextEnv:
        return layergym.make(required_env(args), split=args.split, render_mode="ansi", **settings)

    env = fresh()
    task = args.task or _asked(lambda: str(env.reset(seed=args.seed)[1]["task"]))
    out.note(f"task {task}", "dim")
    if env.instructions:
        out.note(env.instructions, "dim")
    human = args.agent == "human"
    if human and out.json:
        raise layergym.InputError("--json is for agents; you would not see what you play")
    agent = _agent(args, fresh)
    shown = None if human else _show(out)
    [played] = rollout(agent, lambda: env, [Job(task, args.seed)], on_turn=shown)
    if played.error:
        raise layergym.InputError(f"the episode failed: {played.error}")
    if played.turns:
        out.show(_asked(lambda: str(env.render())))
    verdict = "solved" if played.success else f"not solved ({played.ended})"
    out.show(f"{verdict}, reward {played.total_reward:g}", "bold")
    out.record(
        event="episode",
        task=task,
        success=played.success,
        reward=played.total_reward,
        turns=len(played.turns),
        ended=played.ended,
    )
    return 0


def _agent(args: argparse.Namespace, fresh: Callable[[], layergym.TextEnv]) -> AnyAgent:
    from layergym.agents.base import SCRIPTED

    if args.agent in SCRIPTED:  # Who writes environments need not have torch.
        return SCRIPTED[args.agent]()
    from layergym.agents.names import Speech, open_agent

    speech = Speech(temperature=args.temperature, dtype=args.dtype, device=args.device)
    return open_agent(args.agent, speech, make_env=fresh)


def _asked(environment: Callable[[], str]) -> str:
    """What an environment says outside of an episode."""
    try:
        return environment()
    except layergym.InputError:
        raise
    except faults() as error:
        raise layergym.InputError(f"the environment failed: {error_line(error)}") from error


def _show(out: Output) -> Callable[[int, Turn], None]:
    def show(_: int, turn: Turn) -> None:
        out.show(turn.observation)
        out.show(f"> {turn.reply.text}", "bold" if turn.valid else "yellow")
        out.record(event="turn", observation=turn.observation, reply=turn.reply.text)

    return show
