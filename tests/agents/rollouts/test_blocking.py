"""Environments that are slow, hang or crash do not hold the others."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

import layergym
from layergym.agents import (
    Decision,
    Episode,
    ExpertAgent,
    Failure,
    Job,
    LLMAgent,
    PromptStyle,
    Reply,
    Trajectory,
    TransformersSampler,
    Turn,
    rollout,
)
from layergym.agents.rollouts.blocking import CallThread
from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv


class Remote(TextEnv):
    """Two turns to success; waits as long as its task says, in milliseconds."""

    step_timeout_s: float | None = 30.0
    max_turns = 4
    threads: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.threads = [threading.get_ident()]

    def start(self) -> str:
        self.threads.append(threading.get_ident())
        return "Go on."

    def play(self, action: str) -> Outcome:
        self.threads.append(threading.get_ident())
        time.sleep(int(self.task[-4:]) / 1000)
        won = self.turn == 1
        return Outcome(f"Now {int(self.np_random.integers(1000))}.", float(won), won, success=won)

    def expert(self) -> str:
        return "on"

    def close(self) -> None:
        self.threads.append(threading.get_ident())


class Stuck(Remote):
    """Task 13 hangs in its second step, task 14 at its start; both until they are let go."""

    step_timeout_s = 0.3
    let_go = threading.Event()
    closed = threading.Semaphore(0)

    def start(self) -> str:
        return self._hang() if self.task[-4:] == "0014" else super().start()

    def play(self, action: str) -> Outcome:
        if self.task[-4:] == "0013" and self.turn == 1:
            self._hang()
        if self.task[-4:] == "0666":
            raise ConnectionResetError("gone")
        return super().play(action)

    def _hang(self) -> str:
        self.let_go.wait(60)
        return "Too late."

    def close(self) -> None:
        if self.task[-4:] in ("0013", "0014"):
            self.closed.release()
        if self.task[-4:] == "0666":
            raise ConnectionResetError("still gone")


def played(make: Callable[[], TextEnv], *tasks: int) -> list[Trajectory]:
    return rollout(ExpertAgent(), make, [Job(f"train-{n:04}", seed=n) for n in tasks])


def test_slow_environments_step_at_the_same_time() -> None:
    started = time.monotonic()
    trajectories = played(Remote, *[100] * 16)
    assert time.monotonic() - started < 16 * 2 * 0.1 / 2, "two steps of 0.1 s, in sixteen of them"
    assert all(t.success and len(t.turns) == 2 for t in trajectories)


def test_results_do_not_depend_on_who_is_faster() -> None:
    class Here(Remote):
        step_timeout_s = None

    Here.__name__ = "Remote"  # What an environment is called seeds its tasks.
    told: list[tuple[int, Turn]] = []
    jobs = [Job(f"train-{n:04}", seed=n) for n in (60, 5, 30, 0)]
    apart = rollout(ExpertAgent(), Remote, jobs, on_turn=lambda i, turn: told.append((i, turn)))
    assert apart == rollout(ExpertAgent(), Here, jobs)
    for number, trajectory in enumerate(apart):
        assert [turn for i, turn in told if i == number] == list(trajectory.turns)


def test_an_environment_keeps_to_one_thread_and_others_to_the_callers() -> None:
    envs: list[Remote] = []

    def make(limit: float | None) -> Callable[[], Remote]:
        def made() -> Remote:
            envs.append(Remote())
            envs[-1].step_timeout_s = limit
            return envs[-1]

        return made

    played(make(30.0), 0, 1)
    played(make(None), 0, 1)
    here = threading.get_ident()
    for env in envs[:2]:
        assert env.threads[0] == here
        assert len(env.threads) == 5, "made, started, two turns, closed"
        assert len(set(env.threads[1:])) == 1
        assert env.threads[1] != here
    assert envs[0].threads[1] != envs[1].threads[1]
    assert all(set(env.threads) == {here} for env in envs[2:])


def test_one_that_hangs_or_crashes_ends_its_own_episode_only() -> None:
    Stuck.let_go.clear()
    started = time.monotonic()
    fine, stuck, unborn, gone, slow = played(Stuck, 1, 13, 14, 666, 50)
    assert time.monotonic() - started < 2, "one limit at the start, one in the second turn"
    assert fine.success
    assert slow.success
    late = "TimeoutError: no answer within 0.3 s"
    assert (stuck.ended, stuck.error, len(stuck.turns)) == ("error", late, 1)
    assert (unborn.ended, unborn.error, len(unborn.turns)) == ("error", late, 0)
    assert (gone.ended, gone.error) == ("error", "ConnectionResetError: gone")
    Stuck.let_go.set()  # What they say now comes too late; they are closed, by their own threads.
    assert all(Stuck.closed.acquire(timeout=10) for _ in range(2))
    assert len(stuck.turns) == 1


def test_what_it_raises_beyond_errors_reaches_the_caller() -> None:
    class Interrupted(Remote):
        def play(self, action: str) -> Outcome:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        played(Interrupted, 1)
    with pytest.raises(InputError, match="no task"):
        played(Remote, 9999)


def test_an_agent_sees_only_environments_that_wait_for_it() -> None:
    seen: list[set[int]] = []

    class Watching(ExpertAgent):
        def act(self, episodes: object) -> list[Decision | Failure | None]:
            assert isinstance(episodes, list)
            seen.append({e.id for e in episodes if isinstance(e, Episode)})
            return [Decision(Reply("on"), "on") for _ in episodes]

    Stuck.let_go.clear()
    rollout(Watching(), Stuck, [Job(f"train-{n:04}", n) for n in (1, 13, 14)])
    Stuck.let_go.set()
    assert sorted(e for asked in seen for e in asked) == [0, 0, 1, 1]


def test_a_call_that_was_given_up_does_not_hold_the_end_of_the_process() -> None:
    code = (
        "import threading; from layergym.agents.rollouts.blocking import CallThread\n"
        "thread = CallThread(0.05)\n"
        "try: thread.begin(threading.Event().wait)()\n"
        "except TimeoutError as error: print(error, thread.hangs)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "no answer within 0.05 s True\n"


def test_calls_are_made_in_order_and_the_last_ends_the_thread() -> None:
    before = threading.active_count()
    thread = CallThread(30)
    said: list[int] = []
    waits = [thread.begin(lambda n=n: said.append(n)) for n in range(5)]  # type: ignore[misc]
    assert thread.end(lambda: said.copy())() == [0, 1, 2, 3, 4]
    assert [wait() for wait in waits] == [None] * 5
    for _ in range(100):
        if threading.active_count() == before:
            return
        time.sleep(0.01)
    raise AssertionError("the thread is still there")


def test_the_limit_is_a_setting_of_any_environment() -> None:
    assert layergym.make("alfworld-v0").step_timeout_s is None
    assert layergym.make("alfworld-v0", step_timeout_s=5).step_timeout_s == 5
    with pytest.raises(InputError, match="above 0 seconds"):
        layergym.make("alfworld-v0", step_timeout_s=0)


def test_alfworld_plays_the_same_in_threads() -> None:
    def make(limit: float | None) -> Callable[[], TextEnv]:
        return lambda: layergym.make("alfworld-v0", step_timeout_s=limit)

    jobs = [Job(task, 7) for task in layergym.panel(make(None)(), 4).tasks]
    assert rollout(ExpertAgent(), make(60.0), jobs) == rollout(ExpertAgent(), make(None), jobs)


class Moody(TextEnv):
    """Takes its time, now more and now less."""

    instructions = "Say anything."
    max_turns = 5

    def start(self) -> str:
        self.mood = random.Random()
        return f"Begin {self.task}."

    def play(self, action: str) -> Outcome:
        time.sleep(self.mood.random() * 0.02)
        return Outcome(f"{len(action)} letters on {self.task}.", reward=1.0)


@pytest.mark.parametrize("in_flight", [None, 3])
def test_what_a_model_says_does_not_depend_on_who_is_faster(
    in_flight: int | None,
    model: Callable[[str], PreTrainedModel],
    tokenizer: Callable[[str | None], PreTrainedTokenizerFast],
) -> None:
    def said(limit: float | None, at_once: int | None) -> list[list[tuple[int, ...]]]:
        sampler = TransformersSampler(model("qwen3"), tokenizer(None), max_new_tokens=9)
        agent = LLMAgent(sampler, tokenizer(None), PromptStyle("plain"))
        env = type("Moody", (Moody,), {"step_timeout_s": limit})
        jobs = [Job(f"train-{n // 2:04}", seed=n) for n in range(8)]
        played = rollout(agent, env, jobs, in_flight=at_once)
        return [[turn.reply.ids for turn in one.turns] for one in played]

    assert said(60.0, in_flight) == said(None, None)


def test_others_neither_wait_for_one_that_hangs_or_dies_nor_say_anything_else(
    model: Callable[[str], PreTrainedModel], tokenizer: Callable[[str | None], Any]
) -> None:
    let_go, hangs, dies = threading.Event(), 2, 5

    class Sick(Moody):
        step_timeout_s = 60.0
        sick = True

        def play(self, action: str) -> Outcome:
            if self.sick and self.turn == 1 and self.task == f"train-{hangs:04}":
                let_go.wait(60)
            if self.sick and self.turn == 1 and self.task == f"train-{dies:04}":
                raise ConnectionResetError("gone")
            return super().play(action)

    class Well(Sick):
        sick = False

    Well.__name__ = Sick.__name__  # What an environment is called seeds its tasks.
    over: list[int] = []

    def ended(number: int, _: Trajectory) -> None:
        over.append(number)
        if len(over) == 7:  # All but the one that hangs.
            let_go.set()

    def played(env: type[TextEnv], on_end: Callable[[int, Trajectory], None]) -> list[Trajectory]:
        sampler = TransformersSampler(model("qwen3"), tokenizer(None), max_new_tokens=9)
        agent = LLMAgent(sampler, tokenizer(None), PromptStyle("plain"))
        return rollout(agent, env, [Job(f"train-{n:04}", n) for n in range(8)], on_end=on_end)

    sick, well = played(Sick, ended), played(Well, lambda *_: None)
    assert over[-1] == hangs, "the others did not wait for it"
    assert [one.ended for one in sick].count("error") == 1
    assert (sick[dies].ended, len(sick[dies].turns)) == ("error", 1)
    for ours, theirs in zip(sick, well, strict=True):
        known = len(ours.turns)
        assert [turn.reply.ids for turn in ours.turns] == [
            t.reply.ids for t in theirs.turns[:known]
        ]
