"""The kernel calls that confine a process, through `ctypes`: Linux only, standard library only.

Every function raises `OSError` naming the call that was refused.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from collections.abc import Iterable

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

# The same numbers on every architecture: these calls came after the tables were unified.
_SYS_MOUNT_SETATTR = 442
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAP_VERSION_3 = 0x20080522

_LANDLOCK_READ_FILE, _LANDLOCK_READ_DIR = 1 << 2, 1 << 3
_LANDLOCK_READ = _LANDLOCK_READ_FILE | _LANDLOCK_READ_DIR
_LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # ABI: number of file-system rights; 16 from ABI 5
_LANDLOCK_TCP = 0b11  # bind, connect
_LANDLOCK_SCOPES = 0b11  # abstract Unix sockets, signals
LANDLOCK_MIN_ABI = 3  # the first that stops truncation


@functools.cache
def _libc() -> ctypes.CDLL:
    """The C library of this process, which only Linux and macOS have without a name."""
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(number: int, what: str, *args: int | bytes | None) -> int:
    widened = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in args]
    return _check(int(_libc().syscall(ctypes.c_long(number), *widened)), what)


def _prctl(option: int, *values: int) -> int:
    args = [ctypes.c_ulong(v) for v in (*values, 0, 0, 0, 0)[:4]]
    return int(_libc().prctl(option, *args))


def unshare(flags: int) -> None:
    """Move this process (or, for the PID namespace, its next child) into new namespaces."""
    _check(_libc().unshare(flags), f"unshare({flags:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` of file-system type `kind` on `target`."""
    args = [text.encode() or None for text in (source, target, kind)]
    result = _libc().mount(*args, ctypes.c_ulong(flags), data.encode() or None)
    _check(result, f"mount({target})")


def make_read_only(path: str) -> None:
    """Make the mount at `path`, and every mount below it, read-only, without devices and setuid."""
    read_only, no_suid, no_dev = 1, 2, 4
    attributes = struct.pack("QQQQ", read_only | no_suid | no_dev, 0, 0, 0)
    at_fdcwd, recursive = -100, 0x8000
    _syscall(
        _SYS_MOUNT_SETATTR,
        f"mount_setattr({path})",
        at_fdcwd,
        path.encode(),
        recursive,
        attributes,
        len(attributes),
    )


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root directory and put the present root at `old`, a directory below it."""
    _syscall(_SYS_PIVOT_ROOT[os.uname().machine], "pivot_root", new.encode(), old.encode())


def detach(path: str) -> None:
    """Unmount what is at `path`, now for new users and later for those who still hold it."""
    _check(_libc().umount2(path.encode(), MNT_DETACH), f"umount({path})")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends."""
    _check(_prctl(_PR_SET_PDEATHSIG, 9), "prctl(PDEATHSIG)")


def no_new_privileges() -> None:
    """Have `execve` grant nothing from now on."""
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "prctl(NO_NEW_PRIVS)")


def drop_privileges() -> None:
    """Give up every capability, and for good: `execve` cannot bring one back."""
    no_new_privileges()
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("Ii", _CAP_VERSION_3, 0)
    _syscall(_SYS_CAPSET[os.uname().machine], "capset", header, bytes(24))
    _check(_prctl(_PR_SET_DUMPABLE, 0), "prctl(DUMPABLE)")


def landlock_abi() -> int:
    """Version of Landlock that the kernel offers; 0 when there is none."""
    try:
        return _syscall(_SYS_LANDLOCK_CREATE, "landlock", None, 0, 1)
    except OSError:
        return 0


def landlock(
    readable: Iterable[str], writable: Iterable[str] = (), unlisted: Iterable[str] = ()
) -> None:
    """Deny this process every file that is not one of those given or below one.

    Folders in `unlisted` cannot be listed; the files in them can be read.

    Where the kernel can, TCP, abstract Unix sockets and signals to processes outside are denied as
    well. `no_new_privileges` must have been called. Paths that do not exist are skipped.
    """
    abi = landlock_abi()
    every = (1 << _LANDLOCK_RIGHTS.get(abi, 16)) - 1
    handled = [every, _LANDLOCK_TCP, _LANDLOCK_SCOPES]  # struct landlock_ruleset_attr
    known = 1 + (abi >= 4) + (abi >= 6)
    rules = struct.pack(f"{known}Q", *handled[:known])
    ruleset = _syscall(_SYS_LANDLOCK_CREATE, "landlock_create_ruleset", rules, len(rules), 0)
    for path, rights in [
        *((path, _LANDLOCK_READ) for path in readable),
        *((path, every) for path in writable),
        *((path, _LANDLOCK_READ_FILE) for path in unlisted),
    ]:
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        if not os.path.isdir(path):
            rights &= ~_LANDLOCK_READ_DIR
        rule = struct.pack("=Qi", rights, folder)
        _syscall(_SYS_LANDLOCK_ADD, f"landlock_add_rule({path})", ruleset, 1, rule, 0)
        os.close(folder)
    _syscall(_SYS_LANDLOCK_RESTRICT, "landlock_restrict_self", ruleset, 0)
    os.close(ruleset)


def install_filter(program: bytes) -> None:
    """Install a seccomp filter, an array of 8-byte BPF instructions, on this process for good."""
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_mode, pr_set_seccomp = 2, 22

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    header = Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    result = _libc().prctl(pr_set_seccomp, ctypes.c_ulong(filter_mode), ctypes.byref(header), 0, 0)
    _check(result, "prctl(SECCOMP)")
