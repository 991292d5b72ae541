"""kill -9 at any moment: what is started again ends as if nothing had happened.

Each command runs once undisturbed. Then it is started again and again, and killed at moments drawn
again, until it was killed this many times. Whenever it ends by itself, what it leaves is compared
with the undisturbed run file by file, without times. What says of itself that it is whole or absent
is looked at after every kill. A table counts kills and ends.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.robustness.children import forked
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
from benchmarks.robustness.tables import Case, Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_jobs(parser)
    parser.add_argument("--kills", type=int, default=12, help="of each command")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each command."""
    return each_job(f"{options.kills} kills, and ends, of", tried, options)


def tried(job: Job, sweep: Path, options: argparse.Namespace) -> Iterator[Case]:
    """One case for each kill, and for each time that the command came to its end."""
    line, moments = " ".join(job.start), random.Random(f"{job.start} {options.seed}")
    most = 1.0 if job.whole else 0.3  # What cannot go on begins anew, and may be killed late.
    with tempfile.TemporaryDirectory() as above:
        place = Path(above) / "whole"
        furnish(place, sweep)
        left, length_s = undisturbed(job, place)
        killed = 0
        while True:
            place = Path(above) / f"broken-{killed}"
            furnish(place, sweep)
            ended_itself = False
            while not ended_itself:
                if job.whole and left_by(place / job.folder) == left:
                    break  # It was done when it was killed: begun again, it would be refused.
                more = killed < options.kills
                limit_s = moments.uniform(0.02, most) * length_s if more else LIMIT_S
                ended = forked(next_line(job, place), place, limit_s)
                what = f"{line}: after {killed} kills, {limit_s:.2f} s"
                ended_itself = ended.code is not None
                killed += not ended_itself
                if not ended_itself and (bad := torn(job, left, place)):
                    yield Case(what, "lost", f"half-written: {bad}")
                elif not ended_itself:
                    yield Case(what, "fine", "killed")
                elif ended.code != 0:
                    yield Case(what, "traceback" if ended.traceback else "killed", ended.err)
                    return
            bad = differing(left, left_by(place / job.folder))
            yield Case(f"{line}: at its end", "lost" if bad else "fine", f"ended: {bad}")
            if killed >= options.kills:
                return
            shutil.rmtree(place)
