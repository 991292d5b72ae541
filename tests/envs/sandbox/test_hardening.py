"""What neither a hostile program nor an unlucky machine may bring about."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import layergym
from layergym.base.errors import InputError
from layergym.envs.sandbox import CallError, Limits, Sandbox, Suite, jobs, launch, shared
from layergym.envs.sandbox.launch import Worker

QUICK = Limits(wall_s=5, cpu_s=2)
ONE = Suite({"f": "f"}, (("assert f(1) == 2", True),))
RIGHT = "def f(x): return x + 1"


# ---- the installation -----------------------------------------------------------------------


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python of its own that is not a virtual environment, with layergym in its site-packages."""
    prefix = tmp_path_factory.mktemp("python")
    prefix.chmod(0o755)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library = prefix / "lib" / version
    unused = shutil.ignore_patterns("site-packages", "dist-packages", "test", "idlelib", "tkinter")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=unused, symlinks=False)
    (prefix / "bin").mkdir()
    shutil.copy(os.path.realpath(sys.executable), prefix / "bin" / version)
    for file in Path(str(sysconfig.get_config_var("LIBDIR"))).glob("libpython*.so*"):
        shutil.copy(file, prefix / "lib")
    package = library / "site-packages" / "layergym"
    source = Path(launch.__file__).resolve().parents[1]
    shutil.copytree(source, package / "envs")
    shutil.copytree(Path(layergym.__file__).parent / "base", package / "base")
    (package / "__init__.py").write_text("")
    (package / "envs" / "__init__.py").write_text("")
    yield prefix
    shutil.rmtree(prefix)


STEAL = """
import importlib.util, os, sys
generator = os.path.join(packages, "layergym", "envs", "code", "generated.py")
def tried(what):
    try: what(); print("reached")
    except (OSError, ImportError, AttributeError): print("kept")
def import_it():
    sys.path.append(packages)
    from layergym.envs.code import generated
def load_it():
    spec = importlib.util.spec_from_file_location("generated", generator)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
def list_it():
    if not os.listdir(packages): raise OSError
tried(lambda: open(generator).read())
tried(import_it)
tried(load_it)
tried(list_it)
tried(lambda: open(os.path.join(packages, "..", "site-packages", "secret.txt")))
import sqlite3, json.tool, zoneinfo  # the standard library stays
print("library")
"""


def test_an_installation_without_a_virtual_environment_is_out_of_reach(
    sandbox: Sandbox, installation: Path
) -> None:
    (python,) = (installation / "bin").iterdir()
    (packages,) = installation.glob("lib/python*/site-packages")
    (packages / "secret.txt").write_text("secret")
    program = f"packages = {str(packages)!r}\n{STEAL}"
    source = f"""
        from layergym.envs.sandbox import Sandbox
        with Sandbox(isolation={sandbox.isolation!r}) as sandbox:
            print(sandbox.run({program!r}).text)
    """
    done = subprocess.run(
        [python, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "", "LD_LIBRARY_PATH": str(installation / "lib")},
        cwd="/",
    )
    assert done.stdout.split() == ["kept"] * 5 + ["library"], done.stderr


def test_a_module_that_was_not_asked_for_is_not_there(sandbox: Sandbox) -> None:
    for module in ("pytest", "numpy", "layergym.envs.code"):
        text = sandbox.run(f"import {module}").text
        assert "ModuleNotFoundError" in text


# ---- the host -------------------------------------------------------------------------------


def test_a_program_that_is_too_long_fails(sandbox: Sandbox) -> None:
    source = RIGHT + "\nx = '" + "\0" * 1_000_000 + "'"
    assert sandbox.run(source).ended == "failed"
    assert not sandbox.examine(source, ONE).passed
    with pytest.raises(CallError, match="too long"):
        sandbox.call(source, "f", 1)


def test_a_program_of_many_bytes_is_run(sandbox: Sandbox) -> None:
    """Its text has 3.6 MB, and would have 10.8 MB with escapes."""
    assert sandbox.examine(f"{RIGHT}\nx = '" + "\U0001f600" * 900_000 + "'", ONE).passed


def test_an_argument_that_is_too_long_is_the_calls_failure(sandbox: Sandbox) -> None:
    with pytest.raises(CallError, match="too much"):
        sandbox.call("def f(x): return 1", "f", "x" * (1 << 23))
    nested: list[object] = []
    nested.append(nested)
    for argument in (nested, object()):
        with pytest.raises(InputError, match="not plain"):
            sandbox.call("def f(x): return 1", "f", argument)


def test_the_host_holds_one_message_at_most(sandbox: Sandbox) -> None:
    """While a large argument is under way, the program writes without reading."""
    flood = "import os, threading\ndef f(x): return x\nprint()\n"
    flood += "def g():\n    while True: os.write(3, bytes(1 << 18))\nf = lambda x: g()\n"
    suite = Suite({"f": "f"}, (("f(1)", True), ("assert f(list(range(300_000)))", True)))
    early = "import os\nos.write(3, b'\\0\\0\\0\\x0f' + b'{\"loaded\": true}')\n"
    sandbox.run("pass")
    tracemalloc.start()
    try:
        for source in (flood, early + "while True: os.write(3, bytes(1 << 18))"):
            assert not sandbox.examine(source, suite, QUICK).passed
        assert tracemalloc.get_traced_memory()[1] < 24 * 2**20
    finally:
        tracemalloc.stop()


def test_texts_can_be_written_as_utf8(sandbox: Sandbox) -> None:
    for source in (
        "def f(x): raise ValueError(chr(0xd800))",
        "raise ValueError(chr(0xdc80))",
        "def f(x): return chr(0xdfff)",
        "\ud800",
    ):
        verdict = sandbox.examine(source, ONE)
        assert not verdict.passed
        "".join([verdict.error, *(check.detail for check in verdict.checks)]).encode()
        sandbox.run(source).text.encode()


DESCRIPTORS = """
import os
def is_open(descriptor):
    try: return bool(os.fstat(descriptor))
    except OSError: return False
print([descriptor for descriptor in range(5000) if is_open(descriptor)])
"""


def test_large_numbers_of_descriptors_are_no_trouble(sandbox: Sandbox) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this process may not open enough files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with Sandbox(isolation=sandbox.isolation) as other:
            assert other.run("print(1)").text == "1\n"
            assert other.examine(RIGHT, ONE).passed
            assert other.run(DESCRIPTORS).text == "[0, 1, 2]\n"
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- workers that end -----------------------------------------------------------------------


def _kill(worker: Worker) -> None:
    """End a worker as the kernel does when memory is short: all its processes."""
    pids = [worker._process.pid]
    for pid in pids:
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    worker._process.wait()
    while worker.alive:
        time.sleep(0.01)


def test_idle_workers_that_end_cost_no_verdict() -> None:
    with Sandbox(workers=4) as sandbox:
        for _ in range(3):
            assert sandbox.examine(RIGHT, ONE).passed
            for worker in sandbox._idle:
                _kill(worker)
            assert sandbox.run("print(1)").text == "1\n"
            assert sandbox.call(RIGHT, "f", 1) == 2


def test_a_worker_that_ends_at_work_costs_no_verdict() -> None:
    tried: list[Worker] = []

    def job(one: Worker, other: Worker) -> jobs.Verdict:
        tried.append(one)
        if len(tried) == 1:
            _kill(one)
        return jobs.examined(one, other, RIGHT, ONE, QUICK)

    with Sandbox() as sandbox:
        assert sandbox._with(2, job).passed
    assert len(tried) == 2


def test_a_program_that_is_killed_is_not_tried_again(sandbox: Sandbox) -> None:
    output = sandbox.run("import os\nos.kill(os.getpid(), 9)")
    assert (output.ended, output.exit_code) == ("killed", -9)
    assert all(worker.usable for worker in sandbox._idle)


# ---- settings -------------------------------------------------------------------------------


def test_limits_that_cannot_be_are_refused(robustness: ModuleType) -> None:
    for wrong in robustness.WRONG_LIMITS:
        ((name, _),) = wrong.items()
        with pytest.raises(InputError, match=re.compile(f"the limit {name} must be")):
            Limits(**wrong)


def test_limits_that_can_be_are_kept() -> None:
    largest = Limits(wall_s=86_400, cpu_s=86_400, memory_mb=2**20, output_kb=2**20)
    assert largest.doubled() == largest
    with Sandbox() as sandbox:
        for limits in (largest, Limits(cpu_s=1, memory_mb=256)):
            assert sandbox.run("print(1)", limits).text == "1\n"


CONFINED: dict[str, dict[str, Any]] = {
    "code-v0": {},
    "math-v0": {},
    "reasoninggym-v0": {"dataset": "countdown", "size": 5},
}


@pytest.mark.parametrize("env", CONFINED)
@pytest.mark.parametrize("isolation", ["foo", "", "Landlock", "auto "])
def test_an_isolation_that_there_is_not_is_refused_when_an_environment_is_made(
    env: str, isolation: str
) -> None:
    with pytest.raises(InputError, match="no isolation"):
        layergym.make(env, isolation=isolation, **CONFINED[env])


@pytest.mark.parametrize("env", CONFINED)
def test_an_isolation_that_cannot_be_had_ends_the_first_reset(
    env: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.cache_clear()  # workers that stand ready
    made = layergym.make(env, isolation="landlock", **CONFINED[env])
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(InputError, match="cannot be isolated here"):
        made.reset(seed=0)


def test_the_hosts_name_is_hidden_with_namespaces(sandbox: Sandbox) -> None:
    if sandbox.isolation == "landlock":
        pytest.skip("Landlock cannot hide it: see the threat model")
    assert sandbox.run("import os\nprint(os.uname().nodename)").text == "sandbox\n"
