"""Inside: a warm interpreter that forks one confined process per run, and never sees a job.

The job travels on a socket that goes straight to the forked process, so the memory that the next
run inherits holds nothing of the runs before it: no program, no test, no expected value.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from layergym.envs.sandbox import jail, program

CHANNEL = 3
_STANDARD = (  # what programs most often import, so that it costs them nothing
    *("bisect", "cmath", "collections", "copy", "dataclasses", "datetime", "decimal", "enum"),
    *("fractions", "functools", "heapq", "inspect", "io", "itertools", "json", "linecache"),
    *("math", "operator", "random", "re", "statistics", "string", "textwrap", "traceback"),
    *("types", "typing"),
)


def main(
    control_fd: int,
    isolation: str,
    readable: tuple[str, ...],
    modules: list[str],
    paths: tuple[str, ...],
    prelude: str,
) -> None:
    """Confine this process, say "ready", and serve runs until the other side is gone.

    Args:
        control_fd: the socket that asks for runs.
        isolation: bubblewrap, namespaces, landlock or none.
        readable: what runs may see.
        modules: imported before anything else.
        paths: where they are; nothing else that is there can be imported by confined runs.
        prelude: source of the module `prelude`.
    """
    control = socket.socket(fileno=os.dup(control_fd))  # a low number, whatever it was before
    os.close(control_fd)
    plan = jail.JailPlan(isolation, readable)
    library = list(sys.path)
    sys.path += paths
    try:
        for name in (*_STANDARD, *modules):
            importlib.import_module(name)
        program.load("prelude", prelude)
        jail.enter(plan)
        _probe(plan)
    except Exception as error:
        _tell(control, {"error": str(error)})
        return
    if isolation != "none":
        sys.path[:] = library
    gc.collect()
    gc.freeze()  # so that a fork does not copy every page at the next collection
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _tell(control, {"ready": isolation})
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 4096, 2)
        if not message:
            return
        if descriptors:  # else, and in lines before it: "stop" for a run that had ended by itself
            _serve(control, woken, plan, json.loads(message.splitlines()[-1]), descriptors)


def _tell(control: socket.socket, message: dict[str, Any]) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


def _probe(plan: jail.JailPlan) -> None:
    """Confine a process that does nothing, to learn whether the kernel allows it."""
    answer, say = os.pipe()
    child = os.fork()
    if not child:
        try:
            jail.confine(plan, cpu_s=5, memory_mb=2048)
        except BaseException as error:
            os.write(say, str(error).encode() or b"failed")
            os._exit(1)
        os._exit(0)
    os.close(say)
    _, status = os.waitpid(child, 0)
    with open(answer, "rb") as reader:
        reason = reader.read().decode()
    if status:
        raise OSError(reason or f"a confined process ended with status {status}")


def _serve(
    control: socket.socket,
    woken: int,
    plan: jail.JailPlan,
    limits: dict[str, Any],
    descriptors: list[int],
) -> None:
    child = os.fork()
    if not child:
        _become_run(plan, limits, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    deadline = time.monotonic() + limits["wall_s"]
    timed_out, gone = False, False
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        left = deadline - time.monotonic()
        ready, _, _ = select.select([control.fileno(), woken], [], [], max(0.0, left))
        if woken in ready:
            os.read(woken, 4096)
        if control.fileno() in ready:  # "stop", or the other side is gone
            gone = not control.recv(4096)
        timed_out = timed_out or left <= 0
        if control.fileno() in ready or left <= 0:
            os.kill(child, signal.SIGKILL)
            done, status, usage = os.wait4(child, 0)
            break
    if plan.isolation == "none":
        _kill_group(child)
    if gone:
        os._exit(0)
    report = {
        "status": os.waitstatus_to_exitcode(status),
        "timed_out": timed_out,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "memory_kb": usage.ru_maxrss,
    }
    _tell(control, report)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _become_run(plan: jail.JailPlan, limits: dict[str, Any], descriptors: list[int]) -> None:
    """In the forked process: keep the job's channel and output, confine, run, end."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel, output = (os.dup(d) for d in descriptors)  # both are now above the originals
        _empty_input()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(channel, CHANNEL)
        os.closerange(CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
        jail.confine(plan, cpu_s=limits["cpu_s"], memory_mb=limits["memory_mb"])
        code = program.main(CHANNEL)
    finally:
        os._exit(code)


def _empty_input() -> None:
    """An input that ends at once, and that no other run shares, as it would a file."""
    reading, writing = os.pipe()
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
