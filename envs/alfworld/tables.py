"""What is common knowledge in ALFWorld: its kinds of task, its rooms, and where things lie."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources

KINDS = (
    "look_at_obj_in_light",
    "pick_and_place_simple",
    "pick_clean_then_place_in_recep",
    "pick_cool_then_place_in_recep",
    "pick_heat_then_place_in_recep",
    "pick_two_obj_and_place",
)
"""The six task types, sorted."""

CHANGES = {
    "pick_clean_then_place_in_recep": "clean",
    "pick_cool_then_place_in_recep": "cool",
    "pick_heat_then_place_in_recep": "heat",
}
"""What has to be done to the object first, by task type."""

APPLIANCES = {"clean": "SinkBasin", "cool": "Fridge", "heat": "Microwave"}
"""The type of receptacle that does it."""

Placements = Mapping[str, Mapping[str, Mapping[str, float]]]


@cache
def placements() -> Placements:
    """How many objects of a type one receptacle of a type holds: `[room][object][receptacle]`.

    Means over the 3,553 solvable training games of ALFWorld (json_2.1.1) in rooms of that kind
    that have such an object; `benchmarks/alfworld_generator.py --measure` made the file.
    """
    text = resources.files(__package__).joinpath("placements.json").read_text("utf-8")
    rooms: Placements = json.loads(text)
    return rooms


def room_kind(receptacle_types: Collection[str]) -> str:
    """The kind of room that has receptacles of these (lower-case) types."""
    for telling, room in (("fridge", "Kitchen"), ("toilet", "Bathroom"), ("bed", "Bedroom")):
        if telling in receptacle_types:
            return room
    return "LivingRoom"


DECORATION = frozenset({"DeskLamp", "HousePlant", "Television"})
"""Types of objects that cannot be picked up."""


@cache
def fits() -> Mapping[str, frozenset[str]]:
    """Types of objects that may be put into each type of receptacle (alfworld's table)."""
    from alfworld.gen import constants

    return {
        receptacle: frozenset(thing for thing in things if not thing.endswith("Sliced"))
        for receptacle, things in constants.VAL_RECEPTACLE_OBJECTS.items()
        if receptacle not in constants.MOVABLE_RECEPTACLES_SET
    }


@cache
def traits() -> Mapping[str, frozenset[str]]:
    """Types of objects with each trait, by its name in the domain (alfworld's table)."""
    from alfworld.gen import constants

    by_trait = {name.lower(): frozenset(ts) for name, ts in constants.VAL_ACTION_OBJECTS.items()}
    known = {thing for things in placements().values() for thing in things}
    by_trait["pickupable"] = frozenset(known - DECORATION)
    by_trait["isreceptacleobject"] = frozenset(constants.MOVABLE_RECEPTACLES_SET)
    return by_trait


@cache
def single_things() -> frozenset[str]:
    """Types of objects of which a room has one: fixtures, and what can be put nowhere."""
    known = {thing for things in placements().values() for thing in things}
    return DECORATION | (known - frozenset().union(*fits().values()))
