"""Functions that change their arguments, and those that would spoil a test by it."""

import pytest

from layergym.envs.sandbox import Limits, Sandbox, Suite

QUICK = Limits(wall_s=5, cpu_s=2)
CHANGES = (
    ("xs = [3, 1, 2]", "xs.sort()", "xs == [1, 2, 3]"),
    ("xs = [[1, 2], [3, 4]]", "xs[0][1] = 9", "xs == [[1, 9], [3, 4]]"),
    ("xs = [1]", "xs.append({'a': (2,)})", "xs == [1, {'a': (2,)}]"),
    ("xs = {'a': 1}", "xs['b'] = xs.pop('a')", "xs == {'b': 1}"),
    ("xs = {1, 2}", "xs.discard(1)", "xs == {2}"),
    ("from collections import deque\nxs = deque([1, 2], 2)", "xs.append(3)", "list(xs) == [2, 3]"),
)


def passed(sandbox: Sandbox, program: str, *steps: tuple[str, bool]) -> list[bool]:
    verdict = sandbox.examine(program, Suite({"f": "f"}, steps), QUICK)
    return [check.passed for check in verdict.checks]


@pytest.mark.parametrize(("before", "change", "after"), CHANGES)
@pytest.mark.parametrize("call", ["f(xs)", "f(xs=xs)"])
def test_what_a_call_changes_is_seen(before: str, change: str, after: str, call: str) -> None:
    steps = (before, False), (call, False), (f"assert {after}", True)
    with Sandbox() as sandbox:
        assert passed(sandbox, f"def f(xs):\n    {change}", *steps) == [True]
        assert passed(sandbox, "def f(xs):\n    pass", *steps) == [False]
        own = f"import copy\ndef f(xs):\n    xs = copy.deepcopy(xs)\n    {change}"
        assert passed(sandbox, own, *steps) == [False]


def test_a_name_that_shares_the_argument_sees_it_too(sandbox: Sandbox) -> None:
    steps = ("xs = [1]\nsame = xs", False), ("f(0, xs)", False), ("assert same == [1, 2]", True)
    assert passed(sandbox, "def f(n, xs):\n    xs.append(2)", *steps) == [True]


def test_what_is_not_plain_afterwards_stays_as_it_was(sandbox: Sandbox) -> None:
    steps = ("xs = [1]", False), ("f(xs)", False), ("assert xs == [1]", True)
    for value in ("object()", "xs"):
        assert passed(sandbox, f"def f(xs):\n    xs.append({value})", *steps) == [True]


RAW = """
import json, os
def say(**answer):
    body = json.dumps(answer).encode()
    os.write(3, len(body).to_bytes(4, "big") + body)
"""


def test_a_call_that_returns_a_value_cannot_spoil_what_it_is_compared_with(
    sandbox: Sandbox,
) -> None:
    steps = ("xs = [3, 5]", False), ("assert f(xs) == max(xs)", True)
    spoiling = "def f(xs):\n    xs[:] = [0]\n    return 0"
    written = f"{RAW}def f(xs): say(value=0, changed={{'dict': [[0, [0]]]}})"
    for program in (spoiling, written):
        assert passed(sandbox, program, *steps) == [False]
    assert passed(sandbox, "def f(xs): return max(xs)", *steps) == [True]


@pytest.mark.parametrize(
    "changed",
    [[[1, [0]]], [["xs", [0]]], [[0, {"dict": []}]], [[0, 7]], [[0, {"ref": 0}]], [[[], [0]]], 7],
)
def test_changes_that_cannot_be_are_tampering(changed: object, sandbox: Sandbox) -> None:
    steps = ("xs = [3, 5]", False), ("f(xs)", True)
    program = f"{RAW}def f(xs): say(value=None, changed={{'dict': {changed!r}}})"
    verdict = sandbox.examine(program, Suite({"f": "f"}, steps), QUICK)
    assert not verdict.passed
    assert "tampered" in verdict.checks[0].detail
