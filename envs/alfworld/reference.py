"""Play on alfworld's own engine, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any, Self

from layergym.base.errors import InputError
from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.game import Game

_NEEDED = ("alfworld", "textworld", "fast_downward")


def parts_lacking() -> list[str]:
    """Which parts of alfworld's own engine are not installed."""
    return [name for name in _NEEDED if find_spec(name) is None]


class EngineError(RuntimeError):
    """alfworld's engine failed or its process ended."""


class ReferenceServer:
    """A process with alfworld's engine; it plays one game at a time."""

    def __init__(self, *, remember: bool = False) -> None:
        """Start the process; `remember` saves it work that cannot change what it says.

        Raises:
            InputError: alfworld and the parts that it compiles are not installed.
        """
        if lacking := parts_lacking():
            raise InputError(
                f"alfworld's own engine needs {', '.join(lacking)}: pip install "
                "'layergym[alfworld]' (it builds two parts with a C++ compiler and cmake)"
            )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "layergym.envs.alfworld.reference_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        if remember:
            self.ask(remember=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for its reply.

        Raises:
            EngineError: the engine raised, or its process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise EngineError("alfworld's process has ended") from None
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(f"alfworld's process ended with code {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise EngineError(reply["error"])
        return reply

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()


class RemotePlay(Play):
    """A playthrough on alfworld's engine; the engine here follows, to know the state."""

    __slots__ = ("_game", "_latest", "_opening", "_played", "server")

    def __init__(self, game: Game, problem: str, server: ReferenceServer) -> None:
        """Begin `game`, whose PDDL text is `problem`, on `server`."""
        super().__init__(game)
        self.server = server
        self._game = {
            "problem": problem,
            "sentence": game.sentence,
            "version": game.dialect.version,
            "shuffle_seed": None,
        }
        self._latest = server.ask(**self._game)
        self._opening = str(self._latest["text"])
        self._played: list[str] = []

    @property
    def won(self) -> bool:
        """Whether the goal holds now."""
        return bool(self._latest["won"])

    def look_around(self) -> str:
        """The text with which the game begins."""
        return self._opening

    def admissible(self) -> list[str]:
        """Every command that is understood now, sorted."""
        return list(self._latest["admissible"])

    def step(self, command: str) -> str:
        """Carry out `command` and return what it says."""
        super().step(command)
        self._played.append(command)
        self._latest = self.server.ask(command=command)
        return str(self._latest["text"])

    def clone(self) -> RemotePlay:
        """The same playthrough in a process of its own: everything is played again."""
        twin = RemotePlay(self.game, str(self._game["problem"]), ReferenceServer())
        for command in self._played:
            twin.step(command)
        return twin
