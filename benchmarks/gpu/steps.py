"""Run the steps for a GPU one after another, each in a process and a time box of its own.

Every step is a program beside this one, or the tests marked `gpu`. What a step prints as a JSON
object on a line of its own is a result: it goes to OUT/results.jsonl at once, with the step's name.
A step that fails or runs out of time costs only itself; its output is in OUT/NAME.log.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Step:
    """One program and how long it may take."""

    name: str
    command: tuple[str, ...]
    seconds: float


def steps(pack: Path, device: str, small: bool) -> list[Step]:
    """All steps in order of worth."""
    common = ("--device", device, *(["--small"] if small else []))

    def own(script: str, *words: str) -> tuple[str, ...]:
        return (sys.executable, str(HERE / script), *common, *words)

    rollout = (sys.executable, str(HERE.parent / "rollout.py"), "--json", "--device", device)
    size = ("--small",) if small else ("--size", "qwen2.5-1.5b", "--dtype", "bfloat16")
    many = ("--turns", "2", "2", "--arms", "clocks", "turns", "trl")
    tests = (sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-W", "ignore", "--timeout", "60")
    folder = str(HERE.parents[1] / "tests" / "gpu")
    seven = ("--shape", "qwen2.5-7b", "--arms", "ours", "frozen, tuned")
    return [
        Step("probe", own("probe.py"), 40),
        Step("smoke", (*tests, "-p", "no:cacheprovider", folder), 150),
        Step("update-1.5b", own("update.py", "--shape", "qwen2.5-1.5b"), 60),
        # About 1,200 launches a token and 10 microseconds each: 128 tokens take 2 s in each arm.
        Step("rollout", (*rollout, *size, *many), 90),
        Step("update-7b", own("update.py", *seven), 80),
        Step("profile", own("layer_profile.py", "--pack", str(pack)), 600),
    ]


def run(step: Step, out: Path, seconds: float) -> dict[str, object]:
    """Run a step, pass its results on as they come; return how it ended."""
    began = time.monotonic()
    log = out / f"{step.name}.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            step.command,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,
            env=os.environ | {"STEP_SECONDS": f"{seconds:.0f}"},
        )
        try:
            ended = _follow(process, step.name, out, output, began + seconds)
        finally:
            _end(process)
    return {"step": step.name, "ended": ended, "s": round(time.monotonic() - began, 1)}


def _follow(
    process: subprocess.Popen[str], name: str, out: Path, output: TextIO, until: float
) -> str:
    """Sort what the process prints into results and log until it ends: how it ended."""
    assert process.stdout is not None
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    os.set_blocking(process.stdout.fileno(), False)
    held = ""
    while time.monotonic() < until:
        if selector.select(timeout=min(1.0, max(0.0, until - time.monotonic()))):
            text = process.stdout.read()
            if not text:
                break
            *lines, held = (held + text).split("\n")
            for line in lines:
                _sort(line, name, out, output)
    else:
        return "out of time"
    return f"exit {process.wait()}"


def _sort(line: str, name: str, out: Path, output: TextIO) -> None:
    try:
        result = json.loads(line) if line.startswith("{") else None
    except ValueError:
        result = None  # A library's own dictionary.
    if result is None:
        print(line, file=output, flush=True)
    else:
        record({"step": name, **result}, out)


def _end(process: subprocess.Popen[str]) -> None:
    """End a step with all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def record(result: dict[str, object], out: Path) -> None:
    """Add a result to the file, and show it."""
    line = json.dumps(result)
    with (out / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="steps to run; by default all")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="small shapes, to see that it runs")
    parser.add_argument("--seconds", type=float, default=530, help="for all steps together")
    parser.add_argument("--pack", type=Path, default=Path(".gpu"))
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "runs/gpu")))
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["STEP_OUT"] = str(options.out.resolve())
    until = time.monotonic() + options.seconds
    for step in steps(options.pack, options.device, options.small):
        if options.names and step.name not in options.names:
            continue
        left = until - time.monotonic()
        if left < 10:
            record({"step": step.name, "ended": "no time left", "s": 0}, options.out)
            continue
        result = run(step, options.out, min(left, step.seconds * (4 if options.small else 1)))
        record(result, options.out)
        if result["ended"] != "exit 0":
            text = (options.out / f"{step.name}.log").read_text(encoding="utf-8", errors="replace")
            print(text[-1500:], flush=True)


if __name__ == "__main__":
    main()
