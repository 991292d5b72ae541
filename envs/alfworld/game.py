"""What never changes during a game: names, places, what goes where, and the goal."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from layergym.base.errors import InputError
from layergym.envs.alfworld.goal import Goal, ground
from layergym.envs.alfworld.problem import Problem, parse_problem
from layergym.envs.alfworld.text import Dialect, dialect, listing

_TRAITS = (
    "cleanable",
    "coolable",
    "heatable",
    "openable",
    "pickupable",
    "sliceable",
    "toggleable",
)


@dataclass(frozen=True, slots=True)
class Game:
    """A game's tables, keyed by PDDL ids; shared by all episodes, so treat them as read-only."""

    sentence: str
    """The task as the player reads it, without "Your task is to: "."""
    dialect: Dialect
    names: Mapping[str, str]
    receptacles: tuple[str, ...]
    """Ids in ALFWorld's order, which is that of every list it prints."""
    location_of: Mapping[str, str]
    at: Mapping[str, tuple[str, ...]]
    """Receptacles at each location that has any."""
    traits: Mapping[str, frozenset[str]]
    """Objects (or receptacles) that are openable, pickupable, toggleable, sliceable, ..."""
    appliances: Mapping[str, frozenset[str]]
    """Receptacles that can clean, heat and cool."""
    knives: frozenset[str]
    fits: Mapping[str, frozenset[str]]
    """Receptacles into which each object may be put."""
    inside: Mapping[str, tuple[str, ...]]
    """What each object that is itself a container (a mug, a bowl) holds."""
    always: Mapping[str, tuple[str, ...]]
    """Commands that are understood at each location whatever the state, sorted."""
    destination: Mapping[str, str]
    """Receptacle of each "go to" command."""
    goal: Goal
    problem: Problem

    @property
    def start_location(self) -> str:
        """Where the player is at the start."""
        return next(iter(self.problem.all("atlocation")))[1]


def build_game(
    problem: str, sentence: str, *, version: str = "0.4", shuffle_seed: int | None = None
) -> Game:
    """Compile the PDDL text `problem` with the task `sentence` into a game.

    Args:
        problem: the PDDL problem.
        sentence: the task, as in "put a mug in desk."
        version: dialect, "0.4" or "0.3".
        shuffle_seed: numbers the names ("mug 2") in an order drawn from this seed: alfworld's
            `domain_randomization` with its global `random` seeded just before the game loads.

    Raises:
        InputError: the problem is not one that ALFWorld could play.
    """
    parsed = parse_problem(problem)
    _check(parsed)
    words = dialect(version)
    names = _names(parsed.entities, shuffle_seed)
    location_of = {r: place for r, place in sorted(parsed.all("receptacleatlocation"))}
    receptacles = tuple(location_of)
    at: dict[str, tuple[str, ...]] = {}
    for receptacle, location in location_of.items():
        at[location] = (*at.get(location, ()), receptacle)
    types = _types(parsed, receptacles)
    destination = {f"go to {names[r]}": r for r in receptacles}
    start = next(iter(parsed.all("atlocation")))[1]
    return Game(
        sentence=sentence,
        dialect=words,
        names=names,
        receptacles=receptacles,
        location_of=location_of,
        at=at,
        traits={trait: parsed.having(trait) for trait in _TRAITS},
        appliances={
            "clean": frozenset(r for r in receptacles if types[r] & words.sinks),
            "heat": frozenset(r for r in receptacles if "microwavetype" in types[r]),
            "cool": frozenset(r for r in receptacles if "fridgetype" in types[r]),
        },
        knives=frozenset(
            o for o, t in parsed.all("objecttype") if t in ("knifetype", "butterknifetype")
        ),
        fits=_fits(parsed, types),
        inside=_inside(parsed),
        always={
            here: tuple(
                sorted(
                    (*words.always, *(c for c, r in destination.items() if location_of[r] != here))
                )
            )
            for here in {*at, start}
        },
        destination=destination,
        goal=ground(parsed),
        problem=parsed,
    )


def introduction(game: Game) -> str:
    """The text of a reset without its first line, up to the task."""
    here = game.at.get(game.start_location)
    if here:
        facing = listing([game.names[r] for r in here])
        return f"You are facing the {facing}. Next to it, you see nothing."
    seen = listing([f"a {game.names[r]}" for r in game.receptacles])
    return f"You are in the middle of a room. Looking quickly around you, you see {seen}."


def _check(problem: Problem) -> None:
    if len(problem.all("atlocation")) != 1:
        raise InputError("the PDDL problem must place exactly one agent with (atLocation")
    locations = Counter(r for r, _ in problem.all("receptacleatlocation"))
    if not locations or max(locations.values()) > 1:
        raise InputError("the PDDL problem must give every receptacle exactly one location")
    if problem.all("holds") or problem.all("holdsany"):
        raise InputError("the PDDL problem starts with something in hand, as no ALFWorld game does")
    if unknown := problem.entities - set(problem.types):
        raise InputError(f'the PDDL problem uses "{min(unknown)}" without declaring it')


def _names(entities: Iterable[str], shuffle_seed: int | None) -> dict[str, str]:
    """Readable names, numbered as by alfworld's Demangler: highest number first."""
    ids = sorted(entities)
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(ids)
    words = {}
    for id in ids:
        word, bar, _ = id.partition("_bar_")
        words[id] = word + ("basin" if bar and "basin" in id else "")
    left = Counter(word for id, word in words.items() if "_bar_" in id)
    names = {}
    for id, word in words.items():
        if "_bar_" in id:
            names[id] = f"{word} {left[word]}"
            left[word] -= 1
        else:
            # alfworld leaves this space behind the names that it does not number.
            names[id] = f"{word} "
    return names


def _types(problem: Problem, receptacles: Iterable[str]) -> dict[str, frozenset[str]]:
    types: dict[str, frozenset[str]] = dict.fromkeys(receptacles, frozenset())
    for receptacle, kind in problem.all("receptacletype"):
        if receptacle in types:
            types[receptacle] |= {kind}
    return types


def _fits(problem: Problem, types: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    by_type: dict[str, set[str]] = {}
    for receptacle_type, object_type in problem.all("cancontain"):
        receptacles = by_type.setdefault(object_type, set())
        receptacles.update(r for r, kinds in types.items() if receptacle_type in kinds)
    frozen = {kind: frozenset(receptacles) for kind, receptacles in by_type.items()}
    fits: dict[str, frozenset[str]] = {}
    for thing, kind in problem.all("objecttype"):
        fits[thing] = fits.get(thing, frozenset()) | frozen.get(kind, frozenset())
    return fits


def _inside(problem: Problem) -> dict[str, tuple[str, ...]]:
    contents: dict[str, list[str]] = {o: [] for o in problem.having("isreceptacleobject")}
    for inner, outer in sorted(problem.all("inreceptacleobject")):
        contents.setdefault(outer, []).append(inner)
    return {outer: tuple(contents[outer]) for outer in problem.having("isreceptacleobject")}
