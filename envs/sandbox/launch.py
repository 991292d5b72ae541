"""Host side: start a warm worker under the strongest isolation that works here."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.sandbox import jail, reach

ISOLATIONS = ("bubblewrap", "namespaces", "landlock", "none")
"""Strongest first; `none` is never chosen by itself."""
_START_TIMEOUT_S = 60.0
_HERE = Path(__file__).resolve().parent
_MOUNTED = "/.sandbox"  # where that is for a worker whose root directory is made before it starts

# The worker imports this package's standard-library files without running any parent package.
_BOOT = """
import sys, types
folder, control, isolation, readable, modules, paths, prelude = sys.argv[1:]
for name in ("layergym", "layergym.envs", "layergym.envs.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder] if name.endswith("sandbox") else []
from layergym.envs.sandbox.worker import main
paths = tuple(paths.split("\\n") if paths else ())
main(int(control), isolation, tuple(readable.split("\\n")), modules.split(), paths, prelude)
"""
# A fixed hash seed, so that the same program does the same in every worker.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class Worker:
    """A warm interpreter in another process, and the socket that asks it for runs."""

    def __init__(self, isolation: str, modules: Sequence[str], prelude: str = "") -> None:
        """Start one.

        Raises:
            OSError: this isolation cannot be had here.
        """
        self.isolation = isolation
        self.usable = True
        self.control, theirs = socket.socketpair()
        try:
            with theirs:
                command, environment = _command(isolation, theirs.fileno(), modules, prelude)
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environment,
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:
            self.control.close()
            raise
        try:
            self._handshake()
        except BaseException:
            self.close()
            raise

    def _handshake(self) -> None:
        self.control.settimeout(_START_TIMEOUT_S)
        answer = self.report()
        if "ready" not in answer:
            assert self._process.stderr is not None
            said = answer.get("error") or self._process.stderr.read().decode(errors="replace")
            raise OSError(said.strip().rpartition("\n")[2] or "the worker ended at once")

    @property
    def alive(self) -> bool:
        """Whether this worker, which has nothing to do, is still there.

        One that is has nothing to say.
        """
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        return not poll.poll(0)

    def report(self) -> dict[str, Any]:
        """Read one line that the worker says; empty when it is gone.

        Raises:
            TimeoutError: it says nothing for too long.
        """
        line = b""
        while not line.endswith(b"\n"):
            part = self.control.recv(65536)
            if not part:
                return {}
            line += part
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker and everything in it, and reap it."""
        self.control.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


def start_worker(isolation: str, modules: Sequence[str], prelude: str) -> Worker:
    """Start a worker; `isolation="auto"` takes the strongest that works.

    Raises:
        InputError: the isolation cannot be had.
    """
    refusals = []
    for name in ISOLATIONS[:-1] if isolation == "auto" else [isolation]:
        try:
            return Worker(name, modules, prelude)
        except OSError as error:
            refusals.append(f"{name}: {error}")
    raise InputError(
        f"model-written code cannot be isolated here ({'; '.join(refusals)}); install bubblewrap "
        'or allow user namespaces, or, where harm is acceptable, ask for isolation="none"'
    )


def _command(
    isolation: str, control: int, modules: Sequence[str], prelude: str
) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a worker."""
    python = os.path.realpath(sys.executable)
    names = dict.fromkeys(module.partition(".")[0] for module in modules)
    packages = tuple(reach.package_folder(name) for name in names)
    readable = reach.readable(python, packages)
    here = _MOUNTED if isolation == "bubblewrap" else str(_HERE)
    inside = [python, "-s", "-S", "-P", "-c", _BOOT, here, str(control), isolation]
    paths = sorted({os.path.dirname(folder) for folder in packages})
    inside += ["\n".join(readable), " ".join(modules), "\n".join(paths), prelude]
    environment = dict(_ENVIRONMENT)
    if isolation in ("bubblewrap", "namespaces"):
        environment["LD_LIBRARY_PATH"] = reach.library_path(readable)
    if isolation == "bubblewrap":
        inside = [*_bubblewrap(readable), *inside]
    return inside, environment


def _bubblewrap(readable: Sequence[str]) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise FileNotFoundError("bwrap is not installed")
    # The worker keeps the right to mount inside its namespace, for every run's own /tmp; the runs
    # themselves have no capability at all.
    command = [program, "--unshare-all", "--cap-add", "CAP_SYS_ADMIN", "--as-pid-1"]
    command += ["--hostname", jail.HOST_NAME]
    pairs = [*jail.layout(readable), (str(_HERE), _MOUNTED)]
    for source, target in pairs:
        command += ["--ro-bind", source, target] if source else ["--tmpfs", target]
    command += ["--dir", jail.SCRATCH]
    for target in [*(target for source, target in pairs if not source), "/"]:
        command += ["--remount-ro", target]
    return [*command, "--chdir", "/", "--"]
