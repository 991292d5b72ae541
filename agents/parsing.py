"""From a reply's text to an action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from layergym.envs.tags import between

Format = Literal["think", "plain"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply asks for."""

    action: str
    ok: bool
    """Whether the reply kept to the format; if not, `action` is the best guess."""


def parse(text: str, format: Format) -> Parsed:
    """Read the action in a reply.

    `plain`: the whole text is the action. `think`: `<think>...</think>` and then exactly one
    `<action>...</action>`, as in verl-agent's prompts for GiGPO (arXiv 2505.10978); the opening
    `<think>` may be missing because some chat templates put it into the prompt. When a reply does
    not keep to the format, the last action in it is taken, or else the whole text.
    """
    whole = text.strip()
    if format == "plain":
        return Parsed(whole, bool(whole))
    thought, closed, rest = whole.rpartition("</think>")
    actions = [action.strip() for action in between(rest, "action")]
    if len(actions) == 1 and actions[0]:
        thinks = bool(closed) and thought.count("<think>") <= 1 and "</think>" not in thought
        alone = rest.strip().startswith("<action>") and rest.strip().endswith("</action>")
        return Parsed(actions[0], thinks and alone and rest.count("</action>") == 1)
    guesses = [action.strip() for action in between(whole, "action") if action.strip()]
    return Parsed(guesses[-1] if guesses else whole, False)
