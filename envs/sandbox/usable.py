"""Which isolation can be had on this machine, found out before anything depends on it."""

from __future__ import annotations

from functools import cache

from layergym.envs.sandbox.sandbox import Sandbox


@cache
def usable(isolation: str) -> str:
    """The isolation that programs get when `isolation` is asked for; tried once a process.

    Raises:
        InputError: there is none of that name, or it cannot be had here.
    """
    with Sandbox(isolation=isolation) as sandbox:
        return sandbox.isolation
