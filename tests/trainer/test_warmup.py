"""A warm start from an environment's expert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from layergym.agents import tiny
from layergym.agents.names import defaults, open_model
from layergym.envs import InputError, Outcome, TextEnv, make
from layergym.trainer.warmup import Teacher, WarmupSpec, warmup

SUMS: dict[str, Any] = {"families": ["chain_sum"], "levels": [1], "size": 40, "attempts": 2}


def test_a_new_policy_speaks_the_language_of_any_environment(tmp_path: Path) -> None:
    spec = WarmupSpec(
        env="math-v0", env_args=SUMS, steps=2, batch_size=2, depth=2, width=32, random_actions=0.5
    )
    warmup(spec, tmp_path)
    _, tokenizer = open_model(str(tmp_path))
    assert tokenizer.decode(tokenizer("\\boxed{-38} é\n").input_ids) == "\\boxed{-38} é\n"
    assert defaults(str(tmp_path)).format == "plain"
    assert json.loads((tmp_path / "recipe.json").read_text())["env"] == "math-v0"


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
