"""What an honest user of the sandbox relies on."""

import copy
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layergym.base.errors import InputError
from layergym.envs.sandbox import CallError, Limits, Sandbox, Suite, launch


def test_this_machine_can_isolate() -> None:
    with Sandbox() as sandbox:
        assert sandbox.isolation in ("bubblewrap", "namespaces", "landlock")


def test_output_and_exit_code(sandbox: Sandbox) -> None:
    output = sandbox.run("import sys\nprint('a')\nprint('b', file=sys.stderr)\nsys.exit(3)")
    assert (output.text, output.ended, output.exit_code) == ("a\nb\n", "failed", 3)


def test_an_error_is_shown_with_its_line(sandbox: Sandbox) -> None:
    text = sandbox.run("x = [1]\nprint(x[5])").text
    assert "line 2" in text
    assert "print(x[5])" in text
    assert text.endswith("IndexError: list index out of range\n")


def test_output_before_the_time_limit_is_kept(sandbox: Sandbox) -> None:
    output = sandbox.run("print('so far')\nwhile True: pass", Limits(wall_s=0.5))
    assert (output.text, output.ended) == ("so far\n", "time")


def test_output_past_the_limit_is_cut(sandbox: Sandbox) -> None:
    output = sandbox.run("print('x' * 5000)", Limits(output_kb=1))
    assert output.text == "x" * 1024 + "\n[output cut]"
    assert output.ended == "finished"


def test_there_is_no_input(sandbox: Sandbox) -> None:
    assert sandbox.run("input()").text.endswith("EOFError: EOF when reading a line\n")


def test_the_same_program_does_the_same(sandbox: Sandbox) -> None:
    source = "import random\nprint(random.random(), list({'a', 'b', 'c', 'd'}), hash('x'))"
    assert len({sandbox.run(source).text for _ in range(6)}) == 1


def test_scratch_files_work_and_do_not_stay(sandbox: Sandbox) -> None:
    if sandbox.isolation == "landlock":
        pytest.skip("without namespaces nothing can be written")
    assert sandbox.run("open('f', 'w').write('1')\nprint(open('f').read())").text == "1\n"
    assert sandbox.run("import os\nprint(os.path.exists('f'))").text == "False\n"


def test_asyncio_works(sandbox: Sandbox) -> None:
    assert sandbox.run("import asyncio\nprint(asyncio.run(asyncio.sleep(0, 7)))").text == "7\n"


def test_a_call_returns_plain_values(sandbox: Sandbox) -> None:
    source = "def f(x):\n    return {'x': (x, 2.5, {1}, None, 2**100, b'z')}"
    assert sandbox.call(source, "f", [1]) == {"x": ([1], 2.5, {1}, None, 2**100, b"z")}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(): return object()", "not plain"),
        ("def f(): 1 / 0", "ZeroDivisionError"),
        ("def f(): raise SystemExit", "SystemExit"),
        ("def f(", "SyntaxError"),
        ("g = 1", "does not define f"),
        ("import os\nos._exit(3)", "exit code 3"),
        ("while True: pass", "time limit"),
    ],
)
def test_a_call_that_fails_says_why(sandbox: Sandbox, source: str, message: str) -> None:
    with pytest.raises(CallError, match=message):
        sandbox.call(source, "f", limits=Limits(wall_s=1))


def test_tests_may_build_objects_of_the_program(sandbox: Sandbox) -> None:
    source = """
        class Node:
            def __init__(self, value):
                self.value, self.next = value, None
        def total(node):
            return node.value + total(node.next) if node else 0
        def each(n):
            return iter(range(n))
    """
    steps = (
        ("a = Node(1)\na.next = Node(2)", False),
        ("assert total(a) == 3", True),
        ("assert a.next.value == 2", True),
        ("assert list(each(3)) == [0, 1, 2]", True),
        ("assert total(None) == 0", True),
    )
    suite = Suite({name: name for name in ("Node", "total", "each")}, steps)
    assert sandbox.examine(textwrap.dedent(source), suite).passed


def test_a_failed_check_says_what_came_back(sandbox: Sandbox) -> None:
    suite = Suite({"f": "f"}, (("assert f(2) == 3", True), ("assert f('') == 1", True)))
    first, second = sandbox.examine("def f(x):\n    return 10 // x", suite).checks
    assert (first.passed, first.detail) == (False, "returned 5")
    assert "line 2, in f" in second.detail
    assert "TypeError" in second.detail


def test_broken_preparation_passes_nothing(sandbox: Sandbox) -> None:
    suite = Suite({"f": "f"}, (("missing()", False), ("assert f(1)", True)))
    verdict = sandbox.examine("def f(x): return True", suite)
    assert not verdict.passed
    assert "missing" in verdict.checks[0].detail


def test_no_checks_is_no_pass(sandbox: Sandbox) -> None:
    assert not sandbox.examine("def f(): pass", Suite({"f": "f"}, ())).passed


def test_threads_share_a_pool(sandbox: Sandbox) -> None:
    suite = Suite({"f": "f"}, (("assert f(2) == 4", True),))
    with ThreadPoolExecutor(6) as threads:
        good = list(threads.map(lambda n: sandbox.run(f"print({n})").text, range(24)))
        verdicts = [threads.submit(sandbox.examine, "f = lambda x: 4", suite) for _ in range(12)]
        assert all(v.result().passed for v in verdicts)
    assert good == [f"{n}\n" for n in range(24)]


def _in_a_fork(sandbox: Sandbox, connection: object) -> None:
    connection.send(sandbox.run("print('fork')").text)  # type: ignore[attr-defined]
    sandbox.close()


def test_a_forked_process_gets_workers_of_its_own(sandbox: Sandbox) -> None:
    sandbox.run("pass")
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_in_a_fork, args=(sandbox, theirs))
    child.start()
    assert ours.recv() == "fork\n"
    child.join()
    assert sandbox.run("print('parent')").text == "parent\n"


def test_copies_share_and_pickles_describe(sandbox: Sandbox) -> None:
    assert copy.deepcopy(sandbox) is sandbox
    with pickle.loads(pickle.dumps(sandbox)) as other:
        assert other is not sandbox
        assert other.isolation == sandbox.isolation


def test_closing_ends_every_worker() -> None:
    sandbox = Sandbox()
    sandbox.run("pass")
    (worker,) = sandbox._idle
    sandbox.close()
    assert worker._process.returncode is not None
    assert sandbox.run("print(2)").text == "2\n"
    sandbox.close()


def test_workers_end_with_the_process_that_made_them() -> None:
    source = """
        import os, subprocess
        from layergym.envs.sandbox import Sandbox
        sandbox = Sandbox()
        sandbox.run("pass")
        print(sandbox._idle[0]._process.pid, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
    )
    worker = Path(f"/proc/{int(done.stdout)}")
    for _ in range(100):
        if not worker.exists() or " Z " in (worker / "stat").read_text():
            return
        subprocess.run(["sleep", "0.05"], check=True)
    pytest.fail("the worker outlived its maker")


def test_modules_can_be_asked_for() -> None:
    with Sandbox(modules=["numpy"]) as sandbox:
        assert sandbox.run("import numpy\nprint(numpy.arange(3).sum())").text == "3\n"
        suite = Suite({"f": "f"}, (("assert f() == 3", True),))
        assert sandbox.examine("import numpy\ndef f(): return numpy.int64(3)", suite).passed


def test_a_prelude_is_run_once_and_imported(sandbox: Sandbox) -> None:
    prelude = "import os\nworker = os.getpid()\ndef f(x): return x + 1"
    with Sandbox(isolation=sandbox.isolation, prelude=prelude) as other:
        assert other.call("from prelude import f", "f", 4) == 5
        source = "import os, prelude\nprint(prelude.worker != os.getpid())"
        assert other.run(source).text == "True\n"
    with pytest.raises(InputError, match=r"cannot be isolated here .*division by zero"):
        Sandbox(isolation=sandbox.isolation, prelude="1 / 0").run("pass")


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="no_such_package"):
        Sandbox(modules=["no_such_package"]).run("pass")


def test_unprotected_runs_must_be_asked_for_by_name() -> None:
    with Sandbox(isolation="none") as sandbox:
        assert sandbox.isolation == "none"
        assert sandbox.run("print(1)").text == "1\n"
    with pytest.raises(InputError, match="did you mean"):
        Sandbox(isolation="namespace").run("pass")


def test_without_isolation_it_refuses_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter on which every confinement fails: `true` says nothing and ends."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(InputError, match=r'install bubblewrap .* isolation="none"'):
        Sandbox().run("pass")


@pytest.fixture(scope="module")
def readable_by_all() -> Iterator[str]:
    """A copy of what the sandbox needs of the package, where an unprivileged user can read it."""
    here = Path(launch.__file__).parents[2]
    with tempfile.TemporaryDirectory(prefix="layergym-") as scratch:
        for part in ("base", "envs/sandbox"):
            shutil.copytree(here / part, Path(scratch) / part)
        for path in (Path(scratch), *Path(scratch).rglob("*")):
            path.chmod(0o755)
        yield scratch


def test_it_works_for_an_unprivileged_user(sandbox: Sandbox, readable_by_all: str) -> None:
    """The standard-library part under the system's own Python, as a user with no rights."""
    system = "/usr/bin/python3"
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    found = os.path.exists(system)
    if (
        not found
        or subprocess.run([system, "-c", "import tomllib"], stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip(f"needs Python 3.11 or newer as {system}")
    source = f"""
        import os, sys, types
        for name, folder in (("layergym", ""), ("layergym.envs", "envs")):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [os.path.join({readable_by_all!r}, folder)]
        from layergym.base.errors import InputError
        from layergym.envs.sandbox import Sandbox
        assert os.geteuid() == 4321
        with Sandbox(isolation={sandbox.isolation!r}) as sandbox:
            try:
                sandbox.isolation
            except InputError as error:
                sys.exit(f"cannot: {{error}}")
            print(sandbox.run("import os\\ntry: print(open('/etc/passwd'))"
                              "\\nexcept OSError: print('kept')").text.strip())
    """
    done = subprocess.run(
        [system, "-c", textwrap.dedent(source)],
        **{"user": 4321, "group": 4321, "extra_groups": []},  # type: ignore[call-overload]
        capture_output=True,
        text=True,
        cwd="/",
    )
    if done.stderr.startswith("cannot: "):
        pytest.skip(f"this machine {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("kept\n", "")
