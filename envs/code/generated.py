"""Programming problems without a download: chains of steps, written out in words.

A problem is a chain of `level` + 1 steps of one family and an end. Its id and its place in train,
valid or test follow from the chain, so no chain is in two splits; no two problems of a split are
the same.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Any

from layergym.envs.code.operations import FAMILIES, Family, Step
from layergym.envs.code.problems import CodeProblem, suite

LEVELS = (1, 2, 3)
SPLITS = {"train": 600, "valid": 120, "test": 120}
"""Problems of each split, the same number of every family and level."""
_VISIBLE, _HIDDEN = 2, 10
_WORDS = (
    *("a", "on", "tea", "sun", "book", "letter", "apple", "queue", "moon", "bee", "grass", "is"),
    *("to", "oak", "stone", "river", "eel", "yes", "no"),
)

Part = tuple[Step, int | None]
Chain = tuple[Part, ...]


@cache
def generated_problems(split: str) -> tuple[CodeProblem, ...]:
    """The problems of a split, in order of id."""
    each = SPLITS[split] // (len(FAMILIES) * len(LEVELS))
    made: list[CodeProblem] = []
    for family in FAMILIES:
        for level in LEVELS:
            rng = random.Random(f"{split} {family.name} {level}")
            cell: dict[str, CodeProblem] = {}
            while len(cell) < each:
                draft = _draft(family, level, rng)
                if draft.split == split and draft.varied and draft.id not in cell:
                    cell[draft.id] = draft.problem()
            made += cell.values()
    return tuple(sorted(made, key=lambda problem: problem.id))


def _draft(family: Family, level: int, rng: random.Random) -> _Draft:
    parts = [_choose(family.steps, rng) for _ in range(level + 1)]
    return _Draft(family, level, (*parts, _choose(family.ends, rng)))


def _choose(among: Sequence[tuple[Step, tuple[int, ...]]], rng: random.Random) -> Part:
    step, parameters = rng.choice(among)
    return step, rng.choice(parameters) if parameters else None


@dataclass(frozen=True)
class _Draft:
    """A chain, before it is known to make a good problem."""

    family: Family
    level: int
    chain: Chain

    @property
    def signature(self) -> str:
        calls = [f"{step.__name__}({'' if k is None else k})" for step, k in self.chain]
        return f"{self.family.name}: {' '.join(calls)}"

    @property
    def _number(self) -> int:
        return int.from_bytes(sha256(self.signature.encode()).digest()[:8], "big")

    @property
    def split(self) -> str:
        return {0: "test", 1: "valid"}.get(self._number % 5, "train")

    @property
    def id(self) -> str:
        return f"{self.family.name}-{self.level}-{self._number:016x}"

    @cached_property
    def cases(self) -> list[tuple[Any, Any]]:
        """Inputs and what the chain makes of them; the same for every call."""
        rng = random.Random(self.signature)
        inputs = [_input(self.family.name, rng, i) for i in range(_VISIBLE + _HIDDEN)]
        return [(given, self._apply(given)) for given in inputs]

    def _apply(self, value: Any) -> Any:
        for step, k in self.chain:
            value = step(value) if k is None else step(value, k)
        return value

    @property
    def varied(self) -> bool:
        """Whether no constant is a good answer, and no step but the last does nothing."""
        values = [repr(expected) for _, expected in self.cases]
        steps = [step for step, _ in self.chain]
        doubled = any(a is b for a, b in pairwise(steps))
        return not doubled and len(set(values)) > len(values) // 2

    def problem(self) -> CodeProblem:
        """Write it out."""
        says = [_in_words(step, k) for step, k in self.chain]
        lines = [f"{n}. {text}" for n, text in enumerate(says, 1)]
        statement = (
            f"Write a Python function `solve(data)`. It takes {self.family.given}, and does this, "
            "in order, each step with the result of the one before:\n" + "\n".join(lines)
        )
        checks = [f"assert solve({given!r}) == {expected!r}" for given, expected in self.cases]
        return CodeProblem(
            id=self.id,
            kind=f"{self.family.name} {self.level}",
            statement=statement,
            entry="solve",
            visible=suite(checks[:_VISIBLE], ["solve"]),
            hidden=suite(checks[_VISIBLE:], ["solve"]),
            solution=self._solution(),
        )

    def _solution(self) -> str:
        used = dict.fromkeys(step for step, _ in self.chain)
        functions = [_source(step) for step in used]
        calls = [f"{step.__name__}(data{'' if k is None else f', {k}'})" for step, k in self.chain]
        body = "".join(f"    data = {call}\n" for call in calls)
        return "\n\n".join([*functions, f"def solve(data):\n{body}    return data\n"])


@cache
def _source(step: Step) -> str:
    return inspect.getsource(step)


def _in_words(step: Step, k: int | None) -> str:
    text = " ".join((step.__doc__ or "").split())
    text = text.replace("{k}th", "{k}" + _ordinal(k or 0))
    return text.replace("{k}", str(k))


def _ordinal(k: int) -> str:
    return {1: "st", 2: "nd", 3: "rd"}.get(k, "th")


def _input(family: str, rng: random.Random, index: int) -> Any:
    """One input; some are as small as the family allows."""
    size = rng.choice((0, 1, 2)) if index % 6 == 5 else rng.randint(4, 9)
    if family == "lists":
        return [rng.randint(-12, 20) for _ in range(size)]
    if family == "text":
        return " ".join(rng.choice(_WORDS) for _ in range(max(1, size - 2)))
    if family == "grids":
        columns = rng.randint(1, 4)
        return [[rng.randint(-9, 20) for _ in range(columns)] for _ in range(max(1, size // 2))]
    names = ("left", "right", "right", "wait")
    return [(rng.choice(names), rng.randint(1, 9)) for _ in range(size)]
