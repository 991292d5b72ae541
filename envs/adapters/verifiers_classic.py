"""The classic environments of verifiers 0.3 (`MultiTurnEnv` and its relatives), both ways.

They are driven from outside: an action takes the place of the model's message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.adapters.exchange import Told
from layergym.envs.adapters.extras import library
from layergym.envs.registry import make


class Classic:
    """An environment of verifiers with its rows; see `Games`."""

    def __init__(self, name: str, settings: Mapping[str, Any], split: str) -> None:
        """Load it.

        Raises:
            InputError: it is not installed, or it is one with tools.
        """
        vf = library("verifiers.legacy", "verifiers")
        try:
            self._env = vf.load_environment(name, **settings)
            train = split == "train"
            dataset = self._env.get_dataset() if train else self._env.get_eval_dataset()
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f'cannot load "{name}" of verifiers: {error}; '
                "check its name, and that its package is installed"
            ) from error
        if getattr(self._env, "tool_defs", None) or not hasattr(self._env, "get_prompt_messages"):
            raise InputError(
                f'"{name}" of verifiers offers tools, which a text agent cannot call; '
                "take an environment without tools"
            )
        self.rows: Sequence[Mapping[str, Any]] = [dict(row) for row in dataset]
        self.instructions = str(self._env.system_prompt or "")

    async def begin(self, number: int) -> tuple[_Rollout, str]:
        """Begin a rollout of a row; it and its prompt."""
        state = await self._env.init_state(dict(self.rows[number]), _nobody(), "layergym")
        rollout = _Rollout(self._env, await self._env.setup_state(state) or state)
        return rollout, await rollout.ask()


class _Rollout:
    def __init__(self, env: Any, state: Any) -> None:
        self._env, self._state = env, state
        self._prompt: Any = []

    async def ask(self, known: int = 0) -> str:
        """The messages that are new in the prompt for the next reply."""
        self._prompt = await self._env.get_prompt_messages(self._state)
        return _text(self._prompt[known:])

    async def answer(self, action: str) -> Told:
        """Say something in the place of the model."""
        types = library("verifiers.legacy.types", "verifiers")
        message = types.ResponseMessage(
            role="assistant", content=action, finish_reason="stop", is_truncated=False
        )
        response = types.Response(id="", created=0, model="layergym", message=message)
        await self._env.add_model_response(self._state, self._prompt, response)
        before = len(self._prompt) + 1
        text = "" if await self._over() else await self.ask(before)
        if not await self._over():
            return Told(text)
        last = self._state.get("final_env_response")
        await self._env.render_completion(self._state)
        await self._env.rubric.score_rollout(self._state)
        return Told(text or (_text(last) if last else ""), self._state["reward"] or 0.0)

    async def end(self) -> None:
        """Clean the rollout up, as verifiers does at its end."""
        await self._env.cleanup(self._state)

    def drop(self) -> None:
        """Nothing goes on by itself."""

    async def _over(self) -> bool:
        return bool(await self._env.is_completed(self._state))


def exported_environment(env_id: str, size: int, settings: Mapping[str, Any]) -> Any:
    """One of our environments as a `verifiers.MultiTurnEnv`."""
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
