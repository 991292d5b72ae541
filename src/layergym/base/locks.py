"""One process at a time in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from layergym.base.errors import InputError
from layergym.base.files import SCRATCH

LOCK = ".run.lock"
MANIFEST = "manifest.json"
LOOK_S = 0.2
"""How long a process that wants a folder waits for one that only looks whether it is free."""


def vacant(folder: Path) -> bool:
    """Whether a run may begin in `folder`: it is absent or empty, or a run was killed as it began.

    A run writes its lock and its manifest first and its settings last; before them it has done
    nothing that could be lost.
    """
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return all(name in (LOCK, MANIFEST) or SCRATCH.fullmatch(name) for name in names)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have `folder` for this process alone; it is made if need be, and gone if it stays empty.

    Raises:
        InputError: another process works in it, or it is a file, or is below a file.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{folder} is or lies in a file; give another folder") from None
    lock = FileLock(folder / LOCK, timeout=LOOK_S)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(
            f"another process works in {folder}; wait for it, end it, or give another folder"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps files that are open.
            (folder / LOCK).unlink()
        lock.release()
        with suppress(OSError):  # What was written into stays.
            for path in made:
                path.rmdir()


def held(folder: Path) -> bool:
    """Whether a process has `folder` for itself; True also where that cannot be found out.

    A process that was killed leaves its file, but holds it no longer.
    """
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except (Timeout, OSError):
        return True


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes `folder` at the end: whole, or not there at all.

    Args:
        folder: absent or `vacant`.

    Raises:
        InputError: another process writes it, or `folder` has been filled meanwhile.
    """
    folder = folder.absolute()
    staging = folder.with_name(f".{folder.name}.unfinished")
    scratch = staging / folder.name
    with locked(staging):
        try:
            shutil.rmtree(scratch, ignore_errors=True)  # Of a process that was killed.
            scratch.mkdir()
            yield scratch
            if not vacant(folder):
                raise InputError(f"{folder} was filled by another process; give another folder")
            shutil.rmtree(folder, ignore_errors=True)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    with suppress(OSError):  # Made by a process that was killed.
        staging.rmdir()
