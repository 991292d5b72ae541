"""What an environment keeps although it was reset or closed."""

from __future__ import annotations

import gc
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from layergym.envs.core import TextEnv

EPISODES = 6
"""Episodes between two looks at the memory."""
GROWTH = 2048
"""Bytes that an episode may leave behind."""


def leaks(fresh: Callable[[], TextEnv], play: Callable[[TextEnv], None]) -> Iterator[str]:
    """Play the same episode again and again, and see what grows.

    Args:
        fresh: makes an instance.
        play: resets it and plays an episode, always the same.

    Returns:
        One sentence a leak, with what to do about it.
    """
    env = fresh()
    play(env)
    env.close()
    env.close()  # A second time does no harm.
    before = _held()
    for _ in range(3):
        env = fresh()
        play(env)
        env.close()
    del env
    gc.collect()
    for what, number in _held().items():
        if number - before[what] >= 3:
            yield (
                f"every instance leaves {what} behind after close(); give it back in close(), "
                "which must work at any time and more than once"
            )
    grown = _growth(fresh(), play)
    if grown > GROWTH:
        yield (
            f"every episode leaves {grown:,.0f} bytes behind; make all state of an episode again "
            "in start() and append to nothing that outlives it"
        )


def _growth(env: TextEnv, play: Callable[[TextEnv], None]) -> float:
    """Bytes an episode by which the memory grows steadily; what is kept once does not count."""
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(4):
            for _ in range(EPISODES):
                play(env)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        env.close()
    return min(b - a for a, b in pairwise(sizes)) / EPISODES


def _held() -> dict[str, int]:
    """What a process holds besides memory; files and processes where the system tells (Linux)."""
    held = {"a thread": threading.active_count()}
    files, children = Path("/proc/self/fd"), Path(f"/proc/self/task/{os.getpid()}/children")
    if files.is_dir():
        held["an open file"] = len(list(files.iterdir()))
    if children.is_file():
        held["a process"] = len(children.read_text(encoding="ascii").split())
    return held
