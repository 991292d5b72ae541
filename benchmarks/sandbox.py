"""The sandbox beside a fresh interpreter for every run.

Judges the reference solutions of programming problems by their hidden tests: in warm workers (the
program in one, its tests in another) and, for comparison, program and tests together in a new
`python -c`, which protects nothing. CPU time counts every process and the start of the workers;
`/core` is how many runs a second one core's time allows.

    python benchmarks/sandbox.py                                # generated problems
    python benchmarks/sandbox.py --problems HumanEval.jsonl.gz  # HumanEval's 164
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from layergym.base.errors import InputError
from layergym.envs.code import datasets, generated
from layergym.envs.code.problems import CodeProblem
from layergym.envs.rows import read_rows
from layergym.envs.sandbox import ISOLATIONS, Sandbox

THREADS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", help="HumanEval or MBPP; generated ones without it")
    parser.add_argument("--runs", type=int, default=328)
    options = parser.parse_args()
    problems = list(
        datasets.problems(read_rows(options.problems, "test"), "test")
        if options.problems
        else generated.generated_problems("test")
    )
    chosen = [problems[n % len(problems)] for n in range(options.runs)]
    columns = ("runs/s", "CPU ms", "/core", "p50 ms", "p99 ms", "MiB", "ratio")
    header = " " * 24 + "".join(f"{column:>8}" for column in columns)
    print(f"{options.runs} programs with their tests, {THREADS} threads\n{header}")
    base = measure("fresh python -c", chosen, fresh, lambda: 0.0)
    for isolation in ISOLATIONS:
        with Sandbox(isolation=isolation, workers=2 * THREADS) as sandbox:
            try:
                used = sandbox.isolation
            except InputError:
                print(f"warm, {isolation:18}    not available here")
                continue

            def judge(problem: CodeProblem, sandbox: Sandbox = sandbox) -> None:
                verdict = sandbox.examine(problem.source(problem.solution), problem.hidden)
                assert verdict.passed, (problem.id, verdict)

            measure(f"warm, {used}", chosen, judge, memory, finish=sandbox.close, base=base)


def measure(
    label: str,
    problems: Sequence[CodeProblem],
    judge: Callable[[CodeProblem], None],
    size: Callable[[], float],
    finish: Callable[[], None] = lambda: None,
    base: float = 0.0,
) -> float:
    """Print a row; return the CPU time of a run in ms. `finish` reaps what must be counted."""

    def timed(problem: CodeProblem) -> float:
        start = time.perf_counter()
        judge(problem)
        return time.perf_counter() - start

    before, began = cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        times = list(threads.map(timed, problems))
    wall = time.perf_counter() - began
    mib = size()
    finish()
    cpu_ms = 1000 * (cpu_s() - before) / len(problems)
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    ratio = f"{base / cpu_ms:.1f}x" if base else ""
    print(
        f"{label:24}{len(problems) / wall:8.1f}{cpu_ms:8.1f}{1000 / cpu_ms:8.1f}"
        f"{1000 * p50:8.1f}{1000 * p99:8.1f}{mib:8.0f}{ratio:>8}"
    )
    return cpu_ms


def fresh(problem: CodeProblem) -> None:
    """Program and tests in one new interpreter; the exit code is the verdict."""
    suite = problem.hidden
    names = "".join(f"{local} = {name}\n" for local, name in suite.names.items() if local != name)
    steps = "\n".join(source for source, _ in suite.steps)
    whole = f"{suite.setup}\n{problem.source(problem.solution)}\n{names}{steps}"
    subprocess.run([sys.executable, "-c", whole], check=True, capture_output=True, timeout=60)


def cpu_s() -> float:
    """CPU time of this process and of every process that it has reaped, in seconds."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def memory() -> float:
    """Memory of the worker processes, what they share counted once, in MiB."""
    total, found = 0, {os.getpid()}
    parents = {int(p.name): _parent(p) for p in Path("/proc").iterdir() if p.name.isdigit()}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    for pid in found - {os.getpid()}:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    main()
