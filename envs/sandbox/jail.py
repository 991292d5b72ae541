"""Inside: what a worker builds around itself once, and around every run.

Once per worker: user, PID, mount, network, IPC, host-name and cgroup namespaces, and a root
directory that holds only what a run has to see, all read-only (bubblewrap does the same); or,
without namespaces, Landlock. Once per run: an empty `/tmp` of its own, resource limits, no
capability, Landlock, seccomp.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from layergym.envs.sandbox import kernel, seccomp

with suppress(ImportError):  # Windows has none, and no sandbox; what needs neither works there.
    import resource

SCRATCH = "/tmp"  # in a namespace of its own: a fresh tmpfs for every run
HOST_NAME = "sandbox"
_HIDDEN = "/.hidden"
_ROOT_OPTIONS = "size=1m,mode=0755"
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
class JailPlan:
    """How runs are confined."""

    isolation: str
    """bubblewrap, namespaces, landlock or none."""
    readable: tuple[str, ...]
    """Files and directories that a run may read; a directory without its `site-packages`."""


def is_package_folder(name: str) -> bool:
    """Whether a folder of this name holds what was installed, which no run may see as a whole."""
    return name in ("site-packages", "dist-packages")


def layout(readable: Iterable[str]) -> list[tuple[str, str]]:
    """The root directory of a worker: pairs of source and target, in order; "" is an empty folder.

    What a run's own `/tmp` would hide is there a second time; an environment below `/tmp` is.
    """
    pairs = []
    for path in readable:
        pairs.append((os.path.realpath(path), path))
        pairs += [("", inner) for inner in _package_folders(path)]
    below = [(s, f"{_HIDDEN}{t}") for s, t in pairs if t.startswith(f"{SCRATCH}/")]
    return [*pairs, *below]


def _package_folders(path: str) -> list[str]:
    if not os.path.isdir(path):
        return []
    return [f"{path}/{name}" for name in sorted(os.listdir(path)) if is_package_folder(name)]


def _opened(readable: Iterable[str]) -> list[str]:
    """The same for rules that cannot take back a part: a folder's entries in place of the folder.

    Entries that lead out of the folder are left out.
    """
    opened = []
    for path in readable:
        if not _package_folders(path):
            opened.append(path)
            continue
        top = os.path.realpath(path)
        for name in sorted(os.listdir(path)):
            entry = os.path.realpath(f"{path}/{name}")
            if not is_package_folder(name) and entry.startswith(f"{top}/"):
                opened.append(entry)
    return opened


def enter(plan: JailPlan) -> None:
    """Confine this worker, once, as far as its runs share the confinement.

    With namespaces it returns in a child that has process id 1.

    Raises:
        OSError: the kernel refuses one of the steps.
    """
    if plan.isolation == "namespaces":
        _enter_namespaces(plan)
    elif plan.isolation == "landlock":
        if kernel.landlock_abi() < kernel.LANDLOCK_MIN_ABI:
            raise OSError("Landlock ABI 3 (Linux 6.2) is needed")
        kernel.no_new_privileges()
        kernel.landlock(_opened(plan.readable))


def _enter_namespaces(plan: JailPlan) -> None:
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_NAMESPACES)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    _build_root(layout(plan.readable))
    socket.sethostname(HOST_NAME)
    child = os.fork()
    if child:
        # The control socket must be the child's alone, so that its end shows.
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.die_with_parent()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _build_root(pairs: Iterable[tuple[str, str]]) -> None:
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # The base hides /tmp, so the sources are reached through the old root, below it.
    base = "/tmp"
    kernel.mount("tmpfs", base, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _ROOT_OPTIONS)
    os.mkdir(f"{base}/old")
    os.mkdir(f"{base}/new")
    kernel.pivot_root(base, f"{base}/old")
    os.chdir("/")
    kernel.mount("tmpfs", "/new", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _ROOT_OPTIONS)
    for source, target in pairs:
        if source:
            _bind(f"/old{source}", f"/new{target}")
        else:
            kernel.mount("tmpfs", f"/new{target}", "tmpfs", kernel.MS_NOSUID, _ROOT_OPTIONS)
    os.makedirs(f"/new{SCRATCH}", exist_ok=True)
    os.makedirs("/new/.old")
    kernel.pivot_root("/new", "/new/.old")
    os.chdir("/")
    kernel.detach("/.old")
    os.rmdir("/.old")
    kernel.make_read_only("/")


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        _write(target, "")
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)


def confine(plan: JailPlan, *, cpu_s: int, memory_mb: int) -> None:
    """Confine this process for one run; nothing of it can be undone.

    Raises:
        OSError: the kernel refuses one of the steps.
    """
    own_root = plan.isolation in ("bubblewrap", "namespaces")
    if own_root:
        kernel.unshare(kernel.CLONE_NEWNS)
        options = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("tmpfs", SCRATCH, "tmpfs", options, _SCRATCH_OPTIONS)
        hidden = f"{_HIDDEN}{SCRATCH}"
        for name in os.listdir(hidden) if os.path.isdir(hidden) else ():
            _bind(f"{hidden}/{name}", f"{SCRATCH}/{name}")
        os.chdir(SCRATCH)
    _limit(cpu_s, memory_mb)
    if plan.isolation == "none":
        os.setsid()
        return
    kernel.die_with_parent()
    kernel.drop_privileges()
    if own_root and kernel.landlock_abi():
        kernel.landlock(filter(os.path.isdir, plan.readable), [SCRATCH], ["/"])
    kernel.install_filter(seccomp.program(os.uname().machine, os.getpid(), own_root=own_root))


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
