"""The tasksets of verifiers 0.4 and later, both ways.

There an environment's `run` asks agents for replies. Here it runs with one agent whose replies are
the actions; nothing is launched, and no harness or runtime of verifiers is used.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.adapters.exchange import Told
from layergym.envs.adapters.extras import library
from layergym.envs.registry import make

_MOST = 10_000
"""Tasks that are taken of an endless taskset."""


class Tasksets:
    """A taskset of verifiers with the environment that plays it; see `Games`."""

    def __init__(self, name: str, settings: Mapping[str, Any], split: str) -> None:
        """Load it: every fifth task is for testing.

        Raises:
            InputError: it is not installed, or a text agent alone cannot play it.
        """
        loaders = library("verifiers.v1.utils.loaders", "verifiers")
        try:
            taskset = {**settings, "id": name}
            config = loaders.resolve_env_config({"taskset": taskset})
            self._env = loaders.load_environment(config)
            tasks = list(itertools.islice(self._env.taskset, _MOST))
        except (ValueError, ImportError, AttributeError, TypeError) as error:
            raise InputError(
                f'cannot load "{name}" of verifiers: {error}; '
                "check its name, and that its package is installed"
            ) from error
        self._seats = sorted(self._env._agent_specs)
        kind = type(self._env.taskset).task_type()
        tools = kind.toolsets(config.taskset.task) or type(self._env.taskset).toolsets(
            config.taskset
        )
        if len(self._seats) != 1 or kind.NEEDS_CONTAINER or tools:
            raise InputError(
                f'"{name}" of verifiers wants {" and ".join(self._seats)}, tools or a container; '
                "a text agent plays alone"
            )
        self._tasks = [t for i, t in enumerate(tasks) if (i % 5 == 0) == (split == "test")]
        self.rows: Sequence[Mapping[str, Any]] = [
            t.data.model_dump(mode="json", exclude_none=True) for t in self._tasks
        ]
        self.instructions = str(next((t.data.system_prompt for t in self._tasks), None) or "")

    async def begin(self, number: int) -> tuple[_Episode, str]:
        """Begin an episode of a task; it and what the agent is told first."""
        episode = _Episode(self._env, self._tasks[number], self._seats[0])
        first = await episode.heard()
        return episode, first.text


class _Episode:
    """An environment's `run`, and the agent that it asks."""

    def __init__(self, env: Any, task: Any, seat: str) -> None:
        self._env, self._task, self._seat = env, task, seat
        self._heard: asyncio.Queue[Told | BaseException] = asyncio.Queue()
        self._said: asyncio.Queue[str] = asyncio.Queue()
        self._traces: list[Any] = []
        self._work = asyncio.ensure_future(self._run())

    async def heard(self) -> Told:
        """What the agent is told next; the end brings the reward."""
        told = await self._heard.get()
        if isinstance(told, BaseException):
            raise told
        return told

    async def answer(self, action: str) -> Told:
        """Say something in the place of the model."""
        self._said.put_nowait(action)
        return await self.heard()

    async def end(self) -> None:
        """Stop the environment where it is."""
        self._work.cancel()
        await asyncio.wait([self._work])

    def drop(self) -> None:
        """Stop the environment, and do not wait."""
        self._work.cancel()

    async def _run(self) -> None:
        agents = SimpleNamespace(**{self._seat: self})
        try:
            await self._env.setup(agents)
            await self._env.run(self._task, agents)
            episode = library("verifiers.v1", "verifiers").Episode
            task = library("verifiers.v1.trace", "verifiers").TraceTask
            told = task(type=type(self._task).__name__, data=self._task.data)
            await self._env.finalize(self._task, episode(task=told, traces=self._traces))
            self._heard.put_nowait(Told("", sum(trace.reward for trace in self._traces)))
        except Exception as error:
            self._heard.put_nowait(error)

    # ---- what an environment asks of an agent -----------------------------------------------

    async def run(self, task: Any) -> Any:
        """One reply to the task's prompt."""
        async with self.interaction(task) as talk:
            await talk.turn()
        return talk.trace

    @asynccontextmanager
    async def interaction(self, task: Any) -> AsyncIterator[_Talk]:
        """An exchange about a task; it is scored when it is left."""
        talk = _Talk(task, self._heard, self._said)
        self._traces.append(talk.trace)
        await task.setup(talk.trace, None)
        yield talk
        talk.trace.stop("user_closed")
        await task.finalize(talk.trace, None)
        await task.score(talk.trace, None)


class _Talk:
    """Turns of one exchange, kept in a trace as verifiers keeps them."""

    def __init__(self, task: Any, heard: Any, said: Any) -> None:
        self._types = library("verifiers.v1", "verifiers")
        trace = library("verifiers.v1.trace", "verifiers")
        state = library("verifiers.v1.state", "verifiers")
        self._heard, self._said, self._task = heard, said, task
        self.trace = trace.Trace(
            task=trace.TraceTask(
                type=type(task).__name__, data=task.data, key=task.key, hash=task.hash
            ),
            state=state.state_cls(type(task))(),
            agent=trace.AgentInfo(config=self._types.AgentConfig()),
        )
        session = library("verifiers.v1.session", "verifiers")
        self._call = session.call_hook
        self._stops = [
            hook
            for hook in task.hooks("stop")
            if session.hook_boundary(hook, allow_trace=True) is trace.Trace
        ]
        self._trace_type = trace.Trace
        self._messages: list[Any] = []
        if task.data.system_prompt:
            self._messages.append(self._types.SystemMessage(content=task.data.system_prompt))
        self._opened = False

    async def turn(self, message: Any = None) -> Any:
        """Tell the agent something; its reply, or that the exchange is over."""
        agent = library("verifiers.v1.agent", "verifiers")
        if self.trace.stop_condition is not None:
            return agent.Segment(messages=[], terminated=True)
        data = self._task.data
        new = data.prompt if message is None and not self._opened else message
        self._opened = True
        user = self._types.UserMessage
        added = [user(content=new)] if isinstance(new, str) else list(new or ())
        added = [agent.parse_message(m) if isinstance(m, dict) else m for m in added]
        self._messages += added
        types = library("verifiers.v1.types", "verifiers")
        said = [types.content_text(m.content) for m in added if m.role != "system"]
        self._heard.put_nowait(Told("\n".join(said)))
        reply = await self._said.get()
        graph = library("verifiers.v1.graph", "verifiers")
        response = types.Response(
            id="",
            created=0,
            model="layergym",
            message=self._types.AssistantMessage(content=reply),
            finish_reason="stop",
        )
        graph.prepare_turn(self.trace, list(self._messages)).commit(response)
        self._messages.append(response.message)
        for stop in self._stops:
            if await self._call(stop, {self._trace_type: self.trace}):
                self.trace.stop(stop.__name__)
        return agent.Segment(messages=[response.message], root_reply=reply)


def exported_taskset(env_id: str, size: int, settings: Mapping[str, Any]) -> tuple[type, type]:
    """One of our environments as a `verifiers.v1` taskset and the environment that plays it.

    Returns:
        Two classes, which a module has to name in `__all__`. Tasks alternate so that verifiers'
        own order holds `size` tasks of the split train.
    """
    vf = library("verifiers.v1", "verifiers")

    class OurData(vf.TaskData):  # type: ignore[misc, name-defined]
        start: str

    class OurTask(vf.Task[OurData, vf.State, vf.TaskConfig]):  # type: ignore[misc, name-defined]
        pass

    class Ours(vf.Taskset[OurTask, vf.TasksetConfig]):  # type: ignore[misc, name-defined]
        def load(self) -> Any:
            env = make(env_id, **settings)
            for task in env.tasks[:size]:
                text, _ = env.reset(options={"task": task})
                system_prompt = env.instructions or None
                yield OurTask(
                    OurData(name=task, start=task, prompt=text, system_prompt=system_prompt),
                    self.config.task,
                )

    class OurConfig(vf.EnvConfig):  # type: ignore[misc, name-defined]
        player: vf.AgentConfig = vf.AgentConfig()  # type: ignore[name-defined]

    class OurEnv(vf.Env[OurConfig]):  # type: ignore[misc, name-defined]
        async def run(self, task: Any, agents: Any) -> None:
            env = make(env_id, **settings)
            env.reset(options={"task": task.data.start})
            earned, over = 0.0, False
            async with agents.player.interaction(task) as talk:
                segment = await talk.turn()
                while not segment.terminated:
                    text, reward, terminated, truncated, _ = env.step(segment.last_reply)
                    earned, over = earned + reward, terminated or truncated
                    if over:
                        break
                    segment = await talk.turn(text)
            talk.trace.record_reward("earned", earned, 1.0)
            env.close()

    return Ours, OurEnv
