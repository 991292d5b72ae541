"""What a program returns or raises, and how a test then ends: cases by kind."""

from pathlib import Path

import pytest

from layergym.envs.sandbox import Sandbox, Suite, shared

ROWS = [
    tuple(cell.replace("\\n", "\n") for cell in line.split("\t"))
    for line in Path(__file__).with_name("results.tsv").read_text().splitlines()[1:]
]


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return shared("auto", ("numpy", "numpy.testing"))


@pytest.mark.parametrize("kind", sorted({row[0] for row in ROWS}))
def test_a_test_passes_for_the_right_value_only(kind: str, sandbox: Sandbox) -> None:
    missed = []
    for _, program, test, verdict in (row for row in ROWS if row[0] == kind):
        examined = sandbox.examine(program, Suite({"f": "f"}, ((test, True),)))
        if examined.passed != (verdict == "right"):
            missed.append((program, test, verdict, examined.checks[0].detail))
    assert missed == []


def test_a_value_with_too_many_digits_is_reported(sandbox: Sandbox) -> None:
    suite = Suite({"f": "f"}, (("assert f() == 1", True),))
    (check,) = sandbox.examine("def f(): return 10 ** 5000", suite).checks
    assert not check.passed
    assert "digits" in check.detail
