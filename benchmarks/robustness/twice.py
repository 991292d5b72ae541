"""Two processes of one command in one folder: one works, the other is refused in a sentence.

The second starts at a moment drawn again; where the first has just ended it may find all done.
What is there in the end is what one process leaves.

    python benchmarks/robustness/twice.py                     # some minutes
    python benchmarks/robustness/twice.py --only dissect --times 5
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.robustness.children import (  # noqa: E402
    Case,
    Child,
    Ended,
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
    Job,
    differing,
    furnish,
    left_by,
    make_sweep,
)

DEMO = Job(["demo", "--fast", "--out", "F"])


def tried(name: str, times: int, seed: int, sweep: Path) -> Iterator[Case]:
    """One case per pair."""
    job, moments = ({**JOBS, "demo": DEMO})[name], random.Random(f"{name} {seed}")
    with tempfile.TemporaryDirectory() as above:
        place = Path(above) / "alone"
        furnish(place, sweep)
        began = time.monotonic()
        ended = forked([*job.start, "--quiet"], place, LIMIT_S)
        length_s = time.monotonic() - began
        assert ended.code == 0, ended.err
        left = left_by(place / job.folder)
        for number in range(times):
            place = Path(above) / f"pair-{number}"
            furnish(place, sweep)
            wait_s = moments.uniform(0.0, 0.5) * length_s * (number > 0)  # At once, to begin with.
            first = Child([*job.start, "--quiet"], place)
            time.sleep(wait_s)
            second = Child([*job.start, "--quiet"], place)
            both = second.ended(LIMIT_S), first.ended(LIMIT_S)
            yield _judged(f"{name}: {wait_s:.2f} s apart", both, left, left_by(place / job.folder))


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


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if anything was lost or printed a traceback."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=[*JOBS, "demo"], help="this command alone")
    parser.add_argument("--times", type=int, default=4, help="pairs of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = parser.parse_args(argv)
    warm()
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        sweep = make_sweep(Path(place))
        for name in [chosen.only] if chosen.only else [*JOBS, "demo"]:
            cases = tried(name, chosen.times, chosen.seed, sweep)
            bad += told(f"two of {name} at once", cases, ("clear", "fine"))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
