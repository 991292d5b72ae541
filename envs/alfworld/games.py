"""Where games come from: the generator, compact files, ALFWorld's own folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from layergym.base.errors import InputError, unknown
from layergym.envs.alfworld.floorplans import SPLITS as GENERATED_SPLITS
from layergym.envs.alfworld.folders import read_folder
from layergym.envs.alfworld.generator import REVISION, GameRecipe, generate
from layergym.envs.alfworld.records import GameRecord, Listed, read_compact
from layergym.envs.alfworld.tables import KINDS

OFFICIAL_SPLITS = ("train", "valid_seen", "valid_unseen")
DEFAULT_SIZE = 600
"""Generated games per split."""


class Games(Protocol):
    """A fixed set of games, named by ids. Equal when each id means the same game in both."""

    @property
    def ids(self) -> Sequence[str]:
        """All ids, sorted."""

    def __hash__(self) -> int:
        """Environments share the games that they built."""

    def kind(self, id: str) -> str:
        """Task type."""

    def digest(self, id: str) -> str:
        """What identifies the content of the game."""

    def load(self, id: str) -> tuple[str, str]:
        """PDDL problem and task sentence."""


@dataclass(frozen=True, eq=False)
class Generated:
    """Games made on demand: `number` of each kind, as far as `size` divides evenly."""

    split: str
    kinds: tuple[str, ...]
    size: int
    max_receptacles: int | None = None
    num_objects: int | None = None
    ids: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """List the ids; no game is made yet."""
        if self.size < 1:
            raise InputError(f"size must be at least 1, not {self.size}")
        knobs = (self.max_receptacles, self.num_objects)
        object.__setattr__(self, "ids", _listed(self.split, self.kinds, self.size, *knobs))

    def __eq__(self, other: object) -> bool:
        """Ids alone determine generated games."""
        return isinstance(other, Generated)

    def __hash__(self) -> int:
        """The same for all, as they are equal."""
        return hash(Generated)

    def kind(self, id: str) -> str:
        """Task type."""
        return id.split("/")[-2]

    def digest(self, id: str) -> str:
        """The id and the generator's revision, which together determine the game."""
        return f"{id}@{REVISION}"

    def load(self, id: str) -> tuple[str, str]:
        """PDDL problem and task sentence."""
        return generate(id)


@lru_cache(maxsize=16)
def _listed(split: str, kinds: tuple[str, ...], size: int, *knobs: int | None) -> tuple[str, ...]:
    """Sorted ids; cached because every environment of a batch lists the same ones."""
    return tuple(
        sorted(
            GameRecipe(split, kinds[i % len(kinds)], i // len(kinds), *knobs).id
            for i in range(size)
        )
    )


def open_games(
    source: str | Path,
    split: str,
    kinds: Sequence[str] = KINDS,
    *,
    size: int | None = None,
    max_receptacles: int | None = None,
    num_objects: int | None = None,
) -> Games:
    """The games of one split.

    Args:
        source: `"generated"`, `"official"` (what `alfworld-download` fetched), a compact
            `*.jsonl.xz`, or a folder: with `<split>_problems.jsonl.xz`, with ALFWorld's
            `json_2.1.x/<split>` or `<split>`, or the split's own folder.
        split: train, valid or test when generated; else train, valid_seen or valid_unseen.
        kinds: task types to keep.
        size: number of generated games; 600 by default.
        max_receptacles: most receptacles in a generated room.
        num_objects: number of objects in a generated room.

    Raises:
        InputError: there is no such source or split, or a file is broken.
    """
    wanted = tuple(sorted(set(kinds)))
    for kind in wanted:
        if kind not in KINDS:
            raise unknown("kind of task", kind, KINDS)
    splits = GENERATED_SPLITS if source == "generated" else OFFICIAL_SPLITS
    if split not in splits:
        raise unknown(f"split of {source} games", split, splits)
    if source == "generated":
        number = DEFAULT_SIZE if size is None else size
        return Generated(split, wanted, number, max_receptacles, num_objects)
    if any(knob is not None for knob in (size, max_receptacles, num_objects)):
        raise InputError(
            "size, max_receptacles and num_objects can be set for generated games only"
        )
    return Listed(_records(_official() if source == "official" else Path(source), split), wanted)


def _official() -> Path:
    return Path(os.environ.get("ALFWORLD_DATA", "~/.cache/alfworld")).expanduser()


def _records(path: Path, split: str) -> Mapping[str, GameRecord]:
    if path.is_file():
        return read_compact(path)
    compact = path / f"{split}_problems.jsonl.xz"
    if compact.is_file():
        return read_compact(compact)
    for folder in (*sorted(path.glob(f"json_2.1.*/{split}"), reverse=True), path / split, path):
        if folder.is_dir() and any(folder.glob("*/*/traj_data.json")):
            return read_folder(folder)
    raise InputError(
        f"no ALFWorld games of {split} in {path}; fetch them with alfworld-download (pip install "
        '--no-deps alfworld tqdm), or use games="generated", which needs no data'
    )
