"""Games that were read from somewhere, and the compact file that holds many of them."""

from __future__ import annotations

import hashlib
import json
import lzma
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from layergym.base.errors import InputError
from layergym.base.texts import whole_texts
from layergym.envs.alfworld.tables import KINDS


@dataclass(frozen=True, slots=True)
class GameRecord:
    """One game."""

    id: str
    """`<task folder>/<trial folder>`, as in ALFWorld's own folders."""
    sentence: str
    packed: bytes
    """The PDDL problem, deflated: thousands of them stay in memory."""

    @classmethod
    def of(cls, id: str, sentence: str, problem: str) -> GameRecord:
        """Pack a game.

        Raises:
            InputError: the id does not begin with a task type.
        """
        if id.partition("-")[0] not in KINDS:
            raise InputError(f'the game "{id}" is of no known type; ids begin with one of {KINDS}')
        return cls(id, sentence, zlib.compress(whole_texts(problem).encode(), 1))

    @property
    def kind(self) -> str:
        """Task type, with which every official id begins."""
        return self.id.partition("-")[0]

    @property
    def problem(self) -> str:
        """The PDDL problem."""
        return zlib.decompress(self.packed).decode()


class Listed:
    """A fixed list of games."""

    def __init__(self, records: Mapping[str, GameRecord], kinds: Sequence[str] = KINDS) -> None:
        """Keep the records of some kinds.

        Raises:
            InputError: there are none.
        """
        self._source = records
        self._records = {id: records[id] for id in sorted(records) if records[id].kind in kinds}
        if not self._records:
            raise InputError(f"there are no games of kind {', '.join(kinds)}; take other kinds")
        self._digests: dict[str, str] = {}
        self.ids = tuple(self._records)

    def __eq__(self, other: object) -> bool:
        """Whether both were read from the same place."""
        return isinstance(other, Listed) and self._source is other._source

    def __hash__(self) -> int:
        """Hash the place that the record was read from."""
        return id(self._source)

    def kind(self, id: str) -> str:
        """Task type."""
        return self._records[id].kind

    def digest(self, id: str) -> str:
        """SHA-256 of sentence and problem; line breaks and indentation do not count."""
        if id not in self._digests:
            record = self._records[id]
            words = " ".join([record.sentence, *record.problem.split()])
            self._digests[id] = hashlib.sha256(words.encode()).hexdigest()
        return self._digests[id]

    def load(self, id: str) -> tuple[str, str]:
        """PDDL problem and task sentence."""
        record = self._records[id]
        return record.problem, record.sentence


def read_compact(path: Path) -> Mapping[str, GameRecord]:
    """The games of a `*_problems.jsonl.xz`: one JSON object `{id, task, problem}` a line.

    Raises:
        InputError: the file is missing, cut off, or not such a file.
    """
    return _read_compact(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=4)
def _read_compact(path: Path, changed_ns: int) -> Mapping[str, GameRecord]:
    records = {}
    try:
        with lzma.open(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                record = _record(line, f"{path}, line {number}")
                records[record.id] = record
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; check the path") from None
    except (lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not a whole .xz file of text ({error}); fetch it again"
        ) from error
    return records


def _record(line: str, where: str) -> GameRecord:
    try:
        game = json.loads(line)
        return GameRecord.of(game["id"], game["task"], game["problem"])
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg})") from error
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{where}: a game needs the texts id, task and problem") from None


def write_compact(records: Iterable[GameRecord], path: Path) -> None:
    """Write games as `read_compact` reads them, sorted by id."""
    with lzma.open(path, "wt", encoding="utf-8", preset=6) as lines:
        for record in sorted(records, key=lambda record: record.id):
            game = {"id": record.id, "task": record.sentence, "problem": record.problem}
            lines.write(json.dumps(game) + "\n")
