"""Environments that may block: what threads cost where none are needed, and what they save.

First row: ALFWorld, which never blocks, played by an agent that costs nothing: CPU time per step
of the environments alone, of a rollout, and of a rollout that is told to mistrust them. Second
row: an environment that waits for something outside: time by the clock.

    python benchmarks/blocking_envs.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence

import layergym
from layergym.agents import Decision, Episode, Job, Reply, rollout
from layergym.envs.core import Outcome, TextEnv

EPISODES, TURNS, ROUNDS = 64, 50, 5
SLOW_S, SLOW_EPISODES, SLOW_TURNS = 0.05, 16, 4
ACTIONS = ("look", "inventory")


class Says:
    """Says the same two things in turn."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision]:
        """One after the other."""
        action = ACTIONS[episodes[0].env.turn % 2]
        return [Decision(Reply(action), action)] * len(episodes)

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""


class Slow(TextEnv):
    """Waits before it answers."""

    max_turns = SLOW_TURNS

    def start(self) -> str:
        """Nothing to see."""
        return "Go on."

    def play(self, action: str) -> Outcome:
        """Wait."""
        time.sleep(SLOW_S)
        return Outcome("Yes.")


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    jobs = [Job(task, 0) for task in layergym.panel(alfworld(None)(), EPISODES).tasks]
    played(alfworld(None), jobs)  # Games are built once.
    cpu = [
        best(lambda: alone(alfworld(None), jobs)),
        best(lambda: played(alfworld(None), jobs)),
        best(lambda: played(alfworld(60.0), jobs)),
    ]
    print(f"{'':34}{'steps alone':>14}{'rollout':>14}{'in threads':>14}")
    micros = "".join(f"{1e6 * s / (EPISODES * TURNS):>11.1f} us" for s in cpu)
    print(f"{'ALFWorld, CPU time per step':34}{micros}")
    slow = [Job(f"train-{n:04}", 0) for n in range(SLOW_EPISODES)]
    clock = [elapsed(waits(None), slow), elapsed(waits(60.0), slow)]
    name = f"{SLOW_EPISODES} that wait {1000 * SLOW_S:.0f} ms, by the clock"
    print(f"{name:34}{'':14}{clock[0]:>12.2f} s{clock[1]:>12.2f} s")


def alfworld(limit: float | None) -> Callable[[], TextEnv]:
    return lambda: layergym.make("alfworld-v0", max_turns=TURNS, step_timeout_s=limit)


def waits(limit: float | None) -> Callable[[], TextEnv]:
    def made() -> Slow:
        env = Slow()
        env.step_timeout_s = limit
        return env

    return made


def alone(make: Callable[[], TextEnv], jobs: Sequence[Job]) -> float:
    """CPU seconds of the environments' own steps."""
    envs = [make() for _ in jobs]
    for env, job in zip(envs, jobs, strict=True):
        env.reset(seed=job.seed, options={"task": job.task})
    began = time.process_time()
    for turn in range(TURNS):
        for env in envs:
            env.state_key()
            env.step(ACTIONS[turn % 2])
    return time.process_time() - began


def played(make: Callable[[], TextEnv], jobs: Sequence[Job]) -> float:
    """CPU seconds of a rollout, from its first turn."""
    began: list[float] = []

    class Timed(Says):
        def act(self, episodes: Sequence[Episode]) -> list[Decision]:
            began.append(time.process_time())
            return super().act(episodes)

    rollout(Timed(), make, jobs)
    return time.process_time() - began[0]


def best(run: Callable[[], float]) -> float:
    return min(run() for _ in range(ROUNDS))


def elapsed(make: Callable[[], TextEnv], jobs: Sequence[Job]) -> float:
    began = time.perf_counter()
    rollout(Says(), make, jobs)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
