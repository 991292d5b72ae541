"""kill -9 at any moment: what is started again ends as if nothing had happened.

Each command runs once undisturbed. Then it is started again and again, and killed at moments drawn
again, until it was killed this many times. Whenever it ends by itself, what it leaves is compared
with the undisturbed run byte for byte: weights, scores, episodes, and metrics without their times.

    python benchmarks/robustness/kills.py                     # some minutes
    python benchmarks/robustness/kills.py --only sweep --kills 20
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.robustness.children import Case, forked, told, warm  # noqa: E402

LIMIT_S = 300.0
ROOMS = ["--env-arg", "max_receptacles=5", "--env-arg", "num_objects=5", "--env-arg", "max_turns=5"]
SMALL = ["--tasks", "1", "--group", "4", "--max-new-tokens", "12"]


class Tried(NamedTuple):
    """A command, and the sign in its folder from which on it is to be resumed."""

    start: Sequence[str]
    sign: str


COMMANDS: dict[str, Tried] = {
    "train": Tried(
        ["train", "alfworld-v0", *ROOMS, *SMALL, "--layers", "3", "--steps", "8",
         "--save-every", "2"], "config.json"),
    "train, all layers": Tried(
        ["train", "math-v0", *SMALL, "--steps", "6", "--beta", "0.1", "--save-every", "1"],
        "config.json"),
    "eval": Tried(
        ["eval", "alfworld-v0", *ROOMS, "--agent", "expert", "random", "tiny",
         "--eval-tasks", "12"], "eval.json"),
    "sweep": Tried(
        ["sweep", "alfworld-v0", *ROOMS, *SMALL, "--layers", "0,3", "--steps", "3",
         "--eval-tasks", "8", "--on", "processes", "--jobs", "1"], "sweep.json"),
    "sweep in a bank": Tried(
        ["sweep", "alfworld-v0", *ROOMS, *SMALL, "--layers", "0,3", "--steps", "3",
         "--eval-tasks", "8", "--on", "bank"], "sweep.json"),
}  # fmt: skip
TIMED = ("time", "memory", "seconds", "cost", "began", "ended", "per_second")
"""Names of what no two runs share."""


def untimed(value: Any) -> Any:
    """JSON without its times, memory and manifests."""
    if isinstance(value, dict):
        return {
            key: untimed(inner)
            for key, inner in value.items()
            if not any(word in key for word in TIMED)
        }
    return [untimed(inner) for inner in value] if isinstance(value, list) else value


def left_by(folder: Path) -> dict[str, str]:
    """A digest of everything that a command's results are read from, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "checkpoint" in name or name.startswith("report"):
            continue
        if path.suffix == ".safetensors":
            found[name] = path.read_bytes()
        elif path.suffix == ".jsonl":
            rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
            found[name] = "\n".join(sorted(json.dumps(untimed(row)) for row in rows)).encode()
        elif path.parent.name == "evals":
            found[name] = json.dumps(untimed(json.loads(path.read_bytes()))).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def tried(name: str, kills: int, seed: int) -> Iterator[Case]:
    """One case per start of a command, and one for what it left in the end."""
    command, moments = COMMANDS[name], random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole, broken = Path(place) / "whole", Path(place) / "broken"
        began = time.monotonic()
        ended = forked([*command.start, "--quiet", "--out", str(whole)], Path(place), LIMIT_S)
        length_s = time.monotonic() - began
        assert ended.code == 0, ended.err
        killed = 0
        while True:
            argv = _next(command, broken)
            limit_s = moments.uniform(0.02, 0.3) * length_s if killed < kills else LIMIT_S
            ended = forked(argv, Path(place), limit_s)
            what = f"{name}: after {killed} kills, {limit_s:.2f} s"
            if ended.code is None and killed < kills:
                killed += 1
                yield Case(what, "fine", "killed")
            elif ended.code != 0:
                yield Case(what, "traceback" if ended.traceback else "killed", ended.err)
                return
            else:
                differing = _differing(left_by(whole), left_by(broken))
                yield Case(what, "lost" if differing else "fine", f"ended: {differing}")
                if killed == kills:
                    return
                shutil.rmtree(broken)


def _next(command: Tried, folder: Path) -> list[str]:
    """Begin, or go on where there is something to go on with."""
    if (folder / command.sign).is_file():
        return [command.start[0], "--resume", str(folder), "--quiet"]
    return [*command.start, "--quiet", "--out", str(folder)]


def _differing(left: dict[str, str], right: dict[str, str]) -> str:
    return ", ".join(sorted(n for n in left | right if left.get(n) != right.get(n)))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 if anything was lost or printed a traceback."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=COMMANDS, help="this command alone")
    parser.add_argument("--kills", type=int, default=12, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = parser.parse_args(argv)
    warm()
    bad = 0
    for name in [chosen.only] if chosen.only else COMMANDS:
        cases = list(tried(name, chosen.kills, chosen.seed))
        killed = sum(case.said == "killed" for case in cases)
        bad += told(f"{name}, killed {killed} times", cases, ("fine",))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
