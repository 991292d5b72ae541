"""All turns, without what was thought in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from layergym.agents.contexts.base import Exchange, View

END = "</think>"


@dataclass(frozen=True, slots=True)
class NoThoughts:
    """`no-thoughts`: every exchange, of each reply what follows its last `</think>`.

    A prompt extends the previous one where the last reply held no thoughts; else a new row begins.
    """

    def view(self, past: Sequence[Exchange]) -> View:
        """All of it, thoughts left out."""
        return View(tuple(map(_without_thoughts, past)))


def _without_thoughts(exchange: Exchange) -> Exchange:
    _, ended, rest = exchange.reply.rpartition(END)
    return replace(exchange, reply=rest.lstrip()) if ended else exchange
