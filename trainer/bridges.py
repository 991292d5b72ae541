"""Environments in TRL's own `GRPOTrainer`, for those who want to stay with it.

`rollout_func` plays whole episodes with this package's agent and hands TRL their tokens, with
observations masked; any model will do. `environment_factory` offers the environment as a tool, so
that TRL plays; the model's chat template must know tools. Either way credit is TRL's: one advantage
an episode. `GiGPOTrainer` credits single turns, and trains chosen layers.

Example::

    from trl import GRPOConfig, GRPOTrainer
    from layergym.trainer.bridges import episode_reward, rollout_func, task_dataset

    trainer = GRPOTrainer(
        model,
        reward_funcs=episode_reward,
        rollout_func=rollout_func("alfworld-v0", max_new_tokens=32),
        train_dataset=task_dataset("alfworld-v0", 64),
        processing_class=tokenizer,
        args=GRPOConfig("runs/trl", max_steps=10),
    )
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datasets import Dataset

from layergym.agents.names import llm_agent
from layergym.agents.prompts import PromptStyle
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.envs import panel
from layergym.envs.core import TextEnv
from layergym.envs.registry import make
from layergym.trainer.credit.schedule import episode_seed
from layergym.trainer.rows.packing import rows_of

RolloutFunc = Callable[[list[Any], Any], dict[str, list[Any]]]
"""TRL's: from prompts and the trainer to token ids, log-probabilities and further columns."""


def task_dataset(env: str, size: int | None = None, split: str = "train", **settings: Any) -> Any:
    """A dataset whose prompts are task ids: `size` of them (None: all), evenly spread.

    Raises:
        InputError: there is no such environment, setting or split.
    """
    return Dataset.from_dict(
        {"prompt": list(panel(make(env, split=split, **settings), size).tasks)}
    )


def rollout_func(
    env: str,
    *,
    split: str = "train",
    style: PromptStyle | None = None,
    max_new_tokens: int = 512,
    seed: int = 0,
    **settings: Any,
) -> RolloutFunc:
    """What plays one episode for each prompt, which is a task id of `task_dataset`.

    Args:
        env: an environment's id.
        split: where its tasks are from.
        style: how the model is addressed; None: the think format.
        max_new_tokens: tokens of one reply, at most.
        seed: with the step, of all episodes.
        settings: the environment's.

    Returns:
        For `GRPOTrainer(rollout_func=...)`. Beside what TRL asks for, it gives `env_mask` (1 on
        tokens that the policy sampled) and the columns `episode_reward` and `success` for reward
        functions. An episode that failed has what it said until then and the reward of it.

    Raises:
        InputError: when it is called: an episode has several prompts, because the chat template
            rewrites history; TRL's rows hold one.
    """

    def fresh() -> TextEnv:
        return make(env, split=split, **settings)

    def play(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        step, process = trainer.state.global_step, trainer.accelerator.process_index
        jobs = [Job(task, episode_seed(seed, step, process, i)) for i, task in enumerate(prompts)]
        agent = llm_agent(
            trainer.accelerator.unwrap_model(trainer.model),
            trainer.processing_class,
            style or PromptStyle(),
            temperature=trainer.temperature,
            max_new_tokens=max_new_tokens,
        )
        return _columns(rollout(agent, fresh, jobs))

    return play


def episode_reward(*, episode_reward: Sequence[float], **_: Any) -> list[float]:
    """TRL's reward function for `rollout_func`: what the environment gave in the whole episode."""
    return list(episode_reward)


def environment_factory(
    env: str, *, split: str = "train", seed: int = 0, **settings: Any
) -> Callable[[], ToolEnv]:
    """What makes environments whose one tool is `act`, for `GRPOTrainer(environment_factory=...)`.

    Args:
        env: an environment's id.
        split: where its tasks are from.
        seed: of the tasks and the dynamics; each environment and each of its episodes has others.
            Where the dataset has a column `task`, that task is played.
        settings: the environment's.

    Raises:
        InputError: there is no such environment, setting or split.
    """
    made = 0

    def factory() -> ToolEnv:
        nonlocal made
        made += 1
        return ToolEnv(make(env, split=split, **settings), seed=episode_seed(seed, made))

    return factory


class ToolEnv:
    """An environment as TRL's tools see it: `reset`, `act`, `get_reward`."""

    def __init__(self, env: TextEnv, seed: int = 0) -> None:
        """Wrap `env`; `seed` decides on everything that is drawn."""
        self._env, self._seed = env, seed
        self._episodes = 0
        self._reward = 0.0
        self._over = True

    def reset(self, task: str | None = None, **_: Any) -> str:
        """Begin an episode; returns what the model reads first: instructions and observation."""
        options = None if task is None else {"task": task}
        seed = episode_seed(self._seed, self._episodes)
        text, _info = self._env.reset(seed=seed, options=options)
        self._episodes += 1
        self._reward, self._over = 0.0, False
        return f"{self._env.instructions}\n\n{text}"

    def act(self, action: str) -> str:
        """Do one thing and see what comes of it.

        Args:
            action: what to do, such as "go to desk 1", or the answer where a question was asked.

        Returns:
            What is seen afterwards.
        """
        if self._over:
            return "The episode is over."
        text, reward, terminated, truncated, _ = self._env.step(action)
        self._reward += float(reward)
        self._over = terminated or truncated
        return f"{text}\nThe episode is over." if self._over else text

    def get_reward(self) -> float:
        """The sum of the rewards of the episode so far."""
        return self._reward


def _columns(episodes: Sequence[Trajectory]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            "prompt_ids", "completion_ids", "logprobs", "env_mask", "episode_reward", "success"
        )
    }  # fmt: skip
    for episode in episodes:
        rows = rows_of(episode, [0.0] * len(episode.turns))
        if len(rows) != 1:
            raise InputError(
                f"task {episode.task} has {len(rows)} prompts of its own, and TRL's rows hold one "
                f"{'(' + episode.error + ')' if episode.error else ''}; take a chat template that "
                "keeps earlier turns as they were, or GiGPOTrainer"
            )
        [row] = rows
        begun = row.sampled.index(True)
        columns["prompt_ids"].append(list(row.ids[:begun]))
        columns["completion_ids"].append(list(row.ids[begun:]))
        columns["logprobs"].append(list(row.logprobs[begun:]))
        columns["env_mask"].append([int(own) for own in row.sampled[begun:]])
        columns["episode_reward"].append(episode.total_reward)
        columns["success"].append(float(episode.success))
    return columns
