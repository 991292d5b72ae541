"""A full or read-only disk: one sentence, exit code 2, nothing half-written; it goes on afterwards.

Each command runs on small disks (file systems in memory, in a mount namespace of this process) that
hold a part of what it writes, and on one that is read-only. Then the disk grows, the command is
called again, and what it leaves is compared with what it leaves on a large disk. Linux only; it
needs root or user namespaces.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.robustness.children import Ended, broken, forked, in_a_sentence, last_line
from benchmarks.robustness.jobs import (
    LIMIT_S,
    Job,
    add_jobs,
    differing,
    each_job,
    furnish,
    left_by,
    next_line,
    torn,
    undisturbed,
)
from benchmarks.robustness.tables import Case, Table, Verdict

LARGE = 1 << 30
_USER, _MOUNTS = 0x10000000, 0x00020000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_jobs(parser)
    parser.add_argument("--sizes", type=int, default=6, help="sizes of the disk for each command")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each command."""
    if own_mounts():
        yield from each_job("a full or read-only disk under", tried, options)
    else:
        yield Table("a full or read-only disk: not tried, it needs root or user namespaces", ())


def own_mounts() -> bool:
    """See to it that what this process mounts is seen by nobody else; whether that is possible."""
    user, group, root = os.getuid(), os.getgid(), os.getuid() == 0
    if ctypes.CDLL(None, use_errno=True).unshare(_MOUNTS | (0 if root else _USER)):
        return False
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    return True


@contextmanager
def disk(size: int) -> Iterator[Path]:
    """A disk of this many bytes."""
    place = tempfile.mkdtemp()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield Path(place)
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        os.rmdir(place)


def changed(place: Path, options: str) -> None:
    """Mount the disk in another way."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def tried(job: Job, sweep: Path, options: argparse.Namespace) -> Iterator[Case]:
    """One case for each size of the disk, and one for a disk that cannot be written at all."""
    line = " ".join(job.start)
    with disk(LARGE) as place:
        furnish(place, sweep)
        before = _used(place)
        left, _ = undisturbed(job, place)
        wrote = _used(place) - before
    for number in range(options.sizes):
        room = wrote * number // options.sizes
        with disk(before + room) as place:
            furnish(place, sweep)
            verdict, said = _met(job, place, left, "disk is full")
            yield Case(f"{line}: {room >> 10} of {wrote >> 10} KiB", verdict, said)
    with disk(LARGE) as place:
        furnish(place, sweep)
        changed(place, "ro")
        yield Case(f"{line}: read-only", *_met(job, place, left, "read-only", "cannot be written"))


def _met(job: Job, place: Path, left: dict[str, str], *whys: str) -> tuple[Verdict, str]:
    """What becomes of a job on a disk that refuses, and of the next one once it does not."""
    old = left_by(place / job.folder)
    ended = forked([*job.start, "--quiet"], place, LIMIT_S)
    half = torn(job, {**left, **old}, place)
    changed(place, f"rw,size={LARGE}")
    again = forked(next_line(job, place), place, LIMIT_S) if ended.code else ended
    if half:
        return "lost", f"half-written: {half}"
    if again.code != 0:
        return broken(again) or "lost", f"again: {again.err}"
    if bad := differing(left, left_by(place / job.folder)):
        return "lost", f"again: {bad}"
    return _verdict(ended, whys), ended.err


def _verdict(ended: Ended, whys: Sequence[str]) -> Verdict:
    """A sentence that says why, or there was room enough after all."""
    if failed := broken(ended):
        return failed
    if ended.code == 0:
        return "fine"
    said = in_a_sentence(ended) and any(why in last_line(ended) for why in whys)
    return "clear" if ended.code == 2 and said else "long"


def _used(place: Path) -> int:
    about = shutil.disk_usage(place)
    return about.total - about.free
