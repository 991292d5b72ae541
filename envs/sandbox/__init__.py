"""Run programs that a model wrote, and judge them from outside.

Threat model. The program is hostile native code: whatever runs in its process (patched builtins,
`ctypes`, scanned memory) is under its control. Trusted are the kernel, this process, and the test
code of a dataset, which is nevertheless confined as well.

1. *The host is safe.* A run is one process. It can create no other process or thread and execute
   no other program (seccomp allow-list), so rlimits on memory, CPU, files and the size of its
   private `/tmp` bound the whole run, and killing it leaves nothing behind. It has namespaces of
   its own (user, PID, mount, network, IPC, host name, cgroup), no capability, and a read-only root
   that holds the interpreter, the standard library, time zones, the packages asked for, and the
   shared libraries that these load: nothing else that is installed, so no generator of problems
   and no other package, whether or not there is a virtual environment; no `/etc`, `/home`, `/proc`,
   `/sys` or `/dev`. Landlock repeats the file rules where the kernel has it. Sockets (but for pairs
   of connected streams), `ptrace`, signals to others, file locks, `memfd`, `io_uring`, mounts and
   new namespaces are refused. Where namespaces are not allowed (many containers), Landlock,
   seccomp and rlimits remain, and nothing can be written anywhere.
2. *The verdict is from outside.* The process under test holds the program and, during a call, that
   call's arguments: no assertion, no expected value, no test that is still to come. Tests run in
   another process, which asks over a channel for each call and gets back plain values only: what
   it returns, or, where it returns None, what it has made of the lists and dictionaries passed.
   Printing "passed", `sys.exit(0)`, `os._exit(0)`, patched modules and objects that equal
   everything say nothing on that channel; forging an answer needs the answer.
3. *A program cannot leave the count.* Whatever it writes to its channel makes its own tests fail
   and nothing raise here: in a suite its answers are passed on unread, at most one message (4 MiB)
   is held for a process, keys that collide are refused, and texts are valid UTF-8. Only a worker
   that ends, which no program can bring about, is replaced, and the run repeated once.
4. *Nothing carries over.* Each run is forked from a warm interpreter that never receives a job:
   programs and tests go straight to the forked process. Its `/tmp`, its input and its output end
   with it.

Not covered:

- Covert timing channels, kernel bugs, and a program that has memorised a dataset.
- What the kernel tells every process: its version, the clock, the number of processors, and in its
  own process id how many runs its worker has had. The C library and the interpreter need them.
- Under Landlock alone, which has no rule for it and without which imports would fail: whether a
  path exists, with size and times (`stat`), and so which process ids do; and the host's name
  (`uname`, which `import uuid` calls). Contents, lists of folders and links stay out of reach.
- A value that `Sandbox.call` returns costs this process the memory that it takes as objects, up to
  some hundred MB for one message.
- `isolation="none"`, which keeps the second point only.

`python -m benchmarks.robustness sandbox` tries hostile programs of each kind and counts.
"""

from layergym.envs.sandbox.jobs import CallError, Check, ScriptOutput, Suite, Verdict
from layergym.envs.sandbox.launch import ISOLATIONS
from layergym.envs.sandbox.run import Limits
from layergym.envs.sandbox.sandbox import Sandbox, shared

__all__ = [
    "ISOLATIONS",
    "CallError",
    "Check",
    "Limits",
    "Sandbox",
    "ScriptOutput",
    "Suite",
    "Verdict",
    "shared",
]
