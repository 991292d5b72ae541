"""Programs that try to get out, to lie, or to leave something: `benchmarks.robustness sandbox`.

An ordinary test takes a part of them in each isolation, and all in three; a slow one takes all.
"""

import os
import signal
from pathlib import Path
from types import ModuleType

import pytest

from layergym.envs.sandbox import ISOLATIONS, Limits, Sandbox, Suite

QUICK = Limits(wall_s=2.0, cpu_s=1, memory_mb=384)
DOUBLE = Suite(
    {"double": "double"},
    tuple((f"assert double({n}) == {2 * n}", True) for n in (3, 71, 1009)),
    setup="SECRET_MARK_90210 = [6, 142, 2018]",
)
KINDS = ("attacks", "forgeries", "carry-over", "calls")


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_programs_are_contained(
    kind: str, sandbox: Sandbox, robustness: ModuleType
) -> None:
    with robustness.host() as things:
        jobs = list(robustness.jobs(sandbox, things)[kind].items())
        part = jobs[ISOLATIONS.index(sandbox.isolation) :: 3]
        found = {name: robustness.outcome(job, name).verdict for name, job in part}
    assert {name: how for name, how in found.items() if how != "contained"} == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_hostile_program_is_contained(
    kind: str, sandbox: Sandbox, robustness: ModuleType
) -> None:
    with robustness.host() as things:
        jobs = robustness.jobs(sandbox, things)[kind]
        found = {name: robustness.outcome(job, name).verdict for name, job in jobs.items()}
    assert {name: how for name, how in found.items() if how != "contained"} == {}


def test_an_honest_program_passes(sandbox: Sandbox) -> None:
    verdict = sandbox.examine("def double(x):\n    return x + x", DOUBLE, QUICK)
    assert verdict.passed
    assert verdict.fraction == 1.0
    assert verdict.error == ""


SCAN = """
import ctypes, os, sys
write = ctypes.CDLL(None).write
write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
needle = b"01209_KRAM_TERCES"  # backwards, so as not to find itself
r, w = os.pipe()
seen = 0
for base in {id(thing) >> 24 << 24 for thing in (object(), sys, needle, print)}:
    for page in range(base - (64 << 20), base + (64 << 20), 4096):
        if write(w, page, 4096) == 4096:
            seen += 1
            if needle in os.read(r, 4096)[::-1]: print("FOUND")
print("pages", seen)
"""


def test_memory_holds_nothing_of_earlier_runs(sandbox: Sandbox) -> None:
    """Native code reads the pages around it, looking for the tests of the runs before."""
    for _ in range(4):  # both workers have run the tests, whichever comes next
        sandbox.examine("def double(x): return x + x", DOUBLE, QUICK)
    clean = sandbox.run(SCAN, Limits(wall_s=20, cpu_s=15, memory_mb=512))
    planted = sandbox.run("SECRET_MARK_90210 = 1" + SCAN, Limits(wall_s=20, cpu_s=15))
    assert int(clean.text.rpartition("pages ")[2]) > 1000
    assert "FOUND" not in clean.text
    assert "FOUND" in planted.text


def test_nothing_is_left_behind(sandbox: Sandbox) -> None:
    """After 1,000 runs, a fifth of them attacks, the machine has the processes it had before."""
    programs = ["print(1)"] * 4 + ["import os; os._exit(1)", "import os; os.fork()"]
    programs += ["x = bytearray(1 << 40)", "import os; os.kill(os.getpid(), 11)"]
    sandbox.run("pass")
    before = _descendants(), len(os.listdir("/proc/self/fd"))
    for n in range(1000):
        sandbox.run(programs[n % len(programs)], QUICK)
    assert (_descendants(), len(os.listdir("/proc/self/fd"))) == before


def _descendants() -> set[tuple[int, str]]:
    """Process id and state of every process below this one; Z is a zombie."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry)] = int(fields[1]), "Z" if fields[0] == "Z" else ""
    found: set[int] = {os.getpid()}
    while grown := {p for p, (parent, _) in parents.items() if parent in found} - found:
        found |= grown
    return {(p, parents[p][1]) for p in found}


def test_the_host_process_still_handles_its_signals() -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
