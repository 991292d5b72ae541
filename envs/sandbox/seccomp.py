"""The system calls a tested program may make, as a seccomp filter in classic BPF.

An allow-list: everything else fails with EPERM, so a program sees a `PermissionError`. No process
or thread can be created and no other program executed, which makes one process the whole run: its
limits are the run's limits, and killing it leaves nothing behind.
"""

from __future__ import annotations

import errno
import struct

# name: (x86_64, aarch64), from the kernel's uapi headers; None where it does not exist.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # reading, writing, waiting on what is already open
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create": (213, None),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    # files
    "open": (2, None),
    "openat": (257, 56),
    "creat": (85, None),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "fadvise64": (221, 223),
    "umask": (95, 166),
    # memory
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    # signals to itself, and time
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "pause": (34, None),
    "alarm": (37, None),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    # about itself
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getgroups": (115, 158),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "uname": (63, 160),
    "sched_yield": (24, 124),
    "getrandom": (318, 278),
    "futex": (202, 98),
    "membarrier": (324, 283),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "arch_prctl": (158, None),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Where files elsewhere are hidden by Landlock alone, which says nothing about links.
_WITH_OWN_ROOT = ("readlink", "readlinkat")

_OWN_PID = -1
_SELF = (0, _OWN_PID)
_STREAM = tuple(
    1 | non_blocking | close_on_exec
    for non_blocking in (0, 0x800)
    for close_on_exec in (0, 0x80000)
)
# name: (numbers, (index of an argument, values it may have), ...); OWN_PID is filled in.
RESTRICTED: dict[str, tuple[tuple[int, int], tuple[tuple[int, tuple[int, ...]], ...]]] = {
    "kill": ((62, 129), ((0, (_OWN_PID,)),)),
    "tgkill": ((234, 131), ((0, (_OWN_PID,)),)),
    "prlimit64": ((302, 261), ((0, _SELF),)),
    "getpgid": ((121, 155), ((0, _SELF),)),
    "sched_getaffinity": ((204, 123), ((0, _SELF),)),
    # Duplicate and flags; not F_SETOWN and F_SETSIG, which can send signals to others, and no
    # locks, which others can see.
    "fcntl": ((72, 25), ((1, (0, 1, 2, 3, 4, 1030)),)),
    "ioctl": (
        (16, 29),
        ((1, (0x5401, 0x5421, 0x541B, 0x5451)),),
    ),  # TCGETS FIONBIO FIONREAD FIOCLEX
    # AF_UNIX streams: asyncio wakes itself through one. Datagrams can be sent to any address.
    "socketpair": ((53, 199), ((0, (1,)), (1, _STREAM))),
}
_CLONE3 = 435  # libc tries it first and falls back to clone when it does not exist

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32_BIT = 0x40000000
ARCHITECTURES = tuple(_AUDIT_ARCH)


def program(machine: str, pid: int, *, own_root: bool) -> bytes:
    """The filter for a process.

    Args:
        machine: "x86_64" or "aarch64".
        pid: the process's id.
        own_root: whether its root directory holds nothing but what it may see.

    Raises:
        OSError: there is no table for this architecture.
    """
    if machine not in _AUDIT_ARCH:
        raise OSError(errno.ENOSYS, f"no seccomp table for {machine}")
    column = 0 if machine == "x86_64" else 1
    number, architecture = 0, 4  # offsets in struct seccomp_data
    code = [
        _op(_LOAD, architecture),
        _op(_JUMP_EQUAL, _AUDIT_ARCH[machine], yes=1),
        _op(_RETURN, _KILL),
        _op(_LOAD, number),
    ]
    if machine == "x86_64":
        code += [_op(_JUMP_GREATER_EQUAL, _X32_BIT, no=1), _op(_RETURN, _KILL)]
    for name, numbers in ALLOWED.items():
        call = numbers[column]
        if call is not None and (own_root or name not in _WITH_OWN_ROOT):
            code += [_op(_JUMP_EQUAL, call, no=1), _op(_RETURN, _ALLOW)]
    for calls, conditions in RESTRICTED.values():
        body = [op for condition in conditions for op in _condition(*condition, pid)]
        body.append(_op(_RETURN, _ALLOW))
        code += [_op(_JUMP_EQUAL, calls[column], no=len(body)), *body]
    code += [_op(_JUMP_EQUAL, _CLONE3, no=1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    code.append(_op(_RETURN, _ERRNO | errno.EPERM))
    return b"".join(code)


def _condition(argument: int, values: tuple[int, ...], pid: int) -> list[bytes]:
    """Refuse, unless the low 32 bits of an argument, all the kernel reads here, are listed."""
    code = [_op(_LOAD, 16 + 8 * argument)]
    for left, value in zip(range(len(values), 0, -1), values, strict=True):
        code.append(_op(_JUMP_EQUAL, pid if value == _OWN_PID else value, yes=left))
    return [*code, _op(_RETURN, _ERRNO | errno.EPERM)]


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)
