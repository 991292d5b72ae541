"""Commands that leave something in a folder, and what they leave, without its times."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.robustness.children import forked, warm
from benchmarks.robustness.tables import Case, Table

LIMIT_S = 900.0
ROOMS = ["--env-arg", "max_receptacles=5", "--env-arg", "num_objects=5", "--env-arg", "max_turns=5"]
SMALL = ["--tasks", "1", "--group", "4", "--max-new-tokens", "12"]
FEW = ["--eval-tasks", "3", "--eval-repeats", "1"]
SWEEP = [
    "sweep", "alfworld-v0", *ROOMS, *SMALL, "--layers", "0,3,5", "--steps", "2",
    "--eval-tasks", "4", "--out", "S", "--quiet",
]  # fmt: skip
"""What studies are about, in the folder S."""


class Job(NamedTuple):
    """A command whose results are in the folder `folder` of where it runs."""

    start: Sequence[str]
    folder: str = "F"
    sign: str = ""
    """The file in it from which on `again` goes on; "" where `start` itself does."""
    again: Sequence[str] = ()
    whole: bool = False
    """Whether the folder, or each file in it, is whole or absent at any moment."""


    @property
    def about_a_sweep(self) -> bool:
        """Whether it reads the folder S."""
        return any(part.split("/")[0] == "S" for part in self.start)


def _resumed(start: Sequence[str], sign: str, where: Sequence[str] = ()) -> Job:
    """A command with `--resume`; `where` it runs is said again, for it decides about rounding."""
    again = [start[0], "--resume", "F", *where]
    return Job([*start, *where, "--out", "F"], "F", sign, again)


JOBS: dict[str, Job] = {
    "train": _resumed(
        ["train", "alfworld-v0", *ROOMS, *SMALL, "--layers", "3", "--steps", "8",
         "--save-every", "2"], "config.json"),
    "train, all layers": _resumed(
        ["train", "math-v0", *SMALL, "--steps", "6", "--beta", "0.1", "--save-every", "1"],
        "config.json"),
    "eval": _resumed(
        ["eval", "alfworld-v0", *ROOMS, "--agent", "expert", "random", "tiny",
         "--eval-tasks", "12"], "eval.json"),
    "sweep": _resumed(
        ["sweep", "alfworld-v0", *ROOMS, *SMALL, "--layers", "3", "--steps", "3",
         "--eval-tasks", "8"], "sweep.json", ["--on", "processes", "--jobs", "1"]),
    "sweep in a bank": _resumed(
        ["sweep", "alfworld-v0", *ROOMS, *SMALL, "--layers", "0,3", "--steps", "3",
         "--eval-tasks", "8"], "sweep.json", ["--on", "bank"]),
    "compare": Job(
        ["compare", "S", "--arms", "3", "0", "--seeds", "1", "--eval-tasks", "4", "--jobs", "1",
         "--out", "F"],
        "F", "sweep.json", ["sweep", "--resume", "F", "--jobs", "1"]),
    "dissect": Job(["dissect", "S", *FEW, "--sets", "moved", "scales", "bfloat16"], "S"),
    "vote": Job(["vote", "S", *FEW], "S"),
    "predict": Job(["predict", "S", "--tasks", "4"], "S"),
    "retention": Job(["retention", "S", "--arms", "base", "full", "3", "--text", "novel.txt"], "S"),
    "warmup": Job(
        ["warmup", "alfworld-v0", *ROOMS, "--steps", "2", "--batch-size", "2", "--out", "F"],
        whole=True),
    "publish": Job(["publish", "S/arms/full/seed-0", "--merge", "--out", "F"], whole=True),
    "report": Job(["report", "S", "--html", "--md", "--png", "--txt", "--out", "F"], whole=True),
    "export of lines": Job(["trajectories", "S", "--export", "F/e.jsonl"], whole=True),
    "export of a dataset": Job(["trajectories", "S", "--export", "F"], whole=True),
    "new-env": Job(["new-env", "my_env", "--out", "F"], whole=True),
    "demo": Job(["demo", "--fast", "--out", "F"]),
}  # fmt: skip


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Declare which jobs are tried."""
    parser.add_argument("--only", choices=JOBS, nargs="+", help="these commands alone")
    parser.add_argument("--seed", type=int, default=0, help="of moments")


Tried = Callable[[Job, Path, argparse.Namespace], Iterator[Case]]
"""The cases of one job, whose places are furnished with the sweep of the second argument."""


def each_job(title: str, tried: Tried, options: argparse.Namespace) -> Iterator[Table]:
    """One table for each job chosen by the options of `add_jobs`, with the same finished sweep."""
    warm()
    chosen = {name: JOBS[name] for name in options.only or JOBS}
    with tempfile.TemporaryDirectory() as place:
        if any(job.about_a_sweep for job in chosen.values()):
            made = forked(SWEEP, Path(place), LIMIT_S)
            assert made.code == 0, made.err
        for name, job in chosen.items():
            yield Table(f"{title} {name}", tried(job, Path(place) / "S", options))


def undisturbed(job: Job, place: Path) -> tuple[dict[str, str], float]:
    """What a job leaves in a furnished place, and how many seconds it takes."""
    began = time.monotonic()
    ended = forked([*job.start, "--quiet"], place, LIMIT_S)
    assert ended.code == 0, ended.err
    return left_by(place / job.folder), time.monotonic() - began


def furnish(place: Path, sweep: Path) -> None:
    """Make `place` with what jobs are about in it: a text, and the sweep where there is one."""
    place.mkdir(exist_ok=True)
    if sweep.is_dir():
        shutil.copytree(sweep, place / "S")
    (place / "novel.txt").write_text("It was a dark and stormy night; the rain fell. " * 200)


def next_line(job: Job, place: Path) -> list[str]:
    """Begin, or go on where there is something to go on with."""
    begun = bool(job.sign) and (place / job.folder / job.sign).is_file()
    return [*(job.again if begun else job.start), "--quiet"]


TIMED = re.compile(r"time/|memory|per_second|_s$|^time$")
"""Names of what no two runs share."""


def untimed(value: Any) -> Any:
    """JSON without its times and memory."""
    if isinstance(value, dict):
        return {key: untimed(inner) for key, inner in value.items() if not TIMED.search(key)}
    return [untimed(inner) for inner in value] if isinstance(value, list) else value


def left_by(folder: Path) -> dict[str, str]:
    """A digest of every file that a command leaves for people or other commands, by path.

    Manifests hold commands and times; checkpoints and locks are for the command itself.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name, inside = str(path.relative_to(folder)), path.relative_to(folder).parts
        hidden = any(part.startswith((".", "checkpoint")) for part in inside)
        if (
            path.is_file()
            and not hidden
            and path.name != "manifest.json"
            and "report" not in inside
        ):
            found[name] = hashlib.sha256(_lasting(path)).hexdigest()
    return found


def _lasting(path: Path) -> bytes:
    """What of a file is the same whenever it is made."""
    if path.suffix == ".jsonl":
        rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
        return "\n".join(sorted(json.dumps(untimed(row)) for row in rows)).encode()
    if path.suffix == ".json":
        return json.dumps(untimed(json.loads(path.read_bytes()))).encode()
    return path.read_bytes()


def differing(left: dict[str, str], right: dict[str, str]) -> str:
    """The names of files that two folders do not share alike."""
    return ", ".join(sorted(n for n in left | right if left.get(n) != right.get(n)))


def torn(job: Job, left: dict[str, str], place: Path) -> str:
    """What a command left half-written that says of itself that all is whole or absent."""
    if not job.whole:
        return ""
    found = left_by(place / job.folder)
    return ", ".join(name for name, digest in found.items() if left.get(name) != digest)
