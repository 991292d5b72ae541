"""Final answers: where they are in a reply, and whether they equal the right one.

Equality is math-verify's (a LaTeX grammar and sympy), which a reply can make run for ever, so it
runs in the sandbox. Cheap cases, equal text and plain numbers, are settled before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from layergym.envs.sandbox import CallError, Limits, Sandbox, shared

_LIMITS = Limits(wall_s=6.0, cpu_s=2, memory_mb=2048)
_MAX_LENGTH = 2000  # characters; no gold answer comes near

_MODULES = ("math_verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4")
_PRELUDE = r"""
import logging
from math_verify import parse, verify
logging.disable(logging.CRITICAL)

def read(text):
    return parse(f"\\boxed{{{text}}}", parsing_timeout=None) or parse(text, parsing_timeout=None)

def equal(gold, answers):
    right = read(gold)
    return any(verify(right, read(answer), timeout_seconds=None) for answer in answers)

for gold, answer in ((r"\frac{\pi}{2}", r"0.5\pi"), ("x^2+1", "1+x^2"), ("(1,2]", "[1, 3)")):
    equal(gold, [answer])  # grammars and patterns are compiled at their first use
"""


def grader(isolation: str = "auto") -> Sandbox:
    """The sandbox in which answers are compared.

    Raises:
        InputError: later, when it is used: math-verify is not installed.
    """
    return shared(isolation, _MODULES, _PRELUDE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer that a reply gives."""

    text: str
    clean: bool
    """Whether the reply gives one answer only."""


def find_answer(reply: str) -> Answer | None:
    r"""The last `\boxed{...}`, else the last `<answer>` tag, else the last `####`, in a reply."""
    found = _boxed(reply)
    found = found or re.findall(r"<answer>(.*?)</answer>", reply, re.DOTALL)
    found = found or re.findall(r"####[ \t]*([^\n]+)", reply)
    found = [text.strip() for text in found if text.strip()]
    if not found:
        return None
    return Answer(found[-1], len({same_form(text) for text in found}) == 1)


def _boxed(text: str) -> list[str]:
    found = []
    for match in re.finditer(r"\\(?:boxed|fbox)\s*", text):
        if text[match.end() : match.end() + 1] == "{":
            inner = _balanced(text, match.end())
            found += [] if inner is None else [inner]
        elif bare := re.match(r"[^\s$.,{}]+", text[match.end() :]):  # such as \boxed 5
            found.append(bare[0])
    return found


def _balanced(text: str, start: int) -> str | None:
    """What is between the brace at `start` and the one that closes it."""
    depth = 0
    for i in range(start, len(text)):
        if text[i] in "{}" and (i == start or text[i - 1] != "\\"):
            depth += 1 if text[i] == "{" else -1
            if depth == 0:
                return text[start + 1 : i]
    return None


def same_form(text: str) -> str:
    """`text` in one of its spellings: without spacing, sizing, dollar signs and text commands."""
    text = re.sub(r"\\(?:text|mbox|textbf|mathrm|textit|mathbf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:left|right|displaystyle|[!,;: ])", "", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt\s*(\d)", r"\\sqrt{\1}", text)
    text = re.sub(r"\^\{?\\circ\}?|\\degree", "", text)
    return re.sub(r"[\s$]|\\\$", "", text).rstrip(".").lower()


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:(?P<decimal>\d*\.?\d+)|\\frac\{(?P<over>\d+)\}\{(?P<under>\d+)\}|"
    r"(?P<above>\d+)/(?P<below>\d+))"
)


def number(text: str) -> Fraction | None:
    r"""The value of a plain number, decimal or fraction, such as `-1,200.50` or `\frac{1}{2}`."""
    plain = _THOUSANDS.sub("", re.sub(r"^\{([^{}]*)\}$", r"\1", same_form(text)))
    match = _NUMBER.fullmatch(plain)
    if match is None or len(text) > 100:
        return None
    above, below = match["over"] or match["above"], match["under"] or match["below"]
    if above and not int(below):
        return None
    value = Fraction(int(above), int(below)) if above else Fraction(match["decimal"])
    return -value if match["sign"] == "-" else value


_SCIENTIFIC = re.compile(r"(\d)(?:\\times|\\cdot|\*)10\^(?:\{-?\d+\}|\d)")
_NAME = re.compile(r"^\(?[a-z](?:\([a-z]\))?\)?=")
_OPERATION = re.compile(
    r"[+*!^]|\\(?:times|cdot|div|sqrt|binom|log|ln|sin|cos|tan|sum|prod|int|pmod|gcd)|"
    r"[\d)}]-|(?:/|\\frac).*(?:/|\\frac)"
)


def unevaluated(gold: str, answer: str) -> bool:
    r"""Whether the right answer is a plain number and the given one an expression to work out.

    `\boxed{12 \cdot 7 + 1}` equals 85, but copies the question. Scientific notation, a fraction,
    `x =` before a number and words after it are no expressions.
    """
    if number(gold) is None:
        return False
    text = re.sub(r"(?:cm|mm|km|ft|in|m|units?)\^\{?[23]\}?", "", same_form(answer))
    return bool(_OPERATION.search(_NAME.sub("", _SCIENTIFIC.sub(r"\1", text))))


def equal(gold: str, answer: str, sandbox: Sandbox) -> bool:
    """Whether `answer` says the same as `gold`; False when that cannot be found out in time.

    Args:
        gold: the right answer, LaTeX or plain.
        answer: the given one.
        sandbox: a `grader`.

    Raises:
        InputError: programs cannot be isolated here, or math-verify is not installed.
    """
    if len(answer) > _MAX_LENGTH:
        return False
    readings = _readings(answer)
    if same_form(gold) in map(same_form, readings):
        return True
    right, given = number(gold), number(readings[-1])
    if right is not None and given is not None and (right == given or _whole(right, given)):
        return right == given
    return not unevaluated(gold, answer) and verified(gold, readings, sandbox)


def verified(gold: str, readings: list[str], sandbox: Sandbox) -> bool:
    """Whether math-verify finds one of the readings of an answer equal to `gold`, in time."""
    try:
        source = "from prelude import equal"
        return sandbox.call(source, "equal", gold, readings, limits=_LIMITS) is True
    except CallError:
        return False


def _whole(*values: Fraction) -> bool:
    return all(value.denominator == 1 for value in values)


_UNIT = re.compile(r"(?<=\d)\s+(?:[A-Za-z]{3,}|cm|mm|km|ft|in|kg|lb|oz|mi)(?: [A-Za-z ]+)?$")


def _readings(answer: str) -> list[str]:
    """The answer, and the answer without the words around it, if that is something else."""
    bare = re.sub(r"\\(?:text|mbox|mathrm)\s*\{[^{}]*\}(?:\^\{?\d\}?)?", "", answer).strip()
    bare = _UNIT.sub("", bare)
    return [answer, bare] if bare and bare != answer else [answer]
