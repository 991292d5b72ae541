"""kill -9 at any moment: what is started again ends as if nothing had happened.

Each command runs once undisturbed. Then it is started again and again, and killed at moments drawn
again, until it was killed this many times. Whenever it ends by itself, what it leaves is compared
with the undisturbed run file by file, without times. What says of itself that it is whole or absent
is looked at after every kill.

    python benchmarks/robustness/kills.py                     # some minutes
    python benchmarks/robustness/kills.py --only sweep --kills 20
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.robustness.children import Case, forked, told, warm  # noqa: E402
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


def tried(name: str, kills: int, seed: int, sweep: Path) -> Iterator[Case]:
    """One case per start of a command, and one for what it left in the end."""
    job, moments = JOBS[name], random.Random(f"{name} {seed}")
    most = 1.0 if job.whole else 0.3  # What cannot go on begins anew, and may be killed late.
    with tempfile.TemporaryDirectory() as above:
        place = Path(above) / "whole"
        furnish(place, sweep)
        began = time.monotonic()
        ended = forked([*job.start, "--quiet"], place, LIMIT_S)
        length_s = time.monotonic() - began
        assert ended.code == 0, ended.err
        left = left_by(place / job.folder)
        killed = 0
        while True:
            place = Path(above) / f"broken-{killed}"
            furnish(place, sweep)
            ended_itself = False
            while not ended_itself:
                if job.whole and left_by(place / job.folder) == left:
                    break  # It was done when it was killed: begun again, it would be refused.
                limit_s = moments.uniform(0.02, most) * length_s if killed < kills else LIMIT_S
                ended = forked(next_line(job, place), place, limit_s)
                what = f"{name}: after {killed} kills, {limit_s:.2f} s"
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
            yield Case(f"{name}: at its end", "lost" if bad else "fine", f"ended: {bad}")
            if killed >= kills:
                return
            shutil.rmtree(place)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if anything was lost or printed a traceback."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=JOBS, help="this command alone")
    parser.add_argument("--kills", type=int, default=12, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = parser.parse_args(argv)
    warm()
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        sweep = make_sweep(Path(place))
        for name in [chosen.only] if chosen.only else JOBS:
            cases = list(tried(name, chosen.kills, chosen.seed, sweep))
            killed = sum(case.said == "killed" for case in cases)
            bad += told(f"{name}, killed {killed} times", cases, ("fine",))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
