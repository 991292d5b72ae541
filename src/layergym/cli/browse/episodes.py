"""The episodes that a folder keeps: a list of them all, and one group at a time to read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layergym.agents.trajectories import NAME, as_row, read_line
from layergym.base.errors import InputError
from layergym.evals.arms import ArmName

MOST = 5000
"""Episodes of one folder that are listed; beyond that the last ones are."""


@dataclass
class EpisodeFile:
    """A file of trajectories that may grow while it is read."""

    path: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    """What the list shows of each record, and where it stands in the file."""
    _end: int = 0
    _file: int | None = None
    """Inode of what was read so far: a resumed run puts another file in its place."""

    def read(self) -> list[dict[str, Any]]:
        """All whole records so far; what is no record is left out."""
        with self.path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._file or found.st_size < self._end:
                self.lines, self._end, self._file = [], 0, found.st_ino
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._add(line)
                self._end += len(line)
        return self.lines

    def whole(self, number: int) -> dict[str, Any]:
        """One record.

        Raises:
            InputError: there is none of this number any more.
        """
        if not 0 <= number < len(self.lines):
            raise InputError(f"{self.path} has no episode {number}")
        line = self.lines[number]
        with self.path.open("rb") as file:
            file.seek(line["at"])
            return as_row(read_line(file.read(line["long"]), str(self.path)))

    def group(self, number: int) -> list[int]:
        """The records that were compared with one: of the same step and task."""
        step, task = self.lines[number]["step"], self.lines[number]["task"]
        if step is None:
            return [number]
        last = {
            line["seed"]: place
            for place, line in enumerate(self.lines)
            if (line["step"], line["task"]) == (step, task)
        }
        return sorted(last.values())

    def _add(self, line: bytes) -> None:
        try:
            row = as_row(read_line(line, str(self.path)))
        except InputError:
            return
        keep = ("agent", "step", "task", "kind", "seed", "reward", "success", "ended", "error")
        about = {name: row[name] for name in keep} | {"turns": len(row["turns"])}
        self.lines.append({**about, "at": self._end, "long": len(line)})


class Episodes:
    """All files of trajectories of one folder."""

    def __init__(self, folder: Path) -> None:
        """Look into `folder`, whatever it holds."""
        self._folder = folder
        self._files: list[EpisodeFile] = []

    def listed(self) -> dict[str, Any]:
        """A line for every episode; each has the name by which `group` finds it."""
        known = {file.path for file in self._files}
        for path in sorted(self._folder.rglob(NAME)):
            if path not in known and path.is_file():
                self._files.append(EpisodeFile(path))
        lines = []
        for number, file in enumerate(self._files):
            run, sort = self._about(file.path)
            for place, line in enumerate(file.read()):
                shown = {name: line[name] for name in line if name not in ("at", "long")}
                lines.append({"id": f"{number}.{place}", "run": run, "from": sort, **shown})
        return {"episodes": lines[-MOST:], "left_out": max(0, len(lines) - MOST)}

    def group(self, name: str) -> dict[str, Any]:
        """An episode and those it was compared with, whole.

        Raises:
            InputError: there is none of this name.
        """
        first, _, second = name.partition(".")
        plain = name.isascii() and len(name) < 20
        if not (plain and first.isdecimal() and second.isdecimal()):
            raise InputError("an episode's name is two numbers")
        if int(first) >= len(self._files):
            raise InputError("there is no such episode")
        file = self._files[int(first)]
        chosen = int(second)
        if chosen >= len(file.lines):
            raise InputError("there is no such episode")
        members = file.group(chosen)
        run, sort = self._about(file.path)
        return {
            "run": run,
            "from": sort,
            "chosen": members.index(chosen) if chosen in members else 0,
            "ids": [f"{first}.{place}" for place in members],
            "episodes": [file.whole(place) for place in members],
        }

    def _about(self, path: Path) -> tuple[str, str]:
        """Which run a file is of, and whether of its training or of an evaluation."""
        parts = path.relative_to(self._folder).parts[:-1]
        sort = "training"
        if "evals" in parts:
            place = parts.index("evals")
            sort, parts = parts[place + 1], parts[:place]
        if parts[:1] == ("agents",):
            sort = "evaluation"
        if len(parts) >= 3 and parts[0] in ("arms", "agents"):
            return f"{ArmName(parts[1]).label}, seed {parts[2].removeprefix('seed-')}", sort
        return " ".join(parts), sort


def safe_json(value: Any) -> str:
    """JSON that can stand inside a page: no NaN, and no text that ends a script element."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
