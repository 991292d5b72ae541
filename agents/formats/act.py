"""Thoughts as one likes, then an action: what instruct models do of themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from layergym.agents.formats.base import Parsed
from layergym.envs.tags import between

_MARKED = re.compile(r"^[ \t>*_#-]*(?:final |next )?action[ \t*_]*:[ \t*_]*(.*)$", re.I | re.M)
_FENCE = "```"
_QUOTES = ("`", '"', "'", "**", "*")


@dataclass(frozen=True, slots=True)
class Act:
    """`act`: any text, and then `Action: ...`, the usual form for chat models.

    What is unambiguous is read as well: one `<action>` tag, and, of a reply without either, a last
    line that is one of the listed actions. What a reply says in `<think>` tags does not count.
    """

    request = (
        "At every turn, think in one or two sentences about what to do next. Then end your reply "
        "with one action, on a line of its own that begins with the word Action and a colon."
    )
    reminder = "What do you do? End your reply with one action, in this form:"
    tools = ()

    def parse(self, text: str) -> Parsed:
        """The only action; of several different ones the last, and the form is not kept."""
        said = text.rpartition("</think>")[2].partition("<think>")[0].strip()
        actions = [_bare(action) for action in between(said, "action")]
        actions = [a for a in actions or map(_bare, _MARKED.findall(said)) if a]
        if actions:
            return Parsed(actions[-1], len(set(actions)) == 1)
        lines = [_bare(line) for line in said.splitlines() if not line.strip().startswith(_FENCE)]
        last = next((line for line in reversed(lines) if line), "")
        return Parsed(last or text.strip(), False, plain=bool(last))

    def write(self, action: str, thought: str = "") -> str:
        """The thought, and the action on a line of its own."""
        return f"{thought}{chr(10) if thought else ''}Action: {action}"


def _bare(line: str) -> str:
    """A line without the white space and the quotes around it."""
    line = line.strip()
    for quote in _QUOTES:
        if len(line) > 2 * len(quote) and line.startswith(quote) and line.endswith(quote):
            line = line[len(quote) : -len(quote)].strip()
    return line
