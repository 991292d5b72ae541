"""Episodes in lockstep: order, seeds, failures and who plays."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from typing import ClassVar

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from layergym.agents import (
    Agent,
    Decision,
    Episode,
    ExpertAgent,
    HumanAgent,
    Job,
    LLMAgent,
    PromptStyle,
    RandomAgent,
    Reply,
    Trajectory,
    TransformersSampler,
    Turn,
    rollout,
)
from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv
from layergym.trainer.rows.packing import rows_of
from tests.agents.conftest import CHATML, FORGETFUL

Models = Callable[[str], PreTrainedModel]
Tokenizers = Callable[[str | None], PreTrainedTokenizerFast]


class Stairs(TextEnv):
    """Climb as many floors as the task's number; the wind (the seed) may blow a floor back."""

    instructions = "Say up or down."
    max_turns = 6

    def start(self) -> str:
        if self.task == "train-0666":
            raise RuntimeError("no such staircase")
        self.floor = 0
        return f"You are at the foot of {self.task}."

    def play(self, action: str) -> Outcome:
        if action == "break":
            raise RuntimeError("the stairs broke")
        self.floor += {"up": 1, "down": -1}.get(action, 0)
        won = self.floor >= int(self.task[-1])
        wind = int(self.np_random.integers(100))
        text = f"You are on floor {self.floor}; the wind is {wind}."
        return Outcome(text, float(won), won, action in ("up", "down"), won)

    def kind(self, task: str) -> str:
        return "high" if int(task[-1]) > 3 else "low"

    def admissible(self) -> Sequence[str]:
        return ["down", "up"]

    def expert(self) -> str:
        return "up"


class Breaks:
    """Climbs, and breaks the stairs of episode 1 at its second turn."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision | None]:
        return [self._decide(e) for e in episodes]

    def release(self, episodes: object) -> None:
        pass

    def _decide(self, episode: Episode) -> Decision:
        action = "break" if episode.id == 1 and episode.env.turn == 1 else "up"
        return Decision(Reply(action), action)


def test_an_episode_is_reported_as_soon_as_it_is_over() -> None:
    told: list[tuple[int, str]] = []
    jobs = [Job("train-0003", 0), Job("train-0666", 0), Job("train-0001", 0)]
    played = rollout(ExpertAgent(), Stairs, jobs, on_end=lambda i, t: told.append((i, t.task)))
    assert told == [(1, "train-0666"), (2, "train-0001"), (0, "train-0003")]
    assert [t.task for t in played] == [job.task for job in jobs]


def test_trajectories_come_in_the_order_of_the_jobs() -> None:
    jobs = [Job(f"train-000{n}", seed=n) for n in (3, 1, 2, 5)]
    told: list[tuple[int, Turn]] = []
    trajectories = rollout(ExpertAgent(), Stairs, jobs, on_turn=lambda i, t: told.append((i, t)))
    assert [t.task for t in trajectories] == [job.task for job in jobs]
    assert [len(t.turns) for t in trajectories] == [3, 1, 2, 5]
    assert [t.kind for t in trajectories] == ["low", "low", "low", "high"]
    assert all(t.ended == "terminated" and t.success for t in trajectories)
    assert trajectories[0].total_reward == 1.0
    assert [turn for i, turn in told if i == 3] == list(trajectories[3].turns)


def test_a_turn_holds_the_state_in_which_its_action_was_chosen() -> None:
    (trajectory,) = rollout(ExpertAgent(), Stairs, [Job("train-0002", 0)])
    env = Stairs()
    text, _ = env.reset(seed=0, options={"task": "train-0002"})
    for turn in trajectory.turns:
        assert (turn.observation, turn.state_key) == (text, env.state_key())
        text, *_ = env.step(turn.action)


@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_so_many_are_played_at_once_and_come_out_the_same(in_flight: int) -> None:
    open_now, most = 0, 0

    class Counted(Stairs):
        def start(self) -> str:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            return super().start()

        def close(self) -> None:
            nonlocal open_now
            open_now -= 1

    Counted.__name__ = "Stairs"  # What an environment is called seeds its tasks.
    jobs = [Job(f"train-000{n}", seed=n) for n in (3, 1, 2, 5, 9, 1, 4)]
    played = rollout(RandomAgent(), Counted, jobs, in_flight=in_flight)
    assert played == rollout(RandomAgent(), Stairs, jobs)
    assert (most, open_now) == (min(in_flight, len(jobs)), 0)


def test_too_many_turns_truncate() -> None:
    (trajectory,) = rollout(ExpertAgent(), Stairs, [Job("train-0009", 0)])
    assert (trajectory.ended, trajectory.success) == ("truncated", False)
    assert trajectory.last_key not in (None, trajectory.turns[-1].state_key)
    assert len(trajectory.turns) == Stairs.max_turns


def test_an_environment_that_raises_ends_its_own_episode_only() -> None:
    jobs = [Job("train-0003", 0), Job("train-0003", 0), Job("train-0666", 0)]
    fine, broken, unborn = rollout(Breaks(), Stairs, jobs)
    assert fine.success
    assert (broken.ended, broken.error) == ("error", "RuntimeError: the stairs broke")
    assert len(broken.turns) == 1
    assert (unborn.ended, unborn.error) == ("error", "RuntimeError: no such staircase")


def test_a_task_that_is_not_there_is_the_callers_error() -> None:
    with pytest.raises(InputError, match="no task"):
        rollout(ExpertAgent(), Stairs, [Job("train-9999", 0)])


def test_an_interrupt_passes_through() -> None:
    class Interrupted(Stairs):
        def play(self, action: str) -> Outcome:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rollout(ExpertAgent(), Interrupted, [Job("train-0001", 0)])


def test_a_random_agent_depends_on_the_seed_alone() -> None:
    jobs = [Job("train-0009", seed) for seed in range(8)]
    together = rollout(RandomAgent(), Stairs, jobs)
    alone = [rollout(RandomAgent(), Stairs, [job])[0] for job in jobs]
    assert together == alone
    assert len({tuple(turn.action for turn in t.turns) for t in together}) > 1


def test_agents_say_what_an_environment_lacks() -> None:
    class Bare(TextEnv):
        def start(self) -> str:
            return ""

    with pytest.raises(InputError, match="Bare lists no admissible actions"):
        rollout(RandomAgent(), Bare, [Job("train-0001", 0)])
    with pytest.raises(InputError, match="Bare has no expert"):
        rollout(ExpertAgent(), Bare, [Job("train-0001", 0)])


def test_a_person_sees_the_observation_and_may_leave() -> None:
    keys = iter(["up ", "down"])
    shown: list[str] = []

    def ask(_: str) -> str:
        try:
            return next(keys)
        except StopIteration:
            raise EOFError from None

    (trajectory,) = rollout(HumanAgent(ask, shown.append), Stairs, [Job("train-0003", 0)])
    assert [turn.action for turn in trajectory.turns] == ["up", "down"]
    assert trajectory.ended == "truncated"
    assert shown[0] == "You are at the foot of train-0003."


@pytest.mark.parametrize("typed", [None, b"", b"\xff\xfe\n"])
def test_what_is_no_keyboard_ends_a_game_or_types_nothing_that_is_known(
    typed: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = None if typed is None else TextIOWrapper(BytesIO(typed), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", keys)
    agent = HumanAgent(show=lambda _: None)
    (trajectory,) = rollout(agent, Stairs, [Job("train-0003", 0)])
    assert [turn.action for turn in trajectory.turns] == (["\ufffd\ufffd"] if typed else [])
    assert trajectory.ended == "truncated"


def play(agent: LLMAgent, count: int = 6) -> list[Trajectory]:
    return rollout(agent, Stairs, [Job(f"train-000{5 + i // 3}", i) for i in range(count)])


@pytest.mark.parametrize("template", [CHATML, FORGETFUL, None])
@pytest.mark.parametrize("format", ["think", "plain"])
def test_a_model_plays_token_for_token(
    template: str | None, format: str, model: Models, tokenizer: Tokenizers
) -> None:
    words = tokenizer(template)
    sampler = TransformersSampler(model("qwen3"), words, max_new_tokens=6)
    style = PromptStyle("think" if format == "think" else "plain")
    trajectories = play(LLMAgent(sampler, words, style))
    assert trajectories == play(LLMAgent(sampler, words, style))
    for trajectory in trajectories:
        context: list[int] = []
        for i, turn in enumerate(trajectory.turns):
            reply = turn.reply
            assert reply.extends == (i > 0)
            context += reply.prompt_ids
            assert turn.observation in words.decode(context)
            context += reply.ids
            assert len(reply.ids) == 6 or reply.finish == "stop"
        assert len(trajectory.turns) == Stairs.max_turns


def test_a_full_context_forgets_the_oldest_turns_and_ends_only_where_none_are_left(
    model: Models, tokenizer: Tokenizers
) -> None:
    words = tokenizer(None)
    style = PromptStyle("plain", instructions=False)

    def played(max_context: int) -> list[Trajectory]:
        sampler = TransformersSampler(
            model("llama"), words, max_new_tokens=4, max_context=max_context
        )
        return play(LLMAgent(sampler, words, style), 2)

    for trajectory in played(512):
        assert (trajectory.ended, trajectory.shortened) == ("truncated", False)
    for trajectory in played(190):
        assert (trajectory.ended, trajectory.shortened) == ("truncated", True)
        rows = rows_of(trajectory, [1.0] * Stairs.max_turns)
        assert all(len(row) <= 190 for row in rows)
        assert sum(sum(row.sampled) for row in rows) == sum(
            len(t.reply.ids) for t in trajectory.turns
        ), "nothing that was sampled is lost"
        forgotten = [turn.reply.forgotten for turn in trajectory.turns]
        starts = [i for i, turn in enumerate(trajectory.turns) if not turn.reply.extends]
        assert len(rows) == len(starts) == len(set(forgotten)) > 1
        assert forgotten == sorted(forgotten)
        shown = str(words.decode(list(trajectory.turns[starts[1]].reply.prompt_ids)))
        assert shown.startswith(trajectory.turns[0].observation), "the task stays"
        assert f"[Turns 1 to {forgotten[starts[1]]} are left out.]" in shown
    for trajectory in played(75):
        assert trajectory.ended == "context" and trajectory.turns


def test_values_and_scripted_agents_do_not_need_torch() -> None:
    code = "import sys; import layergym.agents; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


class Raises(Stairs):
    """In the task that is named after it, what the name says is raised."""

    fault: ClassVar[BaseException]

    def play(self, action: str) -> Outcome:
        if self.task == "train-0002":
            raise self.fault
        return super().play(action)


@pytest.mark.parametrize(
    "fault", [SystemExit(3), asyncio.CancelledError(), RecursionError(), ValueError("\ud800")]
)
@pytest.mark.parametrize("limit", [None, 60.0])
def test_whatever_is_raised_ends_its_own_episode_alone(
    fault: BaseException, limit: float | None
) -> None:
    env = type("Faulty", (Raises,), {"fault": fault, "step_timeout_s": limit})
    broken, fine = rollout(ExpertAgent(), env, [Job("train-0002", 0), Job("train-0003", 0)])
    assert broken.ended == "error"
    assert broken.error.startswith(type(fault).__name__)
    assert broken.error.encode()
    assert fine.success


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), 1e308])
def test_a_reward_that_is_not_finite_ends_its_own_episode_alone(reward: float) -> None:
    class Pays(Stairs):
        def play(self, action: str) -> Outcome:
            outcome = super().play(action)
            return replace(outcome, reward=reward) if self.task == "train-0002" else outcome

    jobs = [Job("train-0002", 0), Job("train-0003", 0)]
    broken, fine = rollout(ExpertAgent(), Pays, jobs)
    assert (broken.ended, broken.turns, broken.total_reward) == ("error", (), 0.0)
    assert fine.success and math.isfinite(fine.total_reward)


@pytest.mark.parametrize("agent", [ExpertAgent(), RandomAgent()])
def test_an_expert_or_a_list_of_actions_that_raises_ends_its_own_episode_alone(
    agent: Agent,
) -> None:
    class Unsure(Stairs):
        def _known(self) -> None:
            if self.task == "train-0002":
                raise KeyError("floor")

        def admissible(self) -> Sequence[str]:
            self._known()
            return ["up"]

        def expert(self) -> str:
            self._known()
            return "up"

    broken, fine = rollout(agent, Unsure, [Job("train-0002", 0), Job("train-0003", 0)])
    assert (broken.ended, broken.error) == ("error", "KeyError: 'floor'")
    assert fine.success


def test_a_key_that_cannot_be_compared_ends_its_episode() -> None:
    class Unhashable(Stairs):
        def state_key(self) -> Hashable:
            return [self.floor]  # type: ignore[return-value]

    [played] = rollout(ExpertAgent(), Unhashable, [Job("train-0001", 0)])
    assert played.error.startswith("TypeError: unhashable")


@pytest.mark.parametrize(("max_new_tokens", "max_context"), [(120, 120), (300, 120), (100, 120)])
def test_replies_that_can_never_fit_are_refused_before_playing(
    model: Models, tokenizer: Tokenizers, max_new_tokens: int, max_context: int
) -> None:
    words = tokenizer(None)
    sampler = TransformersSampler(
        model("llama"), words, max_new_tokens=max_new_tokens, max_context=max_context
    )
    with pytest.raises(InputError, match=f"{max_new_tokens}.*{max_context}"):
        play(LLMAgent(sampler, words, PromptStyle("plain")), 2)


class Replaced(Stairs):
    """Has a `step` and a `reset` of its own, which give what they were told to."""

    began: ClassVar[object]
    gave: ClassVar[object]

    def reset(self, **more: object) -> object:  # type: ignore[override]
        super().reset(**more)  # type: ignore[arg-type]
        return self.began

    def step(self, action: str) -> object:  # type: ignore[override]
        return self.gave


INFO = {"kind": "", "valid": True, "success": False}


@pytest.mark.parametrize(
    ("began", "gave", "why"),
    [
        (("Go.", INFO), ("On.", math.nan, True, False, INFO), "reward"),
        (("Go.", INFO), ("On.", "1", True, False, INFO), "reward"),
        (("Go.", INFO), (7, 1.0, True, False, INFO), "text"),
        (("Go.", INFO), ("On.", 1.0, True, {}), "five values"),
        (("Go.", INFO), ("On.", 1.0, True, False, {}), '"valid"'),
        (("Go.", INFO), ("On.", 1.0, True, False, INFO | {"success": "no"}), "success"),
        (("Go.", INFO), ("On.", 1.0, False, False, INFO), "max_turns=6"),
        (("Go.", {}), None, '"kind"'),
        ("Go.", None, "two values"),
        ((7, INFO), None, "reset()"),
    ],
)
def test_an_environment_with_a_step_of_its_own_is_held_to_the_contract(
    began: object, gave: object, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replaced, "began", began, raising=False)
    monkeypatch.setattr(Replaced, "gave", gave, raising=False)
    [played] = rollout(Breaks(), Replaced, [Job("train-0003", 0)])
    assert played.ended == "error" and why in played.error
    assert all(math.isfinite(turn.reward) for turn in played.turns)


def test_texts_of_an_environment_with_a_step_of_its_own_are_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Replaced, "began", ("half \ud800", INFO), raising=False)
    monkeypatch.setattr(Replaced, "gave", ("\ud800", 1.0, True, False, INFO), raising=False)
    [played] = rollout(Breaks(), Replaced, [Job("train-0003", 0)])
    assert played.turns[0].observation == "half \ufffd"
