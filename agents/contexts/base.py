"""What an agent remembers of an episode, and what of it the next prompt shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn that is over."""

    observation: str
    asked: str
    """The message that the model got for it."""
    reply: str
    """The reply as it was said, thoughts and all."""
    action: str
    """What was read in the reply."""
    admissible: tuple[str, ...] | None = None
    """The actions that were listed, where the prompt lists them."""
    ids: tuple[int, ...] = ()
    """The sampled tokens, where they are known."""


@dataclass(frozen=True, slots=True)
class View:
    """What of the past a prompt shows."""

    exchanges: tuple[Exchange, ...] = ()
    """Oldest first, each as it is to be shown."""
    note: str = ""
    """Said in place of the turns that are left out: a summary, say. "" for how many there are."""


class Context(Protocol):
    """A context policy: decides what a prompt shows of an episode's past.

    It must be a function of what it is given: the same past, the same view. The prompt then holds
    the task, the view and the current observation. It extends the previous prompt, and shares its
    row in training, exactly when it shows the same as that prompt and then the last exchange as it
    was said; else it begins a new row. In every row only the replies sampled in answer to it carry
    loss, as the tokens that were sampled; an earlier reply that a new row shows is given text.
    """

    def view(self, past: Sequence[Exchange]) -> View:
        """What the next prompt shows of `past`, oldest first; empty at the first turn."""
