"""Programs that try to get out, to break things, or to score without solving: none may succeed.

An attack on the host prints ESCAPED when it gets through, and must not; what it left behind is
looked for on the host as well.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from layergym.envs.sandbox import Limits, Sandbox, Suite

QUICK = Limits(wall_s=2.0, cpu_s=1, memory_mb=384)

ON_THE_HOST = {
    "network: connect to the host": """
import socket
socket.create_connection(("127.0.0.1", {port}), timeout=1)
print("ESCAPED")
""",
    "network: listen": """
import socket
socket.socket().bind(("0.0.0.0", 0)); print("ESCAPED")
""",
    "network: datagram": """
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53)); print("ESCAPED")
""",
    "network: raw system call": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(41, 2, 1, 0) >= 0: print("ESCAPED")
""",
    "network: unix socket of the host": """
import socket
socket.socket(socket.AF_UNIX).connect({unix!r}); print("ESCAPED")
""",
    "read /etc/passwd": "print('ESCAPED', open('/etc/passwd').read())",
    "list /etc": "import os; print('ESCAPED', os.listdir('/etc'))",
    "list the home": "import os; print('ESCAPED', os.listdir({home!r}))",
    "read a file of the host": "print('ESCAPED', open({secret!r}).read())",
    "read through a symbolic link": """
import os
os.symlink({secret!r}, "link"); print("ESCAPED", open("link").read())
""",
    "read through a hard link": """
import os
os.link({secret!r}, "hard"); print("ESCAPED", open("hard").read())
""",
    "read through dot-dot": "print('ESCAPED', open('../' * 20 + {secret!r}).read())",
    "read through /proc/1/root": "print('ESCAPED', open('/proc/1/root' + {secret!r}).read())",
    "read /proc/self": "print('ESCAPED', open('/proc/self/maps').read())",
    "read another's memory": "print('ESCAPED', open('/proc/{pid}/mem', 'rb').read(1))",
    "list processes": "import os; print('ESCAPED', os.listdir('/proc'))",
    "read /sys": "import os; print('ESCAPED', os.listdir('/sys'))",
    "read a disk": "print('ESCAPED', open('/dev/vda', 'rb').read(1))",
    "make a device": "import os, stat; os.mknod('d', 0o600 | stat.S_IFBLK, 1); print('ESCAPED')",
    "write outside": "open({outside!r}, 'w').write('x'); print('ESCAPED')",
    "write to the interpreter": """
import os
open(os.path.join(os.path.dirname(os.__file__), "planted.py"), "w"); print("ESCAPED")
""",
    "truncate the interpreter": """
import os
os.close(os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)); print("ESCAPED")
""",
    "delete a file of the host": "import os; os.remove({secret!r}); print('ESCAPED')",
    "change rights of a file": "import os; os.chmod({secret!r}, 0o777); print('ESCAPED')",
    "fork": "import os; os.fork(); print('ESCAPED')",
    "fork bomb": """
import os
while True:
    os.fork(); print("ESCAPED")
""",
    "fork by raw system calls": """
import ctypes
libc = ctypes.CDLL(None)
if libc.syscall(57) >= 0 or libc.syscall(58) >= 0 or libc.syscall(56, 17, 0, 0, 0, 0) >= 0:
    print("ESCAPED")
""",
    "leave a daemon behind": """
import subprocess
subprocess.Popen(["sleep", "987"], start_new_session=True); print("ESCAPED")
""",
    "run a shell": "import os; print('ESCAPED') if os.system('true') == 0 else None",
    "replace itself": "import os; os.execv('/usr/bin/env', ['env']); print('ESCAPED')",
    "thread": """
import threading
threading.Thread(target=print, args=("ESCAPED",)).start()
""",
    "thread bomb": """
import _thread, time
while True:
    _thread.start_new_thread(time.sleep, (100,)); print("ESCAPED")
""",
    "process pool": """
import multiprocessing
multiprocessing.get_context("fork").Pool(2); print("ESCAPED")
""",
    "signal the parent": "import os; os.kill(os.getppid(), 9); print('ESCAPED')",
    "signal everyone": "import os, signal; os.kill(-1, signal.SIGKILL); print('ESCAPED')",
    "signal the host": "import os; os.kill({pid}, 15); print('ESCAPED')",
    "signal by file ownership": """
import fcntl, os
r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid()); print("ESCAPED")
""",
    "signal by pidfd": "import os; os.pidfd_open({pid}); print('ESCAPED')",
    "ptrace": """
import ctypes
if ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) == 0: print("ESCAPED")
""",
    "read memory of another process": """
import ctypes
if ctypes.CDLL(None).syscall(310, {pid}, 0, 0, 0, 0, 0) >= 0: print("ESCAPED")
""",
    "limit of another process": """
import resource
resource.prlimit({pid}, resource.RLIMIT_CPU); print("ESCAPED")
""",
    "raise its own limits": """
import resource
resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); print("ESCAPED")
""",
    "become root": "import os; os.setuid(0); os.setgid(0); os.setgroups([]); print('ESCAPED')",
    "new user namespace": """
import ctypes
if ctypes.CDLL(None).unshare(0x10000000) == 0: print("ESCAPED")
""",
    "mount": """
import ctypes
libc = ctypes.CDLL(None)
if libc.mount(b"proc", b"/tmp", b"proc", 0, None) == 0: print("ESCAPED")
""",
    "unmount": """
import ctypes
if ctypes.CDLL(None).umount2(b"/tmp", 2) == 0: print("ESCAPED")
""",
    "change the root": "import os; os.chroot('/'); print('ESCAPED')",
    "lift its filter": """
import ctypes
if ctypes.CDLL(None).prctl(22, 0, 0, 0, 0) == 0: print("ESCAPED")
""",
    "anonymous file past the memory limit": "import os; os.memfd_create('x'); print('ESCAPED')",
    "shared memory": """
import ctypes
if ctypes.CDLL(None).shmget(0, 1 << 20, 0o1600) >= 0: print("ESCAPED")
""",
    "io_uring": """
import ctypes
if ctypes.CDLL(None).syscall(425, 8, 0) >= 0: print("ESCAPED")
""",
    "bpf": """
import ctypes
if ctypes.CDLL(None).syscall(321, 0, 0, 0) >= 0: print("ESCAPED")
""",
    "32-bit system call numbers": """
import ctypes
if ctypes.CDLL(None).syscall(0x40000000 + 41, 2, 1, 0) >= 0: print("ESCAPED")
""",
    "use descriptors left open": """
import os
for d in range(3, 256):
    try:
        if os.write(d, b'{{"ready": true}}\\n'): print("ESCAPED")
    except OSError: pass
""",
    "memory bomb": "x = bytearray(1 << 40); print('ESCAPED')",
    "slow memory bomb": """
x = []
while True:
    x.append(bytearray(1 << 24))
    if len(x) > 100: print("ESCAPED")
""",
    "disk bomb": """
import os
for n in range(100000):
    with open(str(n), "wb") as f:
        f.write(bytes(1 << 22))
    if n > 20: print("ESCAPED")
""",
    "file-number bomb": """
for n in range(1000000):
    open(str(n), "w").close()
    if n > 10000: print("ESCAPED")
""",
    "descriptor bomb": """
import os
for n in range(100000):
    os.pipe()
    if n > 100: print("ESCAPED")
""",
}

WITHOUT_END = {
    "endless loop": "while True: pass",
    "sleep": "import time; time.sleep(1000)",
    "pause": "import signal; signal.pause()",
    "endless output": "while True: print('x' * 1000)",
    "deaf to signals": """
import signal
for s in range(1, 64):
    try: signal.signal(s, lambda *_: None)
    except (OSError, ValueError): pass
while True:
    try:
        while True: pass
    except BaseException: pass
""",
    "endless C loop": "sum(iter(int, 1))",
    "endless recursion": """
import sys
sys.setrecursionlimit(10**9)
def f(): f()
f()
""",
    "huge power": "print(len(str(9 ** 9 ** 9)))",
    "catastrophic regular expression": "import re; re.match('(a+)+$', 'a' * 64 + 'b')",
}

DOUBLE = Suite(
    {"double": "double"},
    tuple((f"assert double({n}) == {2 * n}", True) for n in (3, 71, 1009)),
    setup="SECRET_MARK_90210 = [6, 142, 2018]",
)
FORGERIES = {
    "prints passed": "print('passed', 'OK', '3 passed in 0.01s')",
    "exits with 0": "import sys; sys.exit(0)",
    "exits at once": "import os; os._exit(0)",
    "exits in the call": "import os\ndef double(x): os._exit(0)",
    "raises SystemExit in the call": "def double(x): raise SystemExit(0)",
    "raises StopIteration": "def double(x): raise StopIteration",
    "kills itself": "import os\ndef double(x): os.kill(os.getpid(), 9)",
    "aborts": "import os\ndef double(x): os.abort()",
    "equals everything": """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __hash__(self): return 6
def double(x): return Any()
""",
    "an int that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def double(x): return Any(1)
""",
    "a list that equals everything": """
class Any(list):
    def __eq__(self, other): return True
def double(x): return Any()
""",
    "patches builtins": """
import builtins
class Quiet(Exception): pass
builtins.AssertionError = Quiet
builtins.compile = lambda *a, **k: (lambda: None).__code__
builtins.exec = lambda *a, **k: None
def double(x): return None
""",
    "patches unittest and pytest": """
import sys, types
for name in ("unittest", "pytest"):
    sys.modules[name] = types.ModuleType(name)
def double(x): return None
""",
    "patches the examiner": """
import sys
from layergym.envs.sandbox import examiner, program, values
examiner.examine = lambda *a: [[True, ""]] * 3
examiner._run = lambda *a: ""
values.encode = program.encode = lambda *a: True
sys.modules.clear()
def double(x): return 0
""",
    "patches the sandbox's comparison": """
import operator, sys
for m in list(sys.modules.values()):
    for name in ("eq", "check", "verify", "passed"):
        try: setattr(m, name, lambda *a, **k: True)
        except Exception: pass
def double(x): return 0
""",
    "writes a verdict to the channel": """
import json, os
body = json.dumps({"verdict": [[True, ""]] * 3}).encode()
for d in range(3, 64):
    try: os.write(d, len(body).to_bytes(4, "big") + body)
    except OSError: pass
def double(x): return 0
""",
    "writes a verdict in the call": """
import json, os
def double(x):
    body = json.dumps({"verdict": [[True, ""]] * 3}).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)
    return 0
""",
    "writes a forged value": """
import json, os
def double(x):
    body = json.dumps({"value": {"eq": True}}).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)
    os._exit(0)
""",
    "writes garbage to the channel": """
import os
os.write(3, b"\\xff" * 100000)
def double(x): return 0
""",
    "writes nested garbage": """
import os
body = b"[" * 2000000
os.write(3, len(body).to_bytes(4, "big") + body)
def double(x): return 0
""",
    "answers with a number of numbers": "def double(x): return [6, 142, 2018]",
    "answers not-a-number": "def double(x): return float('nan')",
    "reads the tests from the stack": """
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if isinstance(value, str) and "assert double" in value:
                return int(value.rpartition("== ")[2])
        frame = frame.f_back
""",
    "reads the tests from all objects": """
import gc
def double(x):
    for o in gc.get_objects():
        if isinstance(o, (dict, list, tuple)):
            for value in (o.values() if isinstance(o, dict) else o):
                if isinstance(value, str) and f"assert double({x}) ==" in value:
                    return int(value.rpartition("== ")[2])
""",
    "reads the tests from disk": """
import os
def double(x):
    for folder, _, names in os.walk("/"):
        for name in names:
            if "test" in name:
                text = open(os.path.join(folder, name), errors="ignore").read()
                if f"assert double({x}) == {x}" in text: return x * 2 - 0
    return None
""",
    "replays the first answer": """
def double(x):
    global seen
    try: return seen
    except NameError:
        seen = 6
        return seen
""",
    "a generator of answers": "def double(x):\n    yield from range(10000)",
    "endless loop in the call": "def double(x):\n    while True: pass",
    "memory bomb in the call": "def double(x): return [0] * (1 << 40)",
    "endless answer": "def double(x): return 'x' * (1 << 26)",
    "deeply nested answer": """
def double(x):
    a = []
    for _ in range(100000): a = [a]
    return a
""",
    "an answer that contains itself": "def double(x):\n    a = []\n    a.append(a)\n    return a",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("host")
    folder.chmod(0o755)
    secret = folder / "secret"
    secret.write_text("the secret")
    listener = socket.create_server(("127.0.0.1", 0))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(folder / "s"))
    unix.listen()
    yield {
        "port": listener.getsockname()[1],
        "unix": str(folder / "s"),
        "home": str(Path.home()),
        "secret": str(secret),
        "outside": str(folder / "outside"),
        "pid": os.getpid(),
    }
    assert secret.read_text() == "the secret"
    assert sorted(p.name for p in folder.iterdir()) == ["s", "secret"]
    listener.close()
    unix.close()


@pytest.mark.parametrize("name", ON_THE_HOST)
def test_the_host_is_out_of_reach(name: str, sandbox: Sandbox, host: dict[str, object]) -> None:
    source = ON_THE_HOST[name].replace("ESCAPED", "ESC\\x41PED")  # a traceback shows the source
    output = sandbox.run(source.format(**host) if "{" in source else source, QUICK)
    assert "ESCAPED" not in output.text
    assert "SyntaxError" not in output.text


@pytest.mark.parametrize("name", WITHOUT_END)
def test_what_does_not_end_is_ended(name: str, sandbox: Sandbox) -> None:
    output = sandbox.run(WITHOUT_END[name], QUICK)
    assert output.ended in ("time", "output", "killed", "failed")
    assert len(output.text) < 70_000


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_scores_nothing(name: str, sandbox: Sandbox) -> None:
    verdict = sandbox.examine(FORGERIES[name], DOUBLE, QUICK)
    passed = [check.passed for check in verdict.checks]
    allowed = [True, False, False] if name == "replays the first answer" else [False] * 3
    assert passed == allowed
    assert not verdict.passed


def test_an_honest_program_passes(sandbox: Sandbox) -> None:
    verdict = sandbox.examine("def double(x):\n    return x + x", DOUBLE, QUICK)
    assert verdict.passed
    assert verdict.fraction == 1.0
    assert verdict.error == ""


SCAN = """
import ctypes, os, sys
write = ctypes.CDLL(None).write
write.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
needle = b"01209_KRAM_TERCES"  # backwards, so as not to find itself
r, w = os.pipe()
seen = 0
for base in {id(thing) >> 24 << 24 for thing in (object(), sys, needle, print)}:
    for page in range(base - (64 << 20), base + (64 << 20), 4096):
        if write(w, page, 4096) == 4096:
            seen += 1
            if needle in os.read(r, 4096)[::-1]: print("FOUND")
print("pages", seen)
"""


def test_memory_holds_nothing_of_earlier_runs(sandbox: Sandbox) -> None:
    """Native code reads the pages around it, looking for the tests of the runs before."""
    for _ in range(4):  # both workers have run the tests, whichever comes next
        sandbox.examine("def double(x): return x + x", DOUBLE, QUICK)
    clean = sandbox.run(SCAN, Limits(wall_s=20, cpu_s=15, memory_mb=512))
    planted = sandbox.run("SECRET_MARK_90210 = 1" + SCAN, Limits(wall_s=20, cpu_s=15))
    assert int(clean.text.rpartition("pages ")[2]) > 1000
    assert "FOUND" not in clean.text
    assert "FOUND" in planted.text


def test_nothing_is_left_behind(sandbox: Sandbox) -> None:
    """After 1,000 runs, a fifth of them attacks, the machine has the processes it had before."""
    programs = ["print(1)"] * 4 + ["import os; os._exit(1)", "import os; os.fork()"]
    programs += ["x = bytearray(1 << 40)", "import os; os.kill(os.getpid(), 11)"]
    sandbox.run("pass")
    before = _descendants(), len(os.listdir("/proc/self/fd"))
    for n in range(1000):
        sandbox.run(programs[n % len(programs)], QUICK)
    assert (_descendants(), len(os.listdir("/proc/self/fd"))) == before


def _descendants() -> set[tuple[int, str]]:
    """Process id and state of every process below this one; Z is a zombie."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry)] = int(fields[1]), "Z" if fields[0] == "Z" else ""
    found: set[int] = {os.getpid()}
    while grown := {p for p, (parent, _) in parents.items() if parent in found} - found:
        found |= grown
    return {(p, parents[p][1]) for p in found}


def test_the_host_process_still_handles_its_signals() -> None:
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
