"""Write what the generator invents as ALFWorld writes it: PDDL problems and task sentences."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from layergym.envs.alfworld.floorplans import Receptacle, Room
from layergym.envs.alfworld.tables import fits, goal_pattern, objects, sentences, traits


@dataclass(frozen=True, slots=True)
class Target:
    """What a task is about, by type."""

    thing: str
    place: str = ""
    """Where it goes; empty when it is to be looked at."""
    lamp: str = ""
    """What it is to be looked at with."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An object and where it lies."""

    id: str
    kind: str
    receptacle: Receptacle


def sentence_of(task_kind: str, target: Target, rng: random.Random) -> str:
    """One of ALFWorld's sentences for a task."""
    template = rng.choice(sentences(task_kind))
    words = {"obj": target.thing, "recep": target.place, "toggle": target.lamp}
    return template.format(**{key: word.lower() for key, word in words.items()}) + "."


def write_problem(
    task_kind: str, target: Target, room: Room, things: Iterable[Thing], start: str
) -> str:
    """The PDDL problem of a task in `room`, with the agent at the location `start`."""
    things = list(things)
    locations = sorted({start, *(r.location for r in room.receptacles)})
    sections = (
        "(define (problem plan_generated)",
        "(:domain alfred)",
        "(:objects",
        "agent1 - agent",
        *_type_names(),
        *(f"{_mangle(thing.id)} - object" for thing in things),
        *(f"{_mangle(r.id)} - receptacle" for r in room.receptacles),
        *(f"{_mangle(location)} - location" for location in locations),
        ")",
        "(:init",
        *_kind_facts(room, things),
        *_trait_facts(room, things),
        f"(atLocation agent1 {_mangle(start)})",
        *_place_facts(room, things),
        ")",
        _goal(task_kind, target),
    )
    return "\n".join(sections)


@cache
def _type_names() -> tuple[str, ...]:
    """The domain's constants: every type of object and receptacle."""
    return (
        *(f"{kind}Type - otype" for kind in sorted(objects() - fits().keys())),
        *(f"{kind}Type - rtype" for kind in sorted(fits())),
    )


def _goal(task_kind: str, target: Target) -> str:
    goal = goal_pattern(task_kind)
    return goal.format(obj=target.thing, recep=target.place, toggle=target.lamp).replace("#", "-")


def _kind_facts(room: Room, things: list[Thing]) -> list[str]:
    kinds = {thing.kind for thing in things}
    return [
        *(f"(receptacleType {_mangle(r.id)} {r.kind}Type)" for r in room.receptacles),
        *(f"(objectType {_mangle(thing.id)} {thing.kind}Type)" for thing in things),
        *(
            f"(canContain {place}Type {kind}Type)"
            for place in sorted(room.kinds)
            for kind in sorted(kinds & fits()[place])
        ),
    ]


def _trait_facts(room: Room, things: list[Thing]) -> list[str]:
    names: Mapping[str, frozenset[str]] = traits()
    return [
        *(
            f"({trait} {_mangle(thing.id)})"
            for trait in sorted(names)
            for thing in things
            if thing.kind in names[trait]
        ),
        *(f"(openable {_mangle(r.id)})" for r in room.receptacles if r.openable),
    ]


def _place_facts(room: Room, things: list[Thing]) -> list[str]:
    return [
        *(
            f"(receptacleAtLocation {_mangle(r.id)} {_mangle(r.location)})"
            for r in room.receptacles
        ),
        *(f"(inReceptacle {_mangle(t.id)} {_mangle(t.receptacle.id)})" for t in things),
        *(f"(objectAtLocation {_mangle(t.id)} {_mangle(t.receptacle.location)})" for t in things),
    ]


_MANGLED = str.maketrans({"|": "_bar_", "+": "_plus_", "-": "_minus_", ".": "_dot_"})


def _mangle(id: str) -> str:
    return id.translate(_MANGLED)
