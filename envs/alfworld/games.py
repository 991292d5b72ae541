"""Where games come from: the generator, compact files, ALFWorld's own folders."""

from __future__ import annotations

import hashlib
import json
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from layergym.envs.alfworld.generator import REVISION, Recipe, generate, read_id
from layergym.envs.alfworld.tables import KINDS
from layergym.envs.errors import InputError


class Games(Protocol):
    """A fixed set of games, named by ids."""

    @property
    def ids(self) -> Sequence[str]:
        """All ids, sorted."""

    def __hash__(self) -> int:
        """Games are cached by where they come from."""

    def kind(self, id: str) -> str:
        """Task type."""

    def digest(self, id: str) -> str:
        """What identifies the content of the game."""

    def load(self, id: str) -> tuple[str, str]:
        """PDDL problem and task sentence."""


@dataclass(frozen=True)
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
        ids = sorted(
            Recipe(self.split, self.kinds[i % len(self.kinds)], i // len(self.kinds), *knobs).id
            for i in range(self.size)
        )
        object.__setattr__(self, "ids", tuple(ids))

    def kind(self, id: str) -> str:
        """Task type."""
        return read_id(id).kind

    def digest(self, id: str) -> str:
        """The id and the generator's revision, which together determine the game."""
        return f"{id}@{REVISION}"

    def load(self, id: str) -> tuple[str, str]:
        """PDDL problem and task sentence."""
        return generate(id)


@dataclass(frozen=True, slots=True)
class Record:
    """One game of a file."""

    id: str
    sentence: str
    packed: bytes
    """The PDDL problem, deflated."""

    @property
    def kind(self) -> str:
        """Task type, with which every official id begins."""
        return self.id.partition("-")[0]

    @property
    def problem(self) -> str:
        """The PDDL problem."""
        return zlib.decompress(self.packed).decode()


class Listed:
    """Games that were read from somewhere."""

    def __init__(self, records: dict[str, Record], kinds: Sequence[str] = KINDS) -> None:
        """Keep the records of some kinds."""
        self._records = {id: records[id] for id in sorted(records) if records[id].kind in kinds}
        self.ids = tuple(self._records)

    def kind(self, id: str) -> str:
        """Task type."""
        return self._records[id].kind

    def digest(self, id: str) -> str:
        """SHA-256 of sentence and problem."""
        record = self._records[id]
        return hashlib.sha256(f"{record.sentence}\n{record.problem}".encode()).hexdigest()

    def load(self, id: str) -> tuple[str, str]:
        """PDDL problem and task sentence."""
        record = self._records[id]
        return record.problem, record.sentence


def read_compact(path: Path) -> dict[str, Record]:
    """The games of a `*_problems.jsonl.xz`: one JSON object `{id, task, problem}` a line.

    Raises:
        InputError: the file is missing, cut off, or not such a file.
    """
    return _read_compact(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=4)
def _read_compact(path: Path, changed_ns: int) -> dict[str, Record]:
    records = {}
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                record = _record(line, f"{path}, line {number}")
                records[record.id] = record
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a whole .xz file of text ({error})") from error
    return records


def _record(line: str, where: str) -> Record:
    try:
        game = json.loads(line)
        id, sentence, problem = game["id"], game["task"], game["problem"]
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg})") from error
    except (KeyError, TypeError):
        raise InputError(f"{where}: a game needs id, task and problem") from None
    return Record(id, sentence, zlib.compress(problem.encode(), 1))
