"""Run programs that a model wrote, and judge them from outside.

Threat model. The program is hostile native code: whatever runs in its process (patched builtins,
`ctypes`, scanned memory) is under its control. Trusted are the kernel, this process, and the test
code of a dataset, which is nevertheless confined as well.

1. *The host is safe.* A run is one process. It can create no other process or thread and execute
   no other program (seccomp allow-list), so rlimits on memory, CPU, files and the size of its
   private `/tmp` bound the whole run, and killing it leaves nothing behind. It has namespaces of
   its own (user, PID, mount, network, IPC, host name, cgroup), no capability, a read-only root of
   the interpreter and the system libraries, without `/etc`, `/home`, `/proc`, `/sys` or `/dev`;
   Landlock repeats the file rules where the kernel has it. Sockets, `ptrace`, signals to others,
   `memfd`, `io_uring`, mounts and new namespaces are refused. Where namespaces are not allowed
   (many containers), Landlock, seccomp and rlimits remain, and nothing can be written anywhere.
2. *The verdict is from outside.* The process under test holds the program and, during a call, that
   call's arguments: no assertion, no expected value, no test that is still to come. Tests run in
   another process, which asks over a channel for each call and gets back plain values only.
   Printing "passed", `sys.exit(0)`, `os._exit(0)`, patched modules and objects that equal
   everything say nothing on that channel; forging an answer needs the answer.
3. *Nothing carries over.* Each run is forked from a warm interpreter that never receives a job:
   programs and tests go straight to the forked process. Its `/tmp` ends with it.

Not covered: covert timing channels, kernel bugs, and a program that has memorised a dataset.
"""

from layergym.envs.sandbox.jobs import CallError, Check, Output, Suite, Verdict
from layergym.envs.sandbox.launch import ISOLATIONS
from layergym.envs.sandbox.run import Limits
from layergym.envs.sandbox.sandbox import Sandbox, shared

__all__ = [
    "ISOLATIONS",
    "CallError",
    "Check",
    "Limits",
    "Output",
    "Sandbox",
    "Suite",
    "Verdict",
    "shared",
]
