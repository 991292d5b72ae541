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
from layergym.envs.registry import load_plugins

# Gymnasium's convention: what a package has can be made once the package was imported.
load_plugins()

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
