"""Hostile programs in every isolation that this machine has: how many get out, and how many lie.

The programs are in `programs/`: attacks on the host, forged verdicts, what one run leaves to the
next, and functions whose results are hostile. Of each is said how it ended:

- contained: it did nothing to the host, passed no test, left nothing, returned a plain value;
- escaped: it reached something of the host;
- forged: it passed the tests of a problem that it does not solve;
- carried: the next run could tell;
- raised: the host's own code failed, or took longer than `SLOW_S` of processor time, so that the
  program would not be counted as wrong.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import site
import socket
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.robustness.tables import Case, Table, Verdict, add_part, part
from layergym.base.errors import InputError
from layergym.envs.code import generated
from layergym.envs.sandbox import ISOLATIONS, CallError, Limits, Sandbox, Suite, seccomp

Host = dict[str, Any]
QUICK = Limits(wall_s=2.0, cpu_s=1, memory_mb=384)
SLOW_S = 15.0
CONFINED = ISOLATIONS[:-1]
KINDS = ("attacks", "forgeries", "carry-over", "calls")
DOUBLE = Suite(
    {"double": "double"},
    tuple((f"assert double({n}) == {2 * n}", True) for n in (3, 71, 1009)),
    setup="SECRET_MARK_90210 = [6, 142, 2018]",
)
_WRONG_VALUES: dict[str, list[Any]] = {
    "wall_s": [float("inf"), float("nan"), 0, -1, 1e9, "20", None, True],
    "cpu_s": [0.5, 0, -1, 2**40, float("inf"), float("nan"), "5", None],
    "memory_mb": [2**60, 1, 0, -1, 512.5, float("inf"), "512", True],
    "output_kb": [2**60, 0, -1, 0.5, float("nan"), "64", [], 2**400],
}
WRONG_LIMITS = [{name: value} for name, values in _WRONG_VALUES.items() for value in values]
_PREAMBLE = 'def escaped(*what): print("ESC" + "APED", *what)\n'
_CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(*map(ctypes.c_long, {numbers}))
if result >= 0 or ctypes.get_errno() not in (1, 38): escaped(result, ctypes.get_errno())
"""
_OTHERS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for number in {numbers}:
    ctypes.set_errno(0)
    result = libc.syscall(*map(ctypes.c_long, (number, *[-1] * 6)))
    if result >= 0 or ctypes.get_errno() not in (1, 38): escaped(number, result, ctypes.get_errno())
print("tried", number)
"""
_TRAPS = {335, 336}
"""Calls of the kernel's own trampolines on x86-64: others who make them are ended with SIGILL."""
_RAW = """
def raw(data):
    import json, os
    body = json.dumps({"value": data}).encode()
    frame = len(body).to_bytes(4, "big") + body
    while frame: frame = frame[os.write(3, frame):]
    os._exit(0)
"""


def programs(name: str) -> dict[str, Any]:
    """One file of `programs/`."""
    text = (Path(__file__).parent / "programs" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def attacks() -> dict[str, str]:
    """Source of every attack, by kind and name."""
    found = {
        f"{kind}: {name}": source if kind != "calls" else _CALL.format(numbers=source)
        for kind, table in programs("attacks").items()
        for name, source in table.items()
    }
    found["calls: all that are not on the list"] = _OTHERS.format(numbers=_unlisted())
    if os.uname().machine != "x86_64":
        found = {name: source for name, source in found.items() if "syscall(" not in source}
    return found


def _unlisted() -> list[int]:
    """Numbers of the system calls, known or not, that no program may make in any way."""
    tables = (seccomp.ALLOWED.values(), (numbers for numbers, _ in seccomp.RESTRICTED.values()))
    column = 0 if os.uname().machine == "x86_64" else 1
    listed = {numbers[column] for table in tables for numbers in table} | _TRAPS
    return [number for number in range(1024) if number not in listed]


@contextmanager
def host() -> Iterator[Host]:
    """Things of the host that no program may reach, and a check that none did.

    Raises:
        AssertionError: something of the host was changed, or received something.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    secret, link = folder / "secret", folder / "link"
    secret.write_text("the secret")
    link.symlink_to(secret)
    name = f"\0layergym-{secrets.token_hex(8)}"
    stream, here, abstract = (socket.socket(socket.AF_UNIX, kind) for kind in (1, 2, 2))
    with socket.create_server(("127.0.0.1", 0)) as listener, stream, here, abstract:
        stream.bind(str(folder / "s"))
        stream.listen()
        here.bind(str(folder / "d"))
        abstract.bind(name)
        yield {
            "port": listener.getsockname()[1],
            "unix": str(folder / "s"),
            "dgram": str(folder / "d"),
            "abstract": name,
            "home": str(Path.home()),
            "secret": str(secret),
            "link": str(link),
            "outside": str(folder / "outside"),
            "pid": os.getpid(),
            "hostname": os.uname().nodename,
            "generator": os.path.realpath(generated.__file__),
            "packages": _package_folders(),
            "asked": (),
        }
        for receiver in (here, abstract):
            receiver.setblocking(False)
            with suppress(BlockingIOError):
                raise AssertionError(f"a socket of the host received {receiver.recv(100)!r}")
        assert secret.read_text() == "the secret"
        assert sorted(p.name for p in folder.iterdir()) == ["d", "link", "s", "secret"]
    shutil.rmtree(folder)


def _package_folders() -> list[str]:
    base = f"{sys.base_prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    return [path for path in {*site.getsitepackages(), base} if os.path.isdir(path)]


def attack(sandbox: Sandbox, name: str, source: str, things: Host) -> Verdict:
    """Outcome of one attack."""
    things = things | {"own_root": sandbox.isolation in ("bubblewrap", "namespaces")}
    values = "".join(f"{key} = {value!r}\n" for key, value in things.items())
    output = sandbox.run(f"{values}{_PREAMBLE}\n{source}", QUICK)
    ended = not name.startswith("endless") or output.ended != "finished"
    small = len(output.text) <= 1024 * QUICK.output_kb + 100
    assert "SyntaxError" not in output.text, output.text
    return "contained" if ended and small and "ESCAPED" not in output.text else "escaped"


def forgery(sandbox: Sandbox, name: str, source: str) -> Verdict:
    """Outcome of one forgery."""
    verdict = sandbox.examine(source, DOUBLE, QUICK)
    passed = [check.passed for check in verdict.checks]
    "\n".join([verdict.error, *(check.detail for check in verdict.checks)]).encode()  # is UTF-8
    by_chance = [name == "replays the first answer", False, False]
    return "contained" if passed in (by_chance, [False] * 3) else "forged"


def carried(sandbox: Sandbox, plant: str, probe: str) -> Verdict:
    """Whether what `choose_trees` leaves changes what `probe` prints in the same worker."""
    before = sandbox.run(probe, QUICK).text
    sandbox.run(plant, QUICK)
    after = sandbox.run(probe, QUICK).text
    return "contained" if before == after and before else "carried"


def called(sandbox: Sandbox, source: str) -> Verdict:
    """Outcome of a call whose result is hostile."""
    with suppress(CallError):
        sandbox.call(_RAW + source, "f", limits=QUICK)
    return "contained"


def limited(wrong: dict[str, Any]) -> Verdict:
    """Outcome of a limit that cannot be."""
    try:
        Limits(**wrong)
    except InputError as error:
        return "contained" if "\n" not in str(error) else "raised"
    return "raised"


Jobs = dict[str, Callable[[], Verdict]]


def jobs(sandbox: Sandbox, things: Host) -> dict[str, Jobs]:
    """All that can be tried in one sandbox, by kind and name."""
    return {
        "attacks": {n: partial(attack, sandbox, n, s, things) for n, s in attacks().items()},
        "forgeries": {
            name: partial(forgery, sandbox, name, source)
            for name, source in programs("forgeries")["forgeries"].items()
        },
        "carry-over": {
            name: partial(carried, sandbox, pair["plant"], pair["probe"])
            for name, pair in programs("carried").items()
        },
        "calls": {
            name: partial(called, sandbox, source)
            for name, source in programs("calls")["calls"].items()
        },
    }


def outcome(job: Callable[[], Verdict], name: str) -> Case:
    """What comes of a job; "raised" where the host fails, or works for long."""
    began = time.process_time()
    try:
        found = job()
    except Exception as error:
        return Case(name, "raised", f"{type(error).__name__}: {error}")
    if (spent := time.process_time() - began) > SLOW_S:
        return Case(name, "raised", f"{spent:.1f} s of the host's processor")
    return Case(name, found, "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_part(parser)
    parser.add_argument("--isolation", choices=CONFINED, nargs="+", default=CONFINED)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS)


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table for each isolation and kind of program, and one of limits that cannot be."""
    limits: Jobs = {str(wrong): partial(limited, wrong) for wrong in WRONG_LIMITS}
    yield _table("limits of a sandbox that cannot be", limits, options)
    for isolation in options.isolation:
        with Sandbox(isolation=isolation) as sandbox, host() as things:
            try:
                sandbox.run("pass")
            except InputError as error:
                yield Table(f"{isolation}: not tried, {error}", ())
                continue
            for kind, jobs_ in jobs(sandbox, things).items():
                if kind in options.only:
                    yield _table(f"{isolation}: {kind}", jobs_, options)


def _table(title: str, tried: Jobs, options: argparse.Namespace) -> Table:
    return Table(title, (outcome(job, name) for name, job in part(tried.items(), options)))
