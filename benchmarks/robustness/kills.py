"""Stopped at any moment, by kill -9 or a signal: started again, it ends as if nothing had happened.

Each command runs once undisturbed. Then it is started again and again, and stopped at moments drawn
again, until it was stopped this many times. Whenever it ends by itself, what it leaves is compared
with the undisturbed run file by file, without times. What says of itself that it is whole or absent
is looked at after every stop, and what may say something says no traceback. A table counts stops
and ends.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.robustness.children import Child, Ended, broken
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

STOPS = {
    "KILL": (signal.SIGKILL,),
    "TERM": (signal.SIGTERM,),
    "HUP": (signal.SIGHUP,),
    "INT": (signal.SIGINT,),
    "INT-INT": (signal.SIGINT, signal.SIGINT),
    "INT-TERM": (signal.SIGINT, signal.SIGTERM),
}
"""Ways to stop a command."""
PATIENCE_S = 60.0
"""How long a command that was asked to end may take."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_jobs(parser)
    parser.add_argument("--kills", type=int, default=12, help="stops of each command")
    parser.add_argument("--by", choices=STOPS, nargs="+", default=["KILL"], help="in turn")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each command."""
    return each_job(f"{options.kills} stops by {', '.join(options.by)} and ends of", tried, options)


def tried(job: Job, sweep: Path, options: argparse.Namespace) -> Iterator[Case]:
    """One case for each stop, and for each time that the command came to its end."""
    line, moments = " ".join(job.start), random.Random(f"{job.start} {options.seed}")
    most = 1.0 if job.whole else 0.3  # What cannot go on begins anew, and may be stopped late.
    with tempfile.TemporaryDirectory() as above:
        place = Path(above) / "whole"
        furnish(place, sweep)
        left, length_s = undisturbed(job, place)
        stops = 0
        while True:
            place = Path(above) / f"broken-{stops}"
            furnish(place, sweep)
            while not (job.whole and left_by(place / job.folder) == left):
                # Else it was done when it was stopped: begun again, it would be refused.
                child = Child(next_line(job, place), place)
                if stops == options.kills:
                    itself, ended = True, child.ended(LIMIT_S)
                else:
                    after_s = moments.uniform(0.02, most) * length_s
                    by = options.by[stops % len(options.by)]
                    itself, ended = child.stopped(after_s, STOPS[by], PATIENCE_S)
                if itself:
                    if ended.code != 0:
                        yield Case(f"{line}: again", broken(ended) or "lost", ended.err)
                        return
                    break
                stops += 1
                yield _stop(f"{line}: {by} after {after_s:.2f} s", ended, torn(job, left, place))
            bad = differing(left, left_by(place / job.folder))
            yield Case(f"{line}: at its end", "lost" if bad else "fine", bad)
            if stops == options.kills:
                return
            shutil.rmtree(place)


def _stop(what: str, ended: Ended, half: str) -> Case:
    """What to say of a command that was stopped."""
    if half:
        return Case(what, "lost", f"half-written: {half}")
    if ended.code is None or ended.traceback:
        return Case(what, "hang" if ended.code is None else "traceback", ended.err)
    return Case(what, "fine", "")
