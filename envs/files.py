"""Files that are whole or absent: JSON written at once and read with clear errors."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from layergym.envs.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` at once: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, at once; NaN and infinity are refused."""
    write_text(path, json.dumps(value, allow_nan=False, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing, truncated, or something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
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
    """Read JSON objects, one a line; none when there is no file.

    A last line without its end is left out: a killed run may leave one, every other line is whole.

    Raises:
        InputError: a whole line is not a JSON object.
    """
    if not path.is_file():
        return []
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    rows = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{path}, line {number}, is not JSON; the file is damaged") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}, is not a JSON object")
        rows.append(row)
    return rows
