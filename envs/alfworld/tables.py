"""What is common knowledge in ALFWorld: its kinds of task, its rooms, and where things lie."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

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
    """Types of objects that may be put into each type of receptacle."""
    return {place: frozenset(things) for place, things in _alfworld()["fits"].items()}


@cache
def traits() -> Mapping[str, frozenset[str]]:
    """Types of objects with each trait, by its name in the domain."""
    by_trait = {name: frozenset(things) for name, things in _alfworld()["traits"].items()}
    known = {thing for things in placements().values() for thing in things}
    by_trait["pickupable"] = frozenset(known - DECORATION)
    by_trait["isreceptacleobject"] = frozenset(_alfworld()["movable"])
    return by_trait


def objects() -> frozenset[str]:
    """All types of objects of the domain, receptacles among them."""
    return frozenset(_alfworld()["objects"])


def sentences(task_kind: str) -> Sequence[str]:
    """How ALFWorld words a task of this type, with {obj}, {recep} and {toggle}."""
    worded: Sequence[str] = _alfworld()["kinds"][task_kind]["templates"]
    return worded


def goal_pattern(task_kind: str) -> str:
    """The goal of a task of this type in PDDL, with {obj}, {recep} and {toggle}, and # for -."""
    return str(_alfworld()["kinds"][task_kind]["pddl"])


def rooms(task_kind: str) -> Collection[str]:
    """The kinds of room in which tasks of this type exist."""
    kinds: Collection[str] = _alfworld()["kinds"][task_kind]["rooms"]
    return kinds


def floor_plans() -> Mapping[str, Sequence[int]]:
    """Numbers of AI2-THOR's floor plans, by kind of room."""
    plans: Mapping[str, Sequence[int]] = _alfworld()["plans"]
    return plans


def floor_plan(plan: int) -> tuple[Sequence[str], Sequence[tuple[str, str, str]]]:
    """Types of things of floor plan `plan`, and its receptacles: id, type, where to stand."""
    own = _alfworld()["layouts"][str(plan)]
    return own["things"], own["receptacles"]


def domains() -> Collection[str]:
    """SHA-256 of the PDDL domains of ALFWorld's releases, without what they differ in."""
    digests: Collection[str] = _alfworld()["domains"]
    return digests


@cache
def _alfworld() -> Mapping[str, Any]:
    """The alfworld package's tables and floor plans (`benchmarks/alfworld_tables.py`)."""
    text = resources.files(__package__).joinpath("tables.json").read_text("utf-8")
    made: Mapping[str, Any] = json.loads(text)
    return made


@cache
def single_things() -> frozenset[str]:
    """Types of objects of which a room has one: fixtures, and what can be put nowhere."""
    known = {thing for things in placements().values() for thing in things}
    return DECORATION | (known - frozenset().union(*fits().values()))
