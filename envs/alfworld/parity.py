"""Play the same games here and on alfworld's own engine, and report the first difference."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.game import build_game
from layergym.envs.alfworld.games import Games
from layergym.envs.alfworld.oracle import plan_moves
from layergym.envs.alfworld.reference import ReferenceServer

_GAMES_PER_PROCESS = 100
"""alfworld's engine keeps memory of every game it loads; a new process gives it back."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the two engines disagreed."""

    what: str
    """observation, admissible commands, won, reward or done."""
    commands: tuple[str, ...]
    """What was played up to there."""
    ours: Any
    theirs: Any


@dataclass(frozen=True, slots=True)
class GameParity:
    """What comparing one game gave."""

    id: str
    version: str
    shuffle_seed: int | None
    steps: int
    won: bool
    difference: Difference | None


def check_parity(
    games: Games,
    ids: Sequence[str],
    *,
    version: str = "0.4",
    steps: int = 40,
    log: Path | None = None,
) -> Iterator[GameParity]:
    """Compare the games `ids` and yield the result of each; stops after a difference.

    Each game is played at random, with invalid commands in between, then to its end by an oracle,
    then on at random. Every fourth game has its names randomised. Observation, admissible
    commands, won, reward and done are compared before and after every step.

    Args:
        games: where the games come from.
        ids: which of them to play.
        version: dialect, "0.4" or "0.3".
        steps: least number of commands per game.
        log: file to which results are appended, one JSON object a line; games that it says are
            alike are not played again.
    """
    done = _logged(log, version, steps)
    todo = [id for id in ids if id not in done]
    for first in range(0, len(todo), _GAMES_PER_PROCESS):
        with ReferenceServer(remember=True) as server:
            for id in todo[first : first + _GAMES_PER_PROCESS]:
                result = _check_game(server, id, *games.load(id), version, steps)
                if log is not None:
                    with log.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(result)) + "\n")
                yield result
                if result.difference is not None:
                    return


def _logged(log: Path | None, version: str, steps: int) -> set[str]:
    if log is None or not log.exists():
        return set()
    results = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    return {
        r["id"]
        for r in results
        if r["version"] == version and r["steps"] >= steps and r["difference"] is None
    }


def _check_game(
    server: ReferenceServer, id: str, problem: str, sentence: str, version: str, steps: int
) -> GameParity:
    seed = zlib.crc32(id.encode())
    shuffle_seed = seed if seed % 4 == 0 else None
    play = Play(build_game(problem, sentence, version=version, shuffle_seed=shuffle_seed))
    theirs = server.ask(
        problem=problem, sentence=sentence, version=version, shuffle_seed=shuffle_seed
    )
    text = play.look_around()
    difference = _compare(play, text, theirs, ())
    commands: list[str] = []
    won = False
    for command in _commands(play, random.Random(seed), steps):
        if difference is not None:
            break
        text = play.step(command)
        won = won or play.won
        commands.append(command)
        difference = _compare(play, text, server.ask(command=command), tuple(commands))
    return GameParity(id, version, shuffle_seed, len(commands), won, difference)


def _compare(
    play: Play, text: str, theirs: dict[str, Any], commands: tuple[str, ...]
) -> Difference | None:
    # alfworld reports no reward before the first command.
    reward = float(play.won) if commands else 0.0
    done = play.won if commands else False
    ours = {
        "text": text,
        "admissible": play.admissible(),
        "won": play.won,
        "reward": reward,
        "done": done,
    }
    for what, value in ours.items():
        if value != theirs[what]:
            return Difference(what, commands, value, theirs[what])
    return None


def _commands(play: Play, rng: random.Random, steps: int) -> Iterator[str]:
    """What to play next, seen from the present state each time."""
    for _ in range(steps // 2):
        yield _random_command(play, rng)
    way = plan_moves(play) or []
    yield from way
    for _ in range(steps - steps // 2 - len(way)):
        yield _random_command(play, rng)


def _random_command(play: Play, rng: random.Random) -> str:
    commands = play.admissible()
    chance = rng.random()
    if chance < 0.15:
        return _invalid(play, commands, rng)
    if chance < 0.75:
        # Half of all commands are "go to"; what matters more happens in one place.
        commands = [command for command in commands if not command.startswith("go to ")]
    return rng.choice(commands)


def _invalid(play: Play, commands: list[str], rng: random.Random) -> str:
    """Something that is not, or only almost, a command now."""
    game = play.game
    thing, place = (game.names[rng.choice(ids)] for ids in (sorted(game.fits), game.receptacles))
    command = rng.choice(commands)
    return rng.choice(
        (
            "",
            "help me",
            command.upper(),
            f" {command}  ",
            f"{command} 1",
            f"go to {place}",
            f"open {place}",
            f"examine {thing}",
            f"take {thing} from {place}",
            f"put {thing} in/on {place}",
            f"move {thing} to {place}",
            f"heat {thing} with {place}",
            f"use {thing}",
        )
    )
