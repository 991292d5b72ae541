"""A disk that is full: one sentence, exit code 2, nothing half-written, and it goes on afterwards.

Each command runs on small disks (file systems in memory, in a mount namespace of this process) that
hold a part of what it writes. Then the disk grows, the command is called again, and what it leaves
is compared with what it leaves on a large disk. Linux only; it needs root or user namespaces.

    python benchmarks/robustness/full.py                      # some minutes
    python benchmarks/robustness/full.py --only publish --sizes 9
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.robustness.children import (  # noqa: E402
    Case,
    Ended,
    Verdict,
    broken,
    forked,
    in_a_sentence,
    last_line,
    told,
    warm,
)
from benchmarks.robustness.jobs import (  # noqa: E402
    JOBS,
    LIMIT_S,
    differing,
    furnish,
    left_by,
    make_sweep,
    next_line,
    torn,
)

LARGE = 1 << 30
_USER, _MOUNTS = 0x10000000, 0x00020000


def own_mounts() -> None:
    """See to it that what this process mounts is seen by nobody else."""
    user, group, root = os.getuid(), os.getgid(), os.getuid() == 0
    if ctypes.CDLL(None, use_errno=True).unshare(_MOUNTS | (0 if root else _USER)):
        sys.exit("full.py needs root, or user namespaces")
    if not root:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


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


def tried(name: str, sizes: int, sweep: Path) -> Iterator[Case]:
    """One case per size of the disk."""
    job = JOBS[name]
    with disk(LARGE) as place:
        furnish(place, sweep)
        before = _used(place)
        ended = forked([*job.start, "--quiet"], place, LIMIT_S)
        assert ended.code == 0, ended.err
        wrote, left = _used(place) - before, left_by(place / job.folder)
    for number in range(sizes):
        room = wrote * number // sizes
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
            yield Case(f"{name}: {room >> 10} of {wrote >> 10} KiB", verdict, said)


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


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if anything was lost, or badly said."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=JOBS, help="this command alone")
    parser.add_argument("--sizes", type=int, default=6, help="sizes of the disk for each command")
    chosen = parser.parse_args(argv)
    own_mounts()
    warm()
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        sweep = make_sweep(Path(place))
        for name in [chosen.only] if chosen.only else JOBS:
            cases = tried(name, chosen.sizes, sweep)
            bad += told(f"a full disk under {name}", cases, ("clear", "fine"))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
