"""What a form of replies must say about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply asks for."""

    action: str
    ok: bool
    """Whether the reply kept to the format; if not, `action` is the best guess."""
    plain: bool = False
    """Whether the reply is the action as it stands; it counts as `ok` where it is admissible."""


class ReplyFormat(Protocol):
    """A form of replies: how a model is asked for it, how it is read, and written by others."""

    @property
    def request(self) -> str:
        """What a model is told about the form; "" where the whole reply is the action."""

    @property
    def reminder(self) -> str:
        """The same in one line, at the end of a message and before an example; "" for none."""

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools that a reply may call, as JSON schemas; a prompt of one's own can show them."""

    def parse(self, text: str) -> Parsed:
        """Read the action in a reply, which is hostile text."""

    def write(self, action: str, thought: str = "") -> str:
        """A reply in this form, as an expert or an example gives it."""
