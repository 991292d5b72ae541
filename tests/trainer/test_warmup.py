"""A warm start from an environment's expert, or from recorded episodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from layergym.agents import ExpertAgent, Job, PromptStyle, Reply, rollout
from layergym.agents.conversation import Layout
from layergym.agents.models import tiny
from layergym.agents.models.load import stored_dtype
from layergym.agents.names import defaults, open_model
from layergym.agents.trajectories import Record, write_records
from layergym.envs import InputError, Outcome, TextEnv, make
from layergym.trainer.warmup.demonstrations import IGNORED, Teacher, demonstrate, retell
from layergym.trainer.warmup.warmup import WarmupSpec, warmup

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
    layout, style = Layout(tokenizer), PromptStyle("plain")
    teacher = Teacher(0.0, seed=3)
    shown = demonstrate(env, layout, style, teacher, observations=False)
    [played] = rollout(ExpertAgent(), lambda: make("alfworld-v0"), [Job(env.task, 0)])
    assert retell(played, env, layout, style, observations=False) == shown

    slip = replace(played.turns[0], valid=False)
    told = retell(replace(played, turns=(slip, *played.turns[1:])), env, layout, style,
                  observations=False)  # fmt: skip
    assert told.ids == shown.ids
    assert told.labels.count(IGNORED) > shown.labels.count(IGNORED)


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
        retell(replace(played, turns=(replace(turn, reply=Reply(text)),)), env, Layout(tokenizer),
               PromptStyle("think"), observations=False)
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
