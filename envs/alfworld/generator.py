"""New ALFWorld games, each a pure function of its id, from tables of the alfworld package.

An id reads `gen/<split>/<kind>/<number>`, with the difficulty knobs after the split where they are
used: `gen/test/r8-o12/pick_two_obj_and_place/000017`. A game is an ordinary PDDL problem that the
unmodified alfworld engine plays with ALFWorld's own text.

Rooms are AI2-THOR's 120 floor plans, a little rebuilt for each game. No room of one
split occurs in another: splits use different floor plans, and a list of receptacles that could
come out of two plans belongs to one split only, by its hash.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from layergym.base.errors import InputError
from layergym.envs.alfworld import oracle
from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.floorplans import (
    Receptacle,
    Room,
    coordinates,
    furnish,
    new_location,
    owner,
    plans,
)
from layergym.envs.alfworld.game import build_game
from layergym.envs.alfworld.pddl import Target, Thing, sentence_of, write_problem
from layergym.envs.alfworld.tables import (
    APPLIANCES,
    CHANGES,
    KINDS,
    fits,
    placements,
    single_things,
    traits,
)

REVISION = 2
"""Rises whenever an id comes to mean another game."""

MIN_RECEPTACLES = 5
MIN_OBJECTS = 3
_SHORTEST_PLAN = 3
_PLANS = 400
_PATIENCE = 8
_COPIES = (0.43, 0.32, 0.23, 0.02)
"""Shares of objects of which a room has 1, 2, 3, 4 (ALFWorld's training games)."""
_ID = re.compile(r"gen/(train|valid|test)(?:/(r\d+)?-?(o\d+)?)?/(\w+)/(\d{6})")


@dataclass(frozen=True, slots=True)
class GameRecipe:
    """What an id says about its game."""

    split: str
    kind: str
    number: int
    max_receptacles: int | None = None
    num_objects: int | None = None

    def __post_init__(self) -> None:
        """Check the knobs."""
        if self.max_receptacles is not None and self.max_receptacles < MIN_RECEPTACLES:
            raise InputError(f"max_receptacles must be at least {MIN_RECEPTACLES}")
        if self.num_objects is not None and self.num_objects < MIN_OBJECTS:
            raise InputError(f"num_objects must be at least {MIN_OBJECTS}")

    @property
    def id(self) -> str:
        """The id that stands for this recipe."""
        knobs = [
            f"{letter}{value}"
            for letter, value in (("r", self.max_receptacles), ("o", self.num_objects))
            if value is not None
        ]
        middle = f"/{'-'.join(knobs)}" if knobs else ""
        return f"gen/{self.split}{middle}/{self.kind}/{self.number:06d}"


def read_id(id: str) -> GameRecipe:
    """The recipe that `id` stands for.

    Raises:
        InputError: it is not the id of a generated game.
    """
    match = _ID.fullmatch(id)
    if match is None or match[4] not in KINDS:
        raise InputError(
            f'"{id}" is not the id of a generated ALFWorld game; take an id that tasks lists'
        )
    split, receptacles, objects, kind, number = match.groups()
    knobs = [int(knob[1:]) if knob else None for knob in (receptacles, objects)]
    recipe = GameRecipe(split, kind, int(number), *knobs)
    if recipe.id != id:
        raise InputError(
            f'"{id}" is not the id of a generated ALFWorld game; take an id that tasks lists'
        )
    return recipe


def generate(id: str) -> tuple[str, str]:
    """The PDDL problem and the task sentence of the game `id`.

    Raises:
        InputError: the id is malformed, or no game satisfies its knobs.
    """
    recipe = read_id(id)
    rng = random.Random(hashlib.sha256(f"{REVISION} {id}".encode()).digest())
    for _ in range(_PLANS):
        floor_plan = rng.choice(plans(recipe.split, recipe.kind))
        # Small rooms come in few variants; without patience, big ones would be too many.
        for _ in range(_PATIENCE):
            game = _attempt(recipe, floor_plan, rng)
            if game is not None:
                return game
    raise InputError(f'no game satisfies "{id}"; allow more receptacles or objects')


def _attempt(recipe: GameRecipe, floor_plan: int, rng: random.Random) -> tuple[str, str] | None:
    room = furnish(floor_plan, rng)
    targets = list(_targets(room, recipe.kind))
    if not targets:
        return None
    target = rng.choice(targets)
    kept = room
    if recipe.max_receptacles is not None:
        kept = _shrink(room, recipe.kind, target, recipe.max_receptacles, rng)
    if owner(kept) != recipe.split:
        return None
    things = _essentials(kept, recipe, target, rng)
    things += _distractors(room, kept, target, recipe.num_objects, len(things), rng)
    start = new_location(rng, [r.location for r in kept.receptacles])
    problem = write_problem(recipe.kind, target, kept, things, start)
    sentence = sentence_of(recipe.kind, target, rng)
    way = oracle.plan_moves(Play(build_game(problem, sentence)))
    if way is None or len(way) < _SHORTEST_PLAN:
        return None
    return problem, sentence


# ---- what the task is about ---------------------------------------------------------------------


def _targets(room: Room, kind: str) -> Iterator[Target]:
    """Everything that can be asked for in `room`."""
    kinds = set(room.kinds)
    if kind == "look_at_obj_in_light":
        if "DeskLamp" in room.things:
            for thing in room.things:
                if thing in traits()["pickupable"] and _homes(room, thing):
                    yield Target(thing, lamp="DeskLamp")
        return
    change = CHANGES.get(kind, "")
    able = traits()[f"{change}able"] if change else traits()["pickupable"]
    appliance = APPLIANCES.get(change, "")
    if change and appliance not in kinds:
        return
    for thing in room.things:
        for place in sorted(kinds - {appliance}):
            if thing in able and thing in fits()[place] and _homes(room, thing, besides=place):
                yield Target(thing, place)


def _homes(room: Room, thing: str, besides: str = "") -> list[Receptacle]:
    """Receptacles in which such a thing is found, without those of one type."""
    rates = placements()[room.kind].get(thing, {})
    return [r for r in room.receptacles if r.kind in rates and r.kind != besides]


def _shrink(room: Room, kind: str, target: Target, most: int, rng: random.Random) -> Room:
    """At most `most` receptacles of `room`, among them those that the task needs."""
    needed: list[Receptacle] = []
    for wanted in (target.place, APPLIANCES.get(CHANGES.get(kind, ""), "")):
        needed += [r for r in room.receptacles if r.kind == wanted][:1]
    needed.append(rng.choice(_homes(room, target.thing, besides=target.place)))
    if target.lamp:
        needed.append(rng.choice(_homes(room, target.lamp)))
    rest = [r for r in room.receptacles if r not in needed]
    size = rng.randint(MIN_RECEPTACLES, most) - len(set(needed))
    chosen = {*needed, *rng.sample(rest, min(max(size, 0), len(rest)))}
    return replace(room, receptacles=tuple(r for r in room.receptacles if r in chosen))


# ---- where things lie ---------------------------------------------------------------------------


def _essentials(room: Room, recipe: GameRecipe, target: Target, rng: random.Random) -> list[Thing]:
    """The things that the task is about, none of them where it should end up."""
    fewest = 2 if recipe.kind == "pick_two_obj_and_place" else 1
    most = MIN_OBJECTS - 1 if recipe.num_objects is not None else 4
    copies = min(max(fewest, _copies(rng)), most)
    homes = _homes(room, target.thing, besides=target.place)
    things = [_place(target.thing, homes, room, rng) for _ in range(copies)]
    if target.lamp:
        things.append(_place(target.lamp, _homes(room, target.lamp), room, rng))
    return things


def _distractors(
    room: Room,
    kept: Room,
    target: Target,
    total: int | None,
    so_far: int,
    rng: random.Random,
) -> list[Thing]:
    """Everything else: laid out in the whole room, as far as it lies in what was kept of it."""
    others = [thing for thing in room.things if thing not in (target.thing, target.lamp)]
    rng.shuffle(others)
    lying = [
        _place(thing, homes, room, rng)
        for thing in others
        if (homes := _homes(room, thing))
        for _ in range(1 if thing in single_things() else _copies(rng))
    ]
    things = [thing for thing in lying if thing.receptacle in kept.receptacles]
    if total is None:
        return things
    rng.shuffle(things)
    more = [(thing, homes) for thing in others if (homes := _homes(kept, thing))]
    for _ in range(total - so_far - len(things) if more else 0):
        thing, homes = rng.choice(more)
        things.append(_place(thing, homes, kept, rng))
    return things[: max(0, total - so_far)]


def _copies(rng: random.Random) -> int:
    return rng.choices((1, 2, 3, 4), _COPIES)[0]


def _place(kind: str, homes: Sequence[Receptacle], room: Room, rng: random.Random) -> Thing:
    rates = placements()[room.kind][kind]
    receptacle = rng.choices(homes, [rates[home.kind] for home in homes])[0]
    return Thing(f"{kind}|{coordinates(rng)}", kind, receptacle)
