"""Host side: start a warm worker under the strongest isolation that works here."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError, unknown
from layergym.envs.sandbox import jail

ISOLATIONS = ("bubblewrap", "namespaces", "landlock", "none")
"""Strongest first; `none` is never chosen by itself."""
_START_TIMEOUT_S = 60.0
_HERE = Path(__file__).resolve().parent

# The worker imports this package's standard-library files without running any parent package.
_BOOT = """
import sys, types
folder, control, isolation, readable, modules, paths, prelude = sys.argv[1:]
for name in ("layergym", "layergym.envs", "layergym.envs.sandbox"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder] if name.endswith("sandbox") else []
sys.path += paths.split("\\n") if paths else []
from layergym.envs.sandbox.worker import main
main(int(control), isolation, readable.split("\\n"), modules.split(), prelude)
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
                self._process = subprocess.Popen(
                    _command(isolation, theirs.fileno(), modules, prelude),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=_ENVIRONMENT,
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


def start(isolation: str, modules: Sequence[str], prelude: str) -> Worker:
    """Start a worker; `isolation="auto"` takes the strongest that works.

    Raises:
        InputError: the name is unknown, or the isolation cannot be had.
    """
    if isolation not in ("auto", *ISOLATIONS):
        raise unknown("isolation", isolation, ("auto", *ISOLATIONS))
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


def _command(isolation: str, control: int, modules: Sequence[str], prelude: str) -> list[str]:
    python = os.path.realpath(sys.executable)
    folders = [_module_folder(name) for name in dict.fromkeys(m.partition(".")[0] for m in modules)]
    readable = _readable(python, folders)
    inside = [python, "-s", "-S", "-P", "-c", _BOOT, str(_HERE), str(control), isolation]
    paths = sorted({str(folder.parent) for folder in folders})
    inside += ["\n".join(readable), " ".join(modules), "\n".join(paths), prelude]
    return [*_bubblewrap(readable), *inside] if isolation == "bubblewrap" else inside


def _module_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the sandbox was asked for the package {name}, which is not installed")
    return Path(spec.submodule_search_locations[0]).resolve()


def _readable(python: str, folders: Sequence[Path]) -> list[str]:
    """What the interpreter needs: itself, its library, the system's libraries, the modules."""
    wanted = ["/usr", "/lib", "/lib64", os.path.dirname(python), sys.base_prefix]
    for folder in folders:
        wanted.append(str(folder))
        if folder.with_name(f"{folder.name}.libs").is_dir():  # shared libraries of a wheel
            wanted.append(f"{folder}.libs")
    wanted = [path for path in dict.fromkeys(wanted) if os.path.exists(path)]
    covered = [p for p in wanted if any(p.startswith(f"{other}/") for other in wanted)]
    return [path for path in wanted if path not in covered]


def _bubblewrap(readable: Sequence[str]) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise FileNotFoundError("bwrap is not installed")
    # The worker keeps the right to mount inside its namespace, for every run's own /tmp; the runs
    # themselves have no capability at all.
    command = [program, "--unshare-all", "--cap-add", "CAP_SYS_ADMIN", "--as-pid-1"]
    for path in [*readable, str(_HERE)]:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind", path, path]
    for path, alias in jail.hidden(readable):
        command += ["--ro-bind", path, alias]
    return [*command, "--dir", jail.SCRATCH, "--remount-ro", "/", "--chdir", "/", "--"]
