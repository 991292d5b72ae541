"""What the texts of one episode have shown, whoever chose the actions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from layergym.envs.alfworld.text import NOTHING_HAPPENS

_ARRIVE = re.compile(r"You arrive at ([^.]+)\. ")
_CONTENTS = re.compile(r"(?:On the (.+?)|The (.+?) is open\. In it), you see (.+?)\.")
_CLOSED = re.compile(r"The (.+?) is closed\.|You close the (.+?)\.")
_TAKEN = re.compile(r"You pick up the (.+?) from the (.+?)\.")
_PLACED = re.compile(r"You (?:put|move) the (.+?) (?:to|in/on) the (.+?)\.")
_CHANGED = re.compile(r"You (clean|heat|cool) the (.+?) using the (.+?)\.")
_FACING = re.compile(r"You are facing the (.+?)\. Next to it")
_CARRYING = re.compile(r"You are carrying: a (.+?)\.")
_MOVED = re.compile(r"(take|move|put) (.+?) (?:from|to|in/on) (.+)")


class Memory:
    """Names as the player reads them; nothing here comes from anywhere but the texts."""

    def __init__(self, introduction: str) -> None:
        """Read the text with which the game begins."""
        room, _, task = introduction.partition("Your task is to: ")
        self.task = task
        self.places = _items(room.rpartition("you see ")[2].strip().rstrip("."))
        """Receptacles of the room."""
        self.contents: dict[str, list[str]] = {}
        """What lies in the receptacles whose inside was seen."""
        self.closed: set[str] = set()
        """Receptacles known to be closed."""
        self.here: set[str] = set()
        """Receptacles within reach, as far as known."""
        self.held: str | None = None
        self.changed: set[tuple[str, str]] = set()
        """(object, "clean" | "heat" | "cool"): what was done to which object."""
        self.refused: set[tuple[str, str]] = set()
        """(object, receptacle): moves between them that did nothing."""
        self._together = {place: {place} for place in self.places}

    @property
    def shown(self) -> frozenset[str]:
        """Receptacles of which something is known."""
        return frozenset(self.contents).union(self.closed)

    def observe(self, command: str, text: str) -> None:
        """Learn from what `command` was answered with."""
        command = command.strip()
        if text == NOTHING_HAPPENS:
            self._learn_refusal(command)
            return
        if _ARRIVE.match(text):
            self.here = self._together.get(command.removeprefix("go to "), set())
        elif match := _FACING.match(text):
            self._join(_items(match[1], article=""))
        self._follow_object(text)
        for match in _CLOSED.finditer(text):
            self.closed.add(match[1] or match[2])
        for match in _CONTENTS.finditer(text):
            place = match[1] or match[2]
            self.closed.discard(place)
            self.contents[place] = _items(match[3])

    def _follow_object(self, text: str) -> None:
        if match := _TAKEN.match(text):
            self.held = match[1]
            self._remove(match[1], match[2])
        elif match := _PLACED.match(text):
            self.held = None
            self.contents.setdefault(match[2], []).append(match[1])
        elif match := _CHANGED.match(text):
            verb, thing = match[1], match[2]
            if verb != "clean":
                self.changed -= {(thing, "heat"), (thing, "cool")}
            self.changed.add((thing, verb))
        elif match := _CARRYING.match(text):
            self.held = match[1]

    def _learn_refusal(self, command: str) -> None:
        place = command.removeprefix("go to ")
        if command.startswith("go to ") and place in self._together:
            # Nothing happens only where one already stands: this place is here, too.
            self._join([place, *self.here])
        elif match := _MOVED.fullmatch(command):
            verb, thing, place = match.groups()
            self.refused.add((thing, place))
            if verb == "take":
                self._remove(thing, place)

    def _join(self, places: Iterable[str]) -> None:
        group: set[str] = set()
        for place in places:
            group |= self._together.get(place, set())
        for place in group:
            self._together[place] = group
        self.here = group

    def _remove(self, thing: str, place: str) -> None:
        if thing in self.contents.get(place, ()):
            self.contents[place].remove(thing)


def _items(text: str, article: str = "a ") -> list[str]:
    if text == "nothing":
        return []
    return [item.removeprefix("and ").removeprefix(article) for item in text.split(", ")]
