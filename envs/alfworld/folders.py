"""ALFWorld's own folders, as `alfworld-download` makes them: `<split>/<task>/<trial>/`.

A trial holds `game.tw-pddl` (the game, in JSON) and `traj_data.json`. The same games are kept as
alfworld 0.4.2 keeps: no movable receptacles, nothing sliced, and solvable. Where a game's file does
not say whether it is, the oracle decides: what it can win is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.game import build_game
from layergym.envs.alfworld.oracle import plan_moves
from layergym.envs.alfworld.records import GameRecord, write_compact
from layergym.envs.alfworld.tables import domains

OFFICIAL_COUNTS = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
"""Solvable games of ALFWorld's release, by split."""


@dataclass(frozen=True, slots=True)
class FolderGame:
    """A game with what only its own file tells."""

    record: GameRecord
    domain: str
    walkthrough: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What was found while indexing a folder."""

    games: int
    left_out: Mapping[str, int]
    """Trials that are not played, by reason."""
    notes: tuple[str, ...]
    """What a user of these games should know, one sentence each."""


def find_games(folder: Path, left_out: Counter[str] | None = None) -> Iterator[FolderGame]:
    """The playable games below `folder`, in the order of their ids.

    Raises:
        InputError: a game's file is cut off, corrupt, or not a game.
    """
    counter = Counter[str]() if left_out is None else left_out
    for trial in sorted(path.parent for path in folder.glob("*/*/traj_data.json")):
        game, reason = _read_trial(trial)
        if game is not None:
            yield game
        else:
            counter[reason] += 1


@lru_cache(maxsize=4)
def read_folder(folder: Path) -> Mapping[str, GameRecord]:
    """The playable games below `folder`.

    Raises:
        InputError: there are none, or a file is broken.
    """
    records = {game.record.id: game.record for game in find_games(folder)}
    if not records:
        raise InputError(f"no ALFWorld games in {folder}; expected <task>/<trial>/game.tw-pddl")
    return records


def build_index(folder: Path, out: Path) -> IndexReport:
    """Write the games below `folder` into the compact file `out`, and check each of them.

    Raises:
        InputError: there are none, or a file is broken.
    """
    left_out = Counter[str]()
    notes: list[str] = []
    records: list[GameRecord] = []
    unplayable = 0
    for game in find_games(folder, left_out):
        play = Play(build_game(game.record.problem, game.record.sentence))
        if plan_moves(play) is None:
            notes.append(f"{game.record.id} cannot be won")
        if not _is_known_domain(game.domain):
            notes.append(f"{game.record.id} has an altered domain; it is played with ALFWorld's")
        unplayable += bool(game.walkthrough) and not _wins(play, game.walkthrough)
        records.append(game.record)
    if not records:
        raise InputError(f"no ALFWorld games in {folder}; expected <task>/<trial>/game.tw-pddl")
    if unplayable:
        notes.append(f"{unplayable} walkthroughs do not play in ALFWorld 0.4; use the oracle")
    expected = OFFICIAL_COUNTS.get(folder.name)
    if expected not in (None, len(records)):
        notes.append(f"{folder.name} has {len(records)} games; ALFWorld's release has {expected}")
    write_compact(records, out)
    return IndexReport(len(records), dict(left_out), tuple(notes))


def _read_trial(trial: Path) -> tuple[FolderGame | None, str]:
    """The game in a trial's folder, or why there is none."""
    if "movable" in trial.parent.name or "Sliced" in trial.parent.name:
        return None, "movable receptacle or sliced object"
    path = trial / "game.tw-pddl"
    if not path.is_file():
        return None, "no game.tw-pddl"
    game = _json(path)
    marked = game.get("solvable")
    if marked is not None and not marked:
        return None, "unsolvable"
    try:
        sentence = re.search(r'Your task is to: ([^"]*)"', game["grammar"])
        problem, domain = str(game["pddl_problem"]), str(game["pddl_domain"])
    except (KeyError, TypeError):
        sentence = None
    if sentence is None:
        raise InputError(
            f"{path} is not an ALFWorld game: it needs pddl_domain, pddl_problem and a grammar "
            "that names the task"
        )
    record = GameRecord.of(f"{trial.parent.name}/{trial.name}", sentence[1], problem)
    if marked is None and plan_moves(Play(build_game(problem, sentence[1]))) is None:
        return None, "not marked as solvable, and not won by the oracle"
    return FolderGame(record, domain, tuple(game.get("walkthrough") or ())), ""


def _json(path: Path) -> dict[str, Any]:
    try:
        game = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is cut off or corrupt ({error}); download it again") from error
    if not isinstance(game, dict):
        raise InputError(
            f"{path} is not an ALFWorld game: its JSON is not an object; "
            "leave it out, or fetch the games again"
        )
    return game


def _wins(play: Play, walkthrough: tuple[str, ...]) -> bool:
    for command in walkthrough:
        play.step(command)
    return play.won


def _is_known_domain(domain: str) -> bool:
    return hashlib.sha256(essence(domain).encode()).hexdigest() in domains()


def essence(domain: str) -> str:
    """`domain` without comments, layout, and the clauses in which ALFWorld's releases differ."""
    domain = re.sub(r";[^\n]*", "", domain)
    domain = re.sub(r"\(:action help\b.*?\)\s*\)\s*\)", "", domain, flags=re.DOTALL)
    domain = domain.replace("(receptacleType ?r SinkType)", "")
    return "".join(domain.split()).lower()
