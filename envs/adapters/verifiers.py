"""Environments of the verifiers library, and ours as theirs.

Both ways use `verifiers`' classic environments (`MultiTurnEnv` and its relatives). They are driven
from outside: an action takes the place of the model's message.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any, TypeVar

from layergym.base.errors import InputError
from layergym.envs.adapters.extras import library
from layergym.envs.adapters.replayed import Replayed
from layergym.envs.core import Outcome
from layergym.envs.registry import make

T = TypeVar("T")


class Verifiers(Replayed):
    """Environments of the verifiers library; needs environment, an installed one.

    A task is a row: of the dataset in the split train, of the evaluation dataset in test. The
    rubric's reward comes at the end; solved is a reward of 1 or more. Environments that offer tools
    are not for text agents.
    """

    step_timeout_s = 120.0
    max_turns = 20

    def __init__(
        self,
        *,
        environment: str,
        settings: Mapping[str, Any] | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Load the environment, once a process.

        Raises:
            InputError: verifiers or the environment is not installed, or it is one with tools.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        self._env, self._rows = _load(
            environment, json.dumps(settings or {}, sort_keys=True), split
        )
        self.instructions = str(self._env.system_prompt or "")
        _loop()  # Now, because episodes begin in several threads at once.

    @property
    def tasks(self) -> Sequence[str]:
        """Numbers of the rows, as text."""
        return [f"{self.split}-{i:05d}" for i in range(len(self._rows))]

    def digest(self, task: str) -> str:
        """SHA-256 of the row."""
        return sha256(json.dumps(self._row(task), default=str).encode()).hexdigest()

    def start(self) -> str:
        """Begin a rollout and read its prompt."""
        state = _wait(self._env.init_state(self._row(self.task), _nobody(), "layergym"))
        self.inner = _wait(self._env.setup_state(state)) or state
        return self._ask()

    def act(self, action: str) -> Outcome:
        """Say something in the place of the model."""
        types = library("verifiers.legacy.types", "verifiers")
        message = types.ResponseMessage(
            role="assistant", content=action, finish_reason="stop", is_truncated=False
        )
        response = types.Response(id="", created=0, model="layergym", message=message)
        _wait(self._env.add_model_response(self.inner, self._prompt, response))
        before = len(self._prompt) + 1
        text = "" if self._over() else self._ask(before)
        if not self._over():
            return Outcome(text)
        last = self.inner.get("final_env_response")
        return self._judged(text or (_text(last) if last else ""))

    def _judged(self, text: str) -> Outcome:
        _wait(self._env.render_completion(self.inner))
        _wait(self._env.rubric.score_rollout(self.inner))
        reward = float(self.inner["reward"] or 0.0)
        return Outcome(text or "The end.", reward, terminated=True, success=reward >= 1)

    def _ask(self, known: int = 0) -> str:
        """The messages that are new in the prompt for the next reply."""
        self._prompt = _wait(self._env.get_prompt_messages(self.inner))
        return _text(self._prompt[known:])

    def _over(self) -> bool:
        return bool(_wait(self._env.is_completed(self.inner)))

    def _row(self, task: str) -> dict[str, Any]:
        return dict(self._rows[int(task.rpartition("-")[2])])

    def shut(self) -> None:
        """Clean the rollout up, as verifiers does at its end."""
        _wait(self._env.cleanup(self.inner))


def load_environment(env_id: str, *, size: int = 100, **settings: Any) -> Any:
    """One of our environments as a `verifiers.MultiTurnEnv`, for trainers that take those.

    Args:
        env_id: a registered id.
        size: tasks in the dataset (of the split train) and in the evaluation dataset (test).
        **settings: of the environment.

    Returns:
        The environment; the rubric's reward is the sum of an episode's rewards.

    Raises:
        InputError: verifiers is not installed, or there is no such environment.
    """
    vf = library("verifiers.legacy", "verifiers")
    datasets = library("datasets", "verifiers")

    def rows(split: str) -> Any:
        env = make(env_id, split=split, **settings)
        return datasets.Dataset.from_list([_as_row(env, task) for task in env.tasks[:size]])

    class Exported(vf.MultiTurnEnv):  # type: ignore[misc, name-defined]
        async def setup_state(self, state: Any) -> Any:
            info = state["info"]
            state["env"] = make(env_id, split=info["split"], **settings)
            state["env"].reset(options={"task": info["start"]})
            state["earned"] = 0.0
            return state

        async def env_response(self, messages: Any, state: Any, **_: Any) -> Any:
            text, reward, terminated, truncated, _info = state["env"].step(_text(messages[-1:]))
            state["earned"] += reward
            reply = [vf.UserMessage(content=text)]
            if terminated or truncated:
                state["final_env_response"] = reply
            return reply

    async def earned(state: Any) -> float:
        return float(state["earned"])

    return Exported(
        dataset=rows("train"),
        eval_dataset=rows("test"),
        rubric=vf.Rubric(funcs=[earned], weights=[1.0]),
        system_prompt=make(env_id, **settings).instructions or None,
    )


def _as_row(env: Any, task: str) -> dict[str, Any]:
    text, _ = env.reset(options={"task": task})
    return {
        "prompt": [{"role": "user", "content": text}],
        "info": {"start": task, "split": env.split},
    }


def _text(messages: Any) -> str:
    """What messages say to the model; the system's word is in the instructions."""
    parts = []
    for message in messages:
        fields = message if isinstance(message, Mapping) else message.model_dump()
        if fields["role"] != "system" and isinstance(fields.get("content"), str):
            parts.append(fields["content"])
    return "\n".join(parts)


@cache
def _nobody() -> Any:
    """The client that a rollout must have; it is never asked."""
    client = library("verifiers.legacy.clients", "verifiers").Client
    return object.__new__(type("Nobody", (client,), dict.fromkeys(client.__abstractmethods__)))


@cache
def _load(name: str, settings: str, split: str) -> tuple[Any, list[dict[str, Any]]]:
    vf = library("verifiers.legacy", "verifiers")
    try:
        env = vf.load_environment(name, **json.loads(settings))
        rows = env.get_dataset() if split == "train" else env.get_eval_dataset()
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f'cannot load "{name}" of verifiers: {error}') from error
    if getattr(env, "tool_defs", None) or not hasattr(env, "get_prompt_messages"):
        raise InputError(f'"{name}" of verifiers offers tools, which a text agent cannot call')
    return env, list(rows)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process on which rollouts of verifiers run, in a thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _wait(step: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(step, _loop()).result()
