"""What generated games need of the alfworld package, as one file that needs no such package.

    python benchmarks/alfworld_tables.py > envs/alfworld/tables.json

Read are `alfworld.gen.constants` (types of objects, what fits where, traits, floor plans of each
kind of room), `alfworld.gen.goal_library` (sentences and goals of the six task types), the floor
plans of `alfworld/gen/layouts`, and the digests of `alfworld/data/alfred.pddl` in both dialects.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection
from importlib import resources
from importlib.metadata import version
from typing import Any

from alfworld.gen import constants
from alfworld.gen.goal_library import gdict

from layergym.envs.alfworld.dialect_files import domain_and_grammar
from layergym.envs.alfworld.folders import essence
from layergym.envs.alfworld.tables import KINDS


def tables() -> dict[str, Any]:
    """All of it, as `tables.json` holds it."""
    fits = _fits()
    domains = {essence(domain_and_grammar(dialect, "")[0]) for dialect in ("0.3", "0.4")}
    return {
        "source": f"alfworld {version('alfworld')}, MIT licence, see LICENSE-alfworld",
        "domains": sorted(hashlib.sha256(domain.encode()).hexdigest() for domain in domains),
        "objects": sorted(constants.OBJECTS_SET),
        "movable": sorted(constants.MOVABLE_RECEPTACLES_SET),
        "fits": fits,
        "traits": {
            name.lower(): sorted(things) for name, things in constants.VAL_ACTION_OBJECTS.items()
        },
        "kinds": {
            kind: {**gdict[kind], "rooms": sorted(constants.GOALS_VALID[kind])} for kind in KINDS
        },
        "plans": {room: list(numbers) for room, numbers in constants.SCENE_TYPE.items()},
        "layouts": {
            str(number): {"things": _things(number), "receptacles": _receptacles(number, fits)}
            for numbers in constants.SCENE_TYPE.values()
            for number in numbers
        },
    }


def _fits() -> dict[str, list[str]]:
    """Types of objects that may be put into each type of receptacle that stays where it is."""
    return {
        receptacle: sorted(thing for thing in things if not thing.endswith("Sliced"))
        for receptacle, things in constants.VAL_RECEPTACLE_OBJECTS.items()
        if receptacle not in constants.MOVABLE_RECEPTACLES_SET
    }


def _things(number: int) -> list[str]:
    return sorted(set(_layout(number, "objects")))


def _receptacles(number: int, known: Collection[str]) -> list[list[str]]:
    """Each receptacle's id, type, and where an agent stands to use it."""
    found = []
    for id, (x, z, turn, horizon) in sorted(_layout(number, "openable").items()):
        name = id.rpartition("|")[2] if id.endswith("Basin") else id.partition("|")[0]
        if name in ("Sink", "Bathtub"):
            name = f"{name}Basin"
            id = f"{id}|{name}"
        if name in known:
            location = f"loc|{round(x * 4)}|{round(z * 4)}|{turn // 90}|{horizon}"
            found.append([id, name, location])
    return found


def _layout(number: int, what: str) -> Any:
    folder = resources.files("alfworld.gen").joinpath("layouts")
    return json.loads(folder.joinpath(f"FloorPlan{number}-{what}.json").read_text("utf-8"))


def main() -> None:
    """Print the file, a table or a floor plan a line."""
    made = tables()
    layouts = made.pop("layouts")
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in made.items()]
    plans = ",\n".join(f"{json.dumps(name)}: {json.dumps(plan)}" for name, plan in layouts.items())
    sys.stdout.write("{\n" + ",\n".join([*lines, f'"layouts": {{\n{plans}\n}}']) + "\n}\n")


if __name__ == "__main__":
    main()
