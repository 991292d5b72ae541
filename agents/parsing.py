"""From a reply's text to an action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["think", "plain"]

_OPEN, _CLOSE = "<action>", "</action>"


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
    actions = _actions(rest)
    if len(actions) == 1 and actions[0]:
        thinks = bool(closed) and thought.count("<think>") <= 1 and "</think>" not in thought
        bare = rest.strip()
        only_it = bare.startswith(_OPEN) and bare.find(_CLOSE) == len(bare) - len(_CLOSE)
        return Parsed(actions[0], thinks and only_it)
    guesses = [action for action in _actions(whole) if action]
    return Parsed(guesses[-1] if guesses else whole, False)


def _actions(text: str) -> list[str]:
    """What stands between the tags: from the first opening one to the next closing one, again.

    In time that grows with the text alone, however many tags are never closed.
    """
    pieces = text.split(_CLOSE)[:-1]
    return [piece.partition(_OPEN)[2].strip() for piece in pieces if _OPEN in piece]
