"""Who acts: prompts, parsing, samplers, rollouts.

Names that need torch are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from layergym.agents.base import (
    Agent,
    Decision,
    Episode,
    ExpertAgent,
    Failure,
    HumanAgent,
    RandomAgent,
)
from layergym.agents.contexts import CONTEXTS, Context, Exchange, View
from layergym.agents.formats import FORMATS, Parsed, ReplyFormat, parse
from layergym.agents.prompts import PROMPTS, PromptStyle, Scene
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Group, Reply, Trajectory, Turn, Usage

if TYPE_CHECKING:
    from layergym.agents.conversation import Conversation, Layout
    from layergym.agents.llm import LLMAgent
    from layergym.agents.models.load import load_model
    from layergym.agents.models.requests import Sampler
    from layergym.agents.models.sampler import TransformersSampler

_LAZY = {
    "Conversation": "conversation",
    "LLMAgent": "llm",
    "Layout": "conversation",
    "Sampler": "models.requests",
    "TransformersSampler": "models.sampler",
    "load_model": "models.load",
}

__all__ = [
    "CONTEXTS",
    "FORMATS",
    "PROMPTS",
    "Agent",
    "Context",
    "Conversation",
    "Decision",
    "Episode",
    "Exchange",
    "ExpertAgent",
    "Failure",
    "Group",
    "HumanAgent",
    "Job",
    "LLMAgent",
    "Layout",
    "Parsed",
    "PromptStyle",
    "RandomAgent",
    "Reply",
    "ReplyFormat",
    "Sampler",
    "Scene",
    "Trajectory",
    "TransformersSampler",
    "Turn",
    "Usage",
    "View",
    "load_model",
    "parse",
    "rollout",
]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
