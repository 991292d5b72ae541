"""reasoning-gym's questions, scored by its own scorers in the sandbox."""

from pathlib import Path
from typing import Any

import pytest

import layergym as lg
from layergym.envs.adapters.reasoning_gym import ReasoningGym


def asked(dataset: str, **settings: Any) -> ReasoningGym:
    env = lg.make("reasoninggym-v0", dataset=dataset, size=20, **settings)
    assert isinstance(env, ReasoningGym)
    env.reset(seed=0)
    return env


def test_the_right_answer_is_right_and_another_is_not() -> None:
    env = asked("countdown")
    right = env._questions[env.task]["metadata"]["expression"]
    assert env.step(f"<think>Hm.</think><answer>{right}</answer>")[1:3] == (1.0, True)
    env.reset(options={"task": env.task})
    text, reward, terminated, _, info = env.step("<answer>1</answer>")
    assert terminated and not info["success"] and reward < 0.1
    assert text.startswith("Not right")


def test_an_answer_that_is_a_program_does_no_harm(tmp_path: Path) -> None:
    env = asked("countdown", max_turns=2)
    target = tmp_path / "gone"
    for answer in (f"open('{target}', 'w')", "().__class__.__base__"):
        assert env.step(f"<answer>{answer}</answer>")[1] < 0.1
    assert not target.exists()


def test_no_question_is_in_both_splits() -> None:
    texts = {
        split: {env.reset(options={"task": task})[0] for task in env.tasks}
        for split in ("train", "test")
        for env in [asked("chain_sum", split=split)]
    }
    assert len(texts["train"]) == len(texts["test"]) == 20
    assert not texts["train"] & texts["test"]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(lg.InputError, match='did you mean "countdown"'):
        lg.make("reasoninggym-v0", dataset="countdwn")
    with pytest.raises(lg.InputError, match="does not make chain_sum like this"):
        lg.make("reasoninggym-v0", dataset="chain_sum", settings={"colour": "red"})


@pytest.mark.slow
def test_it_conforms() -> None:
    assert lg.conforms(lambda: lg.make("reasoninggym-v0", dataset="chain_sum", size=5)) == []
