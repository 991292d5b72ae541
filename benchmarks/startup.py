"""How long layergym takes to begin: medians of seven processes each, and how busy the machine was.

    python benchmarks/startup.py

Each command runs once unmeasured, so that its files are in memory. "CPU" is that of the process
alone and hardly depends on what else runs; "clock" is what a person waits.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import layergym": ["-c", "import layergym"],
    "lg.make('alfworld-v0')": ["-c", "import layergym; layergym.make('alfworld-v0').reset(seed=0)"],
    "layergym --help": ["-m", "layergym", "--help"],
    "layergym train --help": ["-m", "layergym", "train", "--help"],
    "layergym envs": ["-m", "layergym", "envs"],
}
TIMES = 7


def measured(arguments: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the CPU that one process takes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:  # Not where `python -c` would find the sources.
        command = [sys.executable, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table and the load before and after."""
    print(f"load {os.getloadavg()[0]:.2f}")
    print("| what | clock, s | CPU, s |\n|---|---|---|")
    for name, arguments in COMMANDS.items():
        measured(arguments)
        pairs = [measured(arguments) for _ in range(TIMES)]
        clock, cpu = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"| {name} | {clock:.2f} | {cpu:.2f} |", flush=True)
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
