"""Environments on an OpenEnv server, and ours on one.

The client sends and gets plain JSON over one WebSocket a session; no code of the server's runs
here. What a server says is taken as text, cut to a size, and waited for no longer than a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layergym.base.errors import InputError
from layergym.envs import border
from layergym.envs.adapters.extras import library
from layergym.envs.adapters.replayed import Replayed
from layergym.envs.core import Outcome
from layergym.envs.registry import make

_LARGEST_MB = 4
_LONGEST = 100_000


class OpenEnv(Replayed):
    """Environments on an OpenEnv server; needs url, such as url=http://localhost:8000.

    A task is a seed; a server that ignores seeds starts equal tasks differently, which `conforms`
    finds. Solved is a reward of 1 or more at the end.
    """

    step_timeout_s = 60.0

    def __init__(
        self,
        *,
        url: str,
        says: str = "text",
        sees: str = "text",
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Name the server; a session begins with the first episode.

        Args:
            url: of the server, http or https.
            says: field of the server's action that takes the text.
            sees: field of the server's observation that is shown.
            split: train or test: other seeds.
            max_turns: by default 30.
            render_mode: as everywhere.

        Raises:
            InputError: openenv is not installed, or the url is none.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        if not url.startswith(("http://", "https://")):
            raise InputError(f'"{url}" is not an address of a server; it begins with http(s)://')
        library("openenv.core", "openenv")
        self.url, self._says, self._sees = url, says, sees

    def start(self) -> str:
        """Ask the server for an episode, in a session of our own."""
        if self.inner is None:
            self.inner = self._connected()
        answer = self.inner.reset(seed=int(self.np_random.integers(2**31)))
        return self._shown(answer.observation)

    def act(self, action: str) -> Outcome:
        """Send one action."""
        answer = self.inner.step({self._says: action})
        reward = (
            0.0 if answer.reward is None else border.number(answer.reward, "the server's reward")
        )
        done = border.truth(answer.done, "the server's done")
        text = self._shown(answer.observation)
        details = answer.observation.get("metadata")
        valid = details.get("valid") if isinstance(details, Mapping) else None
        return Outcome(
            text,
            reward,
            terminated=done,
            valid=valid is not False,
            success=done and reward >= 1,
        )

    def shut(self) -> None:
        """End the session."""
        self.inner.close()

    def _connected(self) -> Any:
        client = library("openenv.core.generic_client", "openenv").GenericEnvClient(
            base_url=self.url,
            connect_timeout_s=10.0,
            message_timeout_s=self.step_timeout_s or 60.0,
            max_message_size_mb=_LARGEST_MB,
        )
        session = client.sync()
        try:
            session.connect()
        except ConnectionError as error:
            session.close()
            raise InputError(
                f"no OpenEnv server answers at {self.url}: {error}; start it, or mend the address"
            ) from error
        return session

    def _shown(self, observation: Any) -> str:
        fields = observation if isinstance(observation, Mapping) else {}
        if self._sees not in fields:
            raise InputError(
                f'{self.url} shows no "{self._sees}"; name one of its fields with sees=: '
                f"{', '.join(sorted(fields)) or '(it shows none)'}"
            )
        return str(fields[self._sees])[:_LONGEST]


def app(env_id: str, *, sessions: int = 64, **settings: Any) -> Any:
    """One of our environments as an OpenEnv server, for trainers that take those.

    Actions and observations have one field, `text`; the metadata holds `info`. Serve it with
    uvicorn: `uvicorn.run(app("alfworld-v0"), port=8000)`.

    Args:
        env_id: a registered id.
        sessions: most sessions at a time.
        **settings: of the environment.

    Returns:
        A FastAPI application.

    Raises:
        InputError: openenv is not installed, or there is no such environment.
    """
    types = library("openenv.core.env_server.types", "openenv")
    interfaces = library("openenv.core.env_server.interfaces", "openenv")
    server = library("openenv.core.env_server.http_server", "openenv")
    action = type("Say", (types.Action,), {"__annotations__": {"text": str}})
    seen = type("Seen", (types.Observation,), {"__annotations__": {"text": str}})
    make(env_id, **settings)  # A wrong setting is told now.

    class Served(interfaces.Environment):  # type: ignore[misc, name-defined]
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self) -> None:
            super().__init__()
            self._env = make(env_id, **settings)

        def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Any:
            text, info = self._env.reset(seed=seed)
            return seen(text=text, metadata=info)

        def step(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
            text, reward, terminated, truncated, info = self._env.step(action.text)
            return seen(text=text, reward=reward, done=terminated or truncated, metadata=info)

        @property
        def state(self) -> Any:
            return types.State(step_count=self._env.turn)

        def close(self) -> None:
            self._env.close()

    return server.create_fastapi_app(Served, action, seen, max_concurrent_envs=sessions)
