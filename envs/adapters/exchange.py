"""What an asynchronous library and an environment of ours say to one another, turn by turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """What follows a reply."""

    text: str
    reward: float | None = None
    """None while the episode goes on."""


class Session(Protocol):
    """One episode."""

    async def answer(self, action: str) -> Told:
        """Say something in the place of the model."""

    async def end(self) -> None:
        """Give back what the episode holds; at any time, and more than once."""

    def drop(self) -> None:
        """Let go of an episode that nobody will end; called on the loop."""


class LibraryEnv(Protocol):
    """An environment of the library."""

    rows: Sequence[Mapping[str, Any]]
    """What each episode can be about, as plain values."""
    instructions: str

    async def begin(self, number: int) -> tuple[Session, str]:
        """An episode about a row, and what is said first."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process on which episodes of such libraries run, in a thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def soon(call: Callable[[], Any]) -> None:
    """Make a call on the loop, and do not wait for it."""
    _loop().call_soon_threadsafe(call)


def prepare() -> None:
    """Start the loop now, before episodes begin in several threads at once."""
    _loop()


def wait(step: Coroutine[Any, Any, T]) -> T:
    """Run a step on the loop and wait for it."""
    return asyncio.run_coroutine_threadsafe(step, _loop()).result()
