"""Generated ALFWorld games beside the real ones: rooms and tasks, mean and standard deviation.

Real training games and as many generated ones, with the same numbers of each task type, are built
and measured alike. Lengths are those of the oracle's plans and of the search expert's episodes.

    python benchmarks/alfworld_generator.py --games ~/.cache/alfworld            # all 3,553
    python benchmarks/alfworld_generator.py --games train_problems.jsonl.xz --every 10
    python benchmarks/alfworld_generator.py --games ... --measure > envs/alfworld/placements.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from alfworld.gen import constants

from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.expert import advise
from layergym.envs.alfworld.game import Game, build_game
from layergym.envs.alfworld.games import Games, open_games
from layergym.envs.alfworld.generator import GameRecipe, generate
from layergym.envs.alfworld.memory import Memory
from layergym.envs.alfworld.oracle import plan_moves
from layergym.envs.alfworld.tables import room_kind

Rows = dict[tuple[str, str], list[float]]

# Fixtures that lie in receptacles, according to the simulator, but are no things.
FIXTURES = {"Bathtub", "Curtains", "FloorLamp", "Mirror", "ShowerGlass", "Sink", "Window"}
RARE = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", required=True, help="ALFWorld's training games")
    parser.add_argument("--every", type=int, default=1, help="use only every n-th game")
    parser.add_argument("--measure", action="store_true", help="print where things lie, as JSON")
    options = parser.parse_args()
    real = open_games(options.games, "train")
    ids = real.ids[:: options.every]
    if options.measure:
        print(placements(build_game(*real.load(id)) for id in ids))
        return
    theirs = measure(real_games(real, ids))
    ours = measure(generated_games(Counter(real.kind(id) for id in ids)))
    print(f"{len(ids)} games of each\n{'':52}{'real':>16}{'generated':>18}")
    for key in sorted(theirs):
        cells = "".join(f"{spread(rows.get(key, [])):>18}" for rows in (theirs, ours))
        print(f"{key[0]:31}{key[1]:19}{cells}")


def real_games(games: Games, ids: Iterable[str]) -> Iterator[tuple[str, Game]]:
    for id in ids:
        yield games.kind(id), build_game(*games.load(id))


def generated_games(numbers: Counter[str]) -> Iterator[tuple[str, Game]]:
    for kind, number in sorted(numbers.items()):
        for index in range(number):
            yield kind, build_game(*generate(GameRecipe("train", kind, index).id))


def measure(games: Iterable[tuple[str, Game]]) -> Rows:
    """Every quantity of every game, by room or task type."""
    rows: Rows = defaultdict(list)
    for kind, game in games:
        room = room_kind({game.names[r].partition(" ")[0] for r in game.receptacles})
        for name, value in room_facts(game).items():
            rows[room, name].append(value)
        for name, value in task_facts(game).items():
            rows[kind, name].append(value)
    return rows


def room_facts(game: Game) -> dict[str, float]:
    lying = game.problem.all("inreceptacle")
    things = {thing for thing, _ in lying}
    locations = set(game.location_of.values())
    return {
        "receptacles": len(game.receptacles),
        "types of receptacle": len({game.names[r].split()[0] for r in game.receptacles}),
        "locations": len(locations),
        "shared locations": sum(len(game.at[place]) > 1 for place in locations),
        "openable": len(game.traits["openable"]),
        "things": len(things),
        "types of thing": len({game.names[o].split()[0] for o in things}),
        "empty receptacles": len(set(game.receptacles) - {r for _, r in lying}),
        "unplaceable things": sum(not game.fits.get(o) for o in things & game.traits["pickupable"]),
    }


def task_facts(game: Game) -> dict[str, float]:
    play = Play(game)
    memory = Memory(play.look_around())
    turns = 0
    while not play.won and turns < 50:
        command = advise(memory, game.dialect) or "look"
        memory.observe(command, play.step(command))
        turns += 1
    facts = {
        "oracle length": float(len(plan_moves(Play(game)) or ())),
        "expert won": float(play.won),
        "partly solved": float(partly_solved(game)),
    }
    return {**facts, "expert turns": turns} if play.won else facts


def partly_solved(game: Game) -> bool:
    """Whether an object that is asked for starts where it should go."""
    goal = {atom[1:] for atom in game.goal.clauses_with if atom[0] == "inreceptacle"}
    pairs = {pair for pair in goal if pair[0] in game.traits["pickupable"]}
    return bool(pairs & game.problem.all("inreceptacle"))


def spread(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.mean(values):.2f} ± {statistics.pstdev(values):.2f}"


def placements(games: Iterable[Game]) -> str:
    """How many objects of a type one receptacle of a type holds where there are any, by room."""
    names = {name.lower(): name for name in constants.OBJECTS_SET | constants.RECEPTACLES}
    held: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    there: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for game in games:
        kinds = {id: game.names[id].partition(" ")[0] for id in game.names}
        receptacles = Counter(kinds[r] for r in game.receptacles)
        room = room_kind(set(receptacles))
        lying = game.problem.all("inreceptacle")
        for thing, receptacle in lying:
            held[room][kinds[thing]][kinds[receptacle]] += 1
        for kind in {kinds[thing] for thing, _ in lying}:
            there[room][kind].update(receptacles)
    rates: dict[str, dict[str, dict[str, float]]] = {}
    for room in sorted(held):
        rates[room] = {}
        for kind in sorted(held[room], key=names.__getitem__):
            mean = {
                names[place]: round(number / there[room][kind][place], 3)
                for place, number in sorted(held[room][kind].items())
            }
            if names[kind] not in FIXTURES:
                rates[room][names[kind]] = {p: rate for p, rate in mean.items() if rate >= RARE}
    return written(rates)


def written(rates: dict[str, dict[str, dict[str, float]]]) -> str:
    """Write JSON with one line per type of object."""
    rooms = []
    for room, things in rates.items():
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in things.items() if v)
        rooms.append(f" {json.dumps(room)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(rooms) + "\n}"


if __name__ == "__main__":
    main()
