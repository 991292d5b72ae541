"""Everything that was shown and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layergym.agents.contexts.base import Exchange, View


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole conversation: every prompt extends the previous one, so an episode is one row."""

    def view(self, past: Sequence[Exchange]) -> View:
        """All of it."""
        return View(tuple(past))
