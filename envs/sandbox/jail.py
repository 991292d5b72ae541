"""Inside: what a worker builds around itself once, and around every run.

Once per worker, without bubblewrap: user, PID, mount, network, IPC, host-name and cgroup
namespaces, and a root directory that holds only the interpreter, the system libraries and the
modules asked for, all read-only. Once per run: an empty `/tmp` of its own, resource limits, no
capability, Landlock, seccomp.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from layergym.envs.sandbox import kernel, seccomp

with suppress(ImportError):  # Windows has none, and no sandbox; what needs neither works there.
    import resource

SCRATCH = "/tmp"  # in a namespace of its own: a fresh tmpfs for every run
_SCRATCH_OPTIONS = "size=32m,nr_inodes=4096,mode=0700"
_MAX_FILE_BYTES = 32 * 2**20
_MAX_OPEN_FILES = 64
_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How runs are confined."""

    isolation: str
    """bubblewrap, namespaces, landlock or none."""
    readable: tuple[str, ...]
    """Directories that a run may read."""


def hidden(readable: Sequence[str]) -> list[tuple[str, str]]:
    """Readable directories that a run's own `/tmp` would hide, and where else they are mounted.

    A virtual environment below `/tmp` is one.
    """
    below = [path for path in readable if path.startswith(f"{SCRATCH}/")]
    return [(path, f"/.hidden-{i}") for i, path in enumerate(below)]


def enter_namespaces(plan: Plan) -> None:
    """Replace this process's view of the system; returns in a child that has process id 1.

    Raises:
        OSError: the kernel refuses one of the steps.
    """
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_NAMESPACES)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    _build_root(plan.readable)
    child = os.fork()
    if child:
        os.closerange(3, 256)  # the control socket must be the child's alone, so that its end shows
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _build_root(readable: Sequence[str]) -> None:
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # The base hides /tmp, so the sources are reached through the old root, below it.
    base = "/tmp"
    kernel.mount("tmpfs", base, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    os.mkdir(f"{base}/old")
    os.mkdir(f"{base}/new")
    kernel.pivot_root(base, f"{base}/old")
    os.chdir("/")
    kernel.mount("tmpfs", "/new", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=0755")
    for path in readable:
        if os.path.islink(f"/old{path}"):  # such as /lib -> usr/lib
            os.symlink(os.readlink(f"/old{path}"), f"/new{path}")
            continue
        os.makedirs(f"/new{path}", exist_ok=True)
        kernel.mount(f"/old{path}", f"/new{path}", flags=kernel.MS_BIND | kernel.MS_REC)
    for path, alias in hidden(readable):
        os.mkdir(f"/new{alias}")
        kernel.mount(f"/old{path}", f"/new{alias}", flags=kernel.MS_BIND | kernel.MS_REC)
    os.makedirs(f"/new{SCRATCH}", exist_ok=True)
    os.makedirs("/new/.old")
    kernel.pivot_root("/new", "/new/.old")
    os.chdir("/")
    kernel.detach("/.old")
    os.rmdir("/.old")
    kernel.make_read_only("/")


def confine(plan: Plan, *, cpu_s: int, memory_mb: int) -> None:
    """Confine this process for one run; nothing of it can be undone.

    Raises:
        OSError: the kernel refuses one of the steps.
    """
    own_root = plan.isolation in ("bubblewrap", "namespaces")
    if own_root:
        kernel.unshare(kernel.CLONE_NEWNS)
        options = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("tmpfs", SCRATCH, "tmpfs", options, _SCRATCH_OPTIONS)
        for path, alias in hidden(plan.readable):
            os.makedirs(path)
            kernel.mount(alias, path, flags=kernel.MS_BIND | kernel.MS_REC)
        os.chdir(SCRATCH)
    _limit(cpu_s, memory_mb)
    if plan.isolation == "none":
        os.setsid()
        return
    kernel.die_with_parent()
    kernel.drop_privileges()
    if not own_root and kernel.landlock_abi() < kernel.LANDLOCK_MIN_ABI:
        raise OSError("Landlock ABI 3 (Linux 6.2) is needed")
    if kernel.landlock_abi():
        kernel.landlock(plan.readable, [SCRATCH] if own_root else [])
    kernel.install_filter(seccomp.program(os.uname().machine, os.getpid()))


def _limit(cpu_s: int, memory_mb: int) -> None:
    memory = memory_mb * 2**20
    for name, soft, hard in (
        ("RLIMIT_CPU", cpu_s, cpu_s + 1),
        ("RLIMIT_AS", memory, memory),
        ("RLIMIT_FSIZE", _MAX_FILE_BYTES, _MAX_FILE_BYTES),
        ("RLIMIT_NOFILE", _MAX_OPEN_FILES, _MAX_OPEN_FILES),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_MEMLOCK", 0, 0),
    ):
        kind = getattr(resource, name)
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(kind, (soft, hard))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails with EFBIG
