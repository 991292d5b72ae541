"""Files that are whole or absent: JSON written at once and read with clear errors."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.base.numbers import MOST

SCRATCH = re.compile(r"\..+\.[0-9a-f]{8}")
"""Names of files that are being written, or that a killed process was writing."""


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, at once."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` at once: a reader sees the old file or the new one, never a part."""
    with replacing(path) as scratch:
        scratch.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path`, to be written within the context, which then takes its place.

    Its mode is what the umask allows, whatever wrote it: safetensors writes for the owner alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    scratch.touch(exist_ok=False)
    mode = scratch.stat().st_mode
    try:
        yield scratch
        scratch.chmod(mode)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


@contextmanager
def undone(folder: Path, *, where: Callable[[Exception], bool]) -> Iterator[None]:
    """Take away what has been added to `folder` within the context, `where` an error says so."""
    before = set(folder.iterdir()) if folder.is_dir() else set()
    try:
        yield
    except Exception as error:
        if where(error) and folder.is_dir():
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def open_to_umask(path: Path) -> None:
    """Give a file that is there the mode that the umask allows."""
    with replacing(path) as scratch:
        path.replace(scratch)


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, at once; NaN and infinity are refused."""
    write_text(path, json.dumps(value, allow_nan=False, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing, truncated, or something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing; is {path.parent} a finished run folder?") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is truncated or not JSON ({error}); make it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}, not a JSON object")
    return value


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read measurements, one step a line; none when there is no file.

    A last line without its end is left out: a killed run may leave one, every other line is whole.

    Raises:
        InputError: a whole line is not a JSON object with its step.
    """
    return Lines(path).read()


class Lines:
    """A file of measurements, one step a line, that grows: each `read` looks only at what is new.

    A line is a JSON object with a whole "step". What is no finite number in it is left out.
    """

    def __init__(self, path: Path) -> None:
        """Follow the file at `path`, which need not be there yet."""
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._end = 0
        self._file: int | None = None
        """Inode of the file read so far: `write_text` puts another one in its place."""

    def read(self) -> list[dict[str, Any]]:
        """All objects so far. A file that was replaced or cut is read again from its beginning.

        Raises:
            InputError: a whole line is something else.
        """
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._file or status.st_size < self._end:
                    self._rows, self._end, self._file = [], 0, status.st_ino
                file.seek(self._end)
                whole = file.read().rpartition(b"\n")[0]
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return []
        if whole:
            lines = enumerate(whole.split(b"\n"), start=len(self._rows) + 1)
            self._rows += [self._row(line, number) for number, line in lines]
            self._end += len(whole) + 1
        return list(self._rows)

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        at = f"{self._path}, line {number}, is not"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{at} JSON; the file is damaged") from None
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise InputError(f"{at} a JSON object with a step; the file is damaged")
        return {k: v for k, v in row.items() if isinstance(v, int | float) and abs(v) < MOST}
