"""Environments that may block: what threads cost where none are needed, and what they save.

ALFWorld, which never blocks, played by an agent that costs nothing: CPU time per step of the
environments alone, of a rollout, and of a rollout that is told to mistrust them.

Then 64 environments that wait 50 to 500 ms at every step for something outside: time by the clock,
for an agent that costs nothing and for the embedded model. Beside it stand the times that no order
of play can beat: the waits of the episode that waits the longest, and the CPU time of the process.
"Turn by turn" is what the waits alone would take if every turn waited for the slowest environment,
"one by one" if they were stepped in order.

    python benchmarks/blocking_envs.py            # half a minute
    python benchmarks/blocking_envs.py --waits    # only the second part
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

import layergym
from layergym.agents import (
    Decision,
    Episode,
    Job,
    LLMAgent,
    PromptStyle,
    Reply,
    TransformersSampler,
    rollout,
)
from layergym.agents.names import open_model
from layergym.envs.core import Outcome, TextEnv

EPISODES, TURNS, ROUNDS = 64, 50, 5
WAITING, WAITS, WAIT_S = 64, 12, (0.05, 0.5)
TOKENS = 8
ACTIONS = ("look", "inventory")


class Says:
    """Says the same two things in turn."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision]:
        """One after the other."""
        action = ACTIONS[episodes[0].env.turn % 2]
        return [Decision(Reply(action), action)] * len(episodes)

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""


class Waits(TextEnv):
    """Waits before it answers, as long as task and turn say."""

    max_turns = WAITS
    step_timeout_s = 60.0

    def start(self) -> str:
        """Nothing to see."""
        return "Go on."

    def play(self, action: str) -> Outcome:
        """Wait."""
        time.sleep(waits_s(self.task)[self.turn])
        return Outcome("Yes.")


def waits_s(task: str) -> list[float]:
    """Seconds that an episode waits, by turn."""
    noise = np.random.default_rng(int(task[-4:]))
    found: list[float] = noise.uniform(*WAIT_S, WAITS).tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--waits", action="store_true", help="only environments that wait")
    if not parser.parse_args().waits:
        threads()
    waiting()


def threads() -> None:
    """What threads cost environments that do not block."""
    jobs = [Job(task, 0) for task in layergym.panel(alfworld(None)(), EPISODES).tasks]
    played(alfworld(None), jobs)  # Games are built once.
    cpu = [
        best(lambda: alone(alfworld(None), jobs)),
        best(lambda: played(alfworld(None), jobs)),
        best(lambda: played(alfworld(60.0), jobs)),
    ]
    print(f"{'':34}{'steps alone':>14}{'rollout':>14}{'in threads':>14}")
    micros = "".join(f"{1e6 * s / (EPISODES * TURNS):>11.1f} us" for s in cpu)
    print(f"{'ALFWorld, CPU time per step':34}{micros}\n")


def waiting() -> None:
    """How near to the critical path environments that wait are played."""
    jobs = [Job(f"train-{n:04}", n) for n in range(WAITING)]
    waits = np.array([waits_s(job.task) for job in jobs])
    low, high = (1000 * s for s in WAIT_S)
    print(f"{WAITING} episodes of {WAITS} turns that wait {low:.0f} to {high:.0f} ms each:")
    print(f"  one by one {waits.sum():.1f} s, turn by turn {waits.max(0).sum():.2f} s")
    print(f"{'':28}{'by the clock':>13}{'longest waits':>15}{'CPU':>9}{'clock / longest':>17}")
    longest = waits.sum(1).max()
    for name, agent in (("an agent that costs nothing", Says()), ("the embedded model", model())):
        began, cpu = time.perf_counter(), time.process_time()
        rollout(agent, Waits, jobs)
        clock, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"{name:28}{clock:>11.2f} s{longest:>13.2f} s{cpu:>7.2f} s{clock / longest:>16.2f}x")


def model() -> LLMAgent:
    """The embedded policy, which says up to 8 tokens a turn."""
    net, tokenizer = open_model("tiny")
    sampler = TransformersSampler(net, tokenizer, max_new_tokens=TOKENS)
    return LLMAgent(sampler, tokenizer, PromptStyle("plain"))


def alfworld(limit: float | None) -> Callable[[], TextEnv]:
    return lambda: layergym.make("alfworld-v0", max_turns=TURNS, step_timeout_s=limit)


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


if __name__ == "__main__":
    main()
