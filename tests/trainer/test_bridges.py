"""Environments in TRL's own trainer: what it is given is what was played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer

from layergym.agents.names import open_model
from layergym.agents.prompts import PromptStyle
from layergym.base.errors import InputError
from layergym.trainer.bridges import (
    environment_factory,
    episode_reward,
    rollout_func,
    task_dataset,
)

SMALL = {"max_receptacles": 5, "num_objects": 5, "max_turns": 4}


def configuration(folder: Path) -> GRPOConfig:
    return GRPOConfig(
        str(folder), max_steps=2, per_device_train_batch_size=4, num_generations=4,
        learning_rate=1e-3, logging_steps=1, report_to=[], save_strategy="no", seed=0,
        use_cpu=True, bf16=False, max_completion_length=64,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:You are using 'rollout_func'")
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*:UserWarning")
def test_trl_trains_on_whole_episodes(tmp_path: Path) -> None:
    model, tokenizer = open_model("tiny")
    play = rollout_func(
        "alfworld-v0", style=PromptStyle("plain"), max_new_tokens=12, seed=3, **SMALL
    )
    seen: list[dict[str, list[Any]]] = []

    def watched(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        seen.append(play(prompts, trainer))
        return {name: list(column) for name, column in seen[-1].items()}

    trainer = GRPOTrainer(
        model,
        reward_funcs=episode_reward,
        rollout_func=watched,
        train_dataset=task_dataset("alfworld-v0", 8, **SMALL),
        processing_class=tokenizer,
        args=configuration(tmp_path),
    )
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    trainer.train()
    after = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    rewards = [reward for played in seen for reward in played["episode_reward"]]
    assert len(seen) == 2 and len(rewards) == 8
    for played in seen:
        for ids, mask, logprobs in zip(
            played["completion_ids"], played["env_mask"], played["logprobs"], strict=True
        ):
            assert len(ids) == len(mask) == len(logprobs) and mask[0] == 1
            assert all(
                logprob == 0.0 for own, logprob in zip(mask, logprobs, strict=True) if not own
            )
    [first, *_] = [row for row in trainer.state.log_history if "reward" in row]
    assert first["reward"] == pytest.approx(sum(rewards[:4]) / 4)
    assert bool((after != before).any()) == (len(set(rewards[:4])) > 1 or len(set(rewards[4:])) > 1)


def test_a_tool_plays_the_environment() -> None:
    made = environment_factory("math-v0", seed=5)
    one, other, again = made(), made(), environment_factory("math-v0", seed=5)()
    texts = [env.reset() for env in (one, other, again)]
    assert texts[0] == texts[2] != texts[1]
    assert one.get_reward() == 0.0
    said = one.act(one._env.expert())
    assert "over" in said and one.get_reward() == 1.0
    assert one.act("1") == "The episode is over." and one.get_reward() == 1.0
    assert one.reset() != texts[0] and one.get_reward() == 0.0


def test_a_task_can_be_named() -> None:
    [task, *_] = task_dataset("math-v0", 3)["prompt"]
    first, second = (environment_factory("math-v0", seed=s)() for s in (1, 2))
    assert first.reset(task=task) == second.reset(task=task)
    with pytest.raises(InputError):
        first.reset(task="no such task")
