"""The reply is the action."""

from __future__ import annotations

from dataclasses import dataclass

from layergym.agents.formats.base import Parsed


@dataclass(frozen=True, slots=True)
class Plain:
    """`plain`: the whole text is the action, for small policies that were trained so."""

    request = ""
    reminder = ""
    tools = ()

    def parse(self, text: str) -> Parsed:
        """The text without the white space around it."""
        whole = text.strip()
        return Parsed(whole, bool(whole))

    def write(self, action: str, thought: str = "") -> str:
        """The action."""
        return action
