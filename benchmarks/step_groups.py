"""GiGPO's step groups on real ALFWorld games, under several context policies.

How many of the states in which the episodes of a group chose an action were met more than once:
only those have a step advantage. A context policy cannot change what a state is, but it changes
what a model sees and so where it goes. Played by models; beside them, as a yardstick that sees no
prompt, by the environment's expert with a share of random actions.

    python benchmarks/step_groups.py ../shared/data/alfworld/train_problems.jsonl.xz
    python benchmarks/step_groups.py train_problems.jsonl.xz --models smollm2 --tasks 2 --group 4
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from layergym.agents import ExpertAgent, Group, Job, RandomAgent, Trajectory, rollout
from layergym.agents.base import AnyAgent, Decision, Episode, Failure
from layergym.agents.names import Speech, open_agent
from layergym.envs import make
from layergym.trainer.credit.advantages import statistics
from layergym.trainer.credit.schedule import episode_seed
from layergym.trainer.rows.packing import rows_of

NOISE = 0.3


class AstrayExpert:
    """The expert, who takes a random admissible action every so often."""

    def __init__(self) -> None:
        """Begin with both."""
        self._expert, self._random = ExpertAgent(), RandomAgent()

    def act(self, episodes: Sequence[Episode]) -> list[Decision | Failure | None]:
        """Decide for each episode; the choice depends on its seed and turn alone."""
        return [move for episode in episodes for move in self._of(episode).act([episode])]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _of(self, episode: Episode) -> ExpertAgent | RandomAgent:
        astray = np.random.default_rng([episode.seed, episode.env.turn]).random() < NOISE
        return self._random if astray else self._expert


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("games", help="games as for --env-arg games=...")
    parser.add_argument("--split", default="train")
    parser.add_argument("--models", nargs="+", default=["tiny"])
    parser.add_argument("--contexts", nargs="+", default=["whole", "last:2"])
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--new-tokens", type=int, help="of a reply at most")
    options = parser.parse_args()
    fresh = partial(
        make, "alfworld-v0", games=options.games, split=options.split, max_turns=options.turns
    )
    tasks = fresh().tasks
    chosen = [tasks[n * len(tasks) // options.tasks] for n in range(options.tasks)]
    jobs = [
        Job(task, episode_seed(0, place, number))
        for place, task in enumerate(chosen)
        for number in range(options.group)
    ]
    print(
        f"{len(chosen)} games of {options.games.rsplit('/', 1)[-1]}, {options.group} episodes each"
    )
    print(
        "| policy | context | turns | solved | step groups | larger than one | mean size "
        "| turns in them | rows | tokens read |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)

    def report(policy: str, context: str, agent: AnyAgent) -> None:
        played = rollout(agent, fresh, jobs)
        print(line(policy, context, played, options.group), flush=True)

    report(f"expert, {NOISE:.0%} random", "sees none", AstrayExpert())
    for model in options.models:
        for context in options.contexts:
            speech = Speech(context=context, max_new_tokens=options.new_tokens)
            report(model, context, open_agent(model, speech, make_env=fresh))


def line(policy: str, context: str, played: Sequence[Trajectory], size: int) -> str:
    """A row of the table."""
    groups = [Group(tuple(played[n : n + size])) for n in range(0, len(played), size)]
    found = statistics(groups)
    turns = sum(len(one.turns) for one in played)
    alone = found.step_groups - found.shared
    rows = [row for one in played for row in rows_of(one, [0.0] * len(one.turns))]
    solved = sum(one.success for one in played) / len(played)
    return (
        f"| {policy} | {context} | {turns:,} | {solved:.0%} | {found.step_groups:,} "
        f"| {found.shared_share:.1%} | {found.mean_size:.2f} | {1 - alone / turns:.1%} "
        f"| {len(rows):,} | {sum(map(len, rows)):,} |"
    )


if __name__ == "__main__":
    main()
