"""Two processes of one command in one folder: one works, the other is refused in a sentence.

The second starts at a moment drawn again; where the first has just ended it may find all done.
What is there in the end is what one process leaves.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.robustness.children import Child, Ended, broken, in_a_sentence, last_line
from benchmarks.robustness.jobs import (
    LIMIT_S,
    Job,
    add_jobs,
    differing,
    each_job,
    furnish,
    left_by,
    undisturbed,
)
from benchmarks.robustness.tables import Case, Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_jobs(parser)
    parser.add_argument("--times", type=int, default=4, help="pairs of each command")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each command."""
    return each_job("two at once of", tried, options)


def tried(job: Job, sweep: Path, options: argparse.Namespace) -> Iterator[Case]:
    """One case for each pair."""
    line, moments = " ".join(job.start), random.Random(f"{job.start} {options.seed}")
    with tempfile.TemporaryDirectory() as above:
        place = Path(above) / "alone"
        furnish(place, sweep)
        left, length_s = undisturbed(job, place)
        for number in range(options.times):
            place = Path(above) / f"pair-{number}"
            furnish(place, sweep)
            wait_s = moments.uniform(0.0, 0.5) * length_s * (number > 0)  # At once, to begin with.
            first = Child([*job.start, "--quiet"], place)
            time.sleep(wait_s)
            second = Child([*job.start, "--quiet"], place)
            both = second.ended(LIMIT_S), first.ended(LIMIT_S)
            yield _judged(f"{line}: {wait_s:.2f} s apart", both, left, left_by(place / job.folder))


def _judged(what: str, both: Sequence[Ended], left: dict[str, str], found: dict[str, str]) -> Case:
    for ended in both:
        if failed := broken(ended):
            return Case(what, failed, ended.err)
    if {ended.code for ended in both} not in ({0}, {0, 2}):
        return Case(what, "lost", " / ".join(last_line(ended) for ended in both))
    if bad := differing(left, found):
        return Case(what, "lost", bad)
    refused = [ended for ended in both if ended.code == 2]
    if not all(map(in_a_sentence, refused)):
        return Case(what, "long", refused[0].err)
    return Case(what, "clear" if refused else "fine", "")
