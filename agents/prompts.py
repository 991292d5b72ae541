"""What an agent is told: the text of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layergym.agents.parsing import Format

_THINK = (
    "At every turn, first reason step by step inside <think> </think> tags, then give exactly one "
    "action inside <action> </action> tags."
)


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """How a policy is addressed; a model keeps the style it was trained with."""

    format: Format = "think"
    """`think` for chat models; `plain`, where the reply is the action, for small ones."""
    instructions: bool = True
    """Begin with the environment's instructions."""
    admissible: bool = False
    """List the admissible actions after each observation."""


def system_text(style: PromptStyle, instructions: str) -> str:
    """The opening of an episode: the environment's instructions and the form of a reply."""
    parts = [instructions.strip() if style.instructions else ""]
    parts.append(_THINK if style.format == "think" else "")
    return "\n\n".join(part for part in parts if part)


def user_text(style: PromptStyle, observation: str, admissible: Sequence[str] | None) -> str:
    """One turn: the observation and, if the style asks for them, the admissible actions."""
    if not style.admissible or admissible is None:
        return observation
    return f"{observation}\nAdmissible actions: {', '.join(admissible)}."
