"""An expert that searches: it knows only what this episode has shown, and common sense.

Where it has not looked yet, it goes by how often such things lie in such places. Its advice
depends on nothing but the texts so far, so it can label any history (DAgger), its own or not.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from layergym.envs.alfworld.memory import Memory
from layergym.envs.alfworld.tables import APPLIANCES, placements, room_kind
from layergym.envs.alfworld.text import Dialect

_SENTENCES = (
    (r"(?:put a clean|clean some) (\w+) (?:and put it )?in (\w+)", "clean", 1),
    (r"(?:put a hot|heat some) (\w+) (?:and put it )?in (\w+)", "heat", 1),
    (r"(?:put a cool|cool some) (\w+) (?:and put it )?in (\w+)", "cool", 1),
    (r"(?:put|find) two (\w+) (?:and put them )?in (\w+)", "", 2),
    (r"look at (\w+) under the (\w+)", "light", 1),
    (r"examine the (\w+) with the (\w+)", "light", 1),
    (r"put (?:a|some) (\w+) (?:in|on) (\w+)", "", 1),
)
_OPENABLE = frozenset({"cabinet", "drawer", "fridge", "microwave", "safe"})
_SURPRISE = 0.002
"""Expected number of things in a place where common sense knows of none."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a task asks for, by types as in "soapbar"."""

    thing: str
    place: str
    """Where it goes, or the lamp to look at it with."""
    change: str
    """What to do to it first: "clean", "heat", "cool", "light" or nothing."""
    count: int


def read_task(sentence: str) -> Wish | None:
    """What `sentence` asks for, or None when it is none of ALFWorld's templates."""
    for pattern, change, count in _SENTENCES:
        if match := re.fullmatch(pattern + r"\.?", sentence.strip()):
            return Wish(match[1], match[2], change, count)
    return None


def advise(memory: Memory, dialect: Dialect, *, order: str | None = None) -> str | None:
    """The command that the expert would give now, or None when it cannot read the task.

    With `order`, any text, the expert has no common sense: it searches in an order that is drawn
    with that text.
    """
    wish = read_task(memory.task)
    return None if wish is None else _Expert(memory, wish, dialect.put_command, order).act()


class _Expert:
    def __init__(self, memory: Memory, wish: Wish, put_command: str, order: str | None) -> None:
        self.memory = memory
        self.wish = wish
        self.put_command = put_command
        self.order = order

    def act(self) -> str:
        wish, held = self.wish, self.memory.held
        if held is None:
            return self.fetch()
        if _kind(held) != wish.thing:
            return self.drop(held)
        if wish.change == "light":
            return self.use_lamp()
        if wish.change and (held, wish.change) not in self.memory.changed:
            appliance = self.nearest(self.of_kind(APPLIANCES[wish.change].lower()))
            return self.go_command(appliance) or f"{wish.change} {held} with {appliance}"
        target = self.target()
        return self.reach(target) or self.put_command.format(held, target)

    def target(self) -> str:
        """Where things go: two of them into the same receptacle."""
        refused = self.memory.refused
        places = [p for p in self.of_kind(self.wish.place) if (self.memory.held, p) not in refused]
        if self.wish.count == 1:
            return self.nearest(places)
        return max(places, key=lambda p: (self.number_in(p), -self.effort(p)), default="")

    def number_in(self, place: str) -> int:
        return sum(_kind(o) == self.wish.thing for o in self.memory.contents.get(place, ()))

    def fetch(self) -> str:
        wish, memory = self.wish, self.memory
        keep = self.target() if wish.count > 1 else ""
        places = [
            (thing, place)
            for place, things in memory.contents.items()
            for thing in things
            if _kind(thing) == wish.thing and place != keep
        ]
        if not places:
            return self.search(wish.thing)
        thing, place = min(places, key=lambda pair: self.effort(pair[1]))
        return self.reach(place) or f"take {thing} from {place}"

    def use_lamp(self) -> str:
        for place, things in self.memory.contents.items():
            for thing in things:
                if _kind(thing) == self.wish.place:
                    return self.go_command(place) or f"use {thing}"
        return self.search(self.wish.place)

    def drop(self, held: str) -> str:
        """Put down what is not wanted, where such things lie."""
        places = [p for p in self.memory.places if (held, p) not in self.memory.refused]
        if not places:
            return "look"
        rates = self.rates(_kind(held))
        place = min(places, key=lambda p: (_kind(p) not in rates, self.effort(p)))
        return self.reach(place) or self.put_command.format(held, place)

    def search(self, kind: str) -> str:
        """Look where such a thing is likeliest, per command spent."""
        unseen = [place for place in self.memory.places if place not in self.memory.contents]
        if not unseen:
            return "look"
        place = max(unseen, key=self.worth(kind) if self.order is None else self.whim)
        return self.reach(place) or "look"

    def worth(self, kind: str) -> Callable[[str], float]:
        """Chance to find such a thing in a place, per command spent."""
        rates = self.rates(kind)

        def chance(place: str) -> float:
            expected = rates.get(_kind(place), _SURPRISE)
            return (1 - math.exp(-expected)) / max(1, self.effort(place))

        return chance

    def whim(self, place: str) -> bytes:
        """A place's turn in a search without common sense."""
        return hashlib.blake2b(f"{self.order}\0{place}".encode(), digest_size=8).digest()

    def rates(self, kind: str) -> dict[str, float]:
        """How many things of this kind each type of receptacle holds."""
        room = placements()[room_kind({_kind(place) for place in self.memory.places})]
        rates_of_kind = next((rates for name, rates in room.items() if name.lower() == kind), {})
        return {name.lower(): rate for name, rate in rates_of_kind.items()}

    def reach(self, place: str) -> str | None:
        """The next command towards having `place` open in front, or None when it is."""
        if place in self.memory.closed:
            return self.go_command(place) or f"open {place}"
        return self.go_command(place) or (
            None if place in self.memory.contents else f"examine {place}"
        )

    def go_command(self, place: str) -> str | None:
        if not place:
            return "look"
        return None if place in self.memory.here else f"go to {place}"

    def effort(self, place: str) -> int:
        """Commands until `place` can be used, supposing that what may be closed is."""
        memory = self.memory
        closed = place in memory.closed or (
            place not in memory.contents and _kind(place) in _OPENABLE
        )
        return (place not in memory.here) + closed

    def nearest(self, places: list[str]) -> str:
        return min(places, key=self.effort, default="")

    def of_kind(self, kind: str) -> list[str]:
        return [place for place in self.memory.places if _kind(place) == kind]


def _kind(name: str) -> str:
    return name.partition(" ")[0]
