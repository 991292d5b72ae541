"""Checkpoints that are known to be whole: each holds a list of its files with their sums.

FOLDER/checkpoint-N/seal.json    {"files": {name: [bytes, CRC-32], ...}}, written last
"""

from __future__ import annotations

import re
import shutil
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from layergym.base.errors import InputError, Notice
from layergym.base.files import read_json, sync, write_json

SEAL = "seal.json"
_BLOCK = 1 << 22


def seal(checkpoint: Path) -> None:
    """Bring all files of a finished checkpoint to the disk and write their sums beside them."""
    files = sorted(path for path in checkpoint.iterdir() if path.is_file())
    for path in files:
        sync(path)
    write_json(checkpoint / SEAL, {"files": {path.name: _sum(path) for path in files}})
    sync(checkpoint / SEAL)


def damage(checkpoint: Path) -> str | None:
    """Which file of a checkpoint is not as it was written, in a few words; None when all are."""
    try:
        files = read_json(checkpoint / SEAL)["files"]
        if not files:
            return f"{checkpoint / SEAL} is damaged"
        for name, (size, crc) in files.items():
            path = checkpoint / Path(name).name
            if not path.is_file():
                return f"{path} is missing"
            if _sum(path) != [size, crc]:
                return f"{path} is damaged"
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        return f"{checkpoint / SEAL} is missing or damaged"
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, by number of steps, whatever the clock said."""
    folders = [path for path in folder.glob("checkpoint-*") if re.fullmatch(r".*-\d+", path.name)]
    return sorted(folders, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Optimiser steps taken before a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def last_whole(folders: Sequence[Path]) -> list[Path | None]:
    """The newest checkpoint that runs made together all have, and whole; else each its own.

    Damaged ones are named in a `Notice` and passed over. None for a run that has none yet.

    Raises:
        InputError: there are checkpoints, but not one is whole.
    """
    held = [{step_of(path): path for path in checkpoints(folder)} for folder in folders]
    common = sorted(set.intersection(*(set(paths) for paths in held)), reverse=True)
    if not common:
        return [None] if len(folders) == 1 else [last_whole([own])[0] for own in folders]
    wrong: list[str] = []
    for step in common:
        damages = [why for paths in held if (why := damage(paths[step]))]
        if not damages:
            for why in wrong:
                message = f"{why}; going on from checkpoint-{step}, the last one that is whole"
                warnings.warn(message, Notice, stacklevel=2)
            return [paths[step] for paths in held]
        wrong += damages
    raise InputError(
        f"no checkpoint is left to go on from: {'; '.join(wrong)}; begin again in another folder"
    )


def rotate(folder: Path, keep: int | None, newest: Path) -> None:
    """Delete what lies before the last `keep` checkpoints up to `newest`, and after it."""
    for path in checkpoints(folder):
        if step_of(path) > step_of(newest):
            shutil.rmtree(path)  # It was damaged, or of a run that went another way.
    for path in checkpoints(folder)[: -keep if keep else 0]:
        shutil.rmtree(path)


def _sum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]
