"""math-verify in the sandbox.

Its LaTeX grammar and sympy can be made to run for ever by what a reply says, so they run confined,
with a limit on time.
"""

from __future__ import annotations

from importlib.util import find_spec

from layergym.base.errors import InputError
from layergym.envs.sandbox import CallError, Limits, Sandbox, shared

_LIMITS = Limits(wall_s=6.0, cpu_s=2, memory_mb=2048)
_MODULES = ("math_verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4")
_PRELUDE = r"""
import logging
from math_verify import parse, verify
from sympy import Basic, MatrixBase, log, preorder_traversal
logging.disable(logging.CRITICAL)

def read(text):
    return parse(f"\\boxed{{{text}}}", parsing_timeout=None) or parse(text, parsing_timeout=None)

def numbers(found):
    for value in found:
        for part in value if isinstance(value, MatrixBase) else [value]:
            if isinstance(part, Basic):
                yield from (p for p in preorder_traversal(part) if getattr(p, "is_number", False))

def zeros(found):
    # How many zeros the smallest number has behind its point, where it is a tiny one.
    sizes = [abs(number.evalf(3)) for number in numbers(found)]
    return max((int(-log(s, 10).evalf(5)) for s in sizes if s.is_Float and 0 < s < 1e-3), default=0)

def same(right, given, *precision):
    # An interval may be said by an inequality, so [1, 2] is 1 <= x <= 2.
    return verify(right, given, *precision, allow_set_relation_comp=True, timeout_seconds=None)

def equal(gold, answers):
    right = read(gold)
    for answer in answers:
        given = read(answer)
        if same(right, given):
            # Differences below 1e-15 count as none, and decimals are rounded to six places.
            more = max(zeros(right), zeros(given))
            if not more or same(right, given, 6 + more, 15 + more):
                return True
    return False

for gold, answer in ((r"\frac{\pi}{2}", r"0.5\pi"), ("x^2+1", "1+x^2"), ("(1,2]", "[1, 3)")):
    equal(gold, [answer])  # grammars and patterns are compiled at their first use
"""


def grader(isolation: str = "auto") -> Sandbox:
    """The sandbox in which answers are compared.

    Raises:
        InputError: math-verify is not installed, or there is no such isolation.
    """
    # Most answers are numbers and never reach it: said now, not in the middle of a run.
    if find_spec("math_verify") is None:
        raise InputError(
            "comparing mathematical answers needs math-verify: pip install 'layergym[math]'"
        )
    return shared(isolation, _MODULES, _PRELUDE)


def verified(gold: str, readings: list[str], sandbox: Sandbox) -> bool:
    """Whether math-verify finds one of the readings of an answer equal to `gold`, in time."""
    try:
        source = "from prelude import equal"
        return sandbox.call(source, "equal", gold, readings, limits=_LIMITS) is True
    except CallError:
        return False
