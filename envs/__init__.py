"""Text environments. No torch, no transformers."""

from layergym.base.errors import InputError
from layergym.envs.conformance import conforms
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.panels import Panel, panel
from layergym.envs.registry import find, ids, make, register

__all__ = [
    "InputError",
    "Outcome",
    "Panel",
    "TextEnv",
    "conforms",
    "find",
    "ids",
    "make",
    "panel",
    "register",
]
