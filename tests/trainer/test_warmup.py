"""A warm start from an environment's expert, or from recorded episodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from layergym.agents import (
    CONTEXTS,
    Exchange,
    ExpertAgent,
    Job,
    LLMAgent,
    PromptStyle,
    Reply,
    rollout,
)
from layergym.agents.base import Episode
from layergym.agents.conversation import Layout
from layergym.agents.models import tiny
from layergym.agents.models.load import stored_dtype
from layergym.agents.names import defaults, open_model
from layergym.agents.trajectories import Record, write_records
from layergym.cli.dry_run import Dictated
from layergym.envs import InputError, Outcome, TextEnv, make
from layergym.trainer.rows.packing import rows_of
from layergym.trainer.warmup.demonstrations import IGNORED, Teacher, Telling, demonstrate, retell
from layergym.trainer.warmup.spec import WarmupSpec
from layergym.trainer.warmup.warmup import warmup

EXAMPLE = ((Exchange("a room", "a room", "look", "look"),),)
SUMS: dict[str, Any] = {"families": ["chain_sum"], "levels": [1], "size": 40, "attempts": 2}


def test_a_new_policy_speaks_the_language_of_any_environment(tmp_path: Path) -> None:
    spec = WarmupSpec(
        env="math-v0", env_args=SUMS, steps=2, batch_size=2, depth=2, width=32, random_actions=0.5
    )
    first, second = tmp_path / "first", tmp_path / "second"
    warmup(spec, first)
    _, tokenizer = open_model(str(first))
    assert tokenizer.decode(tokenizer("\\boxed{-38} é\n").input_ids) == "\\boxed{-38} é\n"
    assert json.loads((first / "recipe.json").read_text())["env"] == "math-v0"
    warmup(replace(spec, model=str(first), steps=1), second)
    assert defaults(str(first)) == defaults(str(second)) == defaults("tiny")


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_a_new_policy_computes_in_the_type_that_was_asked_for(tmp_path: Path, dtype: str) -> None:
    spec = WarmupSpec(
        env="math-v0", env_args=SUMS, steps=1, batch_size=2, depth=2, width=32, dtype=dtype
    )
    warmup(spec, tmp_path / "model")
    wanted = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    assert stored_dtype(tmp_path / "model") == wanted


def test_an_alfworld_policy_reads_whole_words() -> None:
    tokenizer = tiny.build_tokenizer(["go to cabinet 12"])
    assert tokenizer.tokenize("go to cabinet 12") == ["go to", "cabinet 12"]


def test_numbers_are_digits_to_a_subword_policy() -> None:
    tokenizer = tiny.build_subword_tokenizer(["1234 + 1234 = 2468"] * 50)
    assert tokenizer.tokenize("1234") == ["1", "2", "3", "4"]


def test_a_slip_without_admissible_actions_is_an_earlier_answer() -> None:
    env = make("math-v0", **SUMS)
    teacher = Teacher(0.5, seed=0)
    said = []
    for _ in range(40):
        env.reset(seed=teacher.seed())
        said.append(teacher.act(env))
    right = [action for action, taught in said if taught]
    slips = [action for action, taught in said if not taught]
    assert slips and set(slips) <= set(right)


def test_an_environment_without_an_expert_says_so() -> None:
    class Mute(TextEnv):
        max_turns = 1

        def start(self) -> str:
            return "Say something."

        def play(self, action: str) -> Outcome:
            return Outcome("", terminated=True)

    env = Mute()
    env.reset(seed=0)
    with pytest.raises(InputError, match="define expert"):
        Teacher(0.0, seed=0).act(env)


def test_a_recorded_episode_is_laid_out_as_if_it_were_played() -> None:
    env = make("alfworld-v0")
    _, tokenizer = open_model("tiny")
    how = Telling(Layout(tokenizer), PromptStyle("plain"), observations=False)
    [shown] = demonstrate(env, Teacher(0.0, seed=3), how)
    [played] = rollout(ExpertAgent(), lambda: make("alfworld-v0"), [Job(env.task, 0)])
    assert retell(played, env, how) == [shown]

    slip = replace(played.turns[0], valid=False)
    [told] = retell(replace(played, turns=(slip, *played.turns[1:])), env, how)
    assert told.ids == shown.ids
    assert told.labels.count(IGNORED) > shown.labels.count(IGNORED)


class ExpertSpeaker(LLMAgent):
    """Says what the expert does, as a model says it."""

    def ask(self, episodes: Sequence[Episode]) -> None:
        for episode in episodes:
            action = episode.env.expert() or ""
            cast(Dictated, self.sampler).text[episode.id] = self.style.reply.write(action)
        super().ask(episodes)


TEMPLATE = (
    "{{ task }} {% for one in history %}{{ one.observation }} {{ one.action }} {% endfor %}"
    "{{ observation }} {{ admissible | join(' ') }}"
)


@pytest.mark.parametrize(
    ("context", "settings", "room"),
    [
        ("whole", {}, 10_000),
        ("whole", {"admissible": True}, 350),
        ("last:0", {"admissible": True}, 10_000),
        ("last:2", {"examples": EXAMPLE}, 10_000),
        ("last:2", {"template": TEMPLATE}, 10_000),
    ],
)
def test_a_demonstration_s_rows_are_those_in_which_a_model_would_play(
    context: str, settings: dict[str, Any], room: int
) -> None:
    env = make("alfworld-v0")
    _, tokenizer = open_model("tiny")
    style = PromptStyle("plain", context=CONTEXTS.open(context), **settings)
    shown = demonstrate(env, Teacher(0.0, 3), Telling(Layout(tokenizer), style, False, room))
    agent = ExpertSpeaker(Dictated(tokenizer, 20, room + 20), tokenizer, style)
    [played] = rollout(agent, lambda: make("alfworld-v0"), [Job(env.task, 0)])
    assert played.success and len(played.turns) > 4
    assert played.shortened == (room < 1000)
    rows = rows_of(played, [0.0] * len(played.turns))
    assert [row.ids for row in rows] == [one.ids for one in shown]
    for row, one in zip(rows, shown, strict=True):
        assert one.labels == tuple(
            id if said else IGNORED for id, said in zip(row.ids, row.sampled, strict=True)
        )
    told = retell(played, env, Telling(Layout(tokenizer), style, False, room))
    assert told == shown


def test_a_recorded_episode_of_another_split_has_no_list_of_actions() -> None:
    _, tokenizer = open_model("tiny")
    how = Telling(Layout(tokenizer), PromptStyle("plain", admissible=True), observations=False)
    test = make("alfworld-v0", split="test")
    [played] = rollout(ExpertAgent(), lambda: test, [Job(test.tasks[0], 0)])
    with pytest.raises(InputError, match="--no-admissible"):
        retell(played, make("alfworld-v0"), how)
    assert retell(played, test, how)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("<think>hm</think><action>look</action>", "<think>hm</think><action>look</action>"),
        ("look", "<think></think><action>look</action>"),
    ],
)
def test_a_recorded_reply_keeps_its_thoughts(said: str, told: str) -> None:
    env = make("alfworld-v0")
    _, tokenizer = open_model("tiny")
    [played] = rollout(ExpertAgent(), lambda: make("alfworld-v0"), [Job(env.tasks[0], 0)])
    turn = replace(played.turns[0], action="look", reply=Reply(said))
    one, other = (
        retell(replace(played, turns=(replace(turn, reply=Reply(text)),)), env,
               Telling(Layout(tokenizer), PromptStyle("think"), observations=False))
        for text in (said, told)
    )  # fmt: skip
    assert one == other


def test_a_policy_learns_from_recorded_episodes(tmp_path: Path) -> None:
    jobs = [Job(task, 0) for task in make("alfworld-v0").tasks[:2]]
    played = rollout(ExpertAgent(), lambda: make("alfworld-v0"), jobs)
    file = tmp_path / "kept.jsonl"
    write_records(file, [Record(t, "expert") for t in played])
    spec = WarmupSpec(
        env="alfworld-v0", trajectories=str(file), steps=2, batch_size=2, depth=2, width=32
    )
    warmup(spec, tmp_path / "model")
    _, tokenizer = open_model(str(tmp_path / "model"))
    first = played[0].turns[0].action
    assert tokenizer.unk_token_id not in tokenizer(first).input_ids

    with pytest.raises(InputError, match="holds episodes of layergym/ALFWorld-v0"):
        warmup(replace(spec, env="math-v0"), tmp_path / "other")


def test_an_environment_that_holds_open_files_can_be_learnt_from(tmp_path: Path) -> None:
    spec = WarmupSpec(env="webshop-v0", model="tiny", steps=1, batch_size=1, random_actions=0.0)
    warmup(spec, tmp_path / "model")
    assert json.loads((tmp_path / "model" / "recipe.json").read_text())["env"] == "webshop-v0"
