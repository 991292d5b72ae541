"""A thought, then an action, in tags."""

from __future__ import annotations

from dataclasses import dataclass

from layergym.agents.formats.base import Parsed
from layergym.envs.tags import between


@dataclass(frozen=True, slots=True)
class Think:
    """`think`: `<think>...</think>` and then exactly one `<action>...</action>`.

    As in verl-agent's prompts for GiGPO (arXiv 2505.10978). The opening `<think>` may be missing
    because some chat templates put it into the prompt.
    """

    request = (
        "At every turn, first reason step by step inside <think> </think> tags, then give exactly "
        "one action inside <action> </action> tags."
    )
    reminder = ""
    tools = ()

    def parse(self, text: str) -> Parsed:
        """The action; of a reply that does not keep to the form the last one, or all of it."""
        whole = text.strip()
        thought, closed, rest = whole.rpartition("</think>")
        actions = [action.strip() for action in between(rest, "action")]
        if len(actions) == 1 and actions[0]:
            thinks = bool(closed) and thought.count("<think>") <= 1 and "</think>" not in thought
            alone = rest.strip().startswith("<action>") and rest.strip().endswith("</action>")
            return Parsed(actions[0], thinks and alone and rest.count("</action>") == 1)
        guesses = [action.strip() for action in between(whole, "action") if action.strip()]
        return Parsed(guesses[-1] if guesses else whole, False)

    def write(self, action: str, thought: str = "") -> str:
        """The thought and the action in their tags."""
        return f"<think>{thought}</think><action>{action}</action>"
