"""Damaged files: a command that reads one says in a sentence which file it is, or does without it.

A training run, one that is paused, a sweep, an evaluation and a model are made, and each of their
files is damaged in many ways; what is not damaged must still be there afterwards, as it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.robustness.children import Ended, forked, in_a_sentence, warm
from benchmarks.robustness.tables import Case, Table, Verdict, add_part, part

LIMIT_S = 90.0
WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data.rstrip()[:-1],
    "not utf-8": lambda data: data[:20] + b"\xff\xfe\xfa" + data[20:],
    "nulls": lambda data: bytes(len(data)),
    "a list": lambda _: b"[1, 2]\n",
    "null": lambda _: b"null\n",
    "a text": lambda _: b'"text"\n',
    "nested": lambda _: b"[" * 200_000 + b"\n",
    "nested objects": lambda _: b'{"a":' * 200_000 + b"\n",
    "an empty object": lambda _: b"{}\n",
    "a huge number": lambda _: b'{"seed": ' + b"9" * 5000 + b"}\n",
    "twice": lambda data: data + data,
    "binary": lambda _: bytes(range(256)) * 9,
}
"""Damage to a whole file, by name."""
BINARY: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": lambda data: _flipped(data, len(data) // 2),
    "a bit flipped near its end": lambda data: _flipped(data, len(data) - 9),
    "a bit flipped near its beginning": lambda data: _flipped(data, min(40, len(data) - 1)),
    "an endless header": lambda data: b"\xff" * 8 + data[8:],
    "no header": lambda data: bytes(8) + data[8:],
    "a header of a list": lambda data: (2).to_bytes(8, "little") + b"[]" + data[8:],
    "a header of nothing": lambda data: (2).to_bytes(8, "little") + b"{}",
    "an empty archive": lambda _: b"PK\x05\x06" + bytes(18),
    "a pickle that runs": lambda _: b"cos\nsystem\n(S'touch PWNED'\ntR.",
}
"""Damage to weights and checkpoints, besides."""
ODD: dict[str, Any] = {
    "null": None, "text": "x\u202e\x1b[2J", "number": -1, "endless": float("inf"), "list": [],
    "object": {},
    "nested": [[[]]], "huge": 10**400, "truth": True,
}  # fmt: skip
"""What may stand in place of a field's value."""


def _flipped(data: bytes, place: int) -> bytes:
    place = max(0, place)
    return data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :] if data else b"x"


class Damage(NamedTuple):
    """One file's damage."""

    file: str
    """Relative to the folder that is damaged."""
    how: str
    data: bytes


def damages(folder: Path, odd: Sequence[str] = tuple(ODD)) -> Iterator[Damage]:
    """Every damage to the files below `folder`, one at a time."""
    for path in _files(folder):
        name, data = str(path.relative_to(folder)), path.read_bytes()
        for how, change in WHOLE.items():
            yield Damage(name, how, change(data))
        if path.suffix in WEIGHTS:
            yield from (Damage(name, how, change(data)) for how, change in BINARY.items())
            continue
        first, _, rest = data.partition(b"\n") if path.suffix == ".jsonl" else (data, b"", b"")
        value = json.loads(first)
        for number, (field, changed) in enumerate(_changed(value, odd)):
            if path.suffix == ".jsonl" or number % 3 == 0 or path.name in _OWN:
                yield Damage(name, field, json.dumps(changed).encode() + b"\n" + rest)


_OWN = ("eval.json", "sweep.json", "profile.json")
"""Settings and results, all of whose fields are damaged in every way."""


WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")


def _files(folder: Path) -> Iterator[Path]:
    """Files below `folder` that something is read from, each kind of place once."""
    seen = set()
    for path in sorted(folder.rglob("*.*")):
        inside = path.relative_to(folder).parts
        place = (inside[0], path.parent.name.startswith("seed"), path.name)
        read = path.suffix in (".json", ".jsonl", *WEIGHTS)
        if read and place not in seen and "report" not in inside:
            seen.add(place)
            yield path


def _changed(value: Mapping[str, Any], odd: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """An object with one field missing or odd, the fields of objects inside it included."""
    for field, inside in value.items():
        yield f"without {field}", {k: v for k, v in value.items() if k != field}
        for name in odd:
            yield f"{field}: {name}", {**value, field: ODD[name]}
        if isinstance(inside, dict) and inside:
            for what, changed in _changed(inside, odd[:2]):
                yield f"{field}/{what}", {**value, field: changed}
        if isinstance(inside, list) and inside and isinstance(inside[0], dict):
            for what, changed in _changed(inside[0], odd[:3]):
                yield f"{field}[0]/{what}", {**value, field: [changed, *inside[1:]]}


_TRAIN = [
    "train", "alfworld-v0", "--layers", "0", "--steps", "2", "--tasks", "2", "--group", "2",
    "--env-arg", "max_turns=3", "--save-every", "1", "--out", "F",
]  # fmt: skip
_SWEEP = [
    "sweep", "alfworld-v0", "--layers", "0,3,5", "--steps", "1", "--tasks", "2", "--group", "2",
    "--env-arg", "max_turns=3", "--eval-tasks", "3", "--out", "F",
]  # fmt: skip
_FEW = ["--eval-tasks", "2", "--eval-repeats", "1"]
_STUDIES = [
    ["dissect", "F", *_FEW, "--sets", "bfloat16"],
    ["vote", "F", *_FEW],
    ["predict", "F", "--tasks", "48"],
    ["retention", "F", "--arms", "base", "full", "--text", "F/sweep.json"],
]
KINDS: dict[str, tuple[list[list[str]], list[list[str]]]] = {
    "eval": (
        [["eval", "alfworld-v0", "--agent", "random", "expert", "--eval-tasks", "3", "--out",
          "F"]],
        [["report", "F"], ["trajectories", "F"], ["eval", "--resume", "F"]],
    ),
    "train": (
        [_TRAIN],
        [["report", "F"], ["trajectories", "F"], ["train", "--resume", "F"],
         ["publish", "F", "--out", "new"]],
    ),
    "paused": (
        [[*_TRAIN, "--max-time", "0s"]],
        [["train", "--resume", "F", "--quiet"]],
    ),
    "model": (
        [["warmup", "alfworld-v0", "--steps", "1", "--batch-size", "1", "--out", "F"]],
        [["train", "alfworld-v0", "--model", "./F", "--dry-run", "--group", "2"],
         ["eval", "alfworld-v0", "--agent", "./F", "--eval-tasks", "1", "--env-arg",
          "max_turns=2"]],
    ),
    "sweep": (
        [_SWEEP],
        [["report", "F"], ["sweep", "--resume", "F"], ["bases", "F", "F"], ["compare", "F"],
         *_STUDIES],
    ),
    "studies": (
        [_SWEEP, *_STUDIES],
        [["report", "F"], *_STUDIES],
    ),
    "search": (
        [[*_SWEEP, "--scan", "coarse:4", "--race", "1", "--lr-grid", "1e-3,1e-2", "--steps", "2",
          "--dev-tasks", "3", "--env-arg", "size=40"]],
        [["report", "F"], ["sweep", "--resume", "F"]],
    ),
    "comparison": (
        [[*_SWEEP[:-1], "S"], ["compare", "S", "--arms", "3", "0", "--seeds", "1", "--eval-tasks",
                               "2", "--out", "F"]],
        [["report", "F"], ["sweep", "--resume", "F"]],
    ),
}  # fmt: skip
"""What makes a folder F, line by line, and what reads it."""


def met(damage: Damage, kind: str, good: Path, readers: Sequence[Sequence[str]]) -> Iterator[Case]:
    """What each reader makes of a copy of `good` with this damage."""
    place = Path(tempfile.mkdtemp())
    copy = place / "F"
    for line in readers:
        shutil.copytree(good, copy, copy_function=shutil.copy2)
        (copy / damage.file).write_bytes(damage.data)
        ended = forked(line, place, LIMIT_S)
        verdict = _verdict(ended, lost=_lost(good, copy, damage.file))
        what = f"{kind} {damage.file} {damage.how}: {line[0]}"
        if (place / "PWNED").exists():
            verdict = "accepted"
        yield Case(what, verdict, ended.err)
        for made in place.iterdir():
            shutil.rmtree(made) if made.is_dir() else made.unlink()
    shutil.rmtree(place)


def _verdict(ended: Ended, *, lost: bool) -> Verdict:
    if ended.code is None:
        return "hang"
    if ended.traceback:
        return "traceback"
    if lost:
        return "lost"
    if ended.code == 2:
        # What a resumed run says on its way comes before the refusal.
        return "clear" if in_a_sentence(ended) else "long"
    return "fine" if ended.code in (0, 1) else "killed"


def _lost(good: Path, copy: Path, damaged: str) -> bool:
    """Whether a file with episodes, weights or scores, other than the damaged one, was changed."""
    for path in good.rglob("*"):
        name = path.relative_to(good)
        precious = path.name in ("delta.safetensors", "trajectories.jsonl") or "evals" in name.parts
        if precious and path.is_file() and str(name) != damaged:
            there = copy / name
            if not there.is_file() or not there.read_bytes().startswith(path.read_bytes()):
                return True
    return False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_part(parser)
    parser.add_argument("--only", choices=KINDS, nargs="+", help="these kinds of folder")
    parser.add_argument("--named", default="", help="files with this in their places")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each kind of folder: a case is a damaged file and a command that reads it."""
    warm()
    for kind in options.only or KINDS:
        make, readers = KINDS[kind]
        with tempfile.TemporaryDirectory() as name:
            good = Path(name) / "F"
            for line in make:
                made = forked(line, good.parent, 600)
                assert made.code == 0, made.err
            found = damages(good, ["null", "text", "huge"])
            chosen = part((one for one in found if options.named in one.file), options)
            cases = (case for damage in chosen for case in met(damage, kind, good, readers))
            yield Table(f"{len(chosen)} damaged files of a folder of {kind}, by commands", cases)
