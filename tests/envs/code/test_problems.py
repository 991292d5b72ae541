"""Which statements of a suite count."""

import pytest

from layergym.envs.code.problems import suite
from layergym.envs.sandbox import Sandbox


@pytest.mark.parametrize(
    ("source", "checks"),
    [
        ("assert f(3) == 6", ["assert f(3) == 6"]),
        ("got = f(3)\nassert got == 6", ["assert got == 6"]),
        ("xs = [1]\nf(xs)\nassert xs == [2]", ["f(xs)", "assert xs == [2]"]),
        ("for x in (1, 2):\n    assert f(x)", ["for x in (1, 2):\n    assert f(x)"]),
        ("assert True, 'this prints'", []),
        ("def near(a, b):\n    assert abs(a - b) < 1\nnear(f(1), 2)", ["near(f(1), 2)"]),
        ("import math", []),
    ],
)
def test_what_is_asserted_or_called_counts(source: str, checks: list[str]) -> None:
    assert list(suite([source], ["f"]).checks) == checks


@pytest.mark.parametrize(
    "source", ["got = f(3)\nassert got == 6", "xs = [3]\nf(xs)\nassert xs == [6]"]
)
def test_a_program_that_does_nothing_passes_no_assertion_about_it(source: str) -> None:
    with Sandbox() as sandbox:
        right = "def f(x):\n    if isinstance(x, int): return 2 * x\n    x[0] *= 2"
        assert sandbox.examine(right, suite([source], ["f"])).passed
        assert not sandbox.examine("def f(x): pass", suite([source], ["f"])).passed
