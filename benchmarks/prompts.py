"""Do models that never saw this tool understand its default prompts?

For each environment, the share of replies that keep to the form they are asked for (well-formed),
that the environment also understands (valid), and that the limit of tokens cuts off. What is
played is settled by seeds: tasks spread over the training split, sampled at a temperature of 0.4.

    python benchmarks/prompts.py smollm2                          # layergym pull smollm2
    python benchmarks/prompts.py smollm2 --envs math-v0 --show 2  # and two replies of each
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from layergym.agents import Job, LLMAgent, Trajectory, rollout
from layergym.agents.names import Speech, open_agent
from layergym.envs import make, panel


@dataclass(frozen=True)
class Scale:
    """How much of an environment is played."""

    episodes: int
    turns: int
    """The most turns of an episode."""
    new_tokens: int


TEMPERATURE = 0.4
"""The temperature of the published scores."""
SPREAD = 24
"""Tasks to choose from, spread over the split."""
SCALES = {
    "alfworld-v0": Scale(4, 2, 48),
    "webshop-v0": Scale(4, 2, 48),
    "math-v0": Scale(8, 1, 96),
    "code-v0": Scale(6, 1, 96),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", help="models by name, as for layergym eval")
    parser.add_argument("--envs", nargs="+", default=list(SCALES), choices=SCALES)
    parser.add_argument("--format", help="a form of replies, in place of the usual one")
    parser.add_argument(
        "--admissible", action=argparse.BooleanOptionalAction, help="list the admissible actions"
    )
    parser.add_argument("--first", type=int, default=0, help="leave out this many tasks")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="replies to print")
    options = parser.parse_args()
    print("| model | environment | form | replies | well-formed | valid | cut off | reward |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for model in options.models:
        for env in options.envs:
            scale = SCALES[env]
            speech = Speech(
                temperature=TEMPERATURE,
                max_new_tokens=scale.new_tokens,
                format=options.format,
                **({"admissible": options.admissible} if options.admissible is not None else {}),
            )
            agent, played = play(model, env, scale, speech, options.first)
            print(line(model, env, agent, played), flush=True)
            for number, one in enumerate(played[: options.show]):
                for turn in one.turns:
                    print(f"--- {number}: {turn.valid} {turn.action!r}\n{turn.reply.text}")


def play(
    model: str, env: str, scale: Scale, speech: Speech, first: int
) -> tuple[LLMAgent, list[Trajectory]]:
    """Tasks spread over the split, from the `first` on, one episode each."""
    fresh = partial(make, env, split="train", max_turns=scale.turns)
    agent = open_agent(model, speech, make_env=fresh)
    assert isinstance(agent, LLMAgent)
    tasks = panel(fresh()).tasks
    chosen = range(first, first + scale.episodes)
    jobs = [Job(tasks[n * len(tasks) // SPREAD], n) for n in chosen]
    return agent, rollout(agent, fresh, jobs)


def line(model: str, env: str, agent: LLMAgent, played: Sequence[Trajectory]) -> str:
    """A row of the table."""
    turns = [turn for one in played for turn in one.turns]
    formed = sum(turn.valid or agent.style.reply.parse(turn.reply.text).ok for turn in turns)
    valid = sum(turn.valid for turn in turns)
    cut = sum(turn.reply.finish == "length" for turn in turns)
    reward = sum(one.total_reward for one in played) / len(played)
    shares = " | ".join(f"{count / len(turns):.0%}" for count in (formed, valid, cut))
    return f"| {model} | {env} | {agent.style.format} | {len(turns)} | {shares} | {reward:.2f} |"


if __name__ == "__main__":
    main()
