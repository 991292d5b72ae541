"""Forms of replies: from the text of a reply to an action.

Another package adds one through the entry-point group `layergym.formats`: the entry is named as the
form, and its value `module:callable` makes a `ReplyFormat` from what stands behind the colon.
"""

from functools import lru_cache

from layergym.agents.formats.act import Act
from layergym.agents.formats.base import Parsed, ReplyFormat
from layergym.agents.formats.pattern import Pattern
from layergym.agents.formats.plain import Plain
from layergym.agents.formats.think import Think
from layergym.agents.formats.tool import Tool
from layergym.agents.plugins import Maker, Plugins, alone

_OURS: dict[str, Maker[ReplyFormat]] = {
    "act": alone(Act),
    "plain": alone(Plain),
    "regex": Pattern,
    "think": alone(Think),
    "tool": alone(Tool),
}
FORMATS: Plugins[ReplyFormat] = Plugins("format", "layergym.formats", _OURS)
"""All forms by name; `open_format("think")` gives one."""


@lru_cache(maxsize=64)
def open_format(text: str) -> ReplyFormat:
    """The form that `text` names.

    Raises:
        InputError: there is none, or its argument is wrong.
    """
    return FORMATS.open(text)


def parse(text: str, format: str) -> Parsed:
    """Read the action in a reply of this form."""
    return open_format(format).parse(text)


__all__ = ["FORMATS", "Parsed", "ReplyFormat", "open_format", "parse"]
