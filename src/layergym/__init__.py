"""Text environments, LLM agents and layer-targeted reinforcement learning."""

from layergym.envs import (
    InputError,
    Outcome,
    Panel,
    TextEnv,
    conforms,
    find,
    ids,
    make,
    panel,
    register,
)

__version__ = "0.1.0"
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
