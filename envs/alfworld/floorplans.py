"""Rooms for generated games: AI2-THOR's floor plans, completed and varied."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from layergym.envs.alfworld.tables import floor_plan, floor_plans, placements, rooms

SPLITS = ("train", "valid", "test")

# What the layouts leave out, and how many of it a real room has.
_ABSENT = {
    "Kitchen": {
        "CoffeeMachine": (1, 1),
        "GarbageCan": (1, 1),
        "StoveBurner": (4, 4),
        "Toaster": (1, 1),
    },
    "LivingRoom": {"GarbageCan": (1, 1)},
    "Bedroom": {"GarbageCan": (1, 1), "LaundryHamper": (0, 1)},
    "Bathroom": {
        "GarbageCan": (1, 1),
        "HandTowelHolder": (1, 2),
        "Toilet": (1, 1),
        "ToiletPaperHanger": (1, 1),
        "TowelHolder": (1, 2),
    },
}
# Of these, a real room has more than its layout shows.
_FURTHER = {"Kitchen": {"Cabinet": (0, 5), "Drawer": (0, 2)}, "Bathroom": {"Drawer": (0, 2)}}
_OPENABLE = {"Fridge": 1.0, "Microwave": 1.0, "Drawer": 0.84, "Cabinet": 0.83, "Safe": 0.83}
_SHARED_LOCATION = 0.5


@dataclass(frozen=True, slots=True)
class Receptacle:
    """A piece of furniture that holds things."""

    id: str
    """As in the simulator: type and coordinates, "Drawer|+01.88|+00.21|-02.96"."""
    kind: str
    location: str
    openable: bool


@dataclass(frozen=True, slots=True)
class Room:
    """A furnished room without its things."""

    kind: str
    things: tuple[str, ...]
    """Types of objects that belong here."""
    receptacles: tuple[Receptacle, ...]

    @property
    def kinds(self) -> Counter[str]:
        """How many receptacles of each type."""
        return Counter(receptacle.kind for receptacle in self.receptacles)


def owner(room: Room) -> str:
    """The split that alone may use a room with these receptacles."""
    listed = ",".join(f"{kind} {n}" for kind, n in sorted(room.kinds.items()))
    return SPLITS[hashlib.sha256(listed.encode()).digest()[0] % len(SPLITS)]


@cache
def plans(split: str, task_kind: str) -> tuple[int, ...]:
    """Numbers of the floor plans of `split` in which tasks of this kind exist."""
    numbers: list[int] = []
    for room, scenes in floor_plans().items():
        if room in rooms(task_kind):
            # As in ALFRED, plans 1-6 of each kind of room are for testing.
            parts = {"test": scenes[:6], "valid": scenes[6:9], "train": scenes[9:]}
            numbers.extend(parts[split])
    return tuple(numbers)


def furnish(plan: int, rng: random.Random) -> Room:
    """Floor plan `plan` with what its layout leaves out, and one more or less of what is many."""
    room = _layout(plan)
    receptacles = [_openable(r, rng) for r in room.receptacles]
    for kind, count in sorted(room.kinds.items()):
        change = rng.choice((-1, 0, 0, 1)) if count > 1 else 0
        if change < 0:
            receptacles.remove(rng.choice([r for r in receptacles if r.kind == kind]))
        elif change > 0:
            receptacles.append(_another(kind, receptacles, rng))
    absent = {k: n for k, n in _ABSENT[room.kind].items() if not room.kinds[k]}
    further = {k: n for k, n in _FURTHER.get(room.kind, {}).items() if room.kinds[k]}
    for kind, (low, high) in {**absent, **further}.items():
        for _ in range(rng.randint(low, high)):
            receptacles.append(_another(kind, receptacles, rng))
    return replace(room, receptacles=tuple(receptacles))


def coordinates(rng: random.Random) -> str:
    """A random point in the simulator's notation."""
    x, y, z = rng.uniform(-4, 4), rng.uniform(0, 2), rng.uniform(-4, 4)
    return f"{x:+06.2f}|{y:+06.2f}|{z:+06.2f}"


def new_location(rng: random.Random, taken: Sequence[str]) -> str:
    """A place to stand where nothing else is: x, z (quarter metres), quarter turns, horizon."""
    while True:
        x, z, turns = rng.randint(-16, 16), rng.randint(-16, 16), rng.randint(0, 3)
        location = f"loc|{x}|{z}|{turns}|{rng.choice((15, 30, 45, 60))}"
        if location not in taken:
            return location


@cache
def _layout(plan: int) -> Room:
    kind = next(room for room, numbers in floor_plans().items() if plan in numbers)
    types, receptacles = floor_plan(plan)
    things = tuple(sorted(set(types) & set(placements()[kind])))
    return Room(kind, things, tuple(Receptacle(*each, openable=False) for each in receptacles))


def _openable(receptacle: Receptacle, rng: random.Random) -> Receptacle:
    return replace(receptacle, openable=rng.random() < _OPENABLE.get(receptacle.kind, 0.0))


def _another(kind: str, others: Sequence[Receptacle], rng: random.Random) -> Receptacle:
    suffix = f"|{kind}" if kind.endswith("Basin") else ""
    beside = [r.location for r in others if r.kind == kind]
    if beside and rng.random() < _SHARED_LOCATION:
        location = rng.choice(beside)
    else:
        location = new_location(rng, [r.location for r in others])
    id = f"{kind.removesuffix('Basin')}|{coordinates(rng)}{suffix}"
    return _openable(Receptacle(id, kind, location, openable=False), rng)
