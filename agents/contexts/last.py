"""The last few turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layergym.agents.contexts.base import Exchange, View
from layergym.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Last:
    """`last:K`: the last K exchanges, as in the published runs of GiGPO with K = 2.

    The first K prompts after the first extend one another. Then the oldest exchange falls out at
    every turn, and every prompt begins a new row.
    """

    turns: int

    def view(self, past: Sequence[Exchange]) -> View:
        """The last K of it."""
        return View(tuple(past[max(0, len(past) - self.turns) :]))


def last(argument: str) -> Last:
    """Read K.

    Raises:
        InputError: it is not a whole number of 0 or more.
    """
    if not (argument.isascii() and argument.isdigit()) or len(argument) > 6:
        raise InputError(
            f'it says how many turns it keeps, as "last:2" does, not "{argument[:20]}"'
        )
    return Last(int(argument))
