"""A call of a tool, as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from layergym.agents.formats.base import Parsed
from layergym.envs.tags import between

NAME, ARGUMENT = "act", "action"
SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Take one action.",
        "parameters": {
            "type": "object",
            "properties": {ARGUMENT: {"type": "string"}},
            "required": [ARGUMENT],
        },
    },
}
"""The tool, as chat templates and servers describe one."""
_LONGEST = 20_000
"""Characters of a call at most; longer ones are none."""


@dataclass(frozen=True, slots=True)
class Tool:
    """`tool`: one `<tool_call>{"name": "act", "arguments": {"action": ...}}</tool_call>`.

    Qwen's and Hermes' form. Text before the call is the thought. A bare JSON object, and arguments
    that are a text holding JSON, as some servers send them, are read as well.
    """

    request = (
        "At every turn, call the tool exactly once, with one action, in this form:\n"
        f'<tool_call>{{"name": "{NAME}", "arguments": {{"{ARGUMENT}": "..."}}}}</tool_call>\n'
        "You may reason before the call. Write nothing after it."
    )
    reminder = ""
    tools = (SCHEMA,)

    def parse(self, text: str) -> Parsed:
        """The call's action; without a call that can be read, the whole text."""
        whole = text.strip()
        calls = list(between(whole, "tool_call"))
        bare = not calls and whole.startswith("{")
        actions = [a for call in ([whole] if bare else calls) if (a := _action(call)) is not None]
        if not actions:
            return Parsed(whole, False)
        last = bare or whole.endswith("</tool_call>")
        return Parsed(actions[-1], len(actions) == 1 and len(calls) <= 1 and last)

    def write(self, action: str, thought: str = "") -> str:
        """The thought, and the call."""
        call = json.dumps({"name": NAME, "arguments": {ARGUMENT: action}}, ensure_ascii=False)
        return f"{thought}{chr(10) if thought else ''}<tool_call>{call}</tool_call>"


def _action(call: str) -> str | None:
    """The action of one call, or None where it is not a call of the tool."""
    if len(call) > _LONGEST:
        return None
    try:
        said = json.loads(call)
        given = said["arguments"]
        given = json.loads(given) if isinstance(given, str) else given
        action = given[ARGUMENT]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    known = said.get("name") == NAME and isinstance(action, str) and action.strip()
    return action.strip() if known else None
