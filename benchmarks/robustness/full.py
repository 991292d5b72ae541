"""A disk that is full: one sentence, exit code 2, nothing half-written, and it goes on afterwards.

Each command runs on small disks (file systems in memory, in a mount namespace of this process) that
hold a part of what it writes. Then the disk grows, the command is called again, and what it leaves
is compared with what it leaves on a large disk. Linux only; it needs root or user namespaces.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
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
        yield from each_job("a full disk under", tried, options)
    else:
        yield Table("a full disk: not tried, it needs root or user namespaces", ())


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


def grown(place: Path) -> None:
    """Give the disk more than enough room."""
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(place)], check=True)


def tried(job: Job, sweep: Path, options: argparse.Namespace) -> Iterator[Case]:
    """One case for each size of the disk."""
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
            old = left_by(place / job.folder)
            ended = forked([*job.start, "--quiet"], place, LIMIT_S)
            verdict = _verdict(ended)
            said = ended.err
            if bad := torn(job, {**left, **old}, place):
                verdict, said = "lost", f"half-written: {bad}"
            grown(place)
            again = forked(next_line(job, place), place, LIMIT_S) if ended.code else ended
            if again.code != 0:
                verdict, said = broken(again) or "lost", f"again: {again.err}"
            elif bad := differing(left, left_by(place / job.folder)):
                verdict, said = "lost", f"again: {bad}"
            yield Case(f"{line}: {room >> 10} of {wrote >> 10} KiB", verdict, said)


def _verdict(ended: Ended) -> Verdict:
    """A sentence that says so, or there was room enough after all."""
    if failed := broken(ended):
        return failed
    if ended.code == 0:
        return "fine"
    said = in_a_sentence(ended) and "disk is full" in last_line(ended)
    return "clear" if ended.code == 2 and said else "long"


def _used(place: Path) -> int:
    about = shutil.disk_usage(place)
    return about.total - about.free
